"""HTTP/2 as RFC 9113 has it: its section 8, messages. What is malformed is refused on its stream
alone, the backend sees none of it, and the connection goes on. What HTTP/2 allows and HTTP/1.1
cannot carry is refused, too."""

import pytest

from support.h2door import H2Door, lower, part
from support.h2frames import DATA, END_HEADERS, END_STREAM, HEADERS, Code, block, frame, head
from support.rawbackend import close, hang, pause, read_body, reset
from support.rawhttp import chunked, ok
from support.wait import wait_until

PSEUDO = dict(head())


@pytest.fixture(scope="module")
def door(h2_door):
    return h2_door({"small": {"tls": True, "http": {"max_header_size": "4KiB", "max_headers": 20,
                                                    "max_body_size": "1KiB"}}})


@pytest.fixture(scope="module")
def lasting(door):
    made = H2Door(door)
    yield made
    made.check()


@pytest.fixture
def shared(lasting):
    """A connection that many cases have, a new one where a case has ended it."""
    client = lasting.same()
    yield client
    violations, client.violations = client.violations, []
    assert not violations, violations


@pytest.fixture
def refuse(h2, shared):
    """These fields are refused, on their stream alone, and do not come to the backend."""
    def check(fields, body=None, trailers=None):
        mark = h2.mark
        stream = shared.open(fields, end=body is None and trailers is None)
        if body is not None:
            shared.try_send(frame(DATA, 0 if trailers else END_STREAM, stream.id, body))
        if trailers is not None:
            shared.try_send(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, block(trailers)))
        stream.malformed()
        shared.works()
        seen = [r for r in h2.door.seen_since(mark) if r.target != "/works"]
        assert seen == [], seen
    return check


def request(**pseudo):
    """The pseudo-header fields of a request, some of them another or (None) missing."""
    fields = {**PSEUDO, **{f":{k}": v for k, v in pseudo.items()}}
    return [(n, v) for n, v in fields.items() if v is not None]


# ---- 8.1 framing

def test_8_1_a_request_becomes_one_of_http_1_1(h2):
    response, got = h2.exchange(("x-odd", "some \t words"), ("accept", "*/*"), ("x-empty", ""),
                                ("x-odd", "again"), path="/a%20b?q=1&r", authority="A.example:443")
    assert response.status == 200 and bytes(response.body) == b"ok"
    assert got.line.endswith(b"/a%20b?q=1&r HTTP/1.1") and got.framing == "none"
    assert lower(got.passed) == [(b"x-odd", b"some \t words"), (b"accept", b"*/*"),
                                 (b"x-empty", b""), (b"x-odd", b"again")]
    assert got.get("host") in ("a.example", "a.example:443")


@pytest.mark.parametrize("length", [True, False])
def test_8_1_bodies(h2, length):
    fields = [("content-length", "11")] if length else []
    _, got = h2.exchange(*fields, method="POST", body=b"hello world")
    assert got.body == b"hello world" and got.framing == ("length" if length else "chunked")


def test_8_1_trailers_both_ways(h2):
    response, got = h2.exchange(
        ("trailer", "x-sum"), method="POST", body=b"hello", trailers=[("x-sum", "up")],
        script=(read_body, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
                b"Trailer: X-Sum\r\n\r\n",
                chunked(b"abc", trailers=["X-Sum: down"])))
    assert lower(got.trailers) == [(b"x-sum", b"up")]
    assert response.trailers == [(b"x-sum", b"down")] and bytes(response.body) == b"abc"


def test_8_1_interim_responses_come_before(h2):
    response, _ = h2.exchange(script=(
        read_body, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", ok()))
    [hints] = response.interim
    assert hints[0] == (b":status", b"103") and (b"link", b"</a>") in hints
    assert response.status == 200


def test_8_1_an_answer_before_the_body_is_whole(h2):
    # RFC 9113, 8.1: a server may answer early, and then ask by NO_ERROR not to be sent the rest.
    case = h2.case(ok(b"enough"), hang)
    client = h2.client()
    stream = client.request(case.path, method="POST", end=False)
    client.send(frame(DATA, 0, 1, b"x" * 1000))
    stream.done()
    assert stream.status == 200 and bytes(stream.body) == b"enough"
    assert stream.reset in (None, Code.NO_ERROR)
    client.works()


TRAILERS = {
    "pseudo": [(":path", "/")], "status": [(":status", "200")], "upper": [("X-Sum", "1")],
    "connection": [("connection", "close")], "coding": [("transfer-encoding", "chunked")],
    "line": [("x", "a\r\nb: c")], "null": [("x", "\0")], "space": [("x y", "z")]}


@pytest.mark.parametrize("name", list(TRAILERS))
def test_8_1_trailers_that_are_malformed(h2, shared, name):
    stream = shared.request(h2.case().path, method="POST", body=b"x", end=False)
    shared.send(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, block(TRAILERS[name])))
    stream.malformed()
    shared.works()


def test_8_1_trailers_that_are_not_the_end(h2, shared):
    stream = shared.request(h2.case().path, method="POST", body=b"x", end=False)
    shared.send(frame(HEADERS, END_HEADERS, stream.id, block([("x", "y")])))
    stream.malformed()
    shared.works()


def test_8_1_trailers_that_say_what_only_a_head_may(h2, shared):
    case = h2.case()
    stream = shared.request(case.path, method="POST", body=b"x", end=False)
    stream.head([("content-length", "5"), ("host", "b.example"), ("x-sum", "1")], end=True)
    stream.wait(lambda: stream.over, "an end")
    shared.works()
    # RawBackend's strict reader would have found them.
    if stream.reset is None and stream.status == 200:
        assert lower(case.one().trailers) == [(b"x-sum", b"1")]


# ---- 8.1.1 content-length

@pytest.mark.parametrize("length, body", [("5", b"1234"), ("5", b"123456"), ("0", b"x"), ("5", b""),
                                          ("5", None), ("10000000000", b"x")])
def test_8_1_1_a_length_that_is_not_the_bodys(h2, shared, length, body):
    # All at once: of a length of 0 there is nothing to wait for.
    case, stream = h2.case(), shared.new()
    fields = block([*head(case.path, method="POST"), ("content-length", length)])
    if body is None:
        shared.send(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, fields))
    else:
        shared.send(frame(HEADERS, END_HEADERS, stream.id, fields),
                    frame(DATA, END_STREAM, stream.id, body))
    stream.malformed()
    shared.works()
    # What came of it is no whole request.
    assert all(not r.whole for r in case.requests)


@pytest.mark.parametrize("values", [
    ["5", "6"], ["5", "5"], ["-1"], ["+5"], ["5 "], [""], ["0x5"], ["5,5"], ["5, 6"], ["5.0"],
    ["99999999999999999999"]])
def test_8_1_1_lengths_that_are_none(refuse, values):
    refuse([*request(method="POST"), *[("content-length", v) for v in values]], b"12345")


def test_8_1_1_length_of_a_request_without_a_body(h2):
    _, got = h2.exchange(("content-length", "0"), method="POST")
    assert got.body == b"" and got.framing in ("none", "length")


# ---- 8.2 fields

NAMES = [b"Upper", b"x-Y", b"", b"a b", b" a", b"a ", b"a\0", b"a\r", b"a\n", b"a\t", b"a:", b"a:b",
         b"\x7f", b"\xe9", b"a(", b"a\"", b"a/b", b"a=b", b"a,b", b"{", b"::path"]
VALUES = [b"a\0b", b"\0", b"a\rb", b"a\nb", b"a\r\nb: c", b"\r", b"\n", b" a", b"a ", b"\ta",
          b"a\t",
          b" ", b"a\r\n", b"\r\n\r\nGET / HTTP/1.1"]


@pytest.mark.parametrize("name", [part(n) for n in NAMES])
def test_8_2_1_names(refuse, name):
    refuse([*request(), (name, "x")])


@pytest.mark.parametrize("value", [part(v) for v in VALUES])
def test_8_2_1_values(refuse, value):
    refuse([*request(), ("x", value)])


@pytest.mark.parametrize("value", [part(v) for v in (b"a\x01b", b"a\x7f", b"\x1b")])
def test_8_2_1_values_that_http_1_1_cannot_carry(refuse, value):
    refuse([*request(), ("x", value)])


@pytest.mark.parametrize("name", ["method", "scheme", "authority", "path"])
@pytest.mark.parametrize("value", [part(v) for v in (
    b"a\r\nX: b", b"/\n", b"/ HTTP/1.1\r\nX: y", b"/\0", b"a b", b"\t")])
def test_8_2_1_values_of_pseudo_fields(refuse, name, value):
    refuse(request(**{name: value}))


def test_8_2_1_bytes_above_ascii_pass_in_values(h2):
    _, got = h2.exchange(("x-a", "caf\xe9 \x80\xff"))
    assert got.passed[0][1] == b"caf\xe9 \x80\xff"


@pytest.mark.parametrize("name, value", [
    ("connection", "close"), ("connection", "keep-alive"), ("connection", "x-a"),
    ("proxy-connection", "close"), ("keep-alive", "timeout=5"), ("transfer-encoding", "chunked"),
    ("transfer-encoding", "identity"), ("upgrade", "websocket"), ("upgrade", "h2c"),
    ("te", "gzip"), ("te", "trailers, gzip"), ("te", "chunked"), ("te", "")])
def test_8_2_2_fields_of_a_connection(refuse, name, value):
    refuse([*request(), (name, value)])


@pytest.mark.parametrize("fields", [[("te", "trailers")], []])
def test_8_2_2_te_with_trailers(h2, fields):
    response, got = h2.exchange(*fields)
    assert response.status == 200
    if te := got.list("te"):
        assert te == ["trailers"] and "te" in got.list("connection")


def test_8_2_2_a_responses_fields_of_the_connection_stay_behind(h2):
    response, _ = h2.exchange(script=(read_body, (
        b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Connection: close\r\nUpgrade: h2c\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n"),
        close))
    names = [n for n, _ in response.fields]
    assert response.status == 200 and response.get("x-end") == "2"
    assert not {b"connection", b"x-hop", b"keep-alive", b"proxy-connection",
                b"upgrade"} & set(names)


@pytest.mark.parametrize("crumbs", [["a=b"], ["a=b", "c=d", "e=f"], ["a=b; c=d", "e=f"]])
def test_8_2_3_cookies_are_joined(h2, crumbs):
    _, got = h2.exchange(*[("cookie", c) for c in crumbs])
    assert got.get("cookie") == "; ".join(crumbs)


def test_8_2_3_set_cookie_stays_as_it_is(h2):
    response, _ = h2.exchange(script=(read_body, ok(b"x", "Set-Cookie: a=b", "Set-Cookie: c=d")))
    assert response.all("set-cookie") == ["a=b", "c=d"]


# ---- 8.3 pseudo-header fields

@pytest.mark.parametrize("fields", [
    part([(":method", "GET"), (":scheme", "https"), ("x", "y"), (":path", "/"),
          (":authority", "a.example")], "behind another"),
    part([("x", "y"), *request()], "behind the first"),
    part([*request(), (":path", "/other")], "path twice"),
    part([*request(), (":method", "GET")], "method twice"),
    part([*request(), (":scheme", "https")], "scheme twice"),
    part([*request(), (":authority", "a.example")], "authority twice"),
    part([*request(), (":unknown", "x")], "unknown"), part([*request(), (":", "x")], "nameless"),
    part([*request(), (":status", "200")], "of a response"),
    part([*request(), (":Path", "/")], "upper case"),
    part([*request(), (":protocol", "websocket")], "protocol without connect"),
    part([], "none at all"), part([("x", "y")], "only fields"),
    part([(":status", "200")], "a response")])
def test_8_3_pseudo_fields(refuse, fields):
    refuse(fields)


@pytest.mark.parametrize("name", ["method", "scheme", "path"])
@pytest.mark.parametrize("value", [None, ""])
def test_8_3_1_pseudo_fields_that_must_be_there(refuse, name, value):
    refuse(request(**{name: value}))


@pytest.mark.parametrize("path", ["a", "*", "a.example/x", "?x", "#", "/a#b", "\\", "//\\ ",
                                  "http://a.example/", "/\xe9", "/a b", "/%00", "/%zz"])
def test_8_3_1_paths(refuse, path):
    refuse(request(path=path))


@pytest.mark.parametrize("named", ["user@a.example", "user:pass@a.example", "a.example:x", "a/b",
                                       "a b", "a.example:99999", "::1", "[::1", "a,b"])
def test_8_3_1_authorities(refuse, named):
    refuse(request(authority=named))


def test_8_3_1_asterisk_form_is_for_options(h2):
    client, mark = h2.client(), h2.mark
    stream = client.ask("*", method="OPTIONS")
    assert stream.status in (200, 204)
    assert [r.target for r in h2.door.seen_since(mark)] in ([], ["*"])


@pytest.mark.parametrize("host, named", [
    ("b.example", "a.example"), ("a.example:81", "a.example"), ("", "a.example"),
    ("a.example, b.example", "a.example")])
def test_8_3_1_host_and_authority_that_disagree(refuse, host, named):
    refuse([*request(authority=named), ("host", host)])


def test_8_3_1_two_hosts(refuse):
    refuse([*request(), ("host", "a.example"), ("host", "a.example")])
    refuse([*request(authority=None), ("host", "a.example"), ("host", "b.example")])


@pytest.mark.parametrize("named, host", [("a.example", "a.example"), (None, "a.example"),
                                             ("a.example", "A.EXAMPLE")])
def test_8_3_1_host_is_what_the_authority_says(h2, named, host):
    response, got = h2.exchange(("host", host), authority=named)
    assert response.status == 200 and got.get("host").lower() == "a.example"


def test_8_3_1_neither_host_nor_authority(refuse):
    refuse(request(authority=None))
    refuse(request(authority=""))


@pytest.mark.parametrize("scheme", ["ftp", "https:", "h ttps", "1"])
def test_8_3_1_schemes(h2, shared, scheme):
    mark = h2.mark
    stream = shared.open(request(scheme=scheme))
    stream.wait(lambda: stream.over, "a refusal")
    assert stream.reset == Code.PROTOCOL_ERROR or 400 <= stream.status < 500
    shared.works()
    assert [r for r in h2.door.seen_since(mark) if r.target != "/works"] == []


@pytest.mark.parametrize("method", ["BREW", "get", "X" * 60])
def test_8_3_1_unknown_methods(h2, shared, method):
    assert shared.ask(method=method).status == 501


@pytest.mark.parametrize("method", ["G ET", "G\tET", "GET\r\n", "(", "G\xe9"])
def test_8_3_1_methods_that_are_none(refuse, method):
    refuse(request(method=method))


def test_8_3_2_responses_have_a_status_and_nothing_else(h2):
    # Endpoint finds it where they have more.
    response, _ = h2.exchange(script=(read_body, ok(b"x", "X-A: b", status="299 Very fine")))
    assert response.status == 299 and response.get("x-a") == "b"
    assert [n for n, _ in response.fields if n.startswith(b":")] == [b":status"]


# ---- 8.5 CONNECT, 8.6 upgrades

def test_8_5_connect_is_refused(h2, shared):
    mark = h2.mark
    stream = shared.open([(":method", "CONNECT"), (":authority", "a.example:443")], end=False)
    stream.wait(lambda: stream.over, "a refusal")
    assert stream.reset in (Code.PROTOCOL_ERROR, Code.REFUSED_STREAM, Code.CONNECT_ERROR) or \
        stream.status in (400, 405, 501), (stream.fields, stream.reset)
    shared.works()
    assert [r for r in h2.door.seen_since(mark) if r.target != "/works"] == []


@pytest.mark.parametrize("fields", [
    part([(":method", "CONNECT")], "no authority"),
    part([(":method", "CONNECT"), (":authority", "a.example:443"), (":path", "/")], "path"),
    part([(":method", "CONNECT"), (":authority", "a.example:443"), (":scheme", "https")], "scheme"),
    part([(":method", "CONNECT"), (":authority", "")], "empty")])
def test_8_5_connect_that_is_malformed(h2, shared, fields):
    stream = shared.open(fields)
    stream.wait(lambda: stream.over, "a refusal")
    assert stream.reset == Code.PROTOCOL_ERROR or stream.status in (400, 405, 501)
    shared.works()


def test_8_6_there_is_no_101(h2):
    client = h2.client()
    stream = client.request(h2.case(read_body, (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")).path)
    assert stream.done().status == 502
    assert not stream.interim


# ---- limits, and what breaks in the middle

def test_8_7_too_large_is_answered_on_the_stream(h2):
    client = h2.client(listener="small")
    for fields, status in (([("x", "a" * 5000)], 431), ([(f"x-{i}", "a") for i in range(30)], 431)):
        stream = client.request("/", *fields)
        stream.wait(lambda s=stream: s.over, "a refusal")
        assert stream.reset is not None or stream.status == status
        client.works()
    stream = client.request("/" + "a" * 5000)
    stream.wait(lambda: stream.over, "a refusal")
    assert stream.reset is not None or stream.status in (414, 431)
    client.works()


@pytest.mark.parametrize("fields", [[("content-length", "2000")], []])
def test_8_7_a_body_that_is_too_large_is_413(h2, fields):
    client, case = h2.client(listener="small"), h2.case()
    stream = client.request(case.path, *fields, method="POST", end=False)
    client.send(frame(DATA, 0, 1, b"x" * 1500))
    stream.wait_head()
    assert stream.status == 413
    client.works()
    assert all(not r.whole for r in case.requests)


@pytest.mark.parametrize("last", [reset, close])
@pytest.mark.parametrize("begun", [
    part(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", "length"),
    part(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "chunked")])
def test_8_1_1_a_response_that_is_cut_is_no_whole_one(h2, begun, last):
    client = h2.client()
    stream = client.request(h2.case(read_body, begun, pause(0.05), last).path)
    stream.cut(Code.INTERNAL_ERROR, Code.CANCEL, Code.PROTOCOL_ERROR)
    assert not stream.ended
    client.works()


def test_8_7_a_request_that_is_cut_is_no_whole_one(h2):
    client, case = h2.client(), h2.case()
    client.request(case.path, method="POST", end=False)
    client.send(frame(DATA, 0, 1, b"abc"))
    wait_until(lambda: case.requests, "a request at the backend")
    cuts = len(h2.door.backend.cuts) + len(h2.door.backend.errors)
    client.close()
    wait_until(lambda: len(h2.door.backend.cuts) + len(h2.door.backend.errors) > cuts, "a cut")
    assert not case.requests[0].whole


def test_8_8_head_and_statuses_without_a_body(h2):
    client = h2.client()
    for method, answer, status in (
            ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
            ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
            ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n", 304)):
        response, _ = h2.exchange(client=client, method=method, script=(read_body, answer))
        assert response.status == status and response.total == 0
        if method == "HEAD":
            assert response.get("content-length") == "5"
    client.works()
