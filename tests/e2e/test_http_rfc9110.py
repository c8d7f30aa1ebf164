"""What HTTP means, as RFC 9110 has it, by its sections: methods, fields that are a connection's
own, what a proxy says of itself, interim answers, upgrades, and the errors that are made here."""

import email.utils
import json
import re
import time

import pytest

from support.rawbackend import (close, echo_tunnel, half_close, hang, patience_ms, pause,
                                read_body)
from support.rawhttp import BROKEN, Cut, chunked, get, ok, post
from support.wait import PATIENCE, wait_until

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: x\r\n\r\n")


@pytest.fixture(scope="module")
def door(http_door, authority):
    leaf = authority.leaf("a.example").pem
    return http_door({
        "tls": {"tls": {"certificates": [leaf]}},
        "trusting": {"trusted_proxies": ["127.0.0.0/8"]},
        "trusting others": {"trusted_proxies": ["10.0.0.0/8", "2001:db8::/32"]},
        "rfc7239": {"tls": {"certificates": [leaf]}, "http": {"forwarded": "rfc7239"}},
        "both": {"trusted_proxies": ["127.0.0.1/32"], "http": {"forwarded": "both"}},
        "silent": {"http": {"forwarded": "none"}},
        "small": {"http": {"max_body_size": "1000", "max_header_size": "4KiB"}},
        "impatient": {"pool": "impatient"},
        "routed": {"routes": [{"host": "a.example", "path_prefix": "/", "pool": "back"}]},
    }, pools={"impatient": {"timeouts": {"response_header": patience_ms(400)}}})


@pytest.fixture(autouse=True)
def well_formed(door):
    """Whatever a test does, the backend gets nothing but good requests."""
    yield
    door.check()


# ---- 6, 7.6: what is added, and what is taken away

def test_6_6_1_date_is_added_where_it_is_missing(door):
    response, _ = door.exchange(get, read_body, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    date = email.utils.parsedate_to_datetime(response.get("date"))
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", response.get("date"))
    assert abs(date.timestamp() - time.time()) < 10


def test_6_6_1_date_is_in_answers_made_here(door):
    with door.client() as client:
        assert client.ask(b"BAD\r\n\r\n").get("date")


@pytest.mark.parametrize("fields", [
    ("Connection: X-Mine",), ("Connection: close, x-mine",), ("connection: X-MINE , keep-alive",),
    ("Connection: other", "Connection: x-mine"), ("Connection: ,,x-mine,",)],
    ids=lambda f: " + ".join(f))
def test_7_6_1_what_connection_names_goes_no_further(door, fields):
    _, got = door.exchange(lambda path: get(path, "X-Mine: 1", *fields, "X-Other: 2"))
    assert got.passed == [(b"X-Other", b"2")]


@pytest.mark.parametrize("line", [
    "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: gzip", "Upgrade: foo",
    "HTTP2-Settings: AAAA", "Connection: nothing", "Connection: "])
def test_7_6_1_a_connection_s_own_fields_go_no_further(door, line):
    _, got = door.exchange(lambda path: get(path, line, "X-Other: 2"))
    assert got.passed == [(b"X-Other", b"2")]
    assert got.list("connection") in ([], ["keep-alive"])


def test_7_6_1_a_response_s_own_fields_go_no_further(door):
    case = door.case(read_body, ok(b"x", "Connection: X-Mine", "X-Mine: 1", "Keep-Alive: timeout=9",
                                   "Proxy-Connection: keep-alive", "X-Other: 2"))
    with door.client() as client:
        for _ in range(2):
            response = client.ask(get(case.path))
            assert response.get("x-other") == "2" and response.body == b"x"
            for name in ("x-mine", "keep-alive", "proxy-connection", "upgrade"):
                assert response.get(name) is None
    assert len(set(case.visits)) == 1


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
                                  "X-Forwarded-Port", "X-Request-Id", "Via", "Host",
                                  "Content-Length", "Transfer-Encoding"])
@pytest.mark.parametrize("listener", ["door", "trusting"])
def test_7_6_1_connection_does_not_take_away_what_is_ours(door, name, listener):
    """Else a client hides where it comes from, or how long its body is."""
    case = door.case()
    with door.client(listener) as client:
        response = client.ask(post(case.path, b"hello", f"Connection: {name}"))
    if response.status == 400:  # it may be taken for an attempt at framing
        assert name in ("Host", "Content-Length", "Transfer-Encoding")
        return
    got = case.one()
    assert got.body == b"hello" and got.get("host") == "a.example"
    assert got.get("x-forwarded-for") == "127.0.0.1" and got.get("x-forwarded-proto") == "http"
    assert got.get("x-request-id")


def test_7_6_2_options_with_no_forwards_left_is_answered_here(door):
    mark = len(door.backend.requests)
    with door.client() as client:
        for target in ("/", "*"):
            response = client.ask(get(target, "Max-Forwards: 0", method="OPTIONS"))
            assert response.status in (200, 204) and response.get("date")
        assert client.ask(get("/after")).status == 200
    assert [r.target for r in door.seen_since(mark)] == ["/after"]


def test_7_6_2_max_forwards_counts_down_for_options_alone(door):
    _, got = door.exchange(lambda path: get(path, "Max-Forwards: 5", method="OPTIONS"))
    assert got.get("max-forwards") == "4"
    _, got = door.exchange(lambda path: get(path, "Max-Forwards: 0"))
    assert got.get("max-forwards") == "0"


@pytest.mark.parametrize("value", ["x", "-1", "99999999999999999999999", "1, 2"])
def test_7_6_2_max_forwards_that_is_no_number(door, value):
    case = door.case()
    with door.client() as client:
        assert client.ask(get(case.path, f"Max-Forwards: {value}",
                              method="OPTIONS")).status in (200, 204, 400)


def test_7_6_3_via_says_what_version_came(door):
    for version in ("1.0", "1.1"):
        _, got = door.exchange(lambda path, v=version: get(path, version=v))
        assert re.fullmatch(re.escape(version) + r" \S+", got.get("via"))
    _, got = door.exchange(lambda path: get(path, "Via: 1.1 before, 1.0 fred"))
    via = got.list("via")
    assert len(via) == 3 and via[:2] == ["1.1 before", "1.0 fred"] and via[2].startswith("1.1 ")


# ---- forwarded fields

def test_7_6_forwarded_fields_say_who_asks(door):
    _, got = door.exchange(lambda path: get(path, host="a.example"))
    assert got.get("x-forwarded-for") == "127.0.0.1"
    assert got.get("x-forwarded-proto") == "http"
    assert got.get("x-forwarded-host") == "a.example"
    assert got.get("x-forwarded-port") == str(door.port())
    assert got.get("forwarded") is None
    _, got = door.exchange(get, listener="tls")
    assert got.get("x-forwarded-proto") == "https"
    assert got.get("x-forwarded-port") == str(door.port("tls"))


FORGED = ("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example",
          "X-Forwarded-Port: 1", "Forwarded: for=1.2.3.4", "X-Request-Id: forged")


@pytest.mark.parametrize("listener", ["door", "trusting others"])
def test_7_6_a_stranger_s_forwarded_fields_are_not_believed(door, listener):
    _, got = door.exchange(lambda path: get(path, *FORGED, "x-forwarded-for: 5.6.7.8"),
                           listener=listener)
    assert got.get("x-forwarded-for") == "127.0.0.1"
    assert got.get("x-forwarded-proto") == "http"
    assert got.get("x-forwarded-host") == "a.example"
    assert got.get("x-forwarded-port") == str(door.port(listener))
    assert got.get("forwarded") is None
    assert got.get("x-request-id") not in (None, "", "forged")
    assert b"1.2.3.4" not in got.raw and b"evil" not in got.raw


@pytest.mark.parametrize("name", ["X_Forwarded_For", "x-Forwarded-FOR", "X-FORWARDED-PROTO"])
def test_7_6_no_spelling_of_a_stranger_s_field_passes(door, name):
    _, got = door.exchange(lambda path: get(path, f"{name}: 1.2.3.4"))
    assert got.get("x-forwarded-for") == "127.0.0.1" and got.get("x-forwarded-proto") == "http"
    if "_" not in name:
        assert b"1.2.3.4" not in got.raw


def test_7_6_a_trusted_proxy_s_forwarded_fields_are_kept(door):
    _, got = door.exchange(lambda path: get(path, *FORGED[:4], "X-Request-Id: theirs-1"),
                           listener="trusting")
    assert got.list("x-forwarded-for") == ["1.2.3.4", "127.0.0.1"]
    assert got.get("x-forwarded-proto") == "https"
    assert got.get("x-forwarded-host") == "evil.example"
    assert got.get("x-forwarded-port") == "1"
    assert got.get("x-request-id") == "theirs-1"


def test_7_6_forwarded_of_rfc_7239(door):
    _, got = door.exchange(get, listener="rfc7239")
    assert got.get("x-forwarded-for") is None
    pairs = dict(p.split("=", 1) for p in re.split(r"; ?", got.get("forwarded").lower()))
    assert re.fullmatch(r'"?127\.0\.0\.1(:\d+)?"?', pairs["for"])
    assert pairs["proto"] == "https" and pairs["host"].strip('"') == "a.example"
    _, got = door.exchange(lambda path: get(path, "Forwarded: for=1.2.3.4"), listener="rfc7239")
    assert "1.2.3.4" not in got.get("forwarded")


def test_7_6_forwarded_in_both_ways(door):
    _, got = door.exchange(lambda path: get(path, "Forwarded: for=1.2.3.4;proto=https",
                                            "X-Forwarded-For: 1.2.3.4"), listener="both")
    assert got.list("x-forwarded-for") == ["1.2.3.4", "127.0.0.1"]
    elements = got.list("forwarded")
    assert elements[0] == "for=1.2.3.4;proto=https" and len(elements) == 2
    assert "127.0.0.1" in elements[1]


def test_7_6_forwarded_in_no_way(door):
    _, got = door.exchange(lambda path: get(path, *FORGED[:5]), listener="silent")
    for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
                 "forwarded"):
        assert got.get(name) is None


def test_7_6_host_s_port_and_case(door):
    _, got = door.exchange(lambda path: get(path, host="A.Example:8443"))
    assert got.get("host").lower() in ("a.example", "a.example:8443")
    assert got.get("x-forwarded-host").lower() in ("a.example", "a.example:8443")


def test_7_6_each_request_has_an_id_of_its_own(door):
    case = door.case()
    with door.client() as client:
        for _ in range(10):
            client.ask(get(case.path))
    ids = {r.get("x-request-id") for r in case.all(10)}
    assert len(ids) == 10 and all(re.fullmatch(r"[0-9A-Za-z-]{16,64}", i) for i in ids)


@pytest.mark.parametrize("value", ["a" * 5000, "a b\"c", "<script>", "\xe9"])
def test_7_6_an_id_from_a_trusted_proxy_is_sane_or_replaced(door, value):
    """It goes to logs: what is odd or endless is not taken over without care."""
    case = door.case()
    with door.client("trusting") as client:
        client.ask(get(case.path, f"X-Request-Id: {value}"))
    got = case.one()
    assert got.get("x-request-id")
    record = door.record(case.path)
    assert len(record["request_id"]) <= 300


# ---- 7.8 upgrade

def tunnel(door, listener="door"):
    """An upgraded connection, and its case."""
    case = door.case(SWITCH, echo_tunnel)
    client = door.client(listener)
    response = client.ask(get(case.path, *UPGRADE, "Sec-WebSocket-Key: k"))
    assert response.status == 101
    assert response.list("connection") == ["upgrade"]
    assert response.get("upgrade") == "websocket"
    assert response.get("sec-websocket-accept") == "x"
    return client, case


@pytest.mark.parametrize("listener", ["door", "tls"])
def test_7_8_an_upgrade_opens_a_tunnel(door, listener):
    client, case = tunnel(door, listener)
    with client:
        for data in (b"hello", b"\x00\r\n\r\nGET / HTTP/1.1\r\n\r\n", bytes(200_000)):
            client.send(data)
            assert client.stream.exactly(len(data)) == data
        client.end()
        # The other direction is still open.
        assert client.stream.exactly(3) == b"bye"
        assert client.ended()
    got = case.requests[0]
    assert got.list("connection") == ["upgrade"] and got.get("upgrade") == "websocket"
    assert got.get("sec-websocket-key") == "k"


def test_7_8_bytes_right_behind_the_request_are_the_tunnel_s(door):
    case = door.case(SWITCH, echo_tunnel)
    with door.client() as client:
        client.send(get(case.path, *UPGRADE) + b"early")
        assert client.final().status == 101
        assert client.stream.exactly(5) == b"early"


def test_7_8_bytes_right_behind_the_answer_are_the_tunnel_s(door):
    case = door.case(SWITCH + b"welcome", half_close)
    with door.client() as client:
        assert client.ask(get(case.path, *UPGRADE)).status == 101
        assert client.stream.exactly(7) == b"welcome"
        assert client.stream.at_end()
        client.send(b"still here").end()
    wait_until(lambda: case.requests[0].tunnel == b"still here", "the rest at the backend")


def test_7_8_a_tunnel_that_breaks_is_seen_to_break(door):
    from support.rawbackend import reset
    case = door.case(SWITCH + b"welcome", reset)
    with door.client("tls") as client:
        client.send(get(case.path, *UPGRADE))
        with pytest.raises(BROKEN):
            client.final()
            client.stream.rest()


def test_7_8_an_upgrade_that_the_backend_ignores(door):
    case = door.case()
    with door.client() as client:
        response = client.ask(get(case.path, *UPGRADE))
        assert response.status == 200 and response.body == b"ok"
        assert client.ask(get("/next")).body == b"ok"


def test_7_8_101_that_nobody_asked_for_is_502(door):
    case = door.case(SWITCH, hang)
    with door.client() as client:
        client.send(get(case.path) + get("/next"))
        assert client.final().status == 502


def test_7_8_101_to_another_protocol_than_asked_for_is_502(door):
    case = door.case(SWITCH.replace(b"websocket", b"other"), hang)
    with door.client() as client:
        assert client.ask(get(case.path, *UPGRADE)).status == 502


@pytest.mark.parametrize("fields", [
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
     "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAA"),
    ("Connection: Upgrade", "Upgrade: H2C"),
    ("Connection: Upgrade", "Upgrade: h2c, websocket"),
    ("Connection: Upgrade", "Upgrade: websocket, h2c"),
    ("Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"),
    ("Connection: Upgrade", "Upgrade: h2c/1"),
    ("Connection: HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAA"),
    ("Upgrade: h2c",)], ids=" ".join)
def test_7_8_h2c_is_never_passed_on(door, fields):
    case = door.case()
    with door.client() as client:
        response = client.ask(get(case.path, *fields))
        assert response.status in (200, 400)
    door.settle()
    for got in case.requests:
        assert b"h2c" not in got.raw.lower() and got.get("http2-settings") is None
        assert got.list("upgrade") in ([], ["websocket"])


def test_7_8_upgrade_without_connection_is_none(door):
    for words in ({}, {"version": "1.0"}):
        fields = ("Upgrade: websocket",) if not words else UPGRADE
        _, got = door.exchange(lambda path, f=fields, w=words: get(path, *f, **w))
        assert got.get("upgrade") is None and "upgrade" not in got.list("connection")


# ---- 8, 9: methods

def test_9_3_2_head_has_no_body(door):
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-A: b\r\n\r\n")
    with door.client() as client:
        for _ in range(3):
            response = client.ask(get(case.path, method="HEAD"), method="HEAD")
            assert response.status == 200 and response.get("x-a") == "b"
            assert response.get("content-length") == "1234"
        assert client.ask(get("/next")).body == b"ok"
    assert len(set(case.visits)) == 1


def test_9_3_2_head_of_what_would_be_chunked(door):
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with door.client() as client:
        assert client.ask(get(case.path, method="HEAD"), method="HEAD").status == 200
        assert client.ask(get("/next")).body == b"ok"


def test_9_3_2_head_answered_with_a_body_spoils_nothing(door):
    case = door.case(read_body, ok(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))
    with door.client() as client:
        assert client.ask(get(case.path, method="HEAD"), method="HEAD").status == 200
        for _ in range(3):
            assert client.ask(get("/next")).body == b"ok"


def test_9_3_6_connect_is_refused(door):
    mark = len(door.backend.requests)
    with door.client() as client:
        assert client.ask(b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n"
                          ).status in (400, 405, 501)
        assert client.ended()
    assert door.seen_since(mark) == []


def test_9_3_8_trace_is_refused(door):
    mark = len(door.backend.requests)
    with door.client() as client:
        for fields in ((), ("Max-Forwards: 0",)):
            response = client.ask(get("/", "Cookie: secret=1", *fields, method="TRACE"))
            assert response.status in (405, 501) and b"secret" not in response.raw
            if "close" in response.list("connection"):
                break
    assert door.seen_since(mark) == []


# ---- 10.1.1 expect

EXPECT = "Expect: 100-continue"


def test_10_1_1_a_backend_s_100_is_passed_on(door):
    case = door.case(b"HTTP/1.1 100 Continue\r\n\r\n", read_body, ok(b"thanks"))
    with door.client() as client:
        client.send(get(case.path, "Content-Length: 5", EXPECT, method="POST"))
        assert client.next().status == 100
        client.send(b"hello")
        assert client.next().body == b"thanks"
        assert client.ask(get("/next")).body == b"ok"
    assert case.one().body == b"hello"


def test_10_1_1_a_backend_that_ignores_it_is_waited_for_one_second(door):
    case = door.case()
    with door.client() as client:
        began = time.monotonic()
        client.send(get(case.path, "Content-Length: 5", EXPECT, method="POST"))
        assert client.next().status == 100
        took = time.monotonic() - began
        client.send(b"hello")
        assert client.next().status == 200
    assert 0.7 < took < 1 + PATIENCE / 2
    assert case.one().body == b"hello"


def test_10_1_1_a_final_answer_ends_the_wait(door):
    case = door.case(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    with door.client() as client:
        client.send(get(case.path, "Content-Length: 5", EXPECT, method="POST"))
        response = client.final()
        assert response.status == 403 and response.interim == []
        # What comes now might be the body or a request: it is not asked.
        if "close" in response.list("connection"):
            assert client.ended()
    door.settle()
    assert not [r for r in case.requests if r.whole]


def test_10_1_1_a_backend_that_still_waits_for_a_body_is_not_used_again(door):
    """What comes next would be taken for that body."""
    case = door.case(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    for _ in range(3):
        with door.client() as client:
            client.send(get(case.path, "Content-Length: 500", EXPECT, method="POST"))
            assert client.final().status == 403
        with door.client() as client:
            assert client.ask(get("/next")).body == b"ok"
    assert len(set(case.visits)) == 3


def test_10_1_1_a_body_that_is_not_waited_for_passes(door):
    case = door.case()
    with door.client() as client:
        began = time.monotonic()
        response = client.ask(post(case.path, b"hello", EXPECT))
        assert response.status == 200
        assert time.monotonic() - began < 1 + PATIENCE / 2
    assert case.one().body == b"hello"


@pytest.mark.parametrize("fields, words", [
    (("Content-Length: 5", EXPECT), {"version": "1.0"}), (("Content-Length: 0", EXPECT), {}),
    ((EXPECT,), {"method": "GET"})], ids=["of 1.0", "empty", "none"])
def test_10_1_1_where_there_is_nothing_to_expect(door, fields, words):
    case = door.case()
    with door.client() as client:
        body = b"hello" if words.get("version") else b""
        response = client.ask(get(case.path, *fields, **{"method": "POST", **words}, body=body))
        assert response.status == 200
        if words.get("version") == "1.0":
            assert response.interim == []


def test_10_1_1_chunked_bodies_may_be_expected_too(door):
    case = door.case(b"HTTP/1.1 100 Continue\r\n\r\n", read_body, ok())
    with door.client() as client:
        client.send(get(case.path, "Transfer-Encoding: chunked", EXPECT, method="POST"))
        assert client.next().status == 100
        assert client.ask(chunked(b"hello")).status == 200
    assert case.one().body == b"hello"


def test_10_1_1_an_expectation_that_is_not_known_is_417(door):
    with door.client() as client:
        assert client.ask(get("/", "Expect: miracles")).status == 417


def test_10_1_1_too_long_a_body_is_refused_before_it_is_sent(door):
    mark = len(door.backend.requests)
    with door.client("small") as client:
        client.send(get("/", "Content-Length: 5000", EXPECT, method="POST"))
        response = client.final()
        assert response.status == 413 and response.interim == []
        assert client.ended()
    assert door.seen_since(mark) == []


# ---- 15 statuses

def test_15_2_interim_answers_pass(door):
    case = door.case(read_body, b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
                     pause(0.05), b"HTTP/1.1 102 Processing\r\n\r\n"
                     b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n", ok(b"done"))
    with door.client() as client:
        for _ in range(2):
            response = client.ask(get(case.path))
            assert response.body == b"done"
            assert [r.status for r in response.interim] == [103, 102, 103]
            assert response.interim[0].get("link") == "</a.css>; rel=preload"
        assert client.ask(get("/next")).body == b"ok"


def test_15_2_interim_answers_are_not_for_http_1_0(door):
    case = door.case(read_body, b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", ok(b"done"))
    with door.client() as client:
        response = client.ask(get(case.path, version="1.0"))
        assert response.body == b"done" and response.interim == []
        assert client.ended()


def test_15_2_1_a_100_that_nobody_asked_for_harms_nobody(door):
    case = door.case(b"HTTP/1.1 100 Continue\r\n\r\n", read_body, ok(b"done"))
    with door.client() as client:
        response = client.ask(post(case.path, b"hello"))
        assert response.body == b"done"
        assert client.ask(get("/next")).body == b"ok"


@pytest.mark.parametrize("status", [200, 201, 206, 301, 302, 400, 401, 404, 418, 429, 500,
                                    503, 599])
def test_15_statuses_pass_as_they_are(door, status):
    response, _ = door.exchange(get, read_body, ok(b"body", status=f"{status} Own words"))
    assert response.status == status and response.body == b"body"
    assert response.reason == "Own words"


# ---- 12.5.1 errors that are made here

ERRORS = [
    (b"BAD\r\n", 400), (b"GET / HTTP/7.0\r\n", 505), (b"BREW / HTTP/1.1\r\n", 501),
    (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n", 414),
    (b"GET / HTTP/1.1\r\nX: " + b"a" * 5000 + b"\r\n", 431),
    (b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n", 413),
]


def failing(door, accept, method="GET"):
    """A request to a backend that hangs, and its 504."""
    case = door.case(read_body, hang)
    with door.client("impatient") as client:
        fields = [f"Accept: {accept}"] if accept else []
        return client.ask(get(case.path, *fields, method=method), method)


@pytest.mark.parametrize("accept, kind", [
    ("application/json", "application/json"), ("text/html", "text/html"),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
    ("text/plain", "text/plain"), (None, "text/plain"), ("*/*", "text/plain"),
    ("application/json;q=0.9, text/html;q=0.1", "application/json")])
def test_12_5_1_errors_are_typed_by_accept(door, accept, kind):
    response = failing(door, accept)
    assert response.status == 504
    assert response.get("content-type").split(";")[0] == kind
    assert 0 < len(response.body) < 2000
    if kind == "application/json":
        assert "504" in json.dumps(json.loads(response.body))
    elif kind == "text/html":
        assert b"504" in response.body and b"<html" in response.body.lower()
    else:
        assert b"504" in response.body


def test_12_5_1_errors_for_head_have_no_body(door):
    response = failing(door, "text/html", "HEAD")
    assert response.status == 504 and response.framing == "none"


@pytest.mark.parametrize("start, status", ERRORS, ids=[str(s) for _, s in ERRORS])
def test_15_errors_are_small_and_counted(door, start, status):
    with door.client("small") as client:
        response = client.ask(start + b"Host: a.example\r\nAccept: application/json\r\n\r\n")
        assert response.status == status and len(response.body) < 2000
        assert response.get("content-length") and response.get("content-type")
    record = door.instance.wait_record(event="request", status=status, listener="small")
    assert record["cause"] not in ("closed", "none", None)


def test_15_5_5_a_route_that_is_not_there_is_404(door):
    with door.client("routed") as client:
        assert client.ask(get("/", host="a.example")).status == 200
        response = client.ask(get("/", host="b.example"))
        assert response.status == 404
        # That is no fault of the connection.
        assert client.ask(get("/", host="a.example")).status == 200
    assert door.instance.wait_record(event="request", listener="routed",
                                     status=404)["cause"] == "no_route"


def test_15_6_5_a_backend_that_hangs_is_504(door):
    case = door.case(read_body, hang)
    with door.client("impatient") as client:
        assert client.ask(get(case.path)).status == 504
        assert client.ask(get("/next")).body == b"ok"
    assert door.record(case.path)["cause"] == "response_timeout"


def test_15_2_2_a_wait_is_for_the_head_not_for_the_body(door):
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
                     pause(PATIENCE / 15), b"67890")
    with door.client("impatient") as client:
        assert client.ask(get(case.path)).body == b"1234567890"


def test_9_2_2_a_body_without_end_stays_open(door):
    """A stream of events, say, comes as it is made."""
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\n\r\nevent 1\n", pause(0.05), b"event 2\n",
                     close)
    with door.client() as client:
        assert client.ask(get(case.path)).body == b"event 1\nevent 2\n"
    with door.client() as client:
        assert client.ask(get(case.path, version="1.0")).body == b"event 1\nevent 2\n"


def test_8_6_a_cut_body_is_seen_to_be_cut(door):
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", close)
    with door.client() as client:
        with pytest.raises((Cut, *BROKEN)):
            client.ask(get(case.path))
