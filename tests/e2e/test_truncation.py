"""A stream that was cut off is never passed on as a complete one."""

import signal
import socket
import ssl

import pytest

from support import backends, processes
from support.backends import TRUNCATED, collect, read_exactly
from support.tlsclient import Wire, context, server_context, tcp

both_versions = pytest.mark.parametrize("version", ["1.2", "1.3"])


def break_off(connection):
    """Sends something, then a reset."""
    connection.sendall(b"half of it")
    read_exactly(connection, 4)  # the client has that half
    backends.reset(connection)


def break_off_tls(connection):
    """Sends something, then ends TCP without close_notify."""
    connection.sendall(b"half of it")
    read_exactly(connection, 4)
    return TRUNCATED


@both_versions
def test_a_client_without_close_notify_resets_the_backend(sallyport, backend, authority, version):
    server = backend(collect)
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    with Wire(instance.port, ctx=context(version=version)) as client:
        client.handshake()
        client.send(b"half of it")
        client.raw.shutdown(socket.SHUT_WR)
        assert isinstance(server.error(), ConnectionResetError)
    assert instance.wait_record()["cause"] == "client_truncated"


def test_a_client_without_close_notify_gives_a_tls_backend_none(sallyport, backend, authority):
    server = backend(collect, tls=server_context(authority.leaf("127.0.0.1")))
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem],
                         pool={"tls": {"ca": authority.path}})
    with Wire(instance.port).handshake() as client:
        client.send(b"half of it")
        client.raw.shutdown(socket.SHUT_WR)
        assert isinstance(server.error(), (ssl.SSLError, ConnectionResetError))
    assert instance.wait_record()["cause"] == "client_truncated"


def test_a_client_s_reset_resets_the_backend(sallyport, backend, authority):
    server = backend(collect)
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    client = Wire(instance.port).handshake()
    client.send(b"half of it")
    backends.reset(client.raw)
    assert isinstance(server.error(), ConnectionResetError)
    assert instance.wait_record()["cause"] == "client_reset"


@both_versions
@pytest.mark.parametrize("when", ["at the handshake's end", "later"])
def test_a_reset_right_behind_the_data_is_noticed(sallyport, backend, authority, version, when):
    """Both may be there before anyone looks, and then there is but one event."""
    def silent(connection):
        read_exactly(connection, 5)
        connection.sendall(b"x")
        return collect(connection)

    server = backend(silent)
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    ctx = context(version=version)
    for _ in range(30):
        client = Wire(instance.port, ctx=ctx).handshake()
        client.send(b"hello")
        if when == "later":
            assert client.read() == b"x"
            client.send(b"half of it")
        backends.reset(client.raw)
    instance.wait_metric(0, "connections_active")
    instance.wait_metric(0, "server_connections_active")
    assert len(server.results) == 0


@both_versions
def test_a_backend_s_reset_is_no_clean_end_for_the_client(sallyport, backend, authority, version):
    server = backend(break_off)
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    with Wire(instance.port, ctx=context(version=version)) as client:
        client.handshake()
        assert client.read() == b"half of it"
        client.send(b"more")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            client.read()
    assert instance.wait_record()["cause"] == "server_reset"


def test_a_backend_s_reset_resets_a_plain_client(sallyport, backend):
    instance = sallyport([backend(break_off).address])
    with tcp(instance.port) as client:
        assert read_exactly(client, 10) == b"half of it"
        client.sendall(b"more")
        with pytest.raises(ConnectionResetError):
            client.recv(10)
    assert instance.wait_record()["cause"] == "server_reset"


@both_versions
@pytest.mark.parametrize("front", ["tls", "plain"])
def test_a_tls_backend_without_close_notify_is_no_clean_end(sallyport, backend, authority, front,
                                                             version):
    server = backend(break_off_tls, tls=server_context(authority.leaf("127.0.0.1"), version))
    instance = sallyport([server.address], pool={"tls": {"ca": authority.path}},
                         tls=[authority.leaf("a.example").pem] if front == "tls" else None)
    with tcp(instance.port) as raw:
        client = Wire(instance.port, raw=raw).handshake() if front == "tls" else raw
        read, write = (client.read, client.send) if front == "tls" else (raw.recv, raw.sendall)
        assert read(10) == b"half of it"
        write(b"more")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            read(10)
    assert instance.wait_record()["cause"] == "server_truncated"


@pytest.mark.parametrize("how", ["worker killed", "stopped at once"])
def test_plaintext_cut_off_by_the_end_of_a_process_is_no_end_of_stream(sallyport, backend, how):
    server = backend(collect)
    instance = sallyport([server.address])
    with tcp(instance.port) as client:
        client.sendall(b"half of it")
        instance.wait_metric(len(b"half of it"), "server_sent_bytes_total")
        if how == "worker killed":
            instance.expect_noise = (r"killed by SIGKILL",)
            processes.kill(instance.workers()[0])
        else:
            instance.signal(signal.SIGINT)
        assert isinstance(server.error(), ConnectionResetError)
        with pytest.raises(ConnectionResetError):
            client.recv(10)
