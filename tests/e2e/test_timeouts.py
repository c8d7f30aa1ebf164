"""A connection without bytes ends, and a handshake that takes too long."""

import select
import ssl
import time

import pytest

from support.tlsclient import Wire, ask, connect, context, tcp
from support.wait import SANITIZED

LATE = 4 if SANITIZED else 1.5  # seconds that a busy machine may be late


@pytest.fixture
def door(sallyport, backend, authority):
    """A listener with these timeouts."""
    return lambda **timeouts: sallyport([backend().address],
                                        tls=[authority.leaf("a.example").pem],
                                        listener={"timeouts": timeouts})


def test_an_idle_connection_ends(door):
    instance = door(idle="400ms")
    with connect(instance.port) as client:
        ask(client)
        began = time.monotonic()
        with pytest.raises((ssl.SSLError, ConnectionError)):  # not as a complete stream
            assert client.recv(10) == b"never"
        assert 0.3 < time.monotonic() - began < 0.4 + LATE
    assert instance.wait_record()["cause"] == "idle_timeout"


def test_a_byte_now_and_then_keeps_a_connection(door):
    instance = door(idle="600ms")
    with connect(instance.port) as client:
        for _ in range(8):
            ask(client, b"x")
            time.sleep(0.2)
        client.unwrap()
    assert instance.wait_record()["cause"] == "closed"


def until_closed(raw, limit):
    """Waits for the server's end of the connection, however it comes; seconds it took."""
    began = time.monotonic()
    raw.settimeout(limit)
    try:
        while raw.recv(4096):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


def test_a_silent_client_is_sent_away(door):
    instance = door(handshake="400ms")
    with tcp(instance.port) as client:
        assert 0.3 < until_closed(client, 10) < 0.4 + LATE
    record = instance.wait_record()
    assert (record["event"], record["cause"]) == ("handshake_failed", "handshake_timeout")


def test_a_slow_drip_does_not_prolong_a_handshake(door):
    instance = door(handshake="500ms")
    with Wire(instance.port) as client:
        hello, began = client.first_flight(), time.monotonic()
        heard = select.poll()
        heard.register(client.raw, select.POLLIN)
        for byte in hello:  # takes 5 seconds or more
            client.raw.sendall(bytes([byte]))
            if heard.poll(10):
                break
        assert 0.4 < time.monotonic() - began < 0.5 + LATE
        assert client.raw.recv(1) in (b"", b"\x15")  # the end, or an alert before it
    assert instance.wait_record()["cause"] == "handshake_timeout"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_that_stops_half_way_is_sent_away(door, version):
    instance = door(handshake="400ms")
    with Wire(instance.port, ctx=context(version=version)) as client:
        client.raw.sendall(client.first_flight())
        assert until_closed(client.raw, 10) < 0.4 + LATE
    assert instance.wait_record()["cause"] == "handshake_timeout"
