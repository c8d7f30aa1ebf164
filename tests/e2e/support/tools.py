"""curl, openssl s_client, h2load and wrk with time limits, their words parsed."""

import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass

from support.ports import HOST
from support.wait import PATIENCE


def curl_command(url, port, *flags, authority=None, timeout=PATIENCE):
    """Arguments of curl with every name led to `port` of 127.0.0.1."""
    argv = ["curl", "-sS", "--http1.1", "--max-time", str(timeout),
            "--connect-to", f"::{HOST}:{port}"]
    argv += ["--cacert", authority.path] if authority else ["-k"]
    return [*argv, *flags, url]


def curl(url, port, *flags, authority=None, timeout=PATIENCE):
    """Runs that; the finished process, text output."""
    argv = curl_command(url, port, *flags, authority=authority, timeout=timeout)
    return subprocess.run(argv, capture_output=True, text=True,
                          timeout=timeout + 5, check=False, stdin=subprocess.DEVNULL)


# Alerts of RFC 8446, 6.
HANDSHAKE_FAILURE, PROTOCOL_VERSION, UNRECOGNIZED_NAME = 40, 70, 112


@dataclass
class Client:
    """What s_client said."""
    output: str
    code: int

    def _find(self, pattern):
        found = re.search(pattern, self.output, re.MULTILINE)
        return found.group(1) if found else None

    @property
    def connected(self):
        """Whether there was a whole handshake."""
        # It says New, too, where an alert came between the certificate and the end.
        return self.code == 0 and bool(self._find(r"^(New|Reused), TLSv"))

    @property
    def reused(self):
        """Whether a session was resumed."""
        return self._find(r"^(New|Reused), TLSv") == "Reused"

    @property
    def version(self):
        """Such as TLSv1.3."""
        return self._find(r"^(?:New|Reused), (TLSv[0-9.]+)")

    @property
    def cipher(self):
        """By OpenSSL's name."""
        return self._find(r"Cipher is (\S+)")

    @property
    def group(self):
        """Of the server's key share."""
        return self._find(r"^Server Temp Key: (?:ECDH, )?([^,\n]+)")

    @property
    def signature(self):
        """How the server signed: RSA, RSA-PSS, ECDSA, ed25519."""
        return self._find(r"^Peer signature type: (\S+)")

    @property
    def subject(self):
        """Common name of the certificate shown."""
        return self._find(r"^subject=CN = (.*)$")

    @property
    def alert(self):
        """Number of the alert that the server sent."""
        number = self._find(r"SSL alert number (\d+)")
        return None if number is None else int(number)


def s_client(port, *flags, name="a.example", data=None, timeout=PATIENCE):
    """Runs openssl s_client. With `data` it sends that and waits for the server's end; else it
    leaves after the handshake."""
    argv = ["openssl", "s_client", "-connect", f"{HOST}:{port}"]
    argv += ["-servername", name] if name else ["-noservername"]
    if data is not None:
        argv += ["-ign_eof"]
    done = subprocess.run([*argv, *flags], input=data or b"", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout, check=False)
    return Client(done.stdout.decode(errors="replace"), done.returncode)


@dataclass
class Load:
    """h2load's summary. `failed` are requests, of which `errored` never got an answer."""
    total: int
    done: int
    succeeded: int
    failed: int
    errored: int
    timed_out: int
    per_second: float
    output: str


def read_load(output):
    """Parses h2load's output."""
    counts = re.search(r"^requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, "
                       r"(\d+) failed, (\d+) errored, (\d+) timeout", output, re.MULTILINE)
    rate = re.search(r"([0-9.]+) req/s", output)
    assert counts and rate, f"h2load gave no summary:\n{output}"
    total, _, done, succeeded, failed, errored, timed_out = map(int, counts.groups())
    return Load(total, done, succeeded, failed, errored, timed_out, float(rate.group(1)), output)


def h2load_command(url, *flags, clients=8, requests=None, seconds=None, streams=None):
    """Arguments of h2load over HTTP/1.1, or with `streams` at a time on each connection over
    HTTP/2; `requests` in all, or for `seconds`."""
    argv = ["h2load", "-t", "1", "-c", str(clients), "-m", str(streams or 1)]
    argv += [] if streams else ["--h1"]
    argv += ["-n", str(requests)] if requests else ["-D", str(seconds)]
    return [*argv, *flags, url]


def h2load(url, *flags, timeout=60, **amount):
    """Runs it to its end."""
    done = subprocess.run(h2load_command(url, *flags, **amount), capture_output=True, text=True,
                          timeout=timeout, check=False, stdin=subprocess.DEVNULL)
    return read_load(done.stdout + done.stderr)


class Loading:
    """h2load in the background."""

    def __init__(self, url, *flags, **amount):
        self._process = subprocess.Popen(h2load_command(url, *flags, **amount), text=True,
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT)

    def running(self):
        """Whether it still is."""
        return self._process.poll() is None

    def finish(self, timeout=60):
        """Waits for its end and parses what it said."""
        try:
            output, _ = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.close()
            raise
        return read_load(output)

    def close(self):
        """Ends it."""
        if self.running():
            self._process.kill()
        self._process.communicate()


class Polite:
    """h2load as a client by HTTP/2 that asks now and then, for so many seconds."""

    RATE = 50  # requests a second, on each of two connections

    def __init__(self, url, seconds):
        self._log = tempfile.NamedTemporaryFile(prefix="h2load-")
        argv = ["h2load", "-t", "1", "-c", "2", "-m", "1", "--rps", str(self.RATE),
                "-D", f"{int(seconds * 1000)}ms", f"--log-file={self._log.name}", url]
        self._process = subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def finish(self, timeout=60):
        """Waits for its end. The seconds that each answer took, the longest last; nothing else than
        200 may have come."""
        output, _ = self._process.communicate(timeout=timeout)
        rows = [line.split("\t") for line in self._log.read().decode().splitlines()]
        assert rows and {row[1] for row in rows} == {"200"}, output
        load = read_load(output)
        assert load.errored == load.failed == 0, output
        return sorted(int(row[2]) / 1e6 for row in rows)

    def close(self):
        """Ends it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        self._log.close()


@dataclass
class Traffic:
    """What wrk counted. `refused`: answers that were neither 2xx nor 3xx; `broken`: connections
    that failed to be made, to be read or to be written to."""
    requests: int
    refused: int
    broken: int
    timed_out: int
    output: str


def read_traffic(output):
    """Parses wrk's output, which is silent about what did not happen."""
    requests = re.search(r"^ +(\d+) requests in ", output, re.MULTILINE)
    assert requests, f"wrk gave no summary:\n{output}"
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)",
                       output)
    connect, read, write, late = map(int, errors.groups()) if errors else (0, 0, 0, 0)
    return Traffic(int(requests[1]), int(refused[1]) if refused else 0, connect + read + write,
                   late, output)


_WRK_SCRIPT = """
local paths, n = {%s}, 0
request = function()
  n = n %% #paths + 1
  return wrk.format("GET", paths[n])
end
"""


class Wrk:
    """wrk in the background at full rate, until it is told to stop: `clients` connections that stay,
    requests for `paths` in turn."""

    def __init__(self, folder, port, paths, clients=16, name="a.example"):
        script = folder / "wrk.lua"
        script.write_text(_WRK_SCRIPT % ", ".join(f'"{p}"' for p in paths))
        argv = ["wrk", "-t", "1", "-c", str(clients), "-d", "1h", "--timeout", f"{PATIENCE}s",
                "-H", f"Host: {name}", "-s", str(script), f"https://{HOST}:{port}/"]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT, text=True)

    def finish(self, timeout=PATIENCE):
        """Stops it, and parses what it said."""
        self._process.send_signal(signal.SIGINT)
        try:
            output, _ = self._process.communicate(timeout=timeout)
        finally:
            self.close()
        return read_traffic(output)

    def close(self):
        """Ends it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
