"""Clients that are slow on purpose, many of them, in a process of their own so that they do not slow
down the test. `python3 -m support.slow KIND PORT NUMBER` opens them, says "open", goes on until
the server has ended all or standard input has, and prints what became of them as JSON. Of `read`
that means little: an orderly end waits behind all that was not read.

KIND: `head`: a field a second, and never the last one; `body`: the head, a byte a second for a
while, then nothing; `read`: asks for /big and takes 16 bytes of it a second."""

import collections
import itertools
import json
import pathlib
import resource
import select
import socket
import ssl
import subprocess
import sys
import time

from support.ports import HOST
from support.tlsclient import Wire, connect, context
from support.wait import PATIENCE

_HEAD = b"POST /slow HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000\r\n"
_BIG = b"GET /big HTTP/1.1\r\nHost: a.example\r\n\r\n"
_BODY_BYTES = 3
_READ_BYTES = 16
_TICKS = 50  # in a second


class _Writer:
    """Sends slowly, and reads what it is told for that."""

    def __init__(self, port, ctx, kind):
        self._tls = connect(port, ctx=ctx, timeout=PATIENCE * 3)
        self._drip = b"X-Slow: yes\r\n" if kind == "head" else b"x"
        self._left = -1 if kind == "head" else _BODY_BYTES
        self._tls.sendall(_HEAD if kind == "head" else _HEAD + b"\r\n")
        self._tls.setblocking(False)
        self._got = bytearray()
        self.outcome = None

    def fileno(self):
        return self._tls.fileno()

    def tick(self):
        """A second has passed."""
        if self._left == 0 or self.outcome:
            return
        self._left -= 1
        try:
            self._tls.send(self._drip)
        except OSError:
            pass  # reading tells why

    def read(self):
        """Something has come."""
        try:
            while data := self._tls.recv(65536):
                self._got += data
            self._end("closed")
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self._end("broken")

    def _end(self, how):
        status = bytes(self._got[9:12]).decode() if self._got.startswith(b"HTTP/1.1 ") else ""
        self.outcome = status or how
        self._tls.close()


class _Reader:
    """Takes a little now and then, and below TLS: that would take a whole record."""

    def __init__(self, port, ctx, _):
        self._raw = socket.socket()
        self._raw.settimeout(PATIENCE * 3)
        # Ethernet's segments: for those of loopback a kernel keeps megabytes each.
        self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1460)
        self._raw.connect((HOST, port))
        wire = Wire(port, ctx=ctx, raw=self._raw).handshake()
        # Not before: a handshake takes long in so little space.
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.send(_BIG)
        self._raw.setblocking(False)
        self.outcome = None

    def tick(self):
        """A second has passed."""
        try:
            if self.outcome is None and not self._raw.recv(_READ_BYTES):
                self.outcome = "closed"
        except BlockingIOError:
            pass
        except OSError:
            self.outcome = "broken"


def main():
    """The process."""
    kind, port, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ctx, make = context(), _Reader if kind == "read" else _Writer
    clients = [make(port, ctx, kind) for _ in range(number)]
    print("open", flush=True)
    watch = select.poll()
    watch.register(sys.stdin, select.POLLIN)
    by_fd = {}
    if make is _Writer:
        by_fd = {c.fileno(): c for c in clients}
        for fd in by_fd:
            watch.register(fd, select.POLLIN)
    # Not all at a time: this process would be what is in the others' way.
    groups = itertools.cycle([clients[i::_TICKS] for i in range(_TICKS)])
    next_tick, told = time.monotonic(), False
    while not told and any(c.outcome is None for c in clients):
        for fd, _ in watch.poll(max(0, next_tick - time.monotonic()) * 1000):
            told = told or fd == sys.stdin.fileno()
            if client := by_fd.get(fd):
                client.read()
                if client.outcome:
                    watch.unregister(fd)
                    del by_fd[fd]
        if time.monotonic() >= next_tick:
            next_tick += 1 / _TICKS
            for client in next(groups):
                client.tick()
    print(json.dumps(collections.Counter(c.outcome or "open" for c in clients)))


class Slow:
    """That process, seen from the test; comes back when all are open."""

    def __init__(self, kind, port, number):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.slow", kind, str(port), str(number)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=pathlib.Path(__file__).parents[1])
        if self._process.stdout.readline() != "open\n":
            self._process.kill()
            raise AssertionError(f"slow clients: {self._process.communicate()[1]}")

    def outcomes(self, timeout=PATIENCE * 3):
        """Tells them to end, and says what had become of them by then: how many had which status,
        or "closed", "broken", "open"."""
        output, error = self._process.communicate(timeout=timeout)
        assert self._process.returncode == 0, error
        return json.loads(output)

    def close(self):
        """Ends it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


if __name__ == "__main__":
    main()
