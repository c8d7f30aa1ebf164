"""The binary under test: starts it, asks it, stops it, and looks for what must not have been."""

import ctypes
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

from support import processes
from support.exposition import Metrics
from support.ports import HOST, free_port
from support.wait import PATIENCE, SANITIZED, wait_until

# What no run may ever say.
_NEVER = re.compile(
    r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:|"
    r"internal error:|buffer overflow detected|stack smashing|double free|malloc\(\)|"
    r"error supervisor: .* \(process \d+\)|is killed: ", re.IGNORECASE)

# To be expected by a test that ends a process itself.
ENDED = r"\(process \d+\)"


def binary():
    """Path of the binary."""
    path = os.environ.get("SALLYPORT")
    assert path, "SALLYPORT must name the binary to test"
    return path


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Heir:
    """What Popen is for the others, of a supervisor that took over: the child of a child, which
    comes to us when its parent ends."""

    _PR_SET_CHILD_SUBREAPER = 36

    def __init__(self, pid):
        self.pid = pid
        self._code = None

    @classmethod
    def expect(cls):
        """Before the first one is born."""
        ctypes.CDLL(None).prctl(cls._PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def poll(self):
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Not ours yet; or its parent, which still drains, has heard how it ended.
                if not processes.alive(self.pid):
                    self._code = 0
                return self._code
            if pid == self.pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("sallyport", timeout)
            time.sleep(0.01)
        return self._code

    def send_signal(self, sig):
        os.kill(self.pid, sig)

    def kill(self):
        processes.kill(self.pid)


class Sallyport:
    """One running instance with files of its own in `folder`: sallyport.json, admin.sock,
    error.log, access.log, stdout, stderr."""

    def __init__(self, folder, config, nofile=None, environ=None):
        self.folder = pathlib.Path(folder)
        self.config_path = self.folder / "sallyport.json"
        self.admin_path = str(self.folder / "admin.sock")
        self.config = None
        self.process = None
        self.program = binary()
        self.enter = None  # is called in the new process before it is the binary's
        self.expect_noise = ()  # patterns that are wanted, of those that must not be
        self._nofile = nofile
        self._environ = environ or {}
        self._seen = set()
        self.configure(config)

    # ---- configuration

    def configure(self, config):
        """Writes the configuration; `log` and `admin` are filled in where they are not given."""
        config = dict(config)
        config.setdefault("admin", {"address": f"unix:{self.admin_path}"})
        log = dict(config.get("log", {}))
        log.setdefault("error", str(self.folder / "error.log"))
        log.setdefault("access", {"path": str(self.folder / "access.log")})
        config["log"] = log
        self.config = config
        self.write(json.dumps(config, indent=2))

    def write(self, text):
        """Replaces the configuration file by any text."""
        new = self.config_path.with_suffix(".new")
        new.write_text(text)
        new.rename(self.config_path)

    @property
    def ports(self):
        """The TCP ports of all listeners, in order."""
        found = []
        for listener in self.config["listeners"]:
            addresses = listener["address"]
            for address in [addresses] if isinstance(addresses, str) else addresses:
                if not address.startswith("unix:"):
                    found.append(int(address.rpartition(":")[2]))
        return found

    @property
    def port(self):
        """The first one."""
        return self.ports[0]

    # ---- life

    def spawn(self):
        """Starts the binary without waiting for it."""
        environ = dict(os.environ, **self._environ)
        if SANITIZED:
            environ.setdefault("ASAN_OPTIONS", "abort_on_error=1")
            environ.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        argv = [str(self.program), "run", "-c", str(self.config_path)]
        if self._nofile:
            argv = ["prlimit", f"--nofile={self._nofile}:{self._nofile}", *argv]
        with open(self.folder / "stdout", "ab") as out, open(self.folder / "stderr", "ab") as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=err, cwd=self.folder, env=environ,
                                            preexec_fn=self.enter)
        return self

    def start(self):
        """Starts it and waits until it is ready."""
        self.spawn()
        wait_until(self._ready_or_dead, "readiness", every=0.01)
        return self

    def _ready_or_dead(self):
        code = self.process.poll()
        assert code is None, f"it ended with {code} instead of starting:\n{self.words()}"
        self._seen.update(processes.descendants(self.pid))
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def stop(self, sig=signal.SIGTERM, within=PATIENCE):
        """Ends it by a signal; the exit code must be 0, and nothing of it may stay."""
        if self.process is None:
            return
        self._seen.update(processes.descendants(self.pid))
        if self.process.poll() is None:
            self.process.send_signal(sig)
        process, self.process = self.process, None
        try:
            code = process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"it did not end within {within} s of {sig!r}") from None
        finally:
            left = wait_until_gone(self._seen)
        assert code == 0, f"it ended with {code}"
        assert not left, f"processes were left behind: {left}"

    def destroy(self):
        """Ends what is left of it, whatever its state."""
        if self.process is None:
            return
        pids = processes.descendants(self.pid)
        self.process.kill()
        self.process.wait()
        for pid in pids:
            processes.kill(pid)
        self.process = None

    def assert_clean(self):
        """Fails where a log holds what must never be said."""
        for name in ("stderr", "error.log"):
            for line in self._text(name).splitlines():
                if _NEVER.search(line) and not any(re.search(p, line) for p in self.expect_noise):
                    raise AssertionError(f"{name} says: {line}")

    def signal(self, sig):
        """Sends a signal to the supervisor."""
        self.process.send_signal(sig)

    def reload(self, config=None, timeout=PATIENCE):
        """Reloads by SIGHUP, with another configuration where one is given, and waits for the
        outcome: "done" or "refused"."""
        if config is not None:
            self.configure(config)
        before = self.metrics()
        self.signal(signal.SIGHUP)

        def outcome():
            now = self.metrics()
            for word in ("done", "refused"):
                if now.get("reloads_total", outcome=word) > before.get("reloads_total",
                                                                      outcome=word):
                    return word
            return None
        return wait_until(outcome, "the outcome of a reload", timeout)

    def upgrade(self, timeout=PATIENCE):
        """Upgrades by SIGUSR2 and follows the new supervisor. Returns the old one, to be waited for.
        """
        _Heir.expect()
        old, at = self.process, len(self.error_log())
        self._seen.update(processes.descendants(old.pid))
        self.signal(signal.SIGUSR2)

        def outcome():
            return re.search(rf"upgraded: process (\d+) serves|the upgrade failed: .*|no upgrade: .*",
                             self.error_log()[at:])
        found = wait_until(outcome, "the outcome of an upgrade", timeout)
        assert found.group(1), found.group()
        self.process = _Heir(int(found.group(1)))
        return old

    # ---- what it says

    def get(self, path, timeout=PATIENCE, headers=None):
        """Status and body of the admin endpoint's answer."""
        connection = _UnixConnection(self.admin_path, timeout)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as e:
            raise OSError(f"admin endpoint: {e!r}") from e
        finally:
            connection.close()

    def get_or_none(self, path):
        """Status of the admin endpoint's answer; None while nobody answers."""
        try:
            return self.get(path)[0]
        except OSError:
            return None

    def metrics(self):
        """The metrics, read strictly. The steward may be starting again just now."""
        def scrape():
            try:
                return self.get("/metrics")
            except OSError:
                return None
        status, text = wait_until(scrape, "metrics")
        assert status == 200, text
        return Metrics(text)

    def wait_metric(self, value, name, timeout=PATIENCE, **labels):
        """Waits until a metric has `value`, a number or a condition."""
        fits = value if callable(value) else lambda seen: seen == value

        def look():
            seen = self.metrics().get(name, **labels)
            return (seen,) if fits(seen) else None
        return wait_until(look, f"{name}{labels or ''} to fit", timeout)[0]

    def _text(self, name):
        try:
            return (self.folder / name).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def access_log(self):
        """The lines of the access log, parsed; one not yet whole is left out."""
        whole = self._text("access.log").split("\n")[:-1]  # not all that Python takes for line ends
        return [json.loads(line) for line in whole]

    def wait_record(self, timeout=PATIENCE, skip=0, **members):
        """Waits for the first record (after `skip` others) that has these members."""
        def look():
            for record in self.access_log()[skip:]:
                if all(record.get(k) == v for k, v in members.items()):
                    return record
            return None
        return wait_until(look, f"an access line with {members} in {self.access_log()}", timeout)

    def stderr(self):
        """What it has written there so far."""
        return self._text("stderr")

    def error_log(self):
        """The error log's text."""
        return self._text("error.log")

    def wait_error(self, pattern, timeout=PATIENCE):
        """Waits for a line of the error log that matches, and returns it."""
        def look():
            for line in self.error_log().splitlines():
                if re.search(pattern, line):
                    return line
            return None
        return wait_until(look, f"/{pattern}/ in the error log", timeout)

    def words(self):
        """All that it said, for whoever has to find out why a test failed."""
        parts = []
        for name in ("sallyport.json", "stdout", "stderr", "error.log", "access.log"):
            text = self._text(name)
            if text:
                parts.append(f"--- {name} (last 6000 characters)\n{text[-6000:]}")
        return "\n".join(parts)

    # ---- its processes

    @property
    def pid(self):
        """Pid of the supervisor."""
        return self.process.pid

    def _of_role(self, role):
        title = f"sallyport: {role}"
        found = [p for p in processes.children(self.pid)
                 if "".join(processes.command(p)[:1]).startswith(title)]
        self._seen.update(found)
        return sorted(found)

    def workers(self):
        """Pids of the workers."""
        return self._of_role("worker")

    def kill_worker(self, pid):
        """Kills a worker; the log shall say so. Returns when."""
        self.expect_noise = (r"killed by SIGKILL",)
        when = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        return when

    def wait_replaced(self, gone, number):
        """Waits until there are `number` workers again, none of those that have gone."""
        return wait_until(lambda: (w := self.workers()) and len(w) == number and
                          not set(w) & set(gone) and w, "a new worker", every=0.005)

    def steward(self):
        """Pid of the steward, or None."""
        found = self._of_role("steward")
        return found[0] if found else None

    def keeper(self):
        """Pid of the keeper, or None."""
        found = self._of_role("keeper")
        return found[0] if found else None

    def pids(self):
        """Pids of all its processes."""
        return [self.pid, *processes.descendants(self.pid)]

    def memory(self):
        """Bytes of memory of all its processes (PSS). They hide it from all but root."""
        if os.geteuid() != 0:
            pytest.skip("only root sees the memory of processes that hide it")
        return sum(processes.memory(p) for p in self.pids())

    def descriptors(self):
        """Open descriptors of all its workers. They hide them from all but root."""
        if os.geteuid() != 0:
            pytest.skip("only root sees the descriptors of processes that hide them")
        return sum(processes.descriptors(p) for p in self.workers())

    def cpu_seconds(self):
        """CPU time of all its processes."""
        return sum(processes.cpu_seconds(p) for p in self.pids())


def wait_until_gone(pids, timeout=3):
    """Those of `pids` that still run after a while."""
    try:
        wait_until(lambda: not any(processes.alive(p) for p in pids), "the end", timeout)
    except AssertionError:
        return [p for p in pids if processes.alive(p)]
    return []


def config(servers, tls=None, listener=None, pool=None, **top):
    """The smallest configuration: a listener, a pool. `tls`: certificates (list) or the whole
    object; none: plaintext. `listener`, `pool` and the rest: more members for each."""
    door = {"name": "door", "address": f"{HOST}:{free_port()}", "mode": "tcp", "pool": "back"}
    if tls is not None:
        door["tls"] = {"certificates": tls} if isinstance(tls, list) else tls
    door.update(listener or {})
    back = {"servers": servers, **(pool or {})}
    return {"workers": 1, "drain_timeout": "2s", "listeners": [door], "pools": {"back": back},
            **top}
