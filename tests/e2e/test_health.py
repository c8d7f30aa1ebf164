"""Servers are asked whether they are well; those that are not get nothing."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from support.backends import named
from support.h2backend import H2Backend
from support.ports import HOST, free_port
from support.rawhttp import Client, get
from support.sallyport import ENDED
from support.tlsclient import tcp
from support.wait import PATIENCE, wait_until

FAST = {"path": "/health", "interval": "100ms", "timeout": "1s", "rise": 2, "fall": 2}


class Patient:
    """A server of HTTP whose health a test decides: `health` is the status, or a function that is
    given the connection. `checks` are the heads of the checks."""

    def __init__(self, backend, **words):
        self.health = 200
        self.checks = []
        self.made = backend(self._handle, **words)
        self.address = self.made.address

    def _handle(self, connection):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = connection.recv(4096)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            if not head.startswith(b"GET /health"):
                status = 200
            else:
                self.checks.append(head)
                if callable(self.health):
                    self.health(connection)
                    return
                status = self.health
            connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % status)


@pytest.fixture
def patients(backend):
    return [Patient(backend) for _ in range(3)]


def make(sallyport, patients, health=None, **pool):
    return sallyport([p.address for p in patients], workers=2, listener={"mode": "http"},
                     pool={"balance": "round_robin", "health": {**FAST, **(health or {})}, **pool})


def down(made, patient, why=""):
    made.wait_error(f"server {patient.address} is down and gets nothing: {why}")


def state(made, patient):
    status = json.loads(made.get("/status")[1])
    return {s["address"]: s["state"] for p in status["pools"] for s in p["servers"]}[patient.address]


def asked(made, n=12):
    """Requests that must be answered."""
    with Client(made.port) as client:
        for _ in range(n):
            assert client.ask(get("/")).status == 200


def until_up(made, patient):
    wait_until(lambda: f"server {patient.address} is up" in made.error_log(), "it to be up")


def test_one_that_is_not_well_gets_nothing_until_it_is(sallyport, patients):
    made = make(sallyport, patients)
    asked(made)
    patients[0].health = 503
    down(made, patients[0], r"status 503 \(/health\)")
    assert made.metrics().get("servers_down") == 1
    before = patients[0].made.accepted, len(patients[0].checks)
    asked(made, 30)
    made.wait_metric(lambda n: n > 5, "health_checks_total", outcome="failure")
    got = patients[0].made.accepted - before[0] - (len(patients[0].checks) - before[1])
    assert got <= 1, "checks only; one may be on its way"
    patients[0].health = 204
    until_up(made, patients[0])
    made.wait_metric(0, "servers_down")


def test_status_shows_it(sallyport, patients):
    made = make(sallyport, patients)
    patients[1].health = 500
    down(made, patients[1])
    shown = subprocess.run([made.program, "status", "--admin", f"unix:{made.admin_path}"],
                           capture_output=True, text=True, timeout=PATIENCE)
    assert f"{patients[1].address}: down, " in shown.stdout, shown.stdout + shown.stderr
    assert f"{patients[0].address}: up, " in shown.stdout


def test_checks_are_what_servers_expect(sallyport, patients):
    make(sallyport, patients, {"host": "app.example"})
    wait_until(lambda: patients[0].checks, "a check")
    head = patients[0].checks[0].lower()
    assert b"\r\nhost: app.example" in head
    assert b"\r\nuser-agent: sallyport/" in head


@pytest.mark.parametrize("fine", ["200", ["204", "401-403"]], ids=["one", "several"])
def test_what_is_expected_is_fine(sallyport, patients, fine):
    patients[0].health = 200 if fine == "200" else 402
    patients[1].health = 302
    made = make(sallyport, patients[:2], {"expect": fine})
    down(made, patients[1], "status 302")
    assert f"server {patients[0].address} is down" not in made.error_log()


def silence(connection):
    time.sleep(2)


def garbage(connection):
    connection.sendall(b"\0\1\2 garbage\r\n\r\n")


def endless_head(connection):
    for _ in range(100):
        connection.sendall(b"HTTP/1.1 200 X\r\n" if _ == 0 else b"A: " + b"x" * 1000 + b"\r\n")


def half(connection):
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\nhalf")


def closes(connection):
    pass


@pytest.mark.parametrize("trouble, why", [
    (silence, "no answer in time|server_timeout|response_timeout"), (garbage, "bad_response"),
    (endless_head, "bad_response"), (half, "server_closed"), (closes, "server_closed")],
    ids=["silence", "garbage", "endless_head", "half", "closes"])
def test_what_is_no_answer_is_none(sallyport, patients, trouble, why):
    patients[0].health = trouble
    made = make(sallyport, patients, {"timeout": "500ms"})
    down(made, patients[0], f"({why})")
    asked(made)


def test_a_large_answer_is_not_waited_for(sallyport, patients):
    def large(connection):
        connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 100000000\r\n\r\n" + bytes(200000))
        time.sleep(1)

    patients[0].health = large
    made = make(sallyport, patients, {"timeout": "900ms"})
    made.wait_metric(lambda n: n >= 6, "health_checks_total", outcome="success")
    assert "is down" not in made.error_log()


def test_connecting_is_enough_where_that_is_said(sallyport, backend):
    port = free_port()
    servers = [backend(named("a")), backend(named("b"), port=port)]
    made = sallyport([s.address for s in servers], pool={
        "balance": "round_robin", "health": {"tcp": True, "interval": "100ms", "fall": 1}})
    servers[1].close()
    made.wait_error(rf"server {servers[1].address} is down and gets nothing: connect_refused "
                    r"\(connecting\)")
    for _ in range(6):
        with tcp(made.port) as client:
            assert client.recv(10) == b"a"
    backend(named("b"), port=port)
    made.wait_error(rf"server {servers[1].address} is up")


def test_one_whose_queue_is_full_is_down(sallyport, backend):
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        time.sleep(0.1)
        address = "%s:%d" % full.getsockname()
        made = sallyport([address, backend(named("a")).address], pool={
            "health": {"tcp": True, "interval": "100ms", "timeout": "200ms"}})
        made.wait_error(f"server {address} is down and gets nothing: (no answer|connect_timeout)")
        for each in fillers:
            each.close()


def test_unix_sockets_are_asked_too(sallyport, backend, folder):
    path = str(folder / "app.sock")
    patient = Patient(backend, path=path)
    made = sallyport([patient.address], listener={"mode": "http"}, pool={"health": FAST})
    wait_until(lambda: len(patient.checks) > 2, "checks")
    assert "is down" not in made.error_log()


def test_tls_is_verified(sallyport, web, authority, stranger):
    good = web(leaf=authority.leaf("a.example"))
    bad = web(leaf=stranger.leaf("a.example"))
    made = sallyport([good.address, bad.address], listener={"mode": "http"}, pool={
        "tls": {"ca": str(authority.path), "server_name": "a.example"},
        "health": {**FAST, "path": "/hello"}})
    made.wait_error(rf"server {bad.address} is down and gets nothing: connect_tls_failed: .*"
                    "issuer")
    made.wait_metric(lambda n: n >= 2, "health_checks_total", outcome="success")
    with Client(made.port) as client:
        assert client.ask(get("/hello")).status == 200


def test_http2_servers_are_asked_in_http2(sallyport):
    paths = []

    def answer(stream):
        paths.append(stream.path)
        stream.respond(200, body=b"ok")

    server = H2Backend(answer)
    made = sallyport([server.address], listener={"mode": "http"},
                     pool={"protocol": "http/2", "health": FAST})
    wait_until(lambda: paths.count("/health") > 2, "checks")
    assert "is down" not in made.error_log()
    made.stop()
    server.close()


def test_where_all_are_down_they_are_asked_all_the_same(sallyport, patients):
    made = make(sallyport, patients)
    for each in patients:
        each.health = 503
    for each in patients:
        down(made, each)
    asked(made)


def test_panic(sallyport, patients):
    """Two of three are down: the third one is not left alone with it all."""
    made = make(sallyport, patients, panic_percent=50)
    patients[0].health = patients[1].health = 503
    made.wait_error("only 1 of 3 servers are in use: all of them are asked")
    asked(made, 30)
    assert min(made.metrics().get("server_requests_total", server=p.address, code="2xx") or 0
               for p in patients) >= 5
    patients[0].health = 200
    made.wait_error("2 of 3 servers are in use: the others are no longer asked")


def test_backups_stand_in(sallyport, patients):
    made = sallyport([patients[0].address, {"address": patients[1].address, "backup": True}],
                     listener={"mode": "http"}, pool={"health": FAST})
    asked(made)
    patients[0].health = 500
    down(made, patients[0])
    asked(made)


def test_a_reload_and_the_stewards_death_leave_it_as_it_was(sallyport, patients):
    made = make(sallyport, patients)
    patients[0].health = 503
    down(made, patients[0])
    made.reload()
    assert state(made, patients[0]) == "down"
    made.expect_noise = (ENDED,)
    killed = made.steward()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: made.steward() not in (None, killed), "another steward")
    checks = len(patients[0].checks)
    wait_until(lambda: len(patients[0].checks) > checks + 1, "checks to go on")
    assert state(made, patients[0]) == "down"
    assert f"server {patients[0].address} is up" not in made.error_log()
    patients[0].health = 200
    until_up(made, patients[0])


def test_without_health_nothing_is_asked_any_more(sallyport, patients):
    made = make(sallyport, patients)
    patients[0].health = 503
    down(made, patients[0])
    config = json.loads(made.config_path.read_text())
    del config["pools"]["back"]["health"]
    made.reload(config)
    wait_until(lambda: state(made, patients[0]) == "up", "it to be in use")


def test_checks_are_jittered_and_bounded(sallyport, backend):
    """A hundred servers that do not answer: no more than 64 checks at a time."""
    on, most, lock = 0, 0, threading.Lock()

    def hold(connection):
        nonlocal on, most
        with lock:
            on += 1
            most = max(most, on)
        try:
            while connection.recv(4096):
                pass
        finally:
            with lock:
                on -= 1

    one = backend(hold, backlog=512)
    made = sallyport([{"address": one.address, "name": f"s{i}"} for i in range(100)],
                     listener={"mode": "http"},
                     pool={"health": {**FAST, "interval": "1s", "timeout": "250ms"}})
    wait_until(lambda: made.error_log().count("is down") == 100, "all to be down")
    assert 30 < most <= 80, most
