"""A gigabyte each way arrives as it was sent, and memory stays where it was."""

import hashlib
import select
import ssl

import pytest

from support.backends import blocks, echo, hashed, send_blocks
from support.memory import Watch
from support.tlsclient import connect, context
from support.wait import PATIENCE, SANITIZED

MIB = 1 << 20
AMOUNT = 64 * MIB if SANITIZED else 1024 * MIB
MAY_GROW = (32 if SANITIZED else 4) * MIB
# What a sanitizer keeps of what was freed.
ENVIRON = {"ASAN_OPTIONS": "abort_on_error=1:quarantine_size_mb=4"}


@pytest.fixture
def door(sallyport, authority):
    """A listener before one backend."""
    return lambda server: sallyport([server.address], tls=[authority.leaf("a.example").pem],
                                    environ=ENVIRON)


def test_a_gigabyte_down_arrives_whole_and_memory_stays_flat(door, backend):
    server = backend(lambda c: send_blocks(c, AMOUNT))
    instance, digest, total, buffer = door(server), hashlib.sha256(), 0, bytearray(MIB)
    with connect(instance.port) as client, Watch(instance) as watch:
        while n := client.recv_into(buffer):  # raises where close_notify is missing
            digest.update(memoryview(buffer)[:n])
            total += n
    assert (total, digest.hexdigest()) == (AMOUNT, server.result())
    assert watch.grown < MAY_GROW
    assert instance.wait_record(cause="closed")["bytes_sent"] == AMOUNT


def test_a_gigabyte_up_arrives_whole_and_memory_stays_flat(door, backend):
    server = backend(hashed)
    instance = door(server)
    with connect(instance.port) as client, Watch(instance) as watch:
        sent = send_blocks(client, AMOUNT)
        client.unwrap()
    assert server.result() == (AMOUNT, sent)
    assert watch.grown < MAY_GROW
    assert instance.wait_record(cause="closed")["bytes_received"] == AMOUNT


def pump(client, total):
    """Sends `total` bytes while it reads what comes back; the digests of both."""
    up, down = hashlib.sha256(), hashlib.sha256()
    rest, waiting, got = blocks(total), b"", 0
    client.setblocking(False)
    while got < total:
        wants = []
        try:
            if not waiting:
                waiting = next(rest, b"")
                up.update(waiting)
            if waiting:
                waiting = waiting[client.send(waiting):]
        except ssl.SSLWantWriteError:
            wants = [client]
        try:
            data = client.recv(65536)
            assert data, f"the stream ended after {got} of {total} bytes"
            down.update(data)
            got += len(data)
        except ssl.SSLWantReadError:
            if wants or not waiting:
                moves = select.poll()
                moves.register(client, select.POLLIN | (select.POLLOUT if wants else 0))
                assert moves.poll(PATIENCE * 1000), "nothing moves"
    return up.hexdigest(), down.hexdigest()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_both_ways_at_once(door, backend, version):
    with connect(door(backend(echo)).port, ctx=context(version=version)) as client:
        up, down = pump(client, AMOUNT // 8)
    assert up == down
