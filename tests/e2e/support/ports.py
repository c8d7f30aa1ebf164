"""Ports on 127.0.0.1 that nobody uses."""

import random
import socket

HOST = "127.0.0.1"

# Below the range that the kernel takes clients' ports from: none of those gets in the way
# between here and the bind of the process that the port is for.
_FIRST, _LAST = 12000, 30000
_given = set()


def free_port():
    """A port that was free just now and was not given out before."""
    for _ in range(1000):
        port = random.randrange(_FIRST, _LAST)
        if port in _given:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((HOST, port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise AssertionError("no free port found")
