"""What is sent again to another server, and how much of it: no request is lost where servers come and
go, and servers in trouble are not asked for more."""

import pytest

from support.rawhttp import Client, get
from support.sallyport import config
from support.tools import Loading, h2load
from support.traffic import HELLO
from support.wait import SANITIZED, wait_until

WORKERS = 2
BURST, PER_SECOND = 32, 1  # of each worker, besides the share


@pytest.fixture
def four(sallyport, web, authority):
    """Four servers, and makes an instance before them."""
    servers = [web() for _ in range(4)]

    def make(**pool):
        made = sallyport([s.address for s in servers], tls=[authority.leaf("a.example").pem],
                         workers=WORKERS, listener={"mode": "http"}, pool=pool)
        return made, f"https://127.0.0.1:{made.port}"
    return make, servers


def asked(servers, path):
    """How many requests for `path` they had together."""
    return sum(s.asked(path) for s in servers)


@pytest.mark.skipif(SANITIZED, reason="it is about full load")
@pytest.mark.parametrize("streams", [None, 4])
def test_a_rolling_restart_loses_nothing(four, streams):
    make, servers = four
    made, url = make()
    load = Loading(url + "/hello", clients=20, seconds=6, streams=streams)
    wait_until(lambda: asked(servers, "/hello") > 100, "traffic")
    for _ in range(2):
        for server in servers:
            server.restart()
    done = load.finish()
    assert done.succeeded > 1000
    assert done.failed == 0, [r for r in made.access_log() if r.get("status") != 200][:5]
    assert made.metrics().get("server_connect_failures_total", cause="connect_refused") > 0


@pytest.mark.skipif(SANITIZED, reason="it is about full load")
def test_servers_in_trouble_get_no_storm(four):
    make, servers = four
    made, url = make(retry={"budget_percent": 10, "attempts": 4})
    load = h2load(url + "/busy", clients=20, seconds=3)
    spare = WORKERS * (BURST + PER_SECOND * 5)
    extra = asked(servers, "/busy") - load.done
    assert load.done > 1000
    assert 0 < extra <= load.done * 0.1 + spare + 20, "20 may have been on their way at the end"
    assert extra >= load.done * 0.05, "what there is of a budget is used"
    # Of those that were on their way at the end, not all are on record.
    assert abs(made.metrics().get("server_retries_total") - extra) <= 20


def busy(connection):
    """Answers 503 to everything."""
    while connection.recv(1 << 16):
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")


def test_one_in_trouble_is_hidden(sallyport, web, backend):
    good = web()
    made = sallyport([backend(busy).address, good.address], workers=1, listener={"mode": "http"},
                     pool={"balance": "round_robin"})
    with Client(made.port) as client:
        for _ in range(10):
            response = client.ask(get("/hello"))
            assert (response.status, response.body) == (200, HELLO)
        again = made.metrics().get("server_retries_total", server=good.address)
        assert again == 5


def silent(connection):
    """Answers nothing."""
    while connection.recv(1 << 16):
        pass


def test_the_routes_timeout(sallyport, backend):
    wanted = config([backend(silent).address], listener={
        "mode": "http", "routes": [{"pool": "back", "timeout": "300ms"}]})
    del wanted["listeners"][0]["pool"]
    made = sallyport(config=wanted)
    with Client(made.port) as client:
        assert client.ask(get("/")).status == 504
        assert made.wait_record()["cause"] == "route_timeout"


def test_a_full_pool_says_when_to_come_again(sallyport, backend):
    made = sallyport([backend(silent).address], workers=1, listener={"mode": "http"},
                     pool={"connections": {"max": 1, "max_pending": 0}})
    with Client(made.port) as first, Client(made.port) as second:
        first.send(get("/"))
        made.wait_metric(1, "server_connections_active")
        response = second.ask(get("/"))
        assert response.status == 503 and response.get("retry-after") == "1"
