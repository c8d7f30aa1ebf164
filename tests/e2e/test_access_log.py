"""A line for each connection and each failed handshake, with what is known."""

import datetime
import json
import time

import pytest

from support.backends import echo
from support.tlsclient import Wire, ask, connect, context, tcp
from support.tools import s_client
from support.wait import wait_until


def test_a_connection_s_line_has_all_there_is_to_say(sallyport, backend, authority):
    server = backend(echo)
    instance = sallyport([{"address": server.address, "name": "only"}],
                         tls=[authority.leaf("a.example").pem])
    with connect(instance.port, "A.Example", context(version="1.3")) as client:
        port = client.getsockname()[1]
        ask(client, bytes(1000))
        time.sleep(0.1)
        client.unwrap()
    record = instance.wait_record()
    when = datetime.datetime.fromisoformat(record.pop("time").replace("Z", "+00:00"))
    assert abs(when.timestamp() - time.time()) < 10
    assert 0 < record.pop("handshake_ms") < record["duration_ms"]
    assert 0 < record.pop("connect_ms") < record["duration_ms"]
    assert 100 <= record.pop("duration_ms") < 5000
    assert record == {
        "event": "connection", "client": f"127.0.0.1:{port}", "listener": "door",
        "sni": "a.example", "tls": "TLSv1.3", "cipher": record["cipher"], "group": "X25519",
        "resumed": False, "bytes_received": 1000, "bytes_sent": 1000, "pool": "back",
        "server": "only", "cause": "closed"}
    assert record["cipher"].startswith("TLS_AES_") or "CHACHA20" in record["cipher"]


def test_a_line_of_tls_1_2_names_its_cipher_and_group(sallyport, backend, authority):
    instance = sallyport([backend(echo).address], tls=[authority.leaf("a.example").pem])
    s_client(instance.port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384",
             "-groups", "P-256")
    record = instance.wait_record()
    assert record["tls"] == "TLSv1.2" and record["group"] == "P-256"
    assert record["cipher"] == "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"


def test_a_failed_handshake_has_a_line_with_its_reason(sallyport, backend, authority):
    instance = sallyport([backend(echo).address], tls={
        "certificates": [authority.leaf("a.example").pem], "strict_sni": True})
    s_client(instance.port, name="unknown.example")
    record = instance.wait_record(event="handshake_failed")
    assert record["sni"] == "unknown.example" and record["cause"] == "unrecognized_name"
    assert "strict_sni" in record["detail"] and record["listener"] == "door"
    assert record["client"].startswith("127.0.0.1:") and "resumed" not in record


def test_a_client_that_does_not_trust_us_is_told_apart(sallyport, backend, authority, stranger):
    instance = sallyport([backend(echo).address], tls=[stranger.leaf("a.example").pem])
    s_client(instance.port, "-tls1_2", "-verify_return_error", "-CAfile", authority.path)
    record = instance.wait_record(event="handshake_failed")
    assert record["cause"] == "peer_rejects_certificate" and "alert" in record["detail"]


def test_a_name_with_odd_characters_is_escaped(sallyport, backend, authority):
    instance = sallyport([backend(echo).address], tls=[authority.leaf("a.example").pem])
    with Wire(instance.port, "aaaaaa.example") as client:
        client.raw.sendall(client.first_flight().replace(b"aaaaaa", b'a"\\}{,'))
        client.feed()
    assert instance.wait_record()["sni"] == 'a"\\}{,.example'


@pytest.mark.parametrize("odd, causes", [
    (b"a\n\r\x1b\x7fz", ["decode_error"]),
    (b"a\0bcde", ["decode_error", "tls_other"]),  # the library refuses NUL, and does not say why
], ids=["control", "nul"])
def test_a_name_with_control_characters_is_refused_and_not_logged(sallyport, backend, authority,
                                                                   odd, causes):
    instance = sallyport([backend(echo).address], tls=[authority.leaf("a.example").pem])
    with Wire(instance.port, "aaaaaa.example") as client:
        client.raw.sendall(client.first_flight().replace(b"aaaaaa", odd))
        assert client.raw.recv(1) == b"\x15"  # an alert
    record = instance.wait_record(event="handshake_failed")
    assert record["cause"] in causes and "sni" not in record


def test_every_connection_has_a_line_and_every_line_is_whole(sallyport, backend):
    instance = sallyport([backend(echo).address], workers=4)
    for i in range(200):
        with tcp(instance.port) as client:
            ask(client, bytes(i + 1))
    instance.wait_metric(200, "connections_ended_total")
    lines = []

    def all_there():
        lines[:] = instance.access_log()
        return len(lines) >= 200
    wait_until(all_there, "200 lines")
    assert sorted(r["bytes_sent"] for r in lines) == list(range(1, 201))
    assert instance.metrics().get("log_records_dropped_total") == 0


def test_without_an_access_log_nothing_is_written(sallyport, backend):
    instance = sallyport([backend(echo).address], log={"access": False})
    with tcp(instance.port) as client:
        ask(client)
    instance.wait_metric(1, "connections_ended_total")
    assert instance.access_log() == []


def test_the_access_log_may_be_stdout(sallyport, backend):
    instance = sallyport([backend(echo).address], log={"access": {"path": "stdout"}})
    with tcp(instance.port) as client:
        ask(client)
    out = instance.folder / "stdout"
    [line] = wait_until(lambda: out.read_text().splitlines(), "a line on stdout")
    assert json.loads(line)["cause"] == "closed"
