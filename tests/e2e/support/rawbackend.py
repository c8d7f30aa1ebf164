"""A backend that keeps every byte it gets and answers by script, one script for each case of a
test; and the door: one instance before it, for all the cases of a file."""

import itertools
import re
import socket
import time

import pytest

from support import backends
from support.rawhttp import (Client, Cut, Malformed, Stream, get, ok, read_request_body,
                             read_request_head)
from support.tlsclient import context
from support.wait import PATIENCE, wait_until


# ---- steps of a script: bytes are sent, functions are called with the visit, and bytes that they
# return are sent, too

class _Over(Exception):
    """The visit ends here."""


def read_body(visit):
    """Waits for the request's body."""
    visit.read_body()


def close(visit):
    """Closes the connection."""
    raise _Over


def reset(visit):
    """Breaks it off."""
    backends.reset(visit.socket)
    raise _Over


def truncate(visit):
    """Closes it without TLS' close_notify."""
    visit.result = backends.TRUNCATED
    raise _Over


def half_close(visit):
    """Ends our direction, and waits for the peer's end."""
    visit.socket.shutdown(socket.SHUT_WR)
    hang(visit)


def hang(visit):
    """Answers nothing more; takes what comes until the peer has enough of it."""
    visit.request.tunnel += visit.stream.rest()
    raise _Over


def until_gone(gone):
    """Answers nothing more, and adds to the list `gone` once the peer has had enough of it, however it
    says so."""
    def step(visit):
        try:
            visit.stream.rest()
        except OSError:
            pass
        gone.append(visit)
        raise _Over
    return step


def pause(seconds):
    """Waits before the next step."""
    return lambda visit: time.sleep(seconds)


def echo_tunnel(visit):
    """Sends back what comes until the peer's end, then says "bye"."""
    stream = visit.stream
    while not stream.at_end():
        data = stream.exactly(len(stream.buffer))
        visit.request.tunnel += data
        visit.socket.sendall(data)
    visit.socket.sendall(b"bye")
    raise _Over


def plainly(visit):
    """A plain 200, after the body."""
    visit.read_body()
    return ok(b"ok") if visit.request.method != "HEAD" else ok(b"ok")[:-2]


class Visit:
    """One connection of the proxy's, as the backend sees it."""

    def __init__(self, backend, connection):
        self._backend = backend
        self.socket = connection
        self.received = bytearray()  # every byte, as it came
        self.stream = Stream(self._receive)
        self.request = None          # the present one
        self.result = None           # for backends.Backend

    def _receive(self):
        data = self.socket.recv(65536)
        self.received += data
        return data

    def read_body(self):
        """Waits for the present request's body."""
        if not self.request.whole:
            read_request_body(self.stream, self.request)

    def run(self):
        """Serves requests until either side ends it."""
        try:
            while request := read_request_head(self.stream):
                self.request = request
                script = self._backend.script_for(self, request)
                for step in script:
                    data = step(self) if callable(step) else step
                    if isinstance(data, bytes):
                        self.socket.sendall(data)
                self.read_body()
        except _Over:
            pass
        except Cut as e:
            self._backend.cuts.append(e)
        except Malformed as e:
            self._backend.malformed.append((e, bytes(self.received)))


class Case:
    """One case of a test: a path of its own, the script behind it, and what came there."""

    def __init__(self, token, script):
        self.path = f"/{token}"
        self.script = script
        self.visits = []    # for each request
        self.requests = []

    def one(self):
        """The only request, waited for until it is whole."""
        wait_until(lambda: self.requests and self.requests[-1].whole, "a request at the backend")
        assert len(self.requests) == 1, self.requests
        return self.requests[0]

    def all(self, n):
        """That many requests, whole."""
        wait_until(lambda: len([r for r in self.requests if r.whole]) >= n, f"{n} requests")
        assert len(self.requests) == n, self.requests
        return self.requests


class RawBackend(backends.Backend):
    """Answers each request by the script of the case that the first segment of its path names, or
    with `answer` (a plain 200) after the body."""

    _numbers = itertools.count(1)  # one log may have the cases of several

    def __init__(self, answer=None, **words):
        self._usual = (read_body, answer) if answer else (plainly,)
        self._cases = {}
        self.visits = []
        self.requests = []   # all, in the order in which their heads came
        self.malformed = []  # what the strict reader did not want, with the connection's bytes
        self.cuts = []       # messages that were not whole
        super().__init__(self._serve, **words)

    def _serve(self, connection):
        visit = Visit(self, connection)
        self.visits.append(visit)
        visit.run()
        return visit.result

    def case(self, *script):
        """A new case. Without a script: 200 after the body."""
        token = f"case{next(self._numbers)}"
        self._cases[token] = made = Case(token, script)
        return made

    def script_for(self, visit, request):
        """Keeps the request, and gives what is to be done."""
        self.requests.append(request)
        match = re.search(r"\bcase\d+\b", request.target)
        case = self._cases.get(match[0]) if match else None
        if case is None:
            return self._usual
        case.requests.append(request)
        case.visits.append(visit)
        return case.script or (plainly,)


class Door:
    """An instance whose listeners are known by name, and the raw backend behind it."""

    def __init__(self, instance, backend):
        self.instance = instance
        self.backend = backend
        self._listeners = {entry["name"]: entry for entry in instance.config["listeners"]}

    def port(self, listener="door"):
        """Port of the listener with that name."""
        return int(self._listeners[listener]["address"].rpartition(":")[2])

    def words(self, listener="door"):
        """The configuration of that listener."""
        return self._listeners[listener]

    def client(self, listener="door", **words):
        """A connection to it; by TLS where it speaks TLS."""
        if "tls" in self._listeners[listener]:
            words.setdefault("ctx", context())
        return Client(self.port(listener), **words)

    def case(self, *script):
        """A new case at the backend."""
        return self.backend.case(*script)

    def exchange(self, make, *script, listener="door", method="GET"):
        """One request on a connection of its own: `make(path)` gives its bytes. Returns the
        response and the request that the backend got."""
        case = self.case(*script)
        with self.client(listener) as client:
            response = client.ask(make(case.path), method)
        return response, case.one()

    def settle(self):
        """Comes back when all that was on its way to the backend has come there: the worker is
        one thread, and does a later request later."""
        with self.client() as client:
            assert client.ask(get("/settled", "Connection: close")).status == 200

    def seen_since(self, mark):
        """The requests that came since there were `mark` of them; what settle asks left out."""
        self.settle()
        return [r for r in self.backend.requests[mark:] if r.target != "/settled"]

    def refused(self, data, *statuses, listener="door"):
        """`data` is answered with one of these and the connection closed; the backend sees none
        of it. Returns the response."""
        mark = len(self.backend.requests)
        with self.client(listener) as client:
            response = client.ask(data)
            assert response.status in statuses, response
            assert "close" in response.list("connection")
            assert client.ended()
        assert self.seen_since(mark) == []
        return response

    def check(self):
        """Nothing that came to the backend since the last check was malformed."""
        malformed, self.backend.malformed = self.backend.malformed, []
        assert not malformed, malformed

    def record(self, path, **members):
        """The access-log record of the request with that path."""
        return self.instance.wait_record(event="request", path=path, **members)


def part(data, name=None):
    """A test's parameter with an id that shows it."""
    return pytest.param(data, id=name or repr(data)[2:62].replace("\\", "/"))


def patience_ms(n):
    """A time limit of `n` milliseconds, longer where everything is slow."""
    return f"{int(n * PATIENCE / 10)}ms"
