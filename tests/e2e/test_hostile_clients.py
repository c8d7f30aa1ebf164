"""Clients that send what no client should, and odd ones that are right."""

import socket
import struct
import subprocess
import time

import pytest

from support.backends import collect
from support.tlsclient import Wire, context, tcp
from support.tools import curl
from support.wait import PATIENCE, SANITIZED

both_versions = pytest.mark.parametrize("version", ["1.2", "1.3"])
ALERT, HANDSHAKE, APPLICATION = 21, 22, 23


@pytest.fixture
def door(sallyport, backend, authority):
    """A TLS listener before an echo."""
    return sallyport([backend().address], tls=[authority.leaf("a.example").pem])


def answer_to(port, data):
    """All that comes back for these bytes; where the end is a reset, what came before it."""
    with tcp(port) as client:
        client.sendall(data)
        got = b""
        try:
            while more := client.recv(4096):
                got += more
        except ConnectionResetError:
            pass
        return got


def test_plain_http_on_a_tls_port_is_named_as_such(door):
    got = curl("http://a.example/", door.port)
    assert got.returncode != 0
    record = door.wait_record(event="handshake_failed")
    assert record["cause"] == "http_request" and "https" in record["detail"]


@pytest.mark.parametrize("what", [b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", b"\x00" * 64,
                                  b"\xff" * 5000, bytes(range(256)) * 40],
                         ids=["ssh", "zeros", "ones", "count"])
def test_garbage_is_refused(door, what):
    answer = answer_to(door.port, what)
    assert answer == b"" or answer[0] == ALERT
    record = door.wait_record(event="handshake_failed")
    assert record["cause"] in ("not_tls", "unsupported_version", "decode_error", "bad_record",
                               "protocol_error")
    Wire(door.port).handshake().raw.close()


def test_a_record_that_is_too_long_is_refused(door):
    with Wire(door.port) as client:
        hello = bytearray(client.first_flight())
    answer = answer_to(door.port, struct.pack("!BHH", HANDSHAKE, 0x0301, 0xffff) + hello[5:])
    assert answer[0] == ALERT
    door.wait_record(event="handshake_failed", cause="bad_record")


def test_a_client_that_leaves_in_its_hello_is_noted(door):
    with Wire(door.port) as client:
        client.raw.sendall(client.first_flight()[:100])
    record = door.wait_record(event="handshake_failed")
    assert record["cause"] == "client_gone"


def test_a_connection_without_a_byte_is_noted(door):
    tcp(door.port).close()
    assert door.wait_record(event="handshake_failed")["cause"] == "client_gone"


def test_a_hello_in_segments_of_one_byte_is_read(door):
    with Wire(door.port) as client:
        client.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in client.first_flight():
            client.raw.sendall(bytes([byte]))
            time.sleep(0.0005)
        client.handshake()
        client.send(b"ping")
        assert client.read() == b"ping"


def test_a_hello_cut_into_many_records_is_read(door):
    with Wire(door.port) as client:
        body = client.first_flight()[5:]
        client.raw.sendall(b"".join(
            struct.pack("!BHH", HANDSHAKE, 0x0301, len(body[i:i + 7])) + body[i:i + 7]
            for i in range(0, len(body), 7)))
        client.handshake()
        client.send(b"ping")
        assert client.read() == b"ping"


@both_versions
def test_many_records_in_one_segment_are_read(door, version):
    with Wire(door.port, ctx=context(version=version)) as client:
        client.handshake()
        for i in range(1000):
            client.tls.write(i.to_bytes(2, "big"))
        client.flush()
        got = b""
        while len(got) < 2000:
            got += client.read()
    assert got == b"".join(i.to_bytes(2, "big") for i in range(1000))


def test_data_right_behind_the_handshake_is_read(door):
    """The client's Finished and its first request in one segment."""
    with Wire(door.port, ctx=context(version="1.3")) as client:
        client.raw.sendall(client.first_flight())
        while True:
            client.feed()
            try:
                client.tls.do_handshake()
                break
            except OSError:  # more is wanted
                continue
        client.tls.write(b"ping")
        client.flush()
        assert client.read() == b"ping"


@both_versions
def test_a_damaged_record_is_answered_by_an_alert(sallyport, backend, authority, version):
    server = backend(collect)
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    with Wire(instance.port, ctx=context(version=version)) as client:
        client.handshake()
        client.send(b"good")
        client.tls.write(b"damaged on its way")
        record = bytearray(client.pending())
        record[-1] ^= 1
        client.raw.sendall(record)
        with pytest.raises(OSError, match="(?i)bad record mac"):
            client.read()
    assert isinstance(server.error(), ConnectionResetError)
    assert instance.wait_record()["cause"] == "client_tls_error"


def test_renegotiation_is_refused(door):
    """A second ClientHello inside TLS 1.2."""
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{door.port}", "-tls1_2"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as client:
        try:
            client.stdin.write(b"R\n")  # to s_client, a command
            client.stdin.flush()
            assert client.wait(PATIENCE) != 0
        finally:
            client.kill()
        assert b"RENEGOTIATING" in client.stdout.read()
    assert door.wait_record()["cause"] == "client_tls_error"


def test_a_storm_of_garbage_leaves_nothing_behind(door):
    Wire(door.port).handshake().raw.close()
    door.wait_metric(0, "connections_active")
    descriptors, memory = door.descriptors(), door.memory()
    for _ in range(300):
        with tcp(door.port) as client:
            client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 600)
    door.wait_metric(301, "connections_ended_total")
    door.wait_metric(0, "connections_active")
    assert door.descriptors() <= descriptors + 2
    assert door.memory() - memory < (32 if SANITIZED else 2) << 20
