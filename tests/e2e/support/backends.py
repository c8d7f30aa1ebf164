"""Servers in threads of the test, each connection handled by a plain function."""

import contextlib
import hashlib
import os
import socket
import struct
import threading
import time

from support.ports import HOST
from support.wait import PATIENCE, wait_until


TRUNCATED = object()  # what a handler returns whose TLS stream shall end without close_notify


class Backend:
    """Listens on a port of 127.0.0.1, or `host` (or `path`: a unix socket) and runs `handler(connection)` in
    a thread for each connection, which closes when the handler returns. What a handler returns
    is kept in `results`, what it raises in `errors`. With `tls`, an ssl.SSLContext, connections
    are wrapped first, and end with close_notify unless the handler returns TRUNCATED."""

    def __init__(self, handler, path=None, tls=None, port=0, backlog=128, host=HOST):
        self._handler = handler
        self._tls = tls
        self._path = path
        self._open = set()
        self._lock = threading.Lock()
        self._closing = False
        self.accepted = 0
        self.results = []
        self.errors = []
        if path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            os.chmod(path, 0o777)  # workers are another user
            self.address = f"unix:{path}"
        else:
            self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((host, port))
            self.port = self._listener.getsockname()[1]
            self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self._listener.listen(backlog)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._closing:
                    connection.close()
                    return
                self.accepted += 1
                self._open.add(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, raw):
        connection = raw
        try:
            raw.settimeout(PATIENCE * 3)
            if self._tls:
                connection = self._tls.wrap_socket(raw, server_side=True,
                                                   suppress_ragged_eofs=False)
                with self._lock:
                    self._open.discard(raw)
                    self._open.add(connection)
            result = self._handler(connection)
            self.results.append(result)
            if self._tls and result is not TRUNCATED:
                with contextlib.suppress(OSError, ValueError):  # or closed meanwhile
                    connection.unwrap()
        except OSError as e:
            self.errors.append(e)
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def result(self):
        """Waits for the first handler that returned, and gives what it did."""
        wait_until(lambda: self.results or self.errors, "a backend's handler to end")
        assert self.results, f"the backend's handler failed: {self.errors}"
        return self.results[0]

    def error(self):
        """Waits for the first handler that failed, and gives what it raised."""
        wait_until(lambda: self.results or self.errors, "a backend's handler to end")
        assert self.errors, f"the backend's handler ended in good order: {self.results}"
        return self.errors[0]

    def close(self):
        """Closes the listener and every connection."""
        with self._lock:
            self._closing = True
            still = list(self._open)
        for s in (self._listener, *still):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(1)
        if self._path:
            with contextlib.suppress(OSError):
                os.unlink(self._path)


# ---- handlers

def echo(connection):
    """Sends back what it gets, until the peer has ended its direction."""
    total = 0
    while data := connection.recv(65536):
        connection.sendall(data)
        total += len(data)
    return total


def named(name):
    """Says its name, then waits for the peer's end."""
    def handler(connection):
        connection.sendall(name.encode())
        while connection.recv(65536):
            pass
        return name
    return handler


def collect(connection):
    """Gets everything, answers with nothing; returns the bytes."""
    return read_all(connection)


def hashed(connection):
    """Gets everything, returns its length and sha256."""
    digest, total, buffer = hashlib.sha256(), 0, bytearray(1 << 20)
    view = memoryview(buffer)
    while n := connection.recv_into(buffer):
        digest.update(view[:n])
        total += n
    return total, digest.hexdigest()


def reset(connection):
    """Breaks a connection off: the peer gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# ---- bytes in bulk

def read_all(connection, limit=64 << 20):
    """What the peer sends until its end."""
    got = bytearray()
    while data := connection.recv(65536):
        got += data
        assert len(got) <= limit, "the peer does not stop sending"
    return bytes(got)


def read_exactly(connection, n):
    """The next `n` bytes; fails where the stream ends before."""
    got = bytearray()
    while len(got) < n:
        data = connection.recv(n - len(got))
        assert data, f"the stream ended after {len(got)} of {n} bytes"
        got += data
    return bytes(got)


def blocks(total):
    """`total` bytes in blocks of 1 MiB that all differ."""
    body = bytearray(os.urandom(1 << 20))
    number = 0
    while total > 0:
        body[:8] = number.to_bytes(8, "big")
        yield memoryview(body)[: min(total, len(body))]
        total -= len(body)
        number += 1


def send_blocks(connection, total):
    """Sends `total` bytes; returns their sha256."""
    digest = hashlib.sha256()
    for block in blocks(total):
        digest.update(block)
        connection.sendall(block)
    return digest.hexdigest()


def push_until_stuck(connection, quiet=1.0, limit=1 << 30):
    """Sends until the peer has taken nothing for `quiet` seconds; returns how much went."""
    connection.setblocking(False)
    sent, body, last = 0, bytes(65536), time.monotonic()
    while time.monotonic() - last < quiet and sent < limit:
        try:
            sent += connection.send(body)
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    connection.settimeout(PATIENCE)
    return sent
