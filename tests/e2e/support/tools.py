"""curl, openssl s_client and h2load with time limits, their words parsed."""

import re
import subprocess
from dataclasses import dataclass

from support.ports import HOST
from support.wait import PATIENCE


def curl(url, port, *flags, authority=None, timeout=PATIENCE):
    """Runs curl with every name led to `port` of 127.0.0.1; the finished process, text output."""
    argv = ["curl", "-sS", "--http1.1", "--max-time", str(timeout),
            "--connect-to", f"::{HOST}:{port}"]
    argv += ["--cacert", authority.path] if authority else ["-k"]
    return subprocess.run([*argv, *flags, url], capture_output=True, text=True,
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


def h2load_command(url, *flags, clients=8, requests=None, seconds=None):
    """Arguments of h2load over HTTP/1.1; `requests` in all, or for `seconds`."""
    argv = ["h2load", "--h1", "-t", "1", "-c", str(clients), "-m", "1"]
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
