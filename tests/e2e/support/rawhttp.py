"""HTTP/1 by hand: a client that sends any bytes and reads what comes strictly, as a reader must
that believes nothing: what two readers could read differently fails the test."""

import re
import ssl
import socket
from dataclasses import dataclass, field

from support.tlsclient import Wire, tcp
from support.wait import PATIENCE

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/1\.([01])\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9]) ([\t -~\x80-\xff]*)\r\n")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t -~\x80-\xff]*?)[ \t]*\r\n")
_LENGTH = re.compile(rb"[0-9]{1,19}")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,15})\r\n")

_LINE_MAX = 4 << 20


class Malformed(AssertionError):
    """What came is no HTTP message, or more than one."""


class Cut(Exception):
    """The stream ended, in good order as it seems, within a message."""


# How a reader learns that a message is not whole.
BROKEN = (Cut, ConnectionResetError, BrokenPipeError, ssl.SSLError)


class Stream:
    """Bytes as they come from `receive()`, which gives b"" at the end."""

    def __init__(self, receive):
        self._receive = receive
        self._ended = False
        self.buffer = bytearray()  # what has come and was not taken
        self.raw = bytearray()     # what was taken since it was last cleared

    def more(self):
        """Receives once; False at the end."""
        if self._ended:
            return False
        data = self._receive()
        self._ended = not data
        self.buffer += data
        return not self._ended

    def _take(self, n):
        taken = bytes(self.buffer[:n])
        del self.buffer[:n]
        self.raw += taken
        return taken

    def at_end(self):
        """Waits for a byte or the end, and tells whether it is the end."""
        return not self.buffer and not self.more()

    def line(self):
        """The next line with its end."""
        searched = 0
        while (end := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            if searched > _LINE_MAX:
                raise Malformed("a line without end")
            if not self.more():
                raise Cut(f"within a line: {bytes(self.buffer[-200:])!r}")
        return self._take(end + 1)

    def exactly(self, n):
        """The next `n` bytes."""
        while len(self.buffer) < n:
            if not self.more():
                raise Cut(f"{len(self.buffer)} of {n} bytes")
        return self._take(n)

    def rest(self):
        """All until the end."""
        while self.more():
            pass
        return self._take(len(self.buffer))


@dataclass
class Message:
    """A request or response, and the bytes it was read from."""
    line: bytes = b""
    fields: list = field(default_factory=list)    # of (name, value), as they came
    body: bytes = b""
    trailers: list = field(default_factory=list)
    framing: str = "none"                         # or "length", "chunked", "close"
    raw: bytes = b""
    version: str = ""

    def all(self, name):
        """Values of the fields of that name."""
        return [v.decode("latin-1") for n, v in self.fields if n.lower() == name.lower().encode()]

    def get(self, name):
        """Value of the only field of that name; None where there is none."""
        found = self.all(name)
        assert len(found) <= 1, f"{name} is there {len(found)} times: {self.fields}"
        return found[0] if found else None

    def list(self, name):
        """The elements of a list-valued field, in lower case."""
        return [e.strip().lower() for v in self.all(name) for e in v.split(",") if e.strip()]

    @property
    def names(self):
        """Names of the fields, in lower case."""
        return [n.decode().lower() for n, _ in self.fields]


@dataclass
class Request(Message):
    """What a backend gets."""
    method: str = ""
    target: str = ""
    whole: bool = False    # the body has come, too
    tunnel: bytes = b""    # what came after an upgrade

    # What a proxy says for itself, not for the client.
    ADDED = ("host", "via", "forwarded", "x-forwarded-for", "x-forwarded-proto",
             "x-forwarded-host", "x-forwarded-port", "x-request-id", "connection",
             "content-length", "transfer-encoding")

    @property
    def passed(self):
        """The fields that are the client's own."""
        return [(n, v) for n, v in self.fields if n.decode().lower() not in self.ADDED]


@dataclass
class Response(Message):
    """What a client gets."""
    status: int = 0
    reason: str = ""
    interim: list = field(default_factory=list)  # of responses, those with 1xx


def _read_fields(stream):
    fields = []
    while (line := stream.line()) != b"\r\n":
        match = _FIELD.fullmatch(line)
        if not match:
            raise Malformed(f"not a field: {line[:200]!r}")
        fields.append((match[1], match[2]))
    return fields


def _length(message):
    """What the fields say of the body: "chunked", a number, or None."""
    codings, lengths = message.all("transfer-encoding"), message.all("content-length")
    if codings and lengths:
        raise Malformed("both Transfer-Encoding and Content-Length")
    if codings:
        if len(codings) != 1 or codings[0].lower() != "chunked" or message.version == "1.0":
            raise Malformed(f"Transfer-Encoding {codings} in HTTP/{message.version}")
        return "chunked"
    if lengths:
        if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0].encode("latin-1")):
            raise Malformed(f"Content-Length {lengths}")
        return int(lengths[0])
    return None


def _read_chunked(stream, message):
    message.framing = "chunked"
    parts = bytearray()
    while True:
        match = _CHUNK.fullmatch(line := stream.line())
        if not match:
            raise Malformed(f"not a chunk's size: {line[:200]!r}")
        size = int(match[1], 16)
        if size == 0:
            break
        parts += stream.exactly(size)
        message.body = bytes(parts)
        if stream.exactly(2) != b"\r\n":
            raise Malformed("no line end behind a chunk")
    message.trailers = _read_fields(stream)
    for name, _ in message.trailers:
        if name.lower() in (b"content-length", b"transfer-encoding", b"host", b"trailer"):
            raise Malformed(f"{name} in trailers")


def read_request_head(stream):
    """The next request's head; None where the stream ends before it."""
    stream.raw.clear()
    if stream.at_end():
        return None
    line = stream.line()
    match = _REQUEST_LINE.fullmatch(line)
    if not match:
        raise Malformed(f"not a request line: {line[:200]!r}")
    request = Request(line=line.removesuffix(b"\r\n"), method=match[1].decode(),
                      target=match[2].decode(), version="1." + match[3].decode())
    request.fields = _read_fields(stream)
    if len(request.all("host")) != 1 and request.version == "1.1":
        raise Malformed(f"Host {request.all('host')}")
    _length(request)
    request.raw = bytes(stream.raw)
    return request


def read_request_body(stream, request):
    """The rest of that request."""
    length = _length(request)
    try:
        if length == "chunked":
            _read_chunked(stream, request)
        elif length is not None:
            request.framing = "length"
            request.body = stream.exactly(length)
        request.whole = True
    finally:
        request.raw = bytes(stream.raw)
    return request


def read_response(stream, method="GET"):
    """The next response to a request with that method, be it an interim one."""
    stream.raw.clear()
    line = stream.line()
    match = _STATUS_LINE.fullmatch(line)
    if not match:
        raise Malformed(f"not a status line: {line[:200]!r}")
    response = Response(line=line.removesuffix(b"\r\n"), version="1." + match[1].decode(),
                        status=int(match[2]), reason=match[3].decode("latin-1"))
    response.fields = _read_fields(stream)
    length = _length(response)
    if response.status < 200 or response.status == 204:
        if length is not None:
            raise Malformed(f"a length in {response.line}: {response.fields}")
    elif method == "HEAD" or response.status == 304:
        pass
    elif length == "chunked":
        _read_chunked(stream, response)
    elif length is not None:
        response.framing = "length"
        response.body = stream.exactly(length)
    else:
        response.framing = "close"
        response.body = stream.rest()
    response.raw = bytes(stream.raw)
    return response


class Client:
    """A connection to `port`; with `ctx`, an ssl.SSLContext, by TLS."""

    def __init__(self, port, ctx=None, name="a.example", timeout=PATIENCE, receive_buffer=None):
        self.socket = tcp(port, timeout, receive_buffer)
        self.local_port = self.socket.getsockname()[1]
        self._wire = None
        if ctx:
            self._wire = Wire(port, name, ctx, raw=self.socket).handshake()
        self.stream = Stream(self._receive)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _receive(self):
        return self._wire.read() if self._wire else self.socket.recv(65536)

    def send(self, data):
        """Sends it, as it is."""
        if self._wire:
            self._wire.send(data)
        else:
            self.socket.sendall(data)
        return self

    def try_send(self, data):
        """Sends it, or as much as the peer will have; False where it has closed."""
        try:
            self.send(data)
        except (OSError, ssl.SSLError):
            return False
        return True

    def end(self):
        """Ends our direction; reading goes on."""
        if self._wire:
            self._wire.close_notify()
        else:
            self.socket.shutdown(socket.SHUT_WR)
        return self

    def next(self, method="GET"):
        """The next response, be it an interim one."""
        return read_response(self.stream, method)

    def final(self, method="GET"):
        """The next final response; the interim ones are in its `interim`."""
        interim = []
        while True:
            response = self.next(method)
            if response.status >= 200 or response.status == 101:
                response.interim = interim
                return response
            interim.append(response)

    def ask(self, data, method="GET"):
        """Sends a request and reads the final response to it."""
        return self.send(data).final(method)

    def ended(self):
        """The peer has ended in good order, without another byte."""
        rest = self.stream.rest()
        assert rest == b"", f"more came: {rest[:500]!r}"
        return True

    def is_quiet(self, seconds):
        """Nothing comes for so long."""
        if self.stream.buffer:
            return False
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.stream.more()
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)


def get(path, *fields, version="1.1", host="a.example", method="GET", body=b""):
    """Bytes of a request in good form. `fields`: "Name: value". `body` is sent as it is, without
    a word of its length."""
    lines = [f"{method} {path} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += fields
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def post(path, body, *fields, **words):
    """The same with a body whose length is told."""
    words.setdefault("method", "POST")
    return get(path, f"Content-Length: {len(body)}", *fields, body=body, **words)


def chunked(*parts, trailers=(), last=b"0"):
    """`parts` as chunks, the last one, and trailers."""
    out = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts)
    return out + last + b"\r\n" + b"".join(t.encode() + b"\r\n" for t in trailers) + b"\r\n"


def ok(body=b"ok", *fields, status="200 OK", version="1.1"):
    """Bytes of a response in good form."""
    lines = [f"HTTP/{version} {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
