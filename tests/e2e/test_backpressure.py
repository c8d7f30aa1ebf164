"""A peer that does not read stops the one that sends; what waits in between is bounded."""

import pathlib
import socket
import threading
import time

import pytest

from support import backends
from support.backends import push_until_stuck, read_all
from support.tlsclient import Wire, ask, connect, context, tcp
from support.traffic import push
from support.wait import PATIENCE, SANITIZED, wait_until

CONNECTIONS = 8
# Less than this for each connection; a sanitizer puts much around every block.
EACH = (8 if SANITIZED else 1) << 20


def more_than_the_kernel_takes():
    """Bytes that do not fit its buffers between a client and a backend whose own is small."""
    most = {name: int(pathlib.Path(f"/proc/sys/net/ipv4/{name}").read_text().split()[2])
            for name in ("tcp_rmem", "tcp_wmem")}
    return most["tcp_rmem"] + 2 * most["tcp_wmem"] + (8 << 20)


def test_a_slow_reader_stops_the_backend(sallyport, backend, authority):
    server = backend(push_until_stuck)
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    before = instance.memory()
    clients = [connect(instance.port, raw=tcp(instance.port, receive_buffer=65536))
               for _ in range(CONNECTIONS)]
    for _ in range(3):  # a byte a second each
        for client in clients:
            assert len(client.recv(1)) == 1
        time.sleep(1)
    wait_until(lambda: len(server.results) == CONNECTIONS, "every backend to be stuck")
    assert instance.memory() - before < CONNECTIONS * EACH
    # What waited is not lost, and ends in good order.
    got = sum(3 + len(read_all(client)) for client in clients)
    assert got == sum(server.results)
    for client in clients:
        client.close()


def test_a_slow_backend_stops_the_client(sallyport, backend, authority):
    go = threading.Event()

    def slow(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        go.wait(PATIENCE * 6)
        return len(read_all(connection, amount))

    amount = more_than_the_kernel_takes()
    server = backend(slow)
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    before = instance.memory()
    clients = [Wire(instance.port).handshake() for _ in range(2 if SANITIZED else 4)]
    sent = []
    for client in clients:
        client.tls.write(bytes(amount))
        data = client.pending()
        at = push(client.raw, data)
        assert at < len(data), "nothing stopped the client"
        sent.append((client, data[at:]))
    assert instance.memory() - before < len(clients) * EACH
    go.set()
    for client, rest in sent:
        client.raw.setblocking(True)
        client.raw.settimeout(20)
        client.raw.sendall(rest)
        client.close_notify()
    wait_until(lambda: len(server.results) == len(clients), "every backend to be done")
    assert server.results == [amount] * len(clients)


def test_one_that_is_stuck_does_not_hold_up_another(sallyport, backend, authority):
    kinds = iter([push_until_stuck])
    server = backend(lambda c: next(kinds, backends.echo)(c))
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    with connect(instance.port, raw=tcp(instance.port, receive_buffer=65536)):
        wait_until(lambda: server.results, "the first one to be stuck")
        began = time.monotonic()
        with connect(instance.port) as other:
            for _ in range(50):
                ask(other, bytes(10000))
        assert time.monotonic() - began < (10 if SANITIZED else 2)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_first_records_are_small(sallyport, backend, authority, version):
    """A browser can use the first bytes before 16 KiB of them are there."""
    server = backend(lambda c: c.sendall(bytes(200000)))
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    with Wire(instance.port, ctx=context(version=version)) as client:
        client.handshake()
        lengths = []
        while chunk := client.read():  # OpenSSL gives one record at a time
            lengths.append(len(chunk))
    assert max(lengths[:5]) <= 1400
    assert max(lengths) > 8000
    assert sum(lengths) == 200000
