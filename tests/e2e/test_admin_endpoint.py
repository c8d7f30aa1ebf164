"""The admin endpoint as a server: odd requests, many of them, TCP and unix, and none at all."""

import contextlib
import http.client
import os
import signal
import socket
import stat
import time

import pytest

from support import backends, tlsclient
from support.ports import HOST, free_port
from support.wait import PATIENCE, wait_until


@pytest.fixture
def door(sallyport, backend, authority):
    """An instance before an echo."""
    def make(**words):
        return sallyport([backend().address], tls=[authority.leaf("a.example").pem], **words)
    return make


def raw(instance, timeout=PATIENCE):
    """A connection to the admin socket."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout)
    s.connect(instance.admin_path)
    return s


def say(instance, request):
    """What it answers to these bytes, until it closes."""
    with raw(instance) as s:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(request)
            return backends.read_all(s)
    return b""


def head_of(answer):
    """Status, headers (names in lower case) and body of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in rest)
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}, body


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz"])
def test_every_page_answers_get_and_head(door, path):
    instance = door()
    code, headers, body = head_of(say(instance, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))
    assert code == 200 and int(headers["content-length"]) == len(body) > 0
    assert headers["content-type"].startswith("text/plain")
    assert headers["cache-control"] == "no-store"
    answer = say(instance, f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    code, headers, body = head_of(answer)
    assert code == 200 and body == b"" and int(headers["content-length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_405(door, method):
    request = f"{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    code, headers, _ = head_of(say(door(), request.encode()))
    assert code == 405 and headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/metricsx", "//metrics", "/Metrics",
                                  "/../metrics", "/%6detrics", "/metrics%00"])
def test_other_paths_are_404(door, path):
    code, _, _ = head_of(say(door(), f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))
    assert code in (400, 404)


def test_a_query_is_not_part_of_the_path(door):
    assert door().get("/metrics?x=1")[0] == 200


GARBAGE = [b"", b"\r\n\r\n", b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
           b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500),
           b"GET / HTTP/1.1\r\n" + b"x" * 100000, b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
           b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
           b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100000,
           b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n" + b"x" * 100000,
           b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", os.urandom(5000)]


def test_garbage_does_it_no_harm(door):
    instance = door()
    steward, memory = instance.steward(), instance.memory()
    for garbage in GARBAGE * 3:
        with raw(instance) as s:
            with contextlib.suppress(OSError):
                s.sendall(garbage)
                s.shutdown(socket.SHUT_WR)
                answer = s.recv(65536)
                assert not answer.startswith(b"HTTP/1.1 200"), garbage[:40]
        assert instance.get("/healthz")[0] == 200
    assert instance.steward() == steward
    assert instance.memory() < memory + (8 << 20)


def test_large_headers_are_refused_and_small_ones_are_not(door):
    instance = door()
    fine = b"GET /healthz HTTP/1.1\r\nHost: x\r\nCookie: " + b"c" * 8000 + b"\r\n\r\n"
    assert head_of(say(instance, fine))[0] == 200
    large = b"GET /healthz HTTP/1.1\r\nHost: x\r\nCookie: " + b"c" * 40000 + b"\r\n\r\n"
    answer = say(instance, large)
    assert answer == b"" or head_of(answer)[0] in (400, 413, 431)
    assert instance.get("/healthz")[0] == 200


def test_many_idle_connections_do_not_stop_the_others_for_ever(door):
    """It serves a few at a time; what is idle is thrown out, what waits gets its turn."""
    instance = door(workers=1)
    with contextlib.ExitStack() as stack:
        for _ in range(36):
            stack.enter_context(raw(instance))
        began = time.monotonic()
        status, _ = instance.get("/healthz", timeout=60)
        assert status == 200 and time.monotonic() - began < 45
        # Traffic does not care.
        with tlsclient.connect(instance.port) as tls:
            tls.sendall(b"hello")
            assert backends.read_exactly(tls, 5) == b"hello"
        assert instance.descriptors() < 100


def test_a_request_in_drips_and_in_pieces(door):
    instance = door()
    with raw(instance) as s:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            s.sendall(bytes([byte]))
            time.sleep(0.002)
        assert head_of(backends.read_all(s))[0] == 200


def test_many_scrapers_at_once(door):
    instance = door(workers=2)
    with contextlib.ExitStack() as stack:
        scrapers = [stack.enter_context(raw(instance)) for _ in range(20)]
        for s in scrapers:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        for s in scrapers:
            code, headers, body = head_of(backends.read_all(s))
            assert code == 200 and len(body) == int(headers["content-length"])


def test_one_that_reads_nothing_holds_up_nobody(door):
    instance = door()
    with raw(instance) as s:
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        time.sleep(0.1)
        for _ in range(10):
            assert instance.get("/healthz")[0] == 200


def test_the_unix_socket_is_for_its_owner_only(door):
    mode = os.stat(door().admin_path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_draining_is_503_and_metrics_still_answer(door):
    instance = door(drain_timeout="20s")
    with tlsclient.connect(instance.port) as tls:
        tls.sendall(b"hello")
        assert backends.read_exactly(tls, 5) == b"hello"
        instance.signal(signal.SIGTERM)
        wait_until(lambda: instance.get("/healthz")[0] == 503, "draining")
        code, _, body = head_of(say(instance, b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
        assert code == 503 and body == b""
        assert instance.metrics().get("draining") == 1
        assert instance.get("/nothing")[0] == 404
        tls.unwrap().close()
    instance.stop(sig=0)


def test_on_tcp(door):
    port = free_port()
    instance = door(start=False, admin={"address": f"{HOST}:{port}"})
    process = instance.spawn().process

    def get(path):
        connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return None, ""
        finally:
            connection.close()
    wait_until(lambda: process.poll() is not None or get("/readyz")[0] == 200, "readiness")
    assert get("/healthz") == (200, "ok\n")
    assert "sallyport_workers 1\n" in get("/metrics")[1]
    assert get("/none")[0] == 404


def test_without_an_admin_endpoint(door):
    instance = door(start=False, admin=False)
    instance.spawn()

    def serves():
        assert instance.process.poll() is None, instance.words()
        try:
            with tlsclient.connect(instance.port) as tls:
                tls.sendall(b"hello")
                return backends.read_exactly(tls, 5) == b"hello"
        except OSError:
            return False
    wait_until(serves, "the door to open")
    assert not os.path.exists(instance.admin_path)
    instance.signal(signal.SIGHUP)
    instance.wait_error(r"reload|generation 2|configuration")
    assert serves()


def test_metrics_name_what_is_documented(door):
    """The families that README and dashboards count on."""
    instance = door()
    with tlsclient.connect(instance.port) as tls:
        tls.sendall(b"hello")
        assert backends.read_exactly(tls, 5) == b"hello"
    instance.wait_metric(1, "connections_ended_total")
    metrics = instance.metrics()
    for name in ("connections_accepted_total", "tls_handshakes_total",
                 "tls_handshake_duration_seconds", "received_bytes_total", "sent_bytes_total",
                 "server_connects_total", "reloads_total", "process_restarts_total",
                 "log_records_dropped_total", "configuration_generation",
                 "certificate_first_expiry_time_seconds"):
        assert f"sallyport_{name}" in metrics.types, name
    expiry = metrics.get("certificate_first_expiry_time_seconds") - time.time()
    assert 80 * 86400 < expiry < 91 * 86400
    assert abs(metrics.get("start_time_seconds") - time.time()) < 60
