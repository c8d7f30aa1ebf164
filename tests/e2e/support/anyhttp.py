"""One face for HTTP/1.1 and HTTP/2: requests as a backend answers them, and requests as a client
makes them, whatever carries them."""

import hashlib
import socket
import struct
from dataclasses import dataclass, field

from support import backends
from support.backends import Backend
from support.h2backend import H2Backend
from support.h2frames import Code
from support.rawh2 import Client as H2Client
from support.rawhttp import Client, get
from support.tlsclient import context, server_context
from support.webserver import served

VERSIONS = ("h1", "h2")


def _fields(fields):
    return {n.decode("latin-1").lower(): v.decode("latin-1") for n, v in fields}


# ---- backends

class _TakenH1:
    """A request that came by HTTP/1.1."""

    def __init__(self, request):
        self._request, self._chunked = request, False
        self.method, self.path, self.fields = request.method, request.target, request.fields
        self._send = request.connection.sendall

    def measure(self):
        """Takes the whole body: its length and sha256."""
        return self._request.measured()

    @property
    def trailers(self):
        """What came behind the body."""
        return self._request.trailers

    def interim(self, status, fields):
        """Sends a head with 1xx."""
        self._head(status, fields)

    def _head(self, status, fields):
        lines = [f"HTTP/1.1 {status} Whatever", *[f"{n}: {v}" for n, v in fields], "", ""]
        self._send("\r\n".join(lines).encode())

    def head(self, status=200, fields=(), length=None, bodiless=False):
        """Sends a head; without `length` the body's is not told."""
        self._chunked = length is None and not bodiless
        framing = [] if bodiless and length is None else [
            ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", length)]
        self._head(status, [*fields, *framing])

    def write(self, data):
        """Sends a piece of the body."""
        self._send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self, trailers=()):
        """Ends the body, where its length was not told with trailers."""
        if self._chunked:
            self._send(b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in trailers) + b"\r\n")

    def break_off(self):
        """Ends it in the middle."""
        # Once the handler has let go of it: whoever reads it holds it open.
        self._request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                            struct.pack("ii", 1, 0))
        raise ConnectionAbortedError("on purpose")


class _TakenH2:
    """A request that came by HTTP/2."""

    def __init__(self, stream):
        self._stream = stream
        self.fields = _fields(stream.fields)
        self.method, self.path = self.fields[":method"], self.fields[":path"]

    def measure(self):
        """As above."""
        self._stream.done()
        return self._stream.total, self._stream.digest.hexdigest()

    @property
    def trailers(self):
        """As above."""
        return _fields(self._stream.trailers)

    def interim(self, status, fields):
        """As above."""
        self._stream.head([(":status", str(status)), *[(n.lower(), v) for n, v in fields]])

    def head(self, status=200, fields=(), length=None, bodiless=False):
        """As above."""
        said = [("content-length", str(length))] if length is not None else []
        self._stream.head([(":status", str(status)), *[(n.lower(), v) for n, v in fields], *said],
                          end=bodiless)

    def write(self, data):
        """As above."""
        self._stream.data(data)

    def end(self, trailers=()):
        """As above."""
        if trailers:
            self._stream.head([(n.lower(), v) for n, v in trailers], end=True)
        else:
            self._stream.data(b"", end=True)

    def break_off(self):
        """As above."""
        self._stream.abort(Code.INTERNAL_ERROR)


def any_backend(version, answer, leaf=None, protocols=None):
    """A backend that speaks this version and calls `answer(taken)`; by TLS where there is a leaf,
    with these protocols for ALPN or (HTTP/1.1) without."""
    if version == "h2":
        return H2Backend(lambda stream: answer(_TakenH2(stream)), leaf,
                         protocols=protocols or ["h2"])
    ctx = server_context(leaf) if leaf else None
    if protocols:
        ctx.set_alpn_protocols(protocols)
    return Backend(served(lambda request: answer(_TakenH1(request))), tls=ctx)


# ---- clients

@dataclass
class Reply:
    """A whole response."""
    status: int
    fields: dict
    body: bytes
    trailers: dict = field(default_factory=dict)
    interim: list = field(default_factory=list)  # of (status, fields)

    @property
    def sha256(self):
        """Of the body."""
        return hashlib.sha256(self.body).hexdigest()


class CallerH1:
    """A connection by HTTP/1.1 that asks."""

    with_te = [("connection", "te")]  # what the field TE must not be without

    def __init__(self, port):
        self.client = Client(port, ctx=context())

    def begin(self, path, fields=(), method="POST"):
        """Sends a head; the body is to follow, its length unknown."""
        self.client.send(get(path, *[f"{n}: {v}" for n, v in fields], "Transfer-Encoding: chunked",
                             method=method))

    def write(self, data):
        """Sends a piece; False where the proxy has closed."""
        return self.client.try_send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self, trailers=()):
        """Ends the body."""
        self.client.send(b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in trailers)
                         + b"\r\n")

    def plain(self, path, fields=(), method="GET"):
        """Sends a request without a body."""
        self.client.send(get(path, *[f"{n}: {v}" for n, v in fields], method=method))

    def reply(self, method="GET"):
        """The whole response."""
        got = self.client.final(method)
        return Reply(got.status, _fields(got.fields), got.body, _fields(got.trailers),
                     [(i.status, _fields(i.fields)) for i in got.interim])

    def break_off(self):
        """Ends a request in the middle."""
        backends.reset(self.client.socket)

    def close(self):
        """Closes it."""
        self.client.socket.close()


class CallerH2:
    """A connection by HTTP/2 that asks, one request at a time."""

    with_te = ()

    def __init__(self, port):
        self.client = H2Client(port)
        self._stream = None

    def begin(self, path, fields=(), method="POST"):
        """As above."""
        self._stream = self.client.request(path, *fields, method=method, end=False)

    def write(self, data):
        """As above."""
        try:
            self._stream.data(data)
        except (OSError, AssertionError):
            return False
        return not self._stream.over

    def end(self, trailers=()):
        """As above."""
        if trailers:
            self._stream.head(trailers, end=True)
        else:
            self._stream.data(b"", end=True)

    def plain(self, path, fields=(), method="GET"):
        """As above."""
        self._stream = self.client.request(path, *fields, method=method)

    def reply(self, method="GET"):
        """As above."""
        got = self._stream.done()
        return Reply(got.status, _fields(got.fields), bytes(got.body), _fields(got.trailers),
                     [(int(_fields(i)[":status"]), _fields(i)) for i in got.interim])

    def break_off(self):
        """As above."""
        self._stream.abort()

    def close(self):
        """Closes it; nothing may have come that must not."""
        self.client.close()
        assert not self.client.violations, self.client.violations


def caller(version, port):
    """A client's connection by TLS."""
    return {"h1": CallerH1, "h2": CallerH2}[version](port)
