"""HTTP/1.1 as RFC 9112 has it: its section 9: how connections are kept, used, timed and ended."""

import time

import pytest

from support.rawbackend import close, part, patience_ms, pause, read_body
from support.rawhttp import BROKEN, chunked, get, ok, post
from support.wait import PATIENCE

SOON = patience_ms(400)


@pytest.fixture(scope="module")
def door(http_door, authority):
    secure = {"tls": {"certificates": [authority.leaf("a.example").pem]}}
    hasty = {"timeouts": {"request_header": SOON, "request_body": SOON, "keepalive": SOON,
                          "response_write": SOON}}
    return http_door({
        "tls": secure,
        "hasty": hasty,
        "hasty tls": {**secure, **hasty},
        "patient": {"timeouts": {"response_write": patience_ms(1200)}},
        "header slow": {"timeouts": {"request_header": SOON}},
        "keepalive short": {"timeouts": {"keepalive": SOON}},
        "small": {"http": {"max_body_size": "1000"}},
        "three": {"http": {"max_requests_per_connection": 3}},
    })


@pytest.fixture(autouse=True)
def well_formed(door):
    """Whatever a test does, the backend gets nothing but good requests."""
    yield
    door.check()


# ---- 9 connections

def test_9_3_a_connection_is_kept(door):
    case = door.case()
    with door.client() as client:
        for _ in range(20):
            response = client.ask(get(case.path))
            assert "close" not in response.list("connection")
    assert len(case.all(20)) == 20
    assert len(set(case.visits)) == 1


@pytest.mark.parametrize("fields, version, kept", [
    ((), "1.1", True), (("Connection: close",), "1.1", False), (("Connection: x, CLOSE",), "1.1",
                                                                False),
    (("Connection: keep-alive",), "1.1", True), (("Connection: keep-alive, close",), "1.1", False),
    ((), "1.0", False), (("Connection: keep-alive",), "1.0", True),
    (("Connection: Keep-Alive",), "1.0", True), (("Connection: close",), "1.0", False)])
def test_9_3_who_keeps_a_connection(door, fields, version, kept):
    case = door.case()
    with door.client() as client:
        response = client.ask(get(case.path, *fields, version=version))
        if kept:
            assert "close" not in response.list("connection")
            assert version == "1.1" or "keep-alive" in response.list("connection")
            assert client.ask(get("/next", *fields, version=version)).status == 200
        else:
            assert version == "1.0" or "close" in response.list("connection")
            assert client.ended()
    # The backend's connection is ours, whatever the client's is.
    assert "close" not in case.one().list("connection")


def test_9_3_bodies_of_both_kinds_one_after_the_other(door):
    case = door.case()
    with door.client() as client:
        for i in range(5):
            assert client.ask(post(case.path, b"x" * i)).status == 200
            assert client.ask(get(case.path, "Transfer-Encoding: chunked", method="POST",
                                  body=chunked(b"y" * (i + 1)))).status == 200
    assert [r.body for r in case.all(10)][::2] == [b"x" * i for i in range(5)]


def test_9_3_2_pipelined_requests_are_answered_in_order(door):
    case = door.case(read_body, lambda visit: ok(visit.request.target.encode()))
    slow = door.case(read_body, pause(0.1), ok(b"slow"))
    with door.client() as client:
        client.send(get(slow.path) + b"".join(
            get(f"{case.path}/{i}") if i % 2 else post(f"{case.path}/{i}", b"body")
            for i in range(30)) + get(slow.path))
        assert client.final().body == b"slow"
        for i in range(30):
            assert client.final().body.decode() == f"{case.path}/{i}"
        assert client.final().body == b"slow"
    assert [r.target for r in case.all(30)] == [f"{case.path}/{i}" for i in range(30)]


def test_9_3_2_thousands_of_pipelined_requests(door):
    case = door.case()
    number = 2000
    with door.client() as client:
        for _ in range(number // 100):
            client.send(get(case.path) * 100)
        for _ in range(number):
            assert client.final().status == 200
    assert len(case.all(number)) == number


def test_9_3_2_the_last_one_s_close_is_kept(door):
    case = door.case()
    with door.client() as client:
        client.send(get(case.path) + get(case.path, "Connection: close") + get(case.path))
        assert client.final().status == 200
        assert client.final().status == 200
        assert client.ended()
    door.settle()
    assert len(case.requests) == 2


@pytest.mark.parametrize("bad", [part(d) for d in (
    b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", b"BAD\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET / HTTP/7.1\r\nHost: a.example\r\n\r\n")])
def test_9_3_2_nothing_behind_an_error_is_served(door, bad):
    case = door.case()
    with door.client() as client:
        client.send(get(case.path) + bad + get(case.path) * 3)
        assert client.final().status == 200
        assert client.final().status >= 400
        assert client.ended()
    door.settle()
    assert len(case.requests) == 1


def test_9_4_many_at_once_do_not_mix(door):
    case = door.case(read_body, lambda visit: ok(visit.request.target.encode()))
    clients = [door.client() for _ in range(50)]
    for turn in range(4):
        for i, client in enumerate(clients):
            client.send(get(f"{case.path}/{turn}/{i}"))
        for i, client in reversed(list(enumerate(clients))):
            assert client.final().body.decode() == f"{case.path}/{turn}/{i}"
    for client in clients:
        client.socket.close()
    assert len(case.all(200)) == 200


def test_9_5_a_head_that_does_not_come_is_408(door):
    with door.client("header slow") as client:
        client.send(b"GET / HTTP/1.1\r\nHost:")
        assert client.final().status == 408
        assert client.ended()


def test_9_5_a_head_that_drips_is_408(door):
    """Each byte comes in time, but all together do not."""
    began = time.monotonic()
    with door.client("header slow") as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\nX: ")
        while client.try_send(b"a") and client.is_quiet(PATIENCE / 200):
            assert time.monotonic() - began < PATIENCE
        assert client.final().status == 408


def test_9_5_a_second_head_that_does_not_come_is_408(door):
    with door.client("header slow") as client:
        assert client.ask(get("/")).status == 200
        client.send(b"GET / HTTP/1.1\r\nHost: a")
        assert client.final().status == 408
        assert client.ended()


@pytest.mark.parametrize("body", [b"", b"12345"], ids=["nothing", "half"])
def test_9_5_a_body_that_does_not_come_is_408(door, body):
    case = door.case()
    with door.client("hasty") as client:
        client.send(get(case.path, "Content-Length: 10", method="POST", body=body))
        assert client.final().status == 408
        assert client.ended()
    door.settle()
    assert not [r for r in case.requests if r.whole]


def test_9_5_a_chunk_that_does_not_come_is_408(door):
    with door.client("hasty") as client:
        client.send(get("/", "Transfer-Encoding: chunked", method="POST", body=b"5\r\nhel"))
        assert client.final().status == 408
        assert client.ended()


@pytest.mark.parametrize("listener", ["hasty", "hasty tls"])
def test_9_5_a_client_that_takes_nothing_is_cut_off(door, listener):
    case = door.case(read_body, ok(bytes(16 << 20)))
    with door.client(listener, receive_buffer=4096) as client:
        client.send(get(case.path))
        record = door.instance.wait_record(path=case.path)
        assert record["cause"] == "response_write_timeout"
        with pytest.raises(BROKEN):
            client.final()


def test_9_5_a_client_that_takes_little_is_not(door):
    size, taken = 1 << 20, 0
    case = door.case(read_body, ok(bytes(size)))
    with door.client("patient", receive_buffer=65536) as client:
        client.send(get(case.path, "Connection: close"))
        for _ in range(12):  # longer than it may take nothing
            taken += len(client.socket.recv(16384))
            time.sleep(PATIENCE / 80)
        assert size < taken + len(client.stream.rest()) < size + 2000
    assert door.instance.wait_record(path=case.path).get("cause") is None


def test_9_5_an_idle_connection_is_closed_without_a_word(door):
    with door.client("keepalive short") as client:
        assert client.ask(get("/")).status == 200
        began = time.monotonic()
        assert client.ended()
        assert time.monotonic() - began < PATIENCE / 2


def test_9_5_a_connection_that_says_nothing_ends(door):
    with door.client("header slow") as client:
        rest = client.stream.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")


def test_9_6_a_backend_s_close_is_its_own(door):
    case = door.case(read_body, ok(b"bye", "Connection: close"), close)
    with door.client() as client:
        for _ in range(3):
            response = client.ask(get(case.path))
            assert response.body == b"bye" and "close" not in response.list("connection")
    assert len(set(case.visits)) == 3


def test_9_6_a_backend_of_http_1_0(door):
    case = door.case(read_body, b"HTTP/1.0 200 OK\r\n\r\nold", close)
    kept = door.case(read_body, b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
                     b"Content-Length: 3\r\n\r\nold")
    with door.client() as client:
        for _ in range(2):
            response = client.ask(get(case.path))
            assert response.body == b"old" and response.version == "1.1"
        for _ in range(2):
            assert client.ask(get(kept.path)).body == b"old"
    assert case.all(2)[0].version == "1.1"


def test_9_6_a_connection_ends_after_its_last_request(door):
    with door.client("three") as client:
        closes = ["close" in client.ask(get("/")).list("connection") for _ in range(3)]
        assert closes == [False, False, True]
        assert client.ended()


def test_9_6_requests_beyond_the_last_are_not_served(door):
    case = door.case()
    with door.client("three") as client:
        client.send(get(case.path) * 6)
        assert [client.final().status for _ in range(3)] == [200] * 3
        assert client.ended()
    door.settle()
    assert len(case.requests) == 3


def test_9_6_http_1_0_keeps_no_connection_whose_end_is_a_body_s(door):
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     + chunked(b"hello"))
    with door.client() as client:
        response = client.ask(get(case.path, "Connection: keep-alive", version="1.0"))
        assert response.body == b"hello" and response.framing == "close"
        assert "keep-alive" not in response.list("connection")


def test_9_6_a_client_that_leaves_its_pipeline_spoils_nothing(door):
    case = door.case()
    for _ in range(10):
        with door.client() as client:
            client.send(get(case.path) * 20)
            assert client.final().status == 200
    with door.client() as client:
        assert client.ask(get("/next")).body == b"ok"


@pytest.mark.parametrize("listener", ["door", "tls"])
def test_9_6_a_client_may_end_its_direction_first(door, listener):
    case = door.case(read_body, pause(0.05), ok(bytes(100_000)))
    with door.client(listener) as client:
        client.send(post(case.path, b"body")).end()
        response = client.final()
        assert response.status == 200 and len(response.body) == 100_000
        assert client.ended()


def test_9_6_an_early_refusal_reaches_a_client_that_still_sends(door):
    """Closing with bytes unread would reset the connection, and the answer with it."""
    for _ in range(5):
        with door.client("small") as client:
            client.send(get("/", "Content-Length: 500000", method="POST"))
            for _ in range(5):
                client.try_send(bytes(20_000))
            assert client.final().status == 413
            assert client.ended()


def test_9_6_an_early_answer_of_the_backend_ends_the_connection(door):
    case = door.case(ok(b"enough"), close)
    with door.client() as client:
        client.send(get(case.path, "Content-Length: 1000000", method="POST", body=bytes(1000)))
        response = client.final()
        assert response.body == b"enough" and "close" in response.list("connection")
        client.try_send(bytes(50_000))
        assert client.ended()
    with door.client() as client:
        assert client.ask(get("/next")).body == b"ok"


def test_9_6_an_early_answer_leaves_a_body_that_comes_whole_alone(door):
    """Whatever becomes of the connection, what follows is no part of the body."""
    case = door.case(ok(b"early"))
    with door.client() as client:
        client.send(get(case.path, "Content-Length: 100", method="POST", body=bytes(50)))
        assert client.final().body == b"early"
        client.try_send(bytes(50) + get("/next"))
        rest = client.stream.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 200")


def test_9_7_tls_ends_with_close_notify(door):
    with door.client("tls") as client:
        assert client.ask(get("/", "Connection: close")).status == 200
        assert client.ended()
    with door.client("tls") as client:
        assert client.ask(b"BAD\r\n\r\n").status == 400
        assert client.ended()


def test_9_8_a_body_cut_in_tls_is_broken_off(door):
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", close)
    for version in ("1.0", "1.1"):
        with door.client("tls") as client:
            with pytest.raises(BROKEN):
                client.ask(get(case.path, version=version))
