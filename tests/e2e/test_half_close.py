"""Each direction ends by itself: what the other one still has to say arrives."""

import socket

import pytest

from support.backends import read_all
from support.tlsclient import Wire, context, server_context, tcp

ANSWER = bytes(range(256)) * 1200
both_versions = pytest.mark.parametrize("version", ["1.2", "1.3"])


def answer_at_end(connection):
    """Speaks only when the other side has ended."""
    asked = read_all(connection)
    connection.sendall(ANSWER)
    return asked


def end_first(connection):
    """Ends its direction first, then listens."""
    connection.sendall(ANSWER)
    connection.shutdown(socket.SHUT_WR)
    return read_all(connection)


@both_versions
def test_a_tls_client_that_has_ended_gets_the_answer(sallyport, backend, authority, version):
    server = backend(answer_at_end)
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    with Wire(instance.port, ctx=context(version=version)) as client:
        client.handshake()
        client.send(b"question")
        client.close_notify()
        assert client.read_all() == ANSWER
    assert server.result() == b"question"
    assert instance.wait_record()["cause"] == "closed"


@both_versions
def test_a_tls_client_speaks_on_after_the_backend_s_end(sallyport, backend, authority, version):
    server = backend(end_first)
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    with Wire(instance.port, ctx=context(version=version)) as client:
        client.handshake()
        assert client.read_all() == ANSWER
        client.send(b"thank you")
        client.close_notify()
        assert server.result() == b"thank you"
    assert instance.wait_record()["cause"] == "closed"


def test_a_plain_client_that_has_ended_gets_the_answer(sallyport, backend):
    server = backend(answer_at_end)
    instance = sallyport([server.address])
    with tcp(instance.port) as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == ANSWER
    assert server.result() == b"question"
    assert instance.wait_record()["cause"] == "closed"


def test_a_plain_client_speaks_on_after_the_backend_s_end(sallyport, backend):
    server = backend(end_first)
    instance = sallyport([server.address])
    with tcp(instance.port) as client:
        assert read_all(client) == ANSWER
        client.sendall(b"thank you")
        client.shutdown(socket.SHUT_WR)
        assert server.result() == b"thank you"


@both_versions
def test_a_tls_backend_hears_of_the_end_and_answers(sallyport, backend, authority, version):
    leaf = authority.leaf("127.0.0.1")
    server = backend(answer_at_end, tls=server_context(leaf, version))
    instance = sallyport([server.address], pool={"tls": {"ca": authority.path}})
    with tcp(instance.port) as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == ANSWER
    assert server.result() == b"question"
    assert instance.wait_record()["cause"] == "closed"
