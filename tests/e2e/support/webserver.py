"""HTTP/1.1 for the handlers of support.backends: bodies of any size, passed on as they come. What a
proxy must not send is an error that ends the connection."""

import hashlib
import re

from support.backends import blocks

_BLOCK = 1 << 20
_REQUEST_LINE = re.compile(rb"([A-Z]+) ([!-~]+) HTTP/1\.1\r\n")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")


class Bad(OSError):
    """What came is not what a proxy may send."""


class Request:
    """One request, its head read: `method`, `target`, `fields` by names in lower case; `trailers`
    once the body has been taken."""

    def __init__(self, connection, reader, line):
        match = _REQUEST_LINE.fullmatch(line)
        if not match:
            raise Bad(f"not a request line: {line[:100]!r}")
        self.method, self.target = match[1].decode(), match[2].decode()
        self.connection = connection
        self._reader = reader
        self.fields = {}
        self.trailers = {}
        while (line := reader.readline()) != b"\r\n":
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise Bad(f"not a field: {line[:100]!r}")
            self.fields[name.lower()] = value.strip()

    def _exactly(self, n):
        while n > 0:
            data = self._reader.read(min(n, _BLOCK))
            if not data:
                raise Bad("the body is cut")
            n -= len(data)
            yield data

    def body(self):
        """The body's bytes, in pieces."""
        if "chunked" not in self.fields.get("transfer-encoding", ""):
            yield from self._exactly(int(self.fields.get("content-length", 0)))
            return
        size = None
        while size != 0:
            match = _CHUNK.fullmatch(line := self._reader.readline())
            if not match:
                raise Bad(f"not the size of a chunk: {line[:100]!r}")
            size = int(match[1], 16)
            yield from self._exactly(size)
            if size > 0 and self._reader.read(2) != b"\r\n":
                raise Bad("no line end behind a chunk")
        while (line := self._reader.readline()) != b"\r\n":
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise Bad(f"not a trailer: {line[:100]!r}")
            self.trailers[name.lower()] = value.strip()

    def measured(self):
        """Takes the whole body; its length and sha256."""
        digest, total = hashlib.sha256(), 0
        for data in self.body():
            digest.update(data)
            total += len(data)
        return total, digest.hexdigest()

    def head(self, *fields):
        """Sends the head of a response."""
        lines = ["HTTP/1.1 200 OK", *fields, "", ""]
        self.connection.sendall("\r\n".join(lines).encode())

    def respond(self, text):
        """Answers with this text, or these bytes."""
        data = text if isinstance(text, bytes) else text.encode()
        self.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
                                % (len(data), data))

    def respond_bulk(self, total, chunked):
        """Answers with so many bytes; returns their sha256."""
        digest = hashlib.sha256()
        self.head("Transfer-Encoding: chunked" if chunked else f"Content-Length: {total}")
        for block in blocks(total):
            digest.update(block)
            if chunked:
                self.connection.sendall(b"%x\r\n" % len(block))
            self.connection.sendall(block)
            if chunked:
                self.connection.sendall(b"\r\n")
        if chunked:
            self.connection.sendall(b"0\r\n\r\n")
        return digest.hexdigest()


def served(answer):
    """A handler for Backend that calls `answer(request)` for each request on a connection."""
    def handler(connection):
        with connection.makefile("rb", 1 << 16) as reader:
            while line := reader.readline():
                request = Request(connection, reader, line)
                answer(request)
                if request.fields.get("connection") == "close":
                    return
    return handler
