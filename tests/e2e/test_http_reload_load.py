"""wrk at full rate over connections that stay, while SIGHUP replaces routes, pools and certificates,
and while workers die: no request notices the first, and only a dead worker's the second."""

import copy
import http.client
import itertools
import os
import shutil
import time

import pytest

from support import processes
from support.ports import HOST, free_port
from support.tlsclient import connect, serial, served_serial
from support.tools import Wrk
from support.wait import PATIENCE, SANITIZED, wait_until

RELOADS = 20 if SANITIZED else 100
LOOK_EVERY = 10
CLIENTS = 16
PATHS = ["/hello", "/moving/who", "/moving/hello", "/who", "/made", "/extra/hello"]


class Kept:
    """A connection that stays, and asks when it is told to."""

    def __init__(self, port, name="a.example"):
        self._http = http.client.HTTPConnection(name, timeout=PATIENCE)
        self._http.sock = self.tls = connect(port, name)

    def get(self, path):
        """The answer, which must not end the connection; its body is in `body`."""
        self._http.request("GET", path)
        answer = self._http.getresponse()
        answer.body = answer.read().decode()
        assert self._http.sock is self.tls, f"the connection was to end: {answer.headers}"
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tls.close()


class Changing:
    """An instance, and all that a reload can change of how it answers."""

    def __init__(self, sallyport, web, authority, folder):
        self._certificates = folder / "certs"
        self._certificates.mkdir()
        self._leaves = itertools.cycle([authority.leaf("a.example", fresh=True) for _ in range(4)])
        self.turn = 0
        self.leaf = None
        self._addresses = {}
        self._address = f"{HOST}:{free_port()}"
        for name in ("red", "blue"):
            server = web()
            (server.www / "who").write_text(name)
            self._addresses[name] = server.address
        self._install()
        self.instance = sallyport(config={**self._config(), "log": {"access": False}})
        self.port = self.instance.port

    @property
    def pool(self):
        """Where the moving route leads."""
        return ("red", "blue")[self.turn % 2]

    def _install(self):
        """Puts a certificate in place of another, as ACME clients do: by rename."""
        self.leaf = next(self._leaves)
        new = self._certificates / "a.new"
        shutil.copy(self.leaf.pem, new)
        new.chmod(0o600)
        os.rename(new, self._certificates / "a.pem")

    def _config(self):
        red, blue = self._addresses["red"], self._addresses["blue"]
        stamp = {"set": {"X-Turn": str(self.turn)}}
        pools = {"red": {"servers": [red], "balance": ("round_robin", "least_requests")[
                     self.turn // 2 % 2]},
                 "blue": {"servers": [blue] if self.turn % 3 else
                          [{"address": blue, "weight": 2, "name": "other"}]},
                 "both": {"servers": [red, blue][::-1 if self.turn % 2 else 1]}}
        routes = [
            {"path_prefix": "/moving/", "strip_prefix": "/moving", "pool": self.pool,
             "request_headers": {"set": {"X-Turn": str(self.turn)}}, "response_headers": stamp},
            {"path": "/made", "respond": {"status": 200, "body": f"turn {self.turn}"}},
            {"path_prefix": "/", "pool": "both", "response_headers": {
                "remove": ["Server"] if self.turn % 2 else ["X-Powered-By"]}},
        ]
        # Some come and go: the pool, the route, or both.
        if self.turn % 3 == 1:
            pools["extra"] = {"servers": [blue]}
        if self.turn % 3 != 0:
            routes.insert(self.turn % 2, {"path_prefix": "/extra/", "strip_prefix": "/extra",
                                          "host": ["a.example", f"t{self.turn}.example"],
                                          "pool": "extra" if "extra" in pools else "red"})
        else:
            routes.insert(0, {"path_prefix": "/extra/", "respond": {"status": 204}})
        config = {"workers": 2, "drain_timeout": "2s", "pools": pools, "listeners": [
            {"name": "door", "address": self._address, "mode": "http", "routes": routes,
             "tls": {"certificates": [str(self._certificates)]}}]}
        return config

    def change(self):
        """The next turn; waits until it has come."""
        self.turn += 1
        self._install()
        config = {**copy.deepcopy(self.instance.config), **self._config()}
        assert self.instance.reload(config) == "done"

    def check(self, kept):
        """Whoever asks sees the present turn, over a connection from before too."""
        answer = kept.get("/moving/who")
        assert (answer.status, answer.body) == (200, self.pool)
        assert answer.getheader("X-Turn") == str(self.turn)
        assert kept.get("/made").body == f"turn {self.turn}"
        assert kept.get("/extra/hello").status == (200 if self.turn % 3 else 204)
        assert kept.get("/hello").getheader("X-Turn") is None


@pytest.fixture
def changing(sallyport, web, authority, folder):
    return Changing(sallyport, web, authority, folder)


@pytest.fixture
def wrk(folder):
    """Starts wrk, and waits until all its connections are there."""
    made = []

    def make(instance, clients=CLIENTS):
        before = instance.metrics().get("tls_handshakes_total")
        made.append(Wrk(folder, instance.port, PATHS, clients))
        instance.wait_metric(before + clients, "tls_handshakes_total")
        return made[-1]

    yield make
    for each in made:
        each.close()


def refuse(changing):
    """Reloads by what cannot be taken: a route to a pool that is not there."""
    instance = changing.instance
    good = copy.deepcopy(instance.config)
    bad = copy.deepcopy(good)
    bad["listeners"][0]["routes"][0]["pool"] = "grey"
    assert instance.reload(bad) == "refused"
    instance.configure(good)


def test_reloads_under_full_load_break_nothing(changing, wrk):
    instance = changing.instance
    before = sorted(instance.pids())
    load = wrk(instance)
    # And the one that is kept: its last flight may be on its way when it holds itself for ready.
    handshakes = instance.metrics().get("tls_handshakes_total") + 1
    with Kept(changing.port) as kept:
        changing.check(kept)  # so the server, too, has finished the handshake
        first = serial(kept.tls)
        looks = 0
        for number in range(1, RELOADS + 1):
            changing.change()
            if number % LOOK_EVERY == 0:
                looks += 1
                changing.check(kept)
                assert served_serial(changing.port) == changing.leaf.serial
            if number == RELOADS // 2:
                refuse(changing)
                changing.check(kept)
        assert serial(kept.tls) == first  # what was agreed stays agreed
    traffic = load.finish()
    assert (traffic.refused, traffic.broken, traffic.timed_out) == (0, 0, 0), traffic.output
    assert traffic.requests > 10 * RELOADS
    # Nobody had to come again: what was opened is what was opened here.
    instance.wait_metric(handshakes + looks, "tls_handshakes_total")
    metrics = instance.metrics()
    assert metrics.get("configuration_generation") == RELOADS + 1
    assert metrics.get("reloads_total", outcome="done") == RELOADS
    assert metrics.get("reloads_total", outcome="refused") == 1
    assert metrics.get("process_restarts_total") == 0
    assert metrics.get("server_connect_failures_total") == 0
    # A loader that has just said what it made may still be ending.
    wait_until(lambda: sorted(instance.pids()) == before, "the processes from before, no other")


def test_workers_killed_under_load_take_only_their_own_with_them(changing, wrk):
    if os.geteuid() != 0:
        pytest.skip("only root sees which worker has which connection")
    instance, clients, lost = changing.instance, 2 * CLIENTS, 0
    load = wrk(instance, clients)
    for _ in range(3):
        # Until all are where they belong, and none is on its way.
        theirs = wait_until(lambda: (t := {w: processes.peers_of(w, changing.port)
                                           for w in instance.workers()}) and
                            sum(map(len, t.values())) == clients and t,
                            "every connection to be at a worker")
        victim = max(theirs, key=lambda w: len(theirs[w]))
        lost += len(theirs[victim])
        instance.kill_worker(victim)
        instance.wait_replaced([victim], 2)
        time.sleep(0.3)  # at work again, for a while
        changing.change()
    traffic = load.finish()
    assert (traffic.refused, traffic.timed_out) == (0, 0), traffic.output
    assert 0 < traffic.broken <= lost, traffic.output
    assert instance.metrics().get("process_restarts_total", role="worker") == 3
    instance.wait_metric(0, "connections_active")
    with Kept(changing.port) as kept:
        changing.check(kept)
