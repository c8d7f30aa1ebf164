"""How many connections there may be: of an address, in all, and for the descriptors there are."""

import contextlib
import time

import pytest

from support.backends import echo
from support.tlsclient import Wire, ask, tcp
from support.wait import SANITIZED, wait_until


@contextlib.contextmanager
def held(port, number):
    """So many connections that are served."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(tcp(port)) for _ in range(number)]
        for client in clients:
            ask(client)
        yield clients


def waits(client, seconds=0.4):
    """Whether a connection is not served for a while."""
    client.sendall(b"ping")
    client.settimeout(seconds)
    try:
        return client.recv(10) == b"never"
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)


@pytest.mark.parametrize("workers", [1, 4])
def test_one_address_gets_no_more_than_its_limit(sallyport, backend, workers):
    instance = sallyport([backend(echo).address], workers=workers,
                         limits={"connections_per_address": 3})
    with held(instance.port, 3) as clients:
        for _ in range(10):
            with pytest.raises(ConnectionError), tcp(instance.port) as more:
                more.sendall(b"ping")
                assert more.recv(10) == b"never"
        instance.wait_metric(10, "connections_ended_total", cause="address_limit")
        ask(clients[0])
        clients[0].close()
        instance.wait_metric(2, "connections_active")
        with tcp(instance.port) as again:
            ask(again)
    instance.wait_metric(0, "connections_active")
    with held(instance.port, 3):
        pass


def test_failed_handshakes_give_their_place_back(sallyport, backend, authority):
    instance = sallyport([backend(echo).address], tls=[authority.leaf("a.example").pem],
                         limits={"connections_per_address": 2})
    for i in range(10):
        with tcp(instance.port) as client:
            client.sendall(b"this is not TLS at all\r\n")
            with contextlib.suppress(ConnectionError):
                while client.recv(100):
                    pass
        instance.wait_metric(i + 1, "connections_ended_total")
    with Wire(instance.port).handshake() as client:
        client.send(b"ping")
        assert client.read() == b"ping"


@pytest.mark.parametrize("workers", [1, 4])
def test_accepting_pauses_at_the_limit_and_goes_on(sallyport, backend, workers):
    instance = sallyport([backend(echo).address], workers=workers, limits={"connections": 4})
    with held(instance.port, 4) as clients:
        with tcp(instance.port) as fifth:
            assert waits(fifth)
            assert instance.metrics().get("accept_pauses_total", reason="connections") > 0
            ask(clients[1])  # who is in is served as before
            clients[0].close()
            assert fifth.recv(10) == b"ping"
    instance.wait_metric(0, "connections_active")
    instance.wait_metric(0, "accept_paused_workers")
    with held(instance.port, 4):
        pass


def test_accepting_pauses_at_the_descriptor_limit_without_spinning(sallyport, backend):
    server = backend(echo)
    instance = sallyport([server.address], nofile=128)
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(100):
            clients.append(stack.enter_context(tcp(instance.port)))
        wait_until(lambda: instance.metrics().get("accept_paused_workers") == 1, "a pause")
        served = int(instance.metrics().get("connections_active"))
        assert 20 <= served < 64
        ask(clients[0])  # who is in has a descriptor for the backend
        assert waits(clients[-1])
        before = instance.cpu_seconds()
        time.sleep(1)
        assert instance.cpu_seconds() - before < (0.3 if SANITIZED else 0.1)
        assert "descriptor" in instance.wait_error("accepting pauses")
        for client in clients[:served]:
            client.close()
        for client in clients[served:served + 10]:
            ask(client)
    instance.wait_metric(0, "connections_active")
    with held(instance.port, 10):
        pass
