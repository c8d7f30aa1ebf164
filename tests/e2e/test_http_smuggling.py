"""Every way known to make two servers see different requests in the same bytes. Each is refused,
with the connection closed and nothing whole at the backend; or, where its meaning is beyond
doubt, it is one request there. What is smuggled behind it is never a request of its own."""

import pytest

from support.rawbackend import hang, patience_ms, read_body
from support.rawhttp import get, ok

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
LINE = b"POST / HTTP/1.1\r\n"
HOST = b"Host: a.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST = b"0\r\n\r\n"


@pytest.fixture(scope="module")
def door(http_door):
    # What waits for more than came shall not do so for long.
    soon = {"timeouts": {"request_header": patience_ms(500), "request_body": patience_ms(500)}}
    return http_door({"hasty": soon, "strict": {"http": {"escaped_slashes": "reject"}}})


@pytest.fixture(autouse=True)
def well_formed(door):
    """Whatever a test does, the backend gets nothing but good requests."""
    yield
    door.check()


def named(data):
    """A parameter with what is peculiar about it as its id."""
    text = repr(data.replace(HOST, b"").replace(LINE, b"").replace(HIDDEN, b"..."))[2:-1]
    return pytest.param(data, id=text.replace("\\", "/").replace(" ", "_")[:80])


def attack(door, data):
    """Sends it. Returns the first status, what came behind that answer, and what the backend
    saw."""
    mark = len(door.backend.requests)
    with door.client("hasty") as client:
        client.try_send(data)
        response = client.final("HEAD" if data.startswith(b"HEAD") else "GET")
        if response.status < 400:
            client.end()
        rest = client.stream.rest()
    return response, rest, door.seen_since(mark)


def assert_refused(door, data):
    """It is refused, and nothing behind it is answered or reaches the backend."""
    response, rest, seen = attack(door, data + HIDDEN)
    assert 400 <= response.status < 600, response
    assert "close" in response.list("connection") and rest == b""
    assert not [r for r in seen if r.whole], seen
    assert not [r for r in seen if "smuggled" in r.target], seen


def assert_one(door, data):
    """It is refused, or it is exactly one request: returns that, or None."""
    response, rest, seen = attack(door, data)
    assert not [r for r in seen if "smuggled" in r.target], seen
    whole = [r for r in seen if r.whole]
    if response.status >= 400:
        assert rest == b"" and not whole
        return None
    assert rest == b"", "a second answer"
    assert len(whole) == 1 and len(seen) == 1, seen
    return whole[0]


# ---- Content-Length against Transfer-Encoding

def both(coding, length=b"Content-Length: 4\r\n"):
    """A request with a length and a coding, in both orders."""
    body = b"1\r\nx\r\n" + LAST
    return [LINE + HOST + length + coding + b"\r\n\r\n" + body,
            LINE + HOST + coding + b"\r\n" + length + b"\r\n" + body]


@pytest.mark.parametrize("data", [named(d) for coding in (
    b"Transfer-Encoding: chunked", b"transfer-encoding: chunked", b"TRANSFER-ENCODING: CHUNKED",
    b"Transfer-Encoding:chunked", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding:  chunked  ",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: ,chunked", b"Transfer-Encoding: chunked,", b"Transfer-Encoding: x",
    b"Transfer-Encoding:", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding:\x0cchunked", b"Transfer-Encoding: \x00chunked",
    b"Transfer-Encoding: chunked\x00", b"Transfer-Encoding: \"chunked\"",
    b"Transfer-Encoding: 'chunked'", b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunkedx", b"Transfer-Encoding: chunk", b"Transfer-Encoding: cow",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow",
    b"Transfer-Encoding: \xc3\xa7hunked", b"Transfer-Encoding: chun\rked",
    b"Transfer-Encoding: chunked\r", b"Transfer-Encoding\x00: chunked",
    b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked",
    b"\tTransfer-Encoding: chunked", b"X: a\r\n Transfer-Encoding: chunked",
    b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding:\n chunked",
    b"Transfer-Encoding\r\n: chunked", b"X: a\nTransfer-Encoding: chunked",
    b"X: a\rTransfer-Encoding: chunked", b"\x00Transfer-Encoding: chunked",
    b"Transfer-\xadEncoding: chunked", b"\xefTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\n\tx", b"Content-Encoding: x\r\n\x0bTransfer-Encoding: chunked",
) for d in both(coding)])
def test_a_length_and_any_coding_are_refused(door, data):
    assert_refused(door, data)


@pytest.mark.parametrize("data", [named(LINE + HOST + coding + b"\r\n\r\n1\r\nx\r\n" + LAST)
                                  for coding in (
    b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunkedx", b"Transfer-Encoding: x",
    b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding: chunked\x0b", b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: chunked\x00", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\x0b: chunked", b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding: chunked\r\n , gzip", b"Transfer-Encoding:",
    b"Transfer-Encoding: \xa0chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: ,", b"Transfer-Encoding: chu nked")])
def test_codings_in_doubt_are_refused(door, data):
    assert_refused(door, data)


@pytest.mark.parametrize("data", [named(d) for d in (
    LINE + HOST + b"Transfer_Encoding: chunked\r\nContent-Length: 48\r\n\r\n" + LAST + HIDDEN,
    LINE + HOST + b"TransferEncoding: chunked\r\nContent-Length: 48\r\n\r\n" + LAST + HIDDEN,
    LINE + HOST + b"X: Transfer-Encoding: chunked\r\nContent-Length: 48\r\n\r\n" + LAST + HIDDEN,
    LINE + HOST + b"Transfer-Encoding: ,chunked,\r\n\r\n2b\r\n" + HIDDEN + b"\r\n" + LAST,
    LINE + HOST + b"Transfer-Encoding: cHuNkEd\r\n\r\n2b\r\n" + HIDDEN + b"\r\n" + LAST,
    LINE + HOST + b"Transfer-Encoding:\t chunked \t\r\n\r\n2b\r\n" + HIDDEN + b"\r\n" + LAST,
    LINE + HOST + b"Content_Length: 0\r\nContent-Length: 43\r\n\r\n" + HIDDEN,
    LINE + HOST + b"Content-Length: 43\r\nContent-Length: 43\r\n\r\n" + HIDDEN,
    LINE + HOST + b"Content-Length: 43, 43\r\n\r\n" + HIDDEN,
    LINE + HOST + b"Content-Length: 043\r\n\r\n" + HIDDEN,
    LINE + HOST + b"Content-Length:43\r\n\r\n" + HIDDEN,
    LINE + HOST + b"Content-Length: \t 43 \r\n\r\n" + HIDDEN,
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 43\r\n\r\n" + HIDDEN,
    b"HEAD / HTTP/1.1\r\n" + HOST + b"Content-Length: 43\r\n\r\n" + HIDDEN,
    b"DELETE / HTTP/1.1\r\n" + HOST + b"Content-Length: 43\r\n\r\n" + HIDDEN,
    b"OPTIONS / HTTP/1.1\r\n" + HOST + b"Content-Length: 43\r\n\r\n" + HIDDEN,
    b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Content-Length: 43\r\n\r\n" + HIDDEN,
    b"OPTIONS / HTTP/1.1\r\n" + HOST + b"Max-Forwards: 0\r\nContent-Length: 43\r\n\r\n" + HIDDEN,
    b"GET / HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n2b\r\n" + HIDDEN + b"\r\n" + LAST,
    b"POST / HTTP/1.0\r\n" + HOST + b"Content-Length: 43\r\n\r\n" + HIDDEN,
    LINE + HOST + b"Connection: Content-Length\r\nContent-Length: 43\r\n\r\n" + HIDDEN,
    LINE + HOST + b"Connection: Transfer-Encoding\r\n" + CHUNKED + b"\r\n2b\r\n" + HIDDEN
    + b"\r\n" + LAST,
    LINE + HOST + b"Content-Length: 43\r\nExpect: 100-continue\r\n\r\n" + HIDDEN,
    LINE + HOST + b"X: \"\r\nContent-Length: 43\r\nY: \"\r\n\r\n" + HIDDEN,
    b"PATCH / HTTP/1.1\r\n" + HOST + b"Content-Length: 43\r\nX-HTTP-Method-Override: GET\r\n\r\n"
    + HIDDEN,
)])
def test_what_lies_in_a_body_stays_in_it(door, data):
    if b"OPTIONS" in data[:7]:  # which may be answered here
        response, rest, seen = attack(door, data)
        assert not [r for r in seen if "smuggled" in r.target] and rest == b""
        assert response.status < 600
        return
    got = assert_one(door, data)
    if got:
        assert HIDDEN in got.body, "the body went missing"
        assert len(got.all("content-length")) + len(got.all("transfer-encoding")) == 1


# ---- Content-Length

@pytest.mark.parametrize("value", [
    b"+4", b"-4", b"-0", b"4 4", b"4,5", b"4, 4, 5", b"4;", b"4;q=1", b"0x4", b"4x", b"x4", b"4.0",
    b"4e0", b"", b"\"4\"", b"4\x00", b"\x004", b"4\x0b", b"\x0b4", b"4\r", b"4\r\n 3", b"\r\n 4",
    b"4,", b",4", b"4,,4", b"\xb4", b"\xef\xbc\x94", b"1_0", b"18446744073709551615",
    b"18446744073709551620", b"18446744073709551616", b"340282366920938463463374607431768211460",
    b"9223372036854775807", b"9223372036854775812", b"4294967300" * 3, b"0" * 300 + b"x",
    b"4\nX: y", b"4\r\nContent-Length: 5", b"5\r\nContent-Length: 4",
    b"4\r\nX: y\r\ncontent-length: 5", b"4\r\nContent-Length: -4", b"4\r\nContent-Length:",
    b"4\r\nContent-Length : 5", b"4\r\n Content-Length: 5"],
    ids=lambda v: repr(v)[2:-1].replace("\\", "/")[:40])
def test_lengths_in_doubt_are_refused(door, value):
    data = LINE + HOST + b"Content-Length: " + value + b"\r\n\r\nbody"
    if value in (b"18446744073709551615", b"9223372036854775807"):
        # Numbers still: what waits for so much gets it never.
        response, rest, seen = attack(door, data + HIDDEN)
        assert response.status >= 400 and rest == b""
        assert not [r for r in seen if r.whole or "smuggled" in r.target]
    else:
        assert_refused(door, data)


@pytest.mark.parametrize("name", [
    b"Content-Length ", b"Content-Length\t", b" Content-Length", b"\tContent-Length",
    b"Content-Length\x00", b"Content-Length\r", b"Content Length", b"Content-Length\x0b",
    b"\x0bContent-Length", b"\x7fContent-Length", b"Content-Length(", b"\"Content-Length\"",
    b"Content-Length\xa0", b"Content-\xc4\xb6ength", b"(Content-Length", b"Content-Length:"],
    ids=lambda v: repr(v)[2:-1].replace("\\", "/"))
def test_names_in_doubt_are_refused(door, name):
    assert_refused(door, LINE + HOST + name + b": 4\r\n\r\nbody")
    assert_refused(door, LINE + HOST + b"Content-Length: 4\r\n" + name + b": 5\r\n\r\nbody")


# ---- line ends and what stands between lines

@pytest.mark.parametrize("data", [named(d) for d in (
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: y\n\r\n", b"GET / HTTP/1.1\nHost: a.example\n\n",
    b"GET / HTTP/1.1\r\nHost: a.example\n\n", b"GET / HTTP/1.1\r\nHost: a.example\r\n\n",
    b"GET / HTTP/1.1\r\nHost: a.example\n\r\n", b"GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n",
    b"GET / HTTP/1.1\rHost: a.example\r\r", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\r\n\r\n", b"GET / HTTP/1.1\n\rHost: a.example\n\r\n\r",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: y\rContent-Length: 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: y\x85Content-Length: 5\n\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: y\r\n z\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: y\r\n\t\r\n\r\n",
    b"GET / HTTP/1.1\r\n \r\nHost: a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\n \r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\n a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: b.example\r\nHost: a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\n:\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\n: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: \x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\x00: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: \x1b[0m\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: a\x7fb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: a\x08b\r\n\r\n",
    b"\x00GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b" GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", b"\tGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"garbage\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"0\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"\r\n\r\n\r\n\r\nX: y\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
)])
def test_lines_in_doubt_are_refused(door, data):
    assert_refused(door, data)


@pytest.mark.parametrize("empty", [b"\r\n", b"\r\n\r\n", b"\n", b"\r"], ids=repr)
def test_empty_lines_before_a_request_hide_nothing(door, empty):
    """RFC 9112 2.2 lets them be passed over; none of it may reach the backend."""
    got = assert_one(door, empty + b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    if got:
        assert empty in (b"\r\n", b"\r\n\r\n") and got.raw.startswith(b"GET / HTTP/1.1\r\n")


# ---- request line

@pytest.mark.parametrize("line", [
    b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET / HTTP/1.1 ", b"GET / HTTP/1.1  HTTP/1.1",
    b"GET\t/\tHTTP/1.1", b"GET\x0b/ HTTP/1.1", b"GET\x0c/ HTTP/1.1", b"GET\x00/ HTTP/1.1",
    b"GET\x1f/ HTTP/1.1", b"GET\xa0/ HTTP/1.1", b"GET / HTTP/1.1\t", b"GET /\x0b HTTP/1.1",
    b"GET /\x00 HTTP/1.1", b"GET /\x01 HTTP/1.1", b"GET /a HTTP/1.1 HTTP/1.1",
    b"GET /a HTTP/1.0 HTTP/1.1", b"GET / http/1.1", b"GET / HTTP/1.1.1", b"GET / HTTP/1.01",
    b"GET / HTTP/001.1", b"GET / HTTP/1.1\x00", b"GET / HTTP/+1.1", b"GET / HTTP/1.\xb9",
    b"GET / HTTP/1. 1", b"GET / HTTP 1.1", b"GET / HTTP/11", b"GET / HTTP/1.1;x",
    b"GET / HTTPS/1.1",
    b"GET / ICY/1.0", b"GET / RTSP/1.0", b"GET / HTTP/0.9", b"GET / HTTP/2.0", b"GET / HTTP/12.1",
    b"GET /smuggled", b"GET /smuggled ", b"GET", b"GET /a\rb HTTP/1.1", b"GET http://a.example",
    b"GET /%0d%0a HTTP/1.1\rX: y", b"GET /x#/../.. HTTP/1.1", b"G\x00ET / HTTP/1.1",
    b"GE(T / HTTP/1.1", b"GET: / HTTP/1.1", b"\"GET\" / HTTP/1.1"],
    ids=lambda v: repr(v)[2:-1].replace("\\", "/"))
def test_request_lines_in_doubt_are_refused(door, line):
    assert_refused(door, line + b"\r\n" + HOST + b"\r\n")


def test_http_1_9_is_1_1_or_nothing(door):
    got = assert_one(door, b"GET / HTTP/1.9\r\n" + HOST + b"\r\n")
    assert got is None or got.version == "1.1"


# ---- Host

@pytest.mark.parametrize("data", [named(d) for d in (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nhost: a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example b.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\tb.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: u@a.example\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a.example@b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a.example?x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example#x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a.example\\x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: http://a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example:80:80\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example:+80\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example:-1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example:65536\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example:80@b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a.example\r\n\r\n", b"GET / HTTP/1.1\r\n Host: a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: <a>\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \"a.example\"\r\n\r\n",
    b"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET http://b.example/ HTTP/1.1\r\n\r\n",
    b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
    b"GET http://a.example@b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
    b"GET http://a.example:80@b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET http://a.example\\@b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET http:///smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET http:/smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET http:smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET @b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET :80/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET file:///etc/passwd HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET http://a.example/ HTTP/1.1\r\nHost:\r\n\r\n",
)])
def test_hosts_in_doubt_are_refused(door, data):
    assert_refused(door, data)


@pytest.mark.parametrize("field", [
    "X-Forwarded-Host: b.example", "X-Host: b.example", "Forwarded: host=b.example",
    "X-Original-URL: /smuggled", "X-Rewrite-URL: /smuggled", "X-Forwarded-Server: b.example",
    "X-HTTP-Host-Override: b.example", "Host_: b.example"])
def test_no_other_field_is_taken_for_host_or_target(door, field):
    got = assert_one(door, get("/", field))
    assert got.target == "/" and got.get("host") == "a.example"


# ---- chunks

def chunks(body):
    """A request with that chunked body."""
    return LINE + HOST + CHUNKED + b"\r\n" + body


@pytest.mark.parametrize("data", [named(chunks(d)) for d in (
    b"-1\r\nx\r\n" + LAST, b"+1\r\nx\r\n" + LAST, b"0x1\r\nx\r\n" + LAST, b"1x\r\nx\r\n" + LAST,
    b"x\r\n" + LAST, b"\r\n" + LAST, b" 1\r\nx\r\n" + LAST, b"\t1\r\nx\r\n" + LAST,
    b"1\nx\r\n" + LAST, b"1\rx\r\n" + LAST, b"1\r\nx\n" + LAST, b"1\r\nx" + LAST,
    b"1\r\nx\r" + LAST, b"1\r\nxy\r\n" + LAST, b"1\r\nx\r\n0\n\n", b"1\r\nx\r\n0\r\n\n",
    b"1\r\nx\r\n0\n\r\n", b"1\r\r\nx\r\n" + LAST, b"1\r\nx\r\r\n" + LAST, b"1 1\r\nx\r\n" + LAST,
    b"1,1\r\nx\r\n" + LAST, b"1\x00\r\nx\r\n" + LAST, b"\x001\r\nx\r\n" + LAST,
    b"1\x0b\r\nx\r\n" + LAST, b"1.0\r\nx\r\n" + LAST, b"1_0\r\nx\r\n" + LAST, b"G\r\nx\r\n" + LAST,
    b"\xb1\r\nx\r\n" + LAST, b"ffffffffffffffff\r\nx\r\n" + LAST,
    b"10000000000000001\r\nx\r\n" + LAST, b"100000000000000001\r\nx\r\n" + LAST,
    b"8000000000000001\r\nx\r\n" + LAST, b"f" * 40 + b"\r\nx\r\n" + LAST,
    b"1;\nx\r\n" + LAST, b"1;a\nb\r\nx\r\n" + LAST, b"1;a\rb\r\nx\r\n" + LAST,
    b"1;a=\x00\r\nx\r\n" + LAST, b"1;a=\"\r\nx\"\r\n" + LAST, b"1;a\n\r\nx\r\n" + LAST,
    b"1;" + b"a" * 100_000 + b"\r\nx\r\n" + LAST, b"1\r\nx\r\n;\r\n" + LAST,
    b"1\r\nx\r\n-0\r\n\r\n", b"1\r\nx\r\n0x0\r\n\r\n", b"1\r\nx\r\n 0\r\n\r\n",
    b"1\r\nx\r\n\r\n" + LAST, b"1\r\nx\r\nGET /smuggled HTTP/1.1\r\n\r\n",
)])
def test_chunks_in_doubt_are_refused(door, data):
    assert_refused(door, data)


@pytest.mark.parametrize("data, body", [
    (b"000000000000000000000001\r\nx\r\n" + LAST, b"x"), (b"01\r\nx\r\n" + LAST, b"x"),
    (b"1\r\nx\r\n0000000000000000000\r\n\r\n", b"x"), (b"1 \r\nx\r\n" + LAST, b"x"),
    (b"1\t\r\nx\r\n" + LAST, b"x"), (b"1;a\r\nx\r\n" + LAST, b"x"), (b"1;\r\nx\r\n" + LAST, b"x"),
    (b"1 ; a\r\nx\r\n" + LAST, b"x"), (b"1;a=b;c=\"d\"\r\nx\r\n" + LAST, b"x"),
    (b"1;a=\"\\\"\"\r\nx\r\n" + LAST, b"x"), (b"1;a=\"b\r\nx\r\n" + LAST, b"x"),
    (b"1;=\r\nx\r\n" + LAST, b"x"), (b"1;a==b\r\nx\r\n" + LAST, b"x"),
    (b"1\r\nx\r\n0;a=b\r\n\r\n", b"x"), (b"A\r\n0123456789\r\n" + LAST, b"0123456789"),
    (b"2b\r\n" + HIDDEN + b"\r\n" + LAST, HIDDEN),
    (b"5\r\n0\r\n\r\n\r\n" + LAST, b"0\r\n\r\n"),
    (b"1;0\r\nx\r\n" + LAST, b"x"),
], ids=lambda v: repr(v)[2:-1].replace("\\", "/")[:60])
def test_chunks_of_odd_shape_mean_one_thing(door, data, body):
    got = assert_one(door, chunks(data))
    if got:
        assert got.body == body and b";" not in got.raw.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("end", [b"", b"0", b"0\r", b"0\r\n", b"0\r\n\r"], ids=repr)
def test_a_chunked_body_without_its_end_is_not_whole(door, end):
    response, rest, seen = attack(door, chunks(b"1\r\nx\r\n" + end))
    assert response.status == 408 and rest == b""
    assert not [r for r in seen if r.whole]


def test_what_follows_a_whole_body_is_the_next_request(door):
    """No less and no more: else a byte is lost or found between two readers."""
    mark = len(door.backend.requests)
    with door.client() as client:
        client.send(chunks(b"1\r\nx\r\n" + LAST) + get("/second")
                    + LINE + HOST + b"Content-Length: 3\r\n\r\nabc" + get("/fourth"))
        for _ in range(4):
            assert client.final().status == 200
    assert [r.target for r in door.seen_since(mark)] == ["/", "/second", "/", "/fourth"]


@pytest.mark.parametrize("after", [b"x", b"\x00", b"abc\r\n", b"\n", b"\r\n\x00", b"  "], ids=repr)
@pytest.mark.parametrize("kind", ["length", "chunked", "none"])
def test_bytes_behind_a_body_are_not_lost(door, kind, after):
    """They spoil the next request; they do not vanish."""
    data = {"length": LINE + HOST + b"Content-Length: 4\r\n\r\nbody",
            "chunked": chunks(b"4\r\nbody\r\n" + LAST),
            "none": b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"}[kind]
    mark = len(door.backend.requests)
    with door.client() as client:
        client.send(data + after + HIDDEN)
        assert client.final().status == 200
        assert client.final().status >= 400
        assert client.ended()
    assert len(door.seen_since(mark)) == 1


# ---- trailers

@pytest.mark.parametrize("trailer", [
    b"Content-Length: 43", b"Transfer-Encoding: chunked", b"Host: b.example",
    b"Transfer-Encoding: identity", b"Content-Length: 0\r\nContent-Length: 43", b"Trailer: x",
    b"Connection: close", b"Upgrade: websocket", b"Expect: 100-continue", b"TE: trailers",
    b"Authorization: Basic x", b"X-Forwarded-For: 1.2.3.4", b"X-Request-Id: forged"],
    ids=lambda v: v.decode().replace("\r\n", "+"))
def test_trailers_frame_nothing(door, trailer):
    got = assert_one(door, chunks(b"1\r\nx\r\n0\r\n" + trailer + b"\r\n\r\n"))
    if got:
        assert got.body == b"x"
        names = {n.lower() for n, _ in got.trailers}
        assert not names & {b"content-length", b"transfer-encoding", b"host", b"trailer",
                            b"connection", b"upgrade", b"expect", b"te"}
        assert not names & {b"x-forwarded-for", b"x-request-id"}, "a claim of ours in trailers"


@pytest.mark.parametrize("trailer", [
    b"X : y", b"X\x00: y", b"X: \x00", b"X: y\n", b"X: y\rZ: a", b"X", b": y", b"X: y\r\n z",
    b" X: y", HIDDEN.rstrip(), b"X: y\n\nGET /smuggled HTTP/1.1\nHost: a.example\n"],
    ids=lambda v: repr(v)[2:-1].replace("\\", "/")[:40])
def test_trailers_in_doubt_are_refused(door, trailer):
    assert_refused(door, chunks(b"1\r\nx\r\n0\r\n" + trailer + b"\r\n\r\n"))


def test_a_request_in_the_place_of_trailers_is_none(door):
    assert_refused(door, chunks(b"1\r\nx\r\n0\r\n" + HIDDEN))


# ---- Upgrade, Expect, early answers, pipelining

@pytest.mark.parametrize("fields", [
    ("Upgrade: websocket", "Connection: Upgrade"),
    ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"),
    ("Upgrade: websocket", "Connection: Upgrade", "Content-Length: 0"),
    ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 777"),
    ("Upgrade: websocket", "Connection: Upgrade", "Content-Length: 43"),
    ("Upgrade: TLS/1.0", "Connection: Upgrade")], ids=" ".join)
def test_an_upgrade_that_is_not_granted_opens_no_tunnel(door, fields):
    """The backend says 426 or 200: what follows is a request like any other, and seen as one."""
    case = door.case(read_body, ok(status="426 Upgrade Required"))
    mark = len(door.backend.requests)
    with door.client("hasty") as client:
        client.send(get(case.path, *fields) + HIDDEN)
        assert client.final().status in (426, 400)
        client.end()
        rest = client.stream.rest()
    seen = door.seen_since(mark)
    hidden = [r for r in seen if "smuggled" in r.target]
    if "Content-Length: 43" in fields:  # those 43 bytes are the body
        assert hidden == [] and rest == b""
    else:  # a request of its own, with all that is added to one, or none
        assert all(r.get("x-forwarded-for") == "127.0.0.1" for r in hidden)
        assert bool(hidden) == rest.startswith(b"HTTP/1.1 200")


def test_a_body_s_early_answer_does_not_make_a_request_of_it(door):
    case = door.case(ok(b"early"), hang)
    mark = len(door.backend.requests)
    with door.client("hasty") as client:
        client.send(get(case.path, "Content-Length: 1000", method="POST"))
        assert client.final().body == b"early"
        client.try_send(HIDDEN)
        assert client.stream.rest() == b""
    assert not [r for r in door.seen_since(mark) if "smuggled" in r.target]


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue", "x 100-continue",
                                    "100-continue, 100-continue", "y 100-continue", ""])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_expect_hides_no_request(door, expect, method):
    """A body that is announced is taken for one, also behind a final answer without 100."""
    case = door.case(ok(status="403 Forbidden"))
    if method == "HEAD":
        case.script = (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n",)
    mark = len(door.backend.requests)
    with door.client("hasty") as client:
        client.send(get(case.path, f"Expect: {expect}", "Content-Length: 43", method=method))
        assert client.final(method).status in (403, 417, 400)
        client.try_send(HIDDEN)
        assert client.stream.rest() == b""
    assert not [r for r in door.seen_since(mark) if "smuggled" in r.target]


@pytest.mark.parametrize("path", ["/static/x", "/", "/x%20y"])
def test_a_backend_that_ignores_a_body_is_not_used_again(door, path):
    """CL.0: it answers at once, and would take the body that follows for a request."""
    case = door.case(ok(b"early"), read_body)
    mark = len(door.backend.requests)
    with door.client() as client:
        client.send(get(case.path + path, "Content-Length: 43", method="POST", body=HIDDEN))
        assert client.final().body == b"early"
    for _ in range(3):
        with door.client() as client:
            assert client.ask(get("/next")).body == b"ok"
    assert not [r for r in door.seen_since(mark) if "smuggled" in r.target]


def test_a_response_that_says_more_than_its_length_is_no_answer_to_the_next(door):
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    case = door.case(read_body, ok(b"first") + evil)
    with door.client() as client:
        assert client.ask(get(case.path)).body == b"first"
        for _ in range(5):
            assert client.ask(get("/next")).body == b"ok"


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
], ids=lambda v: repr(v)[2:-1].replace("\\", "/")[9:60])
def test_responses_in_doubt_are_502(door, answer):
    case = door.case(read_body, answer, hang)
    with door.client() as client:
        assert client.ask(get(case.path)).status == 502
    with door.client() as client:
        assert client.ask(get("/next")).body == b"ok"
