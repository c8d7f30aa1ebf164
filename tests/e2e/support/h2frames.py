"""Frames and field blocks of HTTP/2 as bytes, good ones and bad ones."""

import enum

(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE,
 CONTINUATION) = range(10)
PRIORITY_UPDATE = 16
ACK = END_STREAM = 1
END_HEADERS, PADDED, WITH_PRIORITY = 4, 8, 32

(HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE,
 MAX_HEADER_LIST_SIZE) = range(1, 7)
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9

MOST = 2**31 - 1  # a window, a stream's number

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
class Code(enum.IntEnum):
    """Error codes of RFC 9113, 7."""
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


# ---- frames

def frame(kind, flags=0, sid=0, payload=b"", length=None):
    """Bytes of a frame; `length` where it shall lie."""
    length = len(payload) if length is None else length
    return length.to_bytes(3, "big") + bytes((kind, flags)) + sid.to_bytes(4, "big") + payload


def u32(n):
    """Four bytes."""
    return n.to_bytes(4, "big")


def settings(values=(), flags=0, sid=0):
    """A SETTINGS frame; `values`: pairs, or a dictionary."""
    pairs = values.items() if isinstance(values, dict) else values
    return frame(SETTINGS, flags, sid, b"".join(k.to_bytes(2, "big") + u32(v) for k, v in pairs))


def rst(sid, code=Code.CANCEL):
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, sid, u32(code))


def window(sid, n):
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, sid, u32(n))


def goaway(last=0, code=Code.NO_ERROR, words=b""):
    """A GOAWAY frame."""
    return frame(GOAWAY, 0, 0, u32(last) + u32(code) + words)


# ---- HPACK by hand: what touches no table

def number(n, bits, first=0):
    """An integer of RFC 7541, 5.1."""
    most = (1 << bits) - 1
    if n < most:
        return bytes((first | n,))
    out, n = bytearray((first | most,)), n - most
    while n >= 128:
        out.append(n % 128 | 128)
        n //= 128
    return bytes(out) + bytes((n,))


def text(data):
    """A string, not compressed."""
    data = as_bytes(data)
    return number(len(data), 7) + data


def literal(name, value, first=0):
    """A field that is not indexed; `first` 0x40: with indexing, 0x10: never."""
    return bytes((first,)) + text(name) + text(value)


def block(fields):
    """A field block of literals."""
    return b"".join(literal(n, v) for n, v in fields)


def head(path="/", *fields, method="GET", authority="a.example", scheme="https"):
    """The fields of a request in good form."""
    pseudo = ((":method", method), (":scheme", scheme), (":authority", authority), (":path", path))
    return [(n, v) for n, v in pseudo if v is not None] + list(fields)


def as_bytes(s):
    """Text as bytes, bytes as they are."""
    return s if isinstance(s, bytes) else s.encode("latin-1")


def split(kind, flags, sid, payload, size=16384):
    """Frames for a field block: the first of `kind`, and continuations."""
    parts = [payload[i:i + size] for i in range(0, len(payload), size)] or [b""]
    out = bytearray()
    for i, part in enumerate(parts):
        last = END_HEADERS if i == len(parts) - 1 else 0
        out += frame(kind if i == 0 else CONTINUATION, (flags if i == 0 else 0) | last, sid, part)
    return bytes(out)
