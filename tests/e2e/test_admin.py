"""The admin endpoint: health, and metrics that a scraper reads and that count what happened."""

import pytest

from support.backends import echo
from support.tlsclient import ask, connect, context, tcp
from support.tools import s_client


@pytest.fixture
def door(sallyport, backend, authority):
    """A TLS listener before an echo."""
    return sallyport([{"address": backend(echo).address, "name": "only"}], workers=2,
                     tls=[authority.leaf("a.example").pem])


def test_health_and_readiness_answer(door):
    assert door.get("/healthz")[0] == 200
    assert door.get("/readyz")[0] == 200
    assert door.get("/nothing/here")[0] == 404


def test_metrics_count_connections_handshakes_and_bytes(door):
    for version in ("1.2", "1.3", "1.3"):
        with connect(door.port, ctx=context(version=version)) as client:
            ask(client, bytes(1000))
            door.wait_metric(1, "connections_active", listener="door")
            assert door.metrics().get("server_connections_active", server="only") == 1
            client.unwrap()
        door.wait_metric(0, "connections_active")
    seen = door.metrics()
    assert seen.get("connections_accepted_total", listener="door") == 3
    assert seen.get("connections_ended_total", listener="door", cause="closed") == 3
    assert seen.get("tls_handshakes_total", version="TLSv1.2", resumed="false") == 1
    assert seen.get("tls_handshakes_total", version="TLSv1.3", resumed="false") == 2
    assert seen.get("tls_handshake_duration_seconds_count", listener="door") == 3
    assert 0 < seen.get("tls_handshake_duration_seconds_sum") < 5
    assert seen.get("received_bytes_total", listener="door") == 3000
    assert seen.get("sent_bytes_total", listener="door") == 3000
    assert seen.get("server_connects_total", pool="back", server="only") == 3
    assert seen.get("server_received_bytes_total", pool="back", server="only") == 3000
    assert seen.get("server_sent_bytes_total", pool="back", server="only") == 3000


def test_metrics_count_failed_handshakes_by_cause(door):
    s_client(door.port, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    with tcp(door.port) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        client.recv(100)
    door.wait_metric(2, "connections_ended_total")
    for cause in ("unsupported_version", "http_request"):
        door.wait_metric(1, "tls_handshake_failures_total", listener="door", cause=cause)
        door.wait_metric(1, "connections_ended_total", listener="door", cause=cause)
    assert door.metrics().get("tls_handshakes_total") == 0


def test_metrics_tell_of_the_process(door):
    seen = door.metrics()
    assert seen.get("workers") == 2 == len(door.workers())
    assert seen.get("certificates") == 1
    assert seen.get("draining") == 0
    assert seen.get("build_info") == 1
    assert seen.get("configuration_generation") > 0


def test_openmetrics_is_given_where_it_is_asked_for(door):
    status, text = door.get("/metrics", headers={
        "Accept": "application/openmetrics-text; version=1.0.0"})
    assert status == 200 and text.endswith("\n# EOF\n")


def test_names_with_quotes_are_escaped(sallyport, backend):
    instance = sallyport([{"address": backend(echo).address, "name": 'a"b\\c'}],
                         listener={"name": 'door "one"\\'})
    with tcp(instance.port) as client:
        ask(client)
    instance.wait_metric(1, "connections_ended_total")
    assert instance.wait_record()["listener"] == 'door "one"\\'
    assert instance.metrics().get("server_connects_total", server='a\\"b\\\\c') == 1
