"""Bodies of a gigabyte through HTTP, with their length and in chunks: they arrive as they were sent,
and memory stays where it was, also where one side is slower than the other."""

import hashlib
import subprocess
import threading

import pytest

from support.backends import blocks, push_until_stuck
from support.memory import Watch
from support.tlsclient import connect, tcp
from support.tools import curl_command
from support.traffic import push
from support.wait import PATIENCE, SANITIZED, wait_until
from support.webserver import served

MIB = 1 << 20
AMOUNT = {"length": (64 if SANITIZED else 1024) * MIB, "chunked": (32 if SANITIZED else 256) * MIB}
MAY_GROW = (32 if SANITIZED else 4) * MIB
# What a sanitizer keeps of what was freed.
ENVIRON = {"ASAN_OPTIONS": "abort_on_error=1:quarantine_size_mb=4"}
LONG = PATIENCE * 6

CONNECTIONS = 8
STUCK = 24 * MIB  # more than the kernel takes in on the way
# Less than this for each connection; a sanitizer puts much around every block.
EACH = (8 if SANITIZED else 1) * MIB

framings = pytest.mark.parametrize("framing", list(AMOUNT))


@pytest.fixture
def door(sallyport, authority):
    """A listener before one backend, which has already served a request."""
    def make(server):
        instance = sallyport([server.address], tls=[authority.leaf("a.example").pem],
                             listener={"mode": "http"}, environ=ENVIRON)
        done = subprocess.run(curl_command("https://a.example/small", instance.port), check=True,
                              stdin=subprocess.DEVNULL, capture_output=True)
        assert done.stdout == b"small"
        return instance
    return make


@framings
def test_a_gigabyte_down_arrives_whole_and_memory_stays_flat(door, backend, framing):
    total, sent = AMOUNT[framing], []

    def answer(request):
        if request.target == "/small":
            request.respond("small")
        else:
            sent.append(request.respond_bulk(total, framing == "chunked"))

    instance, digest, got = door(backend(served(answer))), hashlib.sha256(), 0
    argv = curl_command("https://a.example/bulk", instance.port, "-N", timeout=LONG)
    with Watch(instance) as watch, subprocess.Popen(argv, stdout=subprocess.PIPE) as client:
        while data := client.stdout.read(MIB):
            digest.update(data)
            got += len(data)
    assert client.returncode == 0
    assert got == total
    wait_until(lambda: sent, "the backend to be done")
    assert digest.hexdigest() == sent[0]
    assert watch.grown < MAY_GROW


@framings
def test_a_gigabyte_up_arrives_whole_and_memory_stays_flat(door, backend, framing):
    total, seen, digest = AMOUNT[framing], [], hashlib.sha256()

    def answer(request):
        if request.target == "/small":
            request.respond("small")
            return
        seen.append(("chunked" if "transfer-encoding" in request.fields else "length",
                     *request.measured()))
        request.respond("taken")

    instance = door(backend(served(answer)))
    # Without a length of its own curl sends chunks.
    flags = [] if framing == "chunked" else ["-H", f"Content-Length: {total}",
                                             "-H", "Transfer-Encoding:"]
    argv = curl_command("https://a.example/bulk", instance.port, *flags, "-T", "-", timeout=LONG)
    with Watch(instance) as watch, subprocess.Popen(argv, stdin=subprocess.PIPE,
                                                    stdout=subprocess.PIPE) as client:
        for block in blocks(total):
            digest.update(block)
            client.stdin.write(block)
        client.stdin.close()
        said = client.stdout.read()
    assert (client.returncode, said) == (0, b"taken")
    assert seen == [(framing, total, digest.hexdigest())]
    assert watch.grown < MAY_GROW


def read_to_end(tls):
    """What comes until the peer's orderly end."""
    got = bytearray()
    while data := tls.recv(1 << 16):
        got += data
    return bytes(got)


def body_of(response, framing):
    """How many bytes the body of a whole response has, given all bytes of it."""
    head, _, rest = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    if framing == "length":
        assert f"content-length: {len(rest)}".encode() in head.lower()
        return len(rest)
    total, at = 0, 0
    while True:
        end = rest.index(b"\r\n", at)
        size = int(rest[at:end], 16)
        if size == 0:
            assert rest[end:] == b"\r\n\r\n"
            return total
        total, at = total + size, end + 2 + size + 2


@framings
def test_a_slow_client_stops_the_backend(door, backend, framing):
    stuck, go = [], threading.Event()

    def answer(request):
        if request.target == "/small":
            request.respond("small")
            return
        request.head("Transfer-Encoding: chunked" if framing == "chunked"
                     else f"Content-Length: {STUCK}")
        if framing == "chunked":
            request.connection.sendall(b"%x\r\n" % STUCK)
        taken = push_until_stuck(request.connection, limit=STUCK)
        stuck.append(taken)
        go.wait(PATIENCE)
        request.connection.settimeout(LONG)
        request.connection.sendall(bytes(STUCK - taken))
        if framing == "chunked":
            request.connection.sendall(b"\r\n0\r\n\r\n")

    instance = door(backend(served(answer)))
    before = instance.memory()
    clients = [connect(instance.port, raw=tcp(instance.port, receive_buffer=65536))
               for _ in range(CONNECTIONS)]
    for client in clients:
        client.sendall(b"GET /bulk HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
    wait_until(lambda: len(stuck) == CONNECTIONS, "every backend to be stuck")
    assert max(stuck) < STUCK, "nothing stopped the backend"
    assert instance.memory() - before < CONNECTIONS * EACH
    assert_served(instance)
    go.set()
    # What waited is not lost, and ends in good order.
    for client in clients:
        assert body_of(read_to_end(client), framing) == STUCK
        client.close()


@framings
def test_a_slow_backend_stops_the_client(door, backend, framing):
    seen, go = [], threading.Event()

    def answer(request):
        if request.target == "/small":
            request.respond("small")
            return
        go.wait(LONG)
        seen.append(request.measured())
        request.respond("taken")

    instance = door(backend(served(answer)))
    before = instance.memory()
    head = "Transfer-Encoding: chunked" if framing == "chunked" else f"Content-Length: {STUCK}"
    chunks = (b"%x\r\n" % STUCK, b"\r\n0\r\n\r\n") if framing == "chunked" else (b"", b"")
    uploads = []
    for _ in range(CONNECTIONS):
        client = connect(instance.port)
        client.sendall(f"PUT /bulk HTTP/1.1\r\nHost: a.example\r\n{head}\r\n\r\n".encode())
        data = chunks[0] + bytes(STUCK) + chunks[1]
        at = push(client, data)
        assert at < len(data), "nothing stopped the client"
        uploads.append((client, memoryview(data)[at:]))
    assert instance.memory() - before < CONNECTIONS * EACH
    assert_served(instance)
    go.set()
    for client, rest in uploads:
        client.settimeout(LONG)
        client.sendall(rest)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        client.close()
    assert seen == [(STUCK, hashlib.sha256(bytes(STUCK)).hexdigest())] * CONNECTIONS


def assert_served(instance):
    """Others are answered while those wait."""
    for _ in range(3):
        done = subprocess.run(curl_command("https://a.example/small", instance.port), check=True,
                              stdin=subprocess.DEVNULL, capture_output=True)
        assert done.stdout == b"small"
