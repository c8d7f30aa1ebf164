"""A thousand clients that are slow on purpose, in each of the three ways: others do not notice, memory
is bounded, and in the end they are sent away."""

import resource
import statistics
import time

import pytest

from support import sallyport as runner
from support.slow import Slow
from support.tlsclient import connect
from support.traffic import fetch_again
from support.wait import PATIENCE, SANITIZED, wait_until

NUMBER = 200 if SANITIZED else 1000
BIG = 2 << 20  # more than the kernel takes in on the way
REQUESTS = 250  # in a window
WINDOWS = 3
# How much later the 99th percentile may be, where the quiet one is short: that of a machine with
# other work may double. It is 5 ms on a machine that does nothing else.
MORE = 0.1 if SANITIZED else 0.025
KIB = 1024
# Bytes for each of them at most; a sanitizer puts much around every block.
HELD = {"head": 24 * KIB, "body": 48 * KIB, "read": 256 * KIB}
SANITIZER = 256 * KIB
# What a sanitizer keeps of what was freed.
ENVIRON = {"ASAN_OPTIONS": "abort_on_error=1:quarantine_size_mb=4"}
TIMEOUTS = {"head": {"request_header": "5s"}, "body": {"request_body": "4s"},
            "read": {"response_write": "4s"}}
CAUSES = {"head": "request_header_timeout", "body": "request_body_timeout",
          "read": "response_write_timeout"}


@pytest.fixture(autouse=True)
def many_descriptors():
    """The backend, which inherits this, has a connection for each of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def percentile(tls):
    """The 99th of the times of some requests, in seconds."""
    times = []
    for _ in range(REQUESTS):
        began = time.monotonic()
        fetch_again(tls)
        times.append(time.monotonic() - began)
        time.sleep(0.002)
    return statistics.quantiles(times, n=100)[98]


@pytest.mark.parametrize("kind", list(TIMEOUTS))
def test_a_thousand_slow_clients_disturb_nobody(sallyport, web, authority, kind):
    # Two, for one that sends to a thousand keeps others waiting by itself.
    theirs, ours = web(), web()
    (theirs.www / "big").write_bytes(bytes(BIG))
    config = runner.config([ours.address], tls=[authority.leaf("a.example").pem],
                           listener={"mode": "http", "timeouts": TIMEOUTS[kind]})
    config["pools"]["theirs"] = {"servers": [theirs.address]}
    config["listeners"][0]["routes"] = [{"path": "/hello", "pool": config["listeners"][0].pop("pool")},
                                        {"path_prefix": "/", "pool": "theirs"}]
    instance = sallyport(config=config, environ=ENVIRON)
    with connect(instance.port) as normal:
        quiet = min(percentile(normal) for _ in range(2))
        limit = 2 * quiet + MORE
        before = instance.memory()
        with Slow(kind, instance.port, NUMBER) as slow:
            assert instance.metrics().get("connections_active") > NUMBER // 2
            held = instance.memory() - before
            # Whatever else this machine does disturbs one window, but not all.
            busy = limit + 1
            for _ in range(WINDOWS):
                busy = min(busy, percentile(normal))
                if busy < limit:
                    break
            held = max(held, instance.memory() - before)
            print(f"{kind}: 99th percentile {busy * 1e3:.2f} ms, quiet {quiet * 1e3:.2f} ms; "
                  f"{held / NUMBER:.0f} bytes each")
            assert busy < limit
            assert held < NUMBER * (HELD[kind] + (SANITIZER if SANITIZED else 0))
            # Whether output moves is looked at once in each of its time limits.
            instance.wait_metric(1, "connections_active", timeout=2 * PATIENCE)
            ends = slow.outcomes()
        fetch_again(normal)
    if kind != "read":
        assert ends == {"408": NUMBER}
    wait_until(lambda: sum(r.get("cause") == CAUSES[kind] for r in instance.access_log()) == NUMBER,
               f"{NUMBER} records with {CAUSES[kind]}")
    # Nobody is left at the backend.
    instance.wait_metric(0, "requests_active")
