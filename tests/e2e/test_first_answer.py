"""The first answer does not wait for the kernel's delayed ACK, whatever the client is like."""

import socket
import statistics
import time

import pytest

from support import backends, tlsclient
from support.wait import SANITIZED


@pytest.mark.skipif(SANITIZED, reason="measures time")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("nodelay", [0, 1])
def test_a_client_with_nagle_gets_its_first_answer_at_once(sallyport, backend, authority, version,
                                                           nodelay):
    """Nagle's algorithm holds a client's first bytes until its Finished is acknowledged."""
    instance = sallyport([backend().address], tls=[authority.leaf("a.example").pem])
    ctx, took = tlsclient.context(version=version), []
    for _ in range(9):
        raw = tlsclient.tcp(instance.port)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
        with tlsclient.connect(instance.port, ctx=ctx, raw=raw) as tls:
            began = time.monotonic()
            tls.sendall(b"hello")
            assert backends.read_exactly(tls, 5) == b"hello"
            took.append(time.monotonic() - began)
    assert statistics.median(took) < 0.03, took
