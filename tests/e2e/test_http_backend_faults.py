"""A backend that fails in every way it can: the client gets 502 or 504, or an abort that it can
see, never a cut body that looks whole; and the next request is right."""

import socket
import threading
import time

import pytest

from support import backends
from support.ports import HOST, free_port
from support.rawbackend import (RawBackend, close, hang, part, patience_ms, pause, read_body,
                                reset, truncate)
from support.rawhttp import BROKEN, chunked, get, ok, post
from support.tlsclient import server_context
from support.wait import PATIENCE, wait_until

SOON = patience_ms(400)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def silent():
    """Address of a server whose queue is full: it answers no SYN."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(0)
        held = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(listener.getsockname())
            held.append(s)
        time.sleep(0.1)
        yield "%s:%d" % listener.getsockname()
        for s in held:
            s.close()


@pytest.fixture(scope="module")
def dead():
    """Addresses where nobody listens."""
    return [f"{HOST}:{free_port()}" for _ in range(2)]


@pytest.fixture(scope="module")
def secure(authority):
    """A raw backend that speaks TLS."""
    made = RawBackend(tls=server_context(authority.leaf("127.0.0.1")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def door(http_door, authority, silent, dead, secure):
    return http_door({
        "tls": {"tls": {"certificates": [authority.leaf("a.example").pem]}, "pool": "hasty"},
        "hasty": {"pool": "hasty"},
        "short": {"pool": "short"},
        "refused": {"pool": "refused"},
        "refusing first": {"pool": "refusing first"},
        "silent": {"pool": "silent"},
        "one": {"pool": "one"},
        "kept": {"pool": "kept"},
        "secure": {"pool": "secure"},
        "none kept": {"pool": "none kept"},
    }, {
        "hasty": {"timeouts": {"response_header": SOON, "idle": SOON}},
        "short": {"connections": {"idle_timeout": SOON}},
        "refused": {"servers": dead},
        # Its second server is the raw backend, by http_door.
        "refusing first": {"before": [dead[0]], "balance": "round_robin"},
        "silent": {"servers": [silent], "timeouts": {"connect": SOON}},
        "one": {"connections": {"max": 1, "max_pending": 0}},
        "kept": {"connections": {"idle": 1}},
        "none kept": {"connections": {"idle": 0}},
        "secure": {"servers": [secure.address], "tls": {"ca": authority.path}},
    })


@pytest.fixture(autouse=True)
def well_formed(door):
    """Whatever a test does, the backend gets nothing but good requests."""
    yield
    door.check()


def assert_next_is_right(door, client=None):
    """What comes after a fault has nothing of it."""
    for connection in ([client] if client else [door.client(), door.client("hasty")]):
        assert connection.ask(get("/next")).body == b"ok"
        if connection is not client:
            connection.socket.close()


def fails(door, status, cause, *script, listener="hasty", make=get, method="GET"):
    """The client gets that error, and can go on on the same connection; the log has the cause."""
    causes = (cause,) if isinstance(cause, str) else cause
    case = door.case(*script)
    with door.client(listener) as client:
        response = client.ask(make(case.path), method)
        assert response.status == status, response
        if "close" in response.list("connection"):
            assert client.ended()
        else:
            assert_next_is_right(door, client)
    record = door.record(case.path)
    assert record["status"] == status and record["cause"] in causes, record
    assert record["pool"] == listener and record["server"] == door.backend.address
    assert_next_is_right(door)
    return case


def breaks(door, *script, listener="hasty", version="1.1"):
    """The answer begins, and then breaks off in a way that no client takes for its end."""
    case = door.case(*script)
    with door.client(listener) as client:
        client.send(get(case.path, version=version))
        with pytest.raises(BROKEN):
            response = client.final()
            raise AssertionError(f"that looked whole: {response}")
    record = door.record(case.path)
    assert record["status"] == 200 and record["cause"] not in ("none", "closed", None), record
    assert_next_is_right(door)
    return record


# ---- connecting

def test_refused_by_all_is_502_or_503(door, dead):
    before = door.instance.metrics().get("server_connect_failures_total", pool="refused")
    with door.client("refused") as client:
        for _ in range(2):
            assert client.ask(get("/refused-by-all")).status in (502, 503)
    record = door.record("/refused-by-all")
    assert record["cause"] == "connect_refused" and record["attempt"] >= 2
    metrics = door.instance.metrics()
    assert metrics.get("server_connect_failures_total", pool="refused",
                       cause="connect_refused") >= before + 2
    door.instance.wait_metric(2, "requests_total", listener="refused", code="5xx")
    assert_next_is_right(door)


BULK = bytes(range(256)) * 1200


@pytest.mark.parametrize("make, body", [
    (get, b""), (lambda p: post(p, b"body"), b"body"), (lambda p: post(p, BULK), BULK),
    (lambda p: get(p, "Transfer-Encoding: chunked", method="POST", body=chunked(BULK, b"x")),
     BULK + b"x")], ids=["GET", "POST", "POST in bulk", "chunked"])
def test_the_second_server_takes_over_on_refusal(door, make, body):
    """Nothing of the request has gone anywhere: also one with a body may be sent again."""
    for _ in range(4):
        case = door.case()
        with door.client("refusing first") as client:
            assert client.ask(make(case.path)).body == b"ok"
        assert case.one().body == body
        assert door.record(case.path)["server"] == door.backend.address


def test_a_server_that_does_not_answer_a_connect_is_504(door):
    with door.client("silent") as client:
        began = time.monotonic()
        assert client.ask(get("/silent")).status in (502, 504)
        assert time.monotonic() - began < PATIENCE
    assert door.record("/silent")["cause"] == "connect_timeout"


# ---- before the head

@pytest.mark.parametrize("script", [
    part((close,), "at once"), part((read_body, close), "after the request"),
    part((read_body, b"HTT", close), "in the status line"),
    part((read_body, b"HTTP/1.1 200 OK\r\nX: y", close), "in the fields"),
    part((read_body, b"HTTP/1.1 200 OK\r\nX: y\r\n", close), "before the empty line"),
    part((read_body, b"HTTP/1.1 103 Early Hints\r\n\r\n", close), "after 103"),
    part((read_body, b"HTTP/1.1 100 Continue\r\n\r\n", close), "after 100")])
def test_closed_before_the_head_is_502(door, script):
    fails(door, 502, ("server_closed", "bad_response", "server_truncated"), *script)


@pytest.mark.parametrize("script", [
    part((reset,), "at once"), part((read_body, reset), "after the request"),
    part((read_body, b"HTT", pause(0.02), reset), "in the status line"),
    part((read_body, b"HTTP/1.1 200 OK\r\nX: y", pause(0.02), reset), "in the fields")])
def test_reset_before_the_head_is_502(door, script):
    fails(door, 502, ("server_reset", "server_closed"), *script)


@pytest.mark.parametrize("script", [
    part((read_body, hang), "after the request"), part((read_body, b"HTT", hang), "status line"),
    part((read_body, b"HTTP/1.1 200 OK\r\nX: y", hang), "fields"),
    part((read_body, b"HTTP/1.1 103 Early Hints\r\n\r\n", hang), "after 103")])
def test_hanging_before_the_head_is_504(door, script):
    began = time.monotonic()
    fails(door, 504, "response_timeout", *script)
    assert time.monotonic() - began < PATIENCE


def test_a_head_that_drips_is_504(door):
    """Each byte comes in time, but all together do not."""
    def drip(visit):
        for _ in range(PATIENCE * 20):
            visit.socket.sendall(b"x")
            time.sleep(0.05)
    fails(door, 504, "response_timeout", read_body, b"HTTP/1.1 200 OK\r\nX: ", drip)


def test_a_backend_that_takes_no_body_is_504(door):
    """It neither reads nor answers."""
    done = threading.Event()
    case = door.case(lambda visit: done.wait(PATIENCE), close)
    try:
        with door.client("hasty") as client:
            client.socket.settimeout(PATIENCE)
            client.send(get(case.path, f"Content-Length: {64 << 20}", method="POST"))
            pusher = threading.Thread(target=client.try_send, args=(bytes(64 << 20),), daemon=True)
            pusher.start()
            assert client.final().status == 504
            client.socket.shutdown(socket.SHUT_RDWR)
            pusher.join(PATIENCE)
    finally:
        done.set()
    assert door.record(case.path)["cause"] in ("response_timeout", "server_idle_timeout",
                                               "response_write_timeout")
    assert_next_is_right(door)


# ---- a head that is none

@pytest.mark.parametrize("data", [part(d) for d in (
    b"garbage\r\n\r\n", b"\x00\x01\x02\x03" * 50, b"\r\n\r\n\r\n", b"220 smtp.example ESMTP\r\n",
    b"<html>hello</html>\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 099 X\r\n\r\n", b"HTTP/1.1 999999999999 X\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/0.9 200 OK\r\n\r\n", b"http/1.1 200 OK\r\n\r\n", b" HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1  200 OK\r\n\r\n", b"HTTP/1.1 200 O\x00K\r\n\r\n", b"HTTP/1.1 -200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: y\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", b"HTTP/1.1 200 OK\r\n X: a\r\n\r\n",
    b"HTTP/1.1 200 OK\nX: a\n\n", b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX Y: a\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")])
def test_garbage_is_502(door, data):
    fails(door, 502, ("bad_response", "server_closed"), read_body, data, close)


@pytest.mark.parametrize("fields", [part(d) for d in (
    b"Content-Length: x", b"Content-Length: -1", b"Content-Length: +5", b"Content-Length: 5 5",
    b"Content-Length: ", b"Content-Length: 0x5", b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 5, 6", b"Content-Length: 99999999999999999999999", b"Content-Length: 5;",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:")])
def test_lengths_in_doubt_are_502(door, fields):
    fails(door, 502, ("bad_response", "bad_framing"), read_body,
          b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", close)


def test_a_head_of_a_mebibyte_is_502(door):
    fails(door, 502, ("bad_response", "header_too_large"), read_body,
          b"HTTP/1.1 200 OK\r\nX: " + b"a" * (1 << 20) + b"\r\nContent-Length: 0\r\n\r\n", close)
    fails(door, 502, ("bad_response", "header_too_large"), read_body,
          b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * (1 << 16) + b"Content-Length: 0\r\n\r\n", close)


def test_interim_answers_without_end_are_502_or_504(door):
    def without_end(visit):
        while True:
            visit.socket.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 20)

    case = door.case(read_body, without_end)
    with door.client("hasty") as client:
        assert client.ask(get(case.path)).status in (502, 504)
    assert door.record(case.path)["cause"] in ("bad_response", "response_timeout")
    assert_next_is_right(door)


# ---- in the body

CUT = [
    part((HEAD,), "no byte of ten"), part((HEAD, b"12345"), "five bytes of ten"),
    part((HEAD, b"123456789"), "nine bytes of ten"), part((CHUNKED,), "no chunk"),
    part((CHUNKED, b"5\r\nhello\r\n"), "between chunks"),
    part((CHUNKED, b"5\r\nhel"), "in a chunk"),
    part((CHUNKED, b"5\r\nhello\r\n0"), "in the last line"),
    part((CHUNKED, b"5\r\nhello\r\n0\r\n"), "before the last line"),
    part((CHUNKED, b"5\r\nhello\r\n0\r\nX: y\r\n"), "in the trailers"),
    part((b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", bytes(300_000)), "in bulk"),
]


@pytest.mark.parametrize("listener", ["hasty", "tls"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("script", CUT)
def test_a_body_that_was_closed_is_seen_to_be_cut(door, script, version, listener):
    breaks(door, read_body, *script, close, listener=listener, version=version)


@pytest.mark.parametrize("listener", ["hasty", "tls"])
@pytest.mark.parametrize("script", CUT[1:6:2])
def test_a_body_that_was_reset_is_seen_to_be_cut(door, script, listener):
    record = breaks(door, read_body, *script, pause(0.02), reset, listener=listener)
    assert record["cause"] in ("server_reset", "server_closed", "server_truncated")


@pytest.mark.parametrize("listener", ["hasty", "tls"])
@pytest.mark.parametrize("script", CUT[1:6:2])
def test_a_body_that_hangs_is_seen_to_be_cut(door, script, listener):
    record = breaks(door, read_body, *script, hang, listener=listener)
    assert record["cause"] == "server_idle_timeout"


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("listener", ["hasty", "tls"])
def test_a_body_until_close_that_was_reset_is_seen_to_be_cut(door, version, listener):
    """Its only end is a good one."""
    breaks(door, read_body, b"HTTP/1.1 200 OK\r\n\r\nhello", pause(0.02), reset, listener=listener,
           version=version)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_body_until_close_needs_a_close_notify(door, secure, version):
    case = secure.case(read_body, b"HTTP/1.1 200 OK\r\n\r\nhello", close)
    with door.client("secure") as client:
        assert client.ask(get(case.path, version=version)).body == b"hello"
    case = secure.case(read_body, b"HTTP/1.1 200 OK\r\n\r\nhello", truncate)
    with door.client("secure") as client:
        client.send(get(case.path, version=version))
        with pytest.raises(BROKEN):
            client.final()
    assert door.record(case.path)["cause"] == "server_truncated"
    with door.client("secure") as client:
        assert client.ask(get("/next")).body == b"ok"


@pytest.mark.parametrize("data", [part(d) for d in (
    b"x\r\n", b"-1\r\n", b"5\r\nhello", b"5\r\nhelloworld\r\n0\r\n\r\n", b"5\nhello\n0\n\n",
    b"0x5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nhello\r\n", b"5 x\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nno colon\r\n\r\n", b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
    b"5;" + b"x" * 100_000, b"5\r\nhello\r\n0\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n")])
def test_chunks_in_doubt_are_seen_to_be_cut(door, data):
    """The head may have gone, or not yet."""
    case = door.case(read_body, CHUNKED + data, close)
    with door.client("hasty") as client:
        client.send(get(case.path))
        try:
            assert client.final().status == 502
        except BROKEN:
            pass
    assert door.record(case.path)["cause"] in ("bad_response", "bad_framing", "server_closed",
                                               "server_truncated")
    assert_next_is_right(door)


# ---- behind a response

@pytest.mark.parametrize("after", [part(d) for d in (
    b"x", b"\r\n", ok(b"evil"), b"HTTP/1.1 100 Continue\r\n\r\n", b"a" * 100_000)])
@pytest.mark.parametrize("response", [part(ok(b"first"), "length"), part(
    CHUNKED + chunked(b"first"), "chunked"), part(
    b"HTTP/1.1 304 Not Modified\r\n\r\n", "304"), part(
    b"HTTP/1.1 204 No Content\r\n\r\n", "204")])
def test_bytes_behind_a_response_are_no_answer_to_the_next(door, response, after):
    case = door.case(read_body, response + after)
    with door.client() as client:
        assert client.ask(get(case.path)).status in (200, 204, 304)
        for _ in range(3):
            assert_next_is_right(door, client)


def test_bytes_that_come_to_an_idle_connection_spoil_it(door):
    sent = threading.Event()

    def later(visit):
        visit.socket.sendall(ok(b"first"))
        time.sleep(0.05)
        visit.socket.sendall(ok(b"evil"))
        sent.set()

    case = door.case(read_body, later)
    with door.client() as client:
        assert client.ask(get(case.path)).body == b"first"
        assert sent.wait(PATIENCE)
        for _ in range(3):
            assert_next_is_right(door, client)


# ---- kept connections

def test_a_kept_connection_that_was_closed_is_not_used(door):
    case = door.case(read_body, ok(b"once"), close)
    with door.client() as client:
        for _ in range(10):
            assert client.ask(get(case.path)).body == b"once"
    assert len(set(case.visits)) == 10


def dies_when_used_again(door, make, listener, method="GET"):
    """A connection that answers once, and closes without a byte when a second request has come;
    on any other it answers. Returns the response to that second request, and the case."""
    first = door.case()
    case = door.case(lambda visit: close(visit) if visit is first.visits[0] else None, read_body,
                     ok(b"fresh"))
    with door.client(listener) as client:
        # A pool that keeps one connection: that which has just answered is the one used next.
        assert client.ask(get(first.path)).body == b"ok"
        response = client.ask(make(case.path), method)
        if "close" not in response.list("connection"):
            assert client.ask(get("/next")).body == b"ok"
    return response, case


@pytest.mark.parametrize("listener", ["kept", "one"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE"])
def test_a_safe_request_is_sent_again_where_a_kept_connection_died(door, method, listener):
    """Also where the pool may have but one connection: the dead one is none."""
    response, case = dies_when_used_again(door, lambda p: get(p, method=method), listener)
    assert response.status == 200 and response.body == b"fresh"
    assert len(case.requests) == 2 and len(set(case.visits)) == 2
    record = door.record(case.path)
    assert record["status"] == 200 and record["attempt"] == 2 and record["reused"] is False


@pytest.mark.parametrize("make, body, trailers", [
    (lambda p: post(p, b"body", method="PUT"), b"body", []),
    (lambda p: get(p, "Transfer-Encoding: chunked", method="PUT",
                   body=chunked(b"a", b"b" * 500, trailers=["X-T: 1"])), b"a" + b"b" * 500,
     [(b"X-T", b"1")])], ids=["length", "chunked"])
def test_a_body_that_is_sent_again_is_the_same(door, make, body, trailers):
    response, case = dies_when_used_again(door, make, "kept")
    assert (response.status, response.body) == (200, b"fresh")
    whole = [r for r in case.requests if r.whole]
    assert len(whole) == 1 and whole[0].body == body and whole[0].trailers == trailers


def test_a_body_that_is_too_long_to_be_kept_is_not_sent_again(door):
    """A client that goes on sending shall still get its 502."""
    response, case = dies_when_used_again(
        door, lambda p: post(p, bytes(2 << 20), method="PUT"), "kept")
    assert response.status in (200, 502)
    door.settle()
    whole = [r for r in case.requests if r.whole]
    assert len(whole) == (1 if response.status == 200 else 0)
    assert all(r.body == bytes(2 << 20) for r in whole)


@pytest.mark.parametrize("listener", ["kept", "one"])
@pytest.mark.parametrize("make", [lambda p: post(p, b"body"), lambda p: post(p, b"")],
                         ids=["with a body", "without"])
def test_a_post_is_not_sent_twice(door, listener, make):
    """It may have been acted upon."""
    response, case = dies_when_used_again(door, make, listener)
    assert response.status == 502
    door.settle()
    assert len(case.requests) == 1
    assert door.record(case.path)["cause"] in ("server_closed", "server_reset", "server_truncated")


def test_it_is_sent_again_but_once(door):
    first = door.case()
    case = door.case(close)
    with door.client("kept") as client:
        assert client.ask(get(first.path)).body == b"ok"
        assert client.ask(get(case.path)).status == 502
    door.settle()
    assert len(case.requests) == 2
    assert door.record(case.path)["cause"] in ("server_closed", "server_reset", "server_truncated")


def test_nothing_is_sent_again_once_an_answer_has_begun(door):
    first = door.case()
    case = door.case(read_body, b"HTTP/1.1 2", close)
    with door.client("one") as client:
        assert client.ask(get(first.path)).body == b"ok"
        assert client.ask(get(case.path)).status == 502
    door.settle()
    assert len(case.requests) == 1


def test_an_idle_connection_is_closed_in_time(door):
    case = door.case()
    with door.client("short") as client:
        assert client.ask(get(case.path)).status == 200
        visit = case.visits[0]
        assert not visit.stream.buffer
        wait_until(lambda: visit.socket.fileno() < 0, "the idle connection to be closed")
        assert client.ask(get(case.path)).status == 200
    assert len(set(case.visits)) == 2


def test_no_connection_is_kept_where_none_may_be(door):
    case = door.case()
    with door.client("none kept") as client:
        for _ in range(3):
            assert client.ask(get(case.path)).status == 200
    assert len(set(case.visits)) == 3


def test_a_kept_connection_is_used_by_all_clients(door):
    case = door.case()
    for _ in range(5):
        with door.client("one") as client:
            assert client.ask(get(case.path)).status == 200
    assert len(set(case.visits)) == 1
    assert door.instance.metrics().get("server_connections_reused_total", pool="one") >= 4


def test_a_full_pool_waits_or_refuses_and_takes_up_again(door):
    go = threading.Event()
    case = door.case(read_body, lambda visit: go.wait(PATIENCE), ok(b"slow"))
    with door.client("one") as first, door.client("one") as second:
        first.send(get(case.path))
        wait_until(lambda: case.requests, "the first request")
        second.send(get("/second"))
        assert second.is_quiet(0.05) or second.stream.buffer
        go.set()
        assert first.final().body == b"slow"
        assert second.final().status in (200, 503)
        assert second.ask(get("/third")).body == b"ok"


# ---- the client's part

def test_a_client_that_goes_away_ends_the_request(door):
    case = door.case(read_body, hang)
    with door.client() as client:
        client.send(get(case.path))
        wait_until(lambda: case.requests, "the request")
        backends.reset(client.socket)  # an end alone may be that of its direction only
    wait_until(lambda: case.visits[0].socket.fileno() < 0, "the backend's connection to end")
    assert door.record(case.path)["cause"] in ("client_gone", "client_reset")
    assert_next_is_right(door)


def test_a_client_that_goes_away_in_a_body_ends_it(door):
    case = door.case(read_body, hang)
    with door.client() as client:
        client.send(get(case.path, "Content-Length: 100", method="POST", body=b"half"))
        wait_until(lambda: case.requests, "the request")
    door.record(case.path)
    assert_next_is_right(door)
    assert not case.requests[0].whole


def test_every_failure_is_counted(door):
    before = door.instance.metrics()
    with door.client("hasty") as client:
        client.ask(get(door.case(read_body, b"garbage\r\n\r\n", close).path))
    with door.client("hasty") as client:
        client.ask(get(door.case(read_body, hang).path))

    def grown(name, **labels):
        was = before.get(name, listener="hasty", **labels)
        door.instance.wait_metric(lambda now: now > was, name, listener="hasty", **labels)

    grown("request_errors_total", cause="bad_response")
    grown("request_errors_total", cause="response_timeout")
    door.instance.wait_metric(0, "requests_active", listener="hasty")
    door.instance.wait_metric(0, "server_requests_active")
