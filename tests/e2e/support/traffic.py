"""HTTP over TLS from threads of the test, while it does things to the server: what fails, when, and
how long each answer took. The backend is support.nginx's /hello."""

import socket
import ssl
import threading
import time
from dataclasses import dataclass

from support import tlsclient, tools
from support.wait import PATIENCE

HELLO = b"hello from nginx\n"


def _request(name, close):
    return (f"GET /hello HTTP/1.1\r\nHost: {name}\r\n"
            f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n").encode()


def fetch(port, name="a.example", ctx=None, timeout=PATIENCE):
    """One request over a connection of its own. The answer must be whole and the stream end in
    good order, else OSError or AssertionError."""
    with tlsclient.connect(port, name, ctx, timeout=timeout) as tls:
        tls.sendall(_request(name, close=True))
        got = bytearray()
        while data := tls.recv(65536):
            got += data
    assert got.startswith(b"HTTP/1.1 200 ") and got.endswith(HELLO), bytes(got[:200])


def fetch_again(tls, name="a.example"):
    """One request over a connection that stays open."""
    tls.sendall(_request(name, close=False))
    got = bytearray()
    while not got.endswith(HELLO):
        data = tls.recv(65536)
        assert data, f"the stream ended after {bytes(got)!r}"
        got += data
    assert got.startswith(b"HTTP/1.1 200 "), bytes(got[:200])


@dataclass
class Knock:
    """One request of Knocking or Probing; times are time.monotonic()."""
    began: float
    seconds: float
    error: object  # None: it was answered


class Background:
    """Threads that run until `stop`."""

    def __init__(self, number):
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True)
                         for i in range(number)]

    def _begin(self):
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        raise NotImplementedError

    def _end(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE * 2)
            assert not thread.is_alive(), "a client's thread hangs"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()


def _knock(port, name, ctx):
    began, error = time.monotonic(), None
    try:
        fetch(port, name, ctx)
    except (OSError, AssertionError) as e:
        error = e
    return Knock(began, time.monotonic() - began, error)


class Knocking(Background):
    """New connections all the time, one request each, from `threads` threads."""

    def __init__(self, port, threads=2, name="a.example"):
        super().__init__(threads)
        self._port, self._name, self._ctx = port, name, tlsclient.context()
        self.knocks = []
        self._begin()

    def _run(self, number):
        while not self._stopping.is_set():
            self.knocks.append(_knock(self._port, self._name, self._ctx))

    def finish(self):
        """Stops, and returns all knocks in the order in which they began."""
        self._end()
        return sorted(self.knocks, key=lambda k: k.began)


class Probing(Knocking):
    """A new connection every 10 ms, whatever became of those before."""

    EVERY = 0.01
    MOST = 400  # under way at a time

    def __init__(self, port, name="a.example"):
        self._open = threading.Semaphore(self.MOST)
        self._probes = []
        super().__init__(port, 1, name)

    def _probe(self):
        try:
            self.knocks.append(_knock(self._port, self._name, self._ctx))
        finally:
            self._open.release()

    def _run(self, number):
        while not self._stopping.wait(self.EVERY):
            self._open.acquire()
            probe = threading.Thread(target=self._probe, daemon=True)
            probe.start()
            self._probes.append(probe)

    def _end(self):
        super()._end()
        for probe in self._probes:
            probe.join(PATIENCE * 2)
            assert not probe.is_alive(), "a probe hangs"


class Steady(Background):
    """`number` connections that stay, with one request after the other on each. What breaks is in
    `errors`."""

    def __init__(self, port, number=4, name="a.example", pause=0.0):
        super().__init__(number)
        self._name, self._pause = name, pause
        self.errors = []
        self.requests = [0] * number
        self._connections = [tlsclient.connect(port, name) for _ in range(number)]
        self._begin()

    def _run(self, number):
        tls = self._connections[number]
        try:
            while not self._stopping.wait(self._pause):
                fetch_again(tls, self._name)
                self.requests[number] += 1
        except (OSError, AssertionError) as e:
            self.errors.append(e)

    def _end(self):
        super()._end()
        for tls in self._connections:
            tls.close()

    def finish(self):
        """Stops; nothing may have broken. Returns the number of requests answered."""
        self._end()
        assert not self.errors, f"steady connections broke: {self.errors}"
        return sum(self.requests)


class Curling(Background):
    """One curl after the other, each with many requests over connections that it reuses; `flags` say
    by which protocol. `rounds` has the exit code of each, and the status of every answer."""

    REQUESTS = 400

    def __init__(self, port, *flags):
        super().__init__(1)
        self._port, self._flags = port, flags
        self.rounds = []
        self._begin()

    def _run(self, number):
        url = f"https://a.example:{self._port}/hello?[1-{self.REQUESTS}]"
        while not self._stopping.is_set():
            done = tools.curl(url, self._port, *self._flags, "-o", "/dev/null", "-w",
                              "%{http_code}\\n", timeout=PATIENCE * 6)
            self.rounds.append((done.returncode, done.stdout.split()))


def push(connection, data):
    """Sends, by TLS or without, until nothing was taken for a moment; returns how much went. Leaves
    the connection without blocking."""
    connection.setblocking(False)
    at, last = 0, time.monotonic()
    while at < len(data) and time.monotonic() - last < 0.1:
        try:
            # By TLS the same bytes must be offered again.
            at += connection.send(memoryview(data)[at:at + 65536])
            last = time.monotonic()
        except (BlockingIOError, ssl.SSLWantWriteError):
            time.sleep(0.01)
    return at


def refused(port):
    """Whether nobody listens there."""
    with socket.socket() as s:
        s.settimeout(PATIENCE)
        try:
            s.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # it was queued when the queue closed: the next one tells
            return False
        return False
