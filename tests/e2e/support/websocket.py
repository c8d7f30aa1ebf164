"""WebSocket's frames (RFC 6455), enough to see that none is lost, and a server that echoes them."""

import base64
import hashlib
import struct

from support.webserver import Request

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Bad(OSError):
    """What came is no frame that may come."""


def accept_key(key):
    """What a server answers to that key."""
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()


def frame(kind, data, mask=None):
    """A whole message as one frame, with `mask` (4 bytes) as a client sends it."""
    first, masked = 0x80 | kind, 0x80 if mask else 0
    if len(data) < 126:
        head = bytes((first, masked | len(data)))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, masked | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, masked | 127, len(data))
    return head + (mask + unmask(data, mask) if mask else data)


def unmask(data, mask):
    """Masks or unmasks."""
    n = len(data)
    key = int.from_bytes((mask * (n // 4 + 1))[:n], "big")
    return (int.from_bytes(data, "big") ^ key).to_bytes(n, "big")


class Frames:
    """Frames out of bytes as they come."""

    def __init__(self, masked):
        self._masked = masked
        self._buffer = bytearray()

    def feed(self, data):
        """Takes bytes, gives the frames that are whole: (kind, data)."""
        self._buffer += data
        at, out, buffer = 0, [], self._buffer
        while len(buffer) - at >= 2:
            n, start = buffer[at + 1] & 0x7f, at + 2
            if n >= 126:
                size = 2 if n == 126 else 8
                if len(buffer) < start + size:
                    break
                n, start = int.from_bytes(buffer[start:start + size], "big"), start + size
            if bool(buffer[at + 1] & 0x80) != self._masked or not buffer[at] & 0x80:
                raise Bad(f"frame {bytes(buffer[at:at + 10])!r}")
            mask = b""
            if self._masked:
                mask, start = bytes(buffer[start:start + 4]), start + 4
            if len(buffer) < start + n:
                break
            data = bytes(buffer[start:start + n])
            out.append((buffer[at] & 0x0f, unmask(data, mask) if mask else data))
            at = start + n
        del buffer[:at]
        return out


def echoing(seen):
    """A handler for support.backends.Backend: the handshake, then every message is sent back. Each
    request is kept in `seen`. The path /plain is answered with 200 instead, /refused with 403."""
    def handler(connection):
        with connection.makefile("rb", 1 << 16) as reader:
            while line := reader.readline():
                request = Request(connection, reader, line)
                seen.append(request)
                if request.target == "/plain":
                    request.respond("plain")
                elif request.target == "/refused":
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
                else:
                    return _talk(connection, reader, request)
        return None
    return handler


def _talk(connection, reader, request):
    fields = request.fields
    if fields.get("upgrade", "").lower() != "websocket" or \
            "upgrade" not in fields.get("connection", "").lower():
        raise Bad(f"no handshake: {fields}")
    connection.sendall((
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(fields['sec-websocket-key'])}\r\n"
        "Sec-WebSocket-Protocol: chat\r\n\r\n").encode())
    frames, count = Frames(masked=True), 0
    while data := reader.read1(1 << 16):
        out = bytearray()
        for kind, message in frames.feed(data):
            count += 1
            if kind == CLOSE:
                connection.sendall(bytes(out) + frame(CLOSE, message))
                return count
            out += frame(PONG if kind == PING else kind, message)
        connection.sendall(out)
    return count
