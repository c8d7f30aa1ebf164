"""HTTP/1.1 as RFC 9112 has it: its sections 6 to 8: bodies, codings, and what is not whole."""

import contextlib

import pytest

from support.rawbackend import close, read_body
from support.rawhttp import BROKEN, chunked, get, ok, post
from support.wait import wait_until


@pytest.fixture(scope="module")
def door(http_door):
    return http_door({"small": {"http": {"max_header_size": "4KiB", "max_body_size": "1000"}}})


@pytest.fixture(autouse=True)
def well_formed(door):
    """Whatever a test does, the backend gets nothing but good requests."""
    yield
    door.check()


# ---- 6 body

def test_6_1_a_coding_that_is_not_known_is_501(door):
    for coding in ("gzip, chunked", "gzip", "deflate, chunked", "br", "compress, gzip, chunked"):
        door.refused(get("/", f"Transfer-Encoding: {coding}", method="POST", body=chunked(b"x")),
                *([501] if coding.endswith("chunked") else [400, 501]))


@pytest.mark.parametrize("fields", [
    ("Transfer-Encoding: chunked", "Content-Length: 5"),
    ("Content-Length: 5", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding: chunked, chunked",), ("Transfer-Encoding: chunked, gzip",),
    ("Transfer-Encoding:",), ("Transfer-Encoding: identity",),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")], ids=" ".join)
def test_6_1_codings_in_doubt(door, fields):
    door.refused(get("/", *fields, method="POST", body=chunked(b"x")), 400, 501)


def test_6_1_http_1_0_knows_no_codings(door):
    door.refused(get("/", "Transfer-Encoding: chunked", method="POST", version="1.0",
                      body=chunked(b"x")), 400)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS"])
def test_6_2_a_body_with_length(door, method):
    body = bytes(range(256)) * 400
    response, got = door.exchange(lambda path: post(path, body, method=method))
    assert response.status == 200 and got.body == body and got.method == method
    assert got.get("content-length") == str(len(body))


def test_6_2_an_empty_body_with_length(door):
    _, got = door.exchange(lambda path: post(path, b""))
    assert got.get("content-length") == "0"


@pytest.mark.parametrize("value", ["-1", "+5", "5 5", "0x5", "5.0", "5;", "", "five", "5, 6",
                                   "18446744073709551616", "9223372036854775808",
                                   "99999999999999999999999", "5,", ",5", "1e1", "\xb2"])
def test_6_2_lengths_that_are_none(door, value):
    door.refused(get("/", f"Content-Length: {value}", method="POST", body=b"hello"),
            400, 413)


def test_6_2_a_body_over_the_limit_is_413(door):
    door.refused(post("/", bytes(1001)), 413, listener="small")
    response, got = door.exchange(lambda path: post(path, bytes(1000)), listener="small")
    assert response.status == 200 and len(got.body) == 1000


def test_6_2_a_chunked_body_over_the_limit_is_413(door):
    case = door.case()
    with door.client("small") as client:
        client.send(get(case.path, "Transfer-Encoding: chunked", method="POST",
                        body=chunked(bytes(700), bytes(700), last=b"")[:-4]))
        assert client.final().status == 413
        assert client.ended()
    door.settle()
    assert not [r for r in case.requests if r.whole]
    response, got = door.exchange(
        lambda path: get(path, "Transfer-Encoding: chunked", method="POST",
                         body=chunked(bytes(500), bytes(500))), listener="small")
    assert response.status == 200 and len(got.body) == 1000


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_6_3_answers_that_have_no_body(door, status):
    case = door.case(read_body, f"HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n".encode())
    with door.client() as client:
        for _ in range(3):
            response = client.ask(get(case.path))
            assert response.status == int(status[:3]) and response.get("etag") == '"x"'
            assert response.framing == "none"
    assert len(set(case.visits)) == 1  # the backend's connection is kept


def test_6_3_a_304_with_a_length_has_no_body(door):
    case = door.case(read_body, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n")
    with door.client() as client:
        assert client.ask(get(case.path)).status == 304
        assert client.ask(get("/next")).body == b"ok"


def test_6_3_a_response_without_length_ends_with_the_connection(door):
    body = bytes(range(256)) * 200
    script = (read_body, b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n" + body, close)
    case = door.case(*script)
    with door.client() as client:
        response = client.ask(get(case.path))
        assert response.body == body and response.framing == "chunked"
        assert client.ask(get("/next")).body == b"ok"
    with door.client() as client:
        response = client.ask(get(case.path, version="1.0"))
        assert response.body == body and response.framing == "close"
        assert response.get("transfer-encoding") is None


def test_6_3_lengths_of_responses_are_kept(door):
    for size in (0, 1, 100_000):
        response, _ = door.exchange(get, read_body, ok(bytes(size)))
        assert response.get("content-length") == str(size) and len(response.body) == size


# ---- 7 codings

@pytest.mark.parametrize("body, whole", [
    (chunked(b"hello"), b"hello"),
    (chunked(), b""),
    (chunked(*[b"%d" % i for i in range(300)]), b"".join(b"%d" % i for i in range(300))),
    (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    (chunked(bytes(100_000)), bytes(100_000)),
], ids=["one", "none", "many", "cases", "zeros", "big"])
def test_7_1_chunked_requests(door, body, whole):
    response, got = door.exchange(lambda path: get(path, "Transfer-Encoding: chunked",
                                                   method="POST", body=body))
    assert response.status == 200 and got.body == whole and got.framing == "chunked"


@pytest.mark.parametrize("name", ["chunked", "Chunked", "CHUNKED"])
def test_7_1_the_coding_s_name_has_no_case(door, name):
    _, got = door.exchange(lambda path: get(path, f"Transfer-Encoding: {name}", method="PUT",
                                            body=chunked(b"x")))
    assert got.body == b"x"


@pytest.mark.parametrize("body, whole", [
    (chunked(b"hello", b" world"), b"hello world"),
    (chunked(), b""),
    (b"5;ext=1\r\nhello\r\n0;last\r\n\r\n", b"hello"),
    (chunked(bytes(300_000)), bytes(300_000)),
], ids=["two", "none", "extension", "big"])
def test_7_1_chunked_responses(door, body, whole):
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    with door.client() as client:
        response = client.ask(get(case.path))
        assert response.body == whole and response.framing == "chunked"
        assert client.ask(get("/next")).body == b"ok"
    with door.client() as client:  # and to one who does not know them
        response = client.ask(get(case.path, version="1.0"))
        assert response.body == whole and response.framing in ("close", "length")
        assert client.ended()
    assert len(set(case.visits)) == 1


def test_7_1_pieces_of_a_response_come_as_they_are_made(door):
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"5\r\nhello\r\n", lambda visit: wait_until(lambda: go, "the test"),
                     b"0\r\n\r\n")
    go = []
    with door.client() as client:
        client.send(get(case.path))
        while b"hello" not in client.stream.buffer:
            assert client.stream.more()
        go.append(True)
        assert client.final().body == b"hello"


def test_7_1_1_extensions_go_no_further(door):
    body = b"5;a;b=c;d=\"e f\"\r\nhello\r\n0;z\r\n\r\n"
    mark = len(door.backend.requests)
    with door.client() as client:
        response = client.ask(get("/", "Transfer-Encoding: chunked", method="POST", body=body))
    for got in door.seen_since(mark):
        if got.whole:
            assert got.body == b"hello" and b"e f" not in got.raw and response.status == 200


def test_7_1_2_trailers_of_a_request(door):
    _, got = door.exchange(lambda path: get(
        path, "Transfer-Encoding: chunked", "Trailer: X-Sum", method="POST",
        body=chunked(b"hello", trailers=["X-Sum:  5 ", "x-other: b"])))
    assert got.trailers == [(b"X-Sum", b"5"), (b"x-other", b"b")]


@pytest.mark.parametrize("name", ["Content-Length: 3", "Transfer-Encoding: chunked", "Host: b",
                                  "Connection: close", "Authorization: x", "Cookie: a=b",
                                  "X_Forwarded_For: 1.2.3.4", "X-Forwarded-Client-Cert: a"])
def test_7_1_2_trailers_that_claim_what_is_none_of_theirs(door, name):
    case = door.case()
    with door.client() as client:
        status = client.ask(get(case.path, "Transfer-Encoding: chunked", method="POST",
                                body=chunked(b"hello", trailers=[name, "X-T: 1"]))).status
    door.settle()
    whole = [r for r in case.requests if r.whole]
    if status == 200:
        framing = name.split(":")[0].lower() in ("content-length", "transfer-encoding", "host",
                                                 "connection", "x_forwarded_for",
                                                 "x-forwarded-client-cert")
        assert [n for n, _ in whole[0].trailers if n == b"X-T"] == [b"X-T"]
        assert not framing or len(whole[0].trailers) == 1
    else:
        assert status == 400 and not whole


def test_7_1_2_trailers_that_are_none_are_refused(door):
    for line in ("X T: 1", "X-T : 1", "X-T", ": 1", "X-T: a\r\n b", "X-T: \x01"):
        case = door.case()
        with door.client() as client:
            client.send(get(case.path, "Transfer-Encoding: chunked", method="POST",
                            body=chunked(b"hello", trailers=[line])))
            assert client.final().status == 400
            assert client.ended()
        door.settle()
        assert not [r for r in case.requests if r.whole]


def test_7_1_2_trailers_that_are_too_long(door):
    case = door.case()
    with door.client("small") as client:
        client.try_send(get(case.path, "Transfer-Encoding: chunked", method="POST",
                            body=chunked(b"x", trailers=["X-T: " + "a" * 6000])))
        assert client.final().status in (400, 431)
        assert client.ended()
    door.settle()
    assert not [r for r in case.requests if r.whole]


@pytest.mark.parametrize("te", [("TE: trailers",), ("TE: deflate, Trailers", "Connection: TE"), ()],
                         ids=["asked", "among others", "not asked"])
def test_7_1_2_trailers_of_a_response(door, te):
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                     b"Trailer: X-Sum\r\n\r\n" + chunked(b"hello", trailers=["X-Sum: 5"]))
    with door.client() as client:
        response = client.ask(get(case.path, *te))
        assert response.body == b"hello"
        if te:
            assert response.trailers == [(b"X-Sum", b"5")]
        assert client.ask(get("/next")).body == b"ok"
    assert case.one().list("te") in ([], ["trailers"])


def test_7_1_2_trailers_of_a_response_are_not_for_http_1_0(door):
    response, _ = door.exchange(
        lambda path: get(path, "TE: trailers", version="1.0"), read_body,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunked(b"hello", trailers=["X-Sum: 5"]))
    assert response.body == b"hello"


# ---- 8 what is not whole

@pytest.mark.parametrize("sent", [
    lambda path: get(path, "Content-Length: 10", method="POST", body=b"12345"),
    lambda path: get(path, "Transfer-Encoding: chunked", method="POST", body=b"5\r\nhello\r\n"),
    lambda path: get(path, "Transfer-Encoding: chunked", method="POST", body=b"5\r\nhel"),
    lambda path: get(path, "Transfer-Encoding: chunked", method="POST",
                     body=b"5\r\nhello\r\n0\r\n"),
], ids=["length", "between chunks", "in a chunk", "before the last line"])
def test_8_a_request_that_was_cut_is_never_whole_at_the_backend(door, sent):
    case = door.case()
    with door.client() as client:
        client.send(sent(case.path))
        wait_until(lambda: case.requests, "the request's head")
        client.end()
        with contextlib.suppress(*BROKEN):
            client.stream.rest()  # an answer or none
    wait_until(lambda: door.backend.cuts or door.backend.errors, "the backend to notice")
    assert not [r for r in case.requests if r.whole]


def test_8_a_head_that_was_cut_goes_nowhere(door):
    mark = len(door.backend.requests)
    for data in (b"GET / HT", b"GET / HTTP/1.1\r\nHost: a.example\r\n", b"GET / HTTP/1.1\r\n\r"):
        with door.client() as client:
            client.send(data).end()
            with contextlib.suppress(*BROKEN):
                client.stream.rest()
    assert door.seen_since(mark) == []
