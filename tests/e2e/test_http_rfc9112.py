"""HTTP/1.1 as RFC 9112 has it, by its sections: what is sent, what the backend gets byte for byte,
what comes back. Here its sections 2 to 5: messages, request and status lines, fields."""

import pytest

from support.rawbackend import part, read_body
from support.rawhttp import chunked, get, ok


@pytest.fixture(scope="module")
def door(http_door):
    return http_door({"small": {"http": {"max_header_size": "4KiB", "max_headers": 20}}})


@pytest.fixture(autouse=True)
def well_formed(door):
    """Whatever a test does, the backend gets nothing but good requests."""
    yield
    door.check()


# ---- 2 message

def test_2_1_a_request_is_written_afresh(door):
    response, got = door.exchange(lambda path: (
        f"GET {path}/a%20b?q=1&r HTTP/1.1\r\nHost: a.example\r\nX-Odd:  some \t words \t\r\n"
        f"aCCept:*/*\r\nX-Empty:\r\nX-Odd: again\r\n\r\n").encode())
    assert response.status == 200 and response.body == b"ok"
    assert got.line.startswith(b"GET /case") and got.line.endswith(b"/a%20b?q=1&r HTTP/1.1")
    assert got.get("host") == "a.example"
    assert got.passed == [(b"X-Odd", b"some \t words"), (b"aCCept", b"*/*"), (b"X-Empty", b""),
                          (b"X-Odd", b"again")]
    assert got.framing == "none" and got.body == b""


def test_2_1_a_response_is_written_afresh(door):
    response, _ = door.exchange(get, read_body, (
        b"HTTP/1.1 299 Very  fine\r\nX-Odd:  some words  \r\nset-COOKIE: a=b\r\nSet-Cookie: c=d\r\n"
        b"Content-Length: 3\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nabc"))
    assert response.status == 299 and response.version == "1.1" and response.body == b"abc"
    assert response.get("x-odd") == "some words"
    assert response.all("set-cookie") == ["a=b", "c=d"]
    assert response.get("date") == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("piece", [1, 2, 7])
def test_2_1_pieces_of_any_size_are_one_message(door, piece):
    case = door.case()
    data = get(case.path, "Transfer-Encoding: chunked", "X-A: b", method="POST",
               body=chunked(b"hello", b" world", trailers=["X-T: v"]))
    with door.client() as client:
        for i in range(0, len(data), piece):
            client.send(data[i:i + piece])
        assert client.final().status == 200
    got = case.one()
    assert got.body == b"hello world" and got.passed == [(b"X-A", b"b")]


@pytest.mark.parametrize("data", [part(d) for d in (
    b"GET / HTTP/1.1\nHost: a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\n",
    b"GET / HTTP/1.1\n\nHost: a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: a\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nX: a\r\r\n\r\n",
    b"GET /\r HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: a.example\r\nHost: a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n\tX: b\r\nHost: a.example\r\n\r\n")])
def test_2_2_line_ends_and_space_before_the_first_field(door, data):
    door.refused(data, 400)


@pytest.mark.parametrize("version, status", [
    ("HTTP/2.0", 505), ("HTTP/3.0", 505), ("HTTP/0.9", 505), ("HTTP/9.9", 505),
    ("HTTP/1", 400), ("HTTP/1.", 400), ("HTTP/1.10", 400), ("HTTP/01.1", 400), ("http/1.1", 400),
    ("HTTP/1,1", 400), ("HTTP /1.1", 400), ("HTPP/1.1", 400), ("HTTP/1.1x", 400),
    ("HTTP/-1.1", 400), ("HTTP/A.B", 400), ("HTTP/1.1 HTTP/1.1", 400)])
def test_2_3_versions(door, version, status):
    door.refused(f"GET / {version}\r\nHost: a.example\r\n\r\n".encode(), *{status, 400})


def test_2_3_http_2_0_is_505(door):
    assert door.refused(b"GET / HTTP/2.0\r\nHost: a.example\r\n\r\n", 505)


@pytest.mark.parametrize("data", [part(d) for d in (
    b"GET /\r\n\r\n", b"GET /\r\nHost: a.example\r\n\r\n", b"GET\r\n\r\n", b"GET / \r\n\r\n")])
def test_2_3_there_is_no_0_9(door, data):
    response = door.refused(data, 400, 505)
    assert response.version == "1.1"


# ---- 3 request line

@pytest.mark.parametrize("line", [part(d) for d in (
    b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET /\tHTTP/1.1",
    b" GET / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET / HTTP/1.1\t", b"GET HTTP/1.1",
    b"GET /a b HTTP/1.1", b"GET /\x00 HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /\x0b HTTP/1.1",
    b"G ET / HTTP/1.1", b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET",
    b"GET a HTTP/1.1", b"GET a.example/x HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET * HTTP/1.1",
    b"GET \\ HTTP/1.1", b"GET /\xc3\xa9 HTTP/1.1")])
def test_3_lines_that_are_none(door, line):
    if line == b"":
        line = b"\r\n\r\n\r\nnothing"
    door.refused(line + b"\r\nHost: a.example\r\n\r\n", 400, 501, 505)


@pytest.mark.parametrize("method", ["BREW", "get", "Get", "GETX", "X" * 60])
def test_3_1_unknown_methods(door, method):
    mark = len(door.backend.requests)
    with door.client() as client:
        assert client.ask(get("/", method=method)).status == 501
    assert door.seen_since(mark) == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND",
                                    "REPORT"])
def test_3_1_known_methods_pass(door, method):
    response, got = door.exchange(lambda path: get(path, method=method))
    assert response.status == 200 and got.method == method
    # What means nothing by a missing body says so (RFC 9110 8.6); the rest says nothing.
    assert got.body == b"" and got.framing in ("none", "length")


def test_3_2_a_target_that_is_too_long_is_414(door):
    door.refused(get("/" + "a" * 5000), 414, listener="small")


def test_3_2_host_is_there_once(door):
    door.refused(b"GET / HTTP/1.1\r\n\r\n", 400)
    door.refused(b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", 400)
    door.refused(b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", 400)


@pytest.mark.parametrize("host", ["a b", "a/b", "user@a.example", "a.example:", "a.example:x",
                                  "a.example:99999", "[::1", "::1", "a\\b", "a.example#",
                                  "a?b", "[::g]", "a.example:80:80"])
def test_3_2_host_is_a_host(door, host):
    if host == "a.example:":  # an empty port is allowed (RFC 3986 3.2.3)
        response, got = door.exchange(lambda path: get(path, host=host))
        assert response.status == 200 and got.get("host") in ("a.example", "a.example:")
    else:
        door.refused(get("/", host=host), 400)


def test_3_2_1_an_empty_path_in_origin_form(door):
    door.refused(b"GET ?x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400)


@pytest.mark.parametrize("target, host, path", [
    ("http://a.example%s", "a.example", "%s"),
    ("http://a.example%s?x=/", "a.example", "%s?x=/"),
    ("HTTP://a.example%s", "a.example", "%s"),
    ("http://A.EXAMPLE%s", "a.example", "%s"),
    ("http://a.example:80%s", "a.example:80", "%s")])
def test_3_2_2_absolute_form_becomes_origin_form(door, target, host, path):
    response, got = door.exchange(lambda p: get(target % p, host=host))
    assert response.status == 200
    token = door.backend.requests[-1].target.split("?")[0]
    assert got.target == path % token
    assert got.get("host").lower().removesuffix(":80") == "a.example"


def test_3_2_2_absolute_form_without_a_path(door):
    mark = len(door.backend.requests)
    with door.client() as client:
        assert client.ask(get("http://a.example")).status == 200
        assert client.ask(get("http://a.example?x")).status == 200
    assert [r.target for r in door.seen_since(mark)] == ["/", "/?x"]


@pytest.mark.parametrize("target, host", [
    ("http://b.example/", "a.example"), ("http://a.example:81/", "a.example"),
    ("http:///x", "a.example"), ("http://u@a.example/", "a.example"), ("ftp://a.example/", None),
    ("http:/a.example/", "a.example"), ("http:a.example", "a.example"),
    ("http://a b/", "a.example"),
    ("//a.example:80:80", None), ("http://a.example/", "b.example"), ("http://a.example/", None)])
def test_3_2_2_absolute_form_that_is_doubtful(door, target, host):
    door.refused(get(target, host=host), 400, 421)


@pytest.mark.parametrize("target", ["a.example:443", "/", "http://a.example/", "a.example"])
def test_3_2_3_connect_is_refused(door, target):
    mark = len(door.backend.requests)
    with door.client() as client:
        response = client.ask(get(target, method="CONNECT"))
        assert response.status in (400, 405, 501)
        assert client.ended()
    assert door.seen_since(mark) == []


def test_3_2_4_asterisk_form_is_for_options(door):
    mark = len(door.backend.requests)
    with door.client() as client:
        assert client.ask(get("*", method="OPTIONS")).status in (200, 204)
        assert client.ask(get("/after", method="OPTIONS")).status == 200
    seen = door.seen_since(mark)
    assert [r.target for r in seen] in (["/after"], ["*", "/after"])
    door.refused(get("*", method="POST"), 400)


def test_3_3_http_1_0_needs_no_host(door):
    mark = len(door.backend.requests)
    with door.client() as client:
        response = client.ask(b"GET /without HTTP/1.0\r\n\r\n")
        assert response.status == 200 and response.version == "1.1"
        assert client.ended()
    [got] = door.seen_since(mark)
    assert got.target == "/without" and got.version == "1.1" and len(got.all("host")) == 1


# ---- 4 status line

@pytest.mark.parametrize("line", [part(d) for d in (
    b"HTTP/1.1 200 \r\n", b"HTTP/1.1 200 \xe9t\xe9\r\n", b"HTTP/1.0 200 OK\r\n")])
def test_4_status_lines_of_all_kinds(door, line):
    response, _ = door.exchange(get, read_body, line + b"Content-Length: 2\r\n\r\nhi")
    assert response.status == 200 and response.body == b"hi" and response.version == "1.1"


# ---- 5 fields

@pytest.mark.parametrize("line", [part(d) for d in (
    b"X-A : b", b"X-A\t: b", b"Host : a.example", b" : b", b": b", b"X A: b", b"X-A b",
    b"X-\x00A: b", b"X-A: \x00", b"X-A: \x01", b"X-A: \x0b", b"X-A: \x7f", b"X\xe9: b", b"X-A(: b",
    b"X-A: a\r\n b", b"X-A: a\r\n\tb", b"X-A:\r\n b", b"X-A: a\r\n \r\nX: c", b"\"X\": b",
    b"X-A")])
def test_5_fields_that_are_none(door, line):
    door.refused(b"GET / HTTP/1.1\r\nHost: a.example\r\n" + line + b"\r\n\r\n", 400)


def test_5_bytes_above_ascii_pass_in_values(door):
    _, got = door.exchange(lambda path: get(path, "X-A: caf\xe9 \x80\xff"))
    assert got.passed == [(b"X-A", b"caf\xe9 \x80\xff")]


def test_5_4_too_many_bytes_or_fields_are_431(door):
    door.refused(get("/", "X-A: " + "a" * 5000), 431, listener="small")
    door.refused(get("/", *[f"X-{i}: a" for i in range(30)]), 431, listener="small")
    door.refused(get("/", "X" * 5000 + ": a"), 431, listener="small")
    response, got = door.exchange(lambda path: get(path, "X-A: " + "a" * 3000,
                                                   *[f"X-{i}: a" for i in range(15)]),
                                  listener="small")
    assert response.status == 200 and len(got.passed) == 16


def test_5_4_an_endless_head_is_answered_before_its_end(door):
    with door.client("small") as client:
        client.try_send(b"GET / HTTP/1.1\r\nHost: a.example\r\nX: " + b"a" * 100_000)
        assert client.final().status == 431
        assert client.ended()
    with door.client("small") as client:
        client.try_send(b"GET /" + b"a" * 100_000)
        assert client.final().status == 414
        assert client.ended()
    with door.client("small") as client:
        client.try_send(b"A" * 100_000)
        assert client.final().status in (400, 414, 431, 501)
        assert client.ended()


def test_5_a_large_head_of_a_response_passes(door):
    fields = [f"Set-Cookie: c{i}={'x' * 200}" for i in range(100)]
    response, _ = door.exchange(get, read_body, ok(b"body", *fields, "X-A: " + "a" * 20_000))
    assert response.all("set-cookie") == [f.split(": ")[1] for f in fields]
    assert len(response.get("x-a")) == 20_000 and response.body == b"body"
