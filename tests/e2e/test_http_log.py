"""The line of each HTTP request in the access log, as JSON and in the combined format, whatever
the client put into it."""

import datetime
import json
import re
import time

import pytest

from support import backends
from support.rawbackend import close, hang, patience_ms, pause, read_body
from support.rawhttp import chunked, get, ok, post
from support.wait import wait_until

FIRST_KEYS = ["time", "event", "client"]
KNOWN = {"time", "event", "client", "peer", "listener", "sni", "tls", "cipher", "group", "resumed",
         "handshake_ms", "http", "method", "host", "path", "status", "bytes_received",
         "bytes_sent", "first_byte_ms", "duration_ms", "connect_ms", "pool", "server", "attempt",
         "reused", "request_id", "cause", "detail", "user_agent", "referer"}


@pytest.fixture(scope="module")
def door(http_door, authority):
    return http_door({
        "tls": {"tls": {"certificates": [authority.leaf("a.example").pem]}},
        "trusting": {"trusted_proxies": ["127.0.0.0/8"]},
        "hasty": {"pool": "hasty", "timeouts": {"request_header": patience_ms(300)}},
        "answering": {"routes": [{"path": "/made", "respond": {"status": 200, "body": "made"}},
                                 {"path_prefix": "/strip/", "strip_prefix": "/strip",
                                  "pool": "back"},
                                 {"path": "/moved", "redirect": "https"}]},
    }, {"hasty": {"timeouts": {"response_header": patience_ms(300)}}})


@pytest.fixture(scope="module")
def combined(http_door):
    return http_door({"trusting": {"trusted_proxies": ["127.0.0.0/8"]}},
                     log={"access": {"path": "stdout", "format": "combined"}})


def one_record(door, path, **members):
    """The record of that path, of which there must be but one."""
    record = door.record(path, **members)
    assert set(record) <= KNOWN, set(record) - KNOWN
    assert list(record)[:3] == FIRST_KEYS
    return record


def test_a_request_s_line_has_all_that_is_known(door):
    case = door.case(read_body, ok(b"x" * 1234))
    with door.client("tls") as client:
        client.ask(get("/before"))  # so that the backend's connection is a kept one
        response = client.ask(post(case.path + "?a=b", b"hello", "User-Agent: agent/1.0",
                                   "Referer: http://b.example/"))
        assert response.status == 200
    record = one_record(door, case.path + "?a=b")
    when = datetime.datetime.fromisoformat(record.pop("time").replace("Z", "+00:00"))
    assert abs(when.timestamp() - time.time()) < 10
    assert 0 < record.pop("handshake_ms")
    assert 0 < record.pop("first_byte_ms") <= record.pop("duration_ms") < 10_000
    assert record.pop("cipher").startswith("TLS_")
    assert record.pop("request_id") == case.one().get("x-request-id")
    assert record == {
        "event": "request", "client": f"127.0.0.1:{client.local_port}", "listener": "tls",
        "sni": "a.example", "tls": "TLSv1.3", "group": "X25519", "resumed": False, "http": "1.1",
        "method": "POST", "host": "a.example", "path": case.path + "?a=b", "status": 200,
        "bytes_received": 5, "bytes_sent": 1234, "pool": "back", "server": door.backend.address,
        "attempt": 1, "reused": True, "user_agent": "agent/1.0", "referer": "http://b.example/"}


def test_a_plain_request_s_line_says_nothing_of_tls(door):
    case = door.case(read_body, ok(b"x"), close)
    with door.client() as client:
        client.ask(get(case.path))
    record = one_record(door, case.path)
    for key in ("sni", "tls", "cipher", "group", "resumed", "handshake_ms", "user_agent",
                "referer", "cause", "detail", "peer"):
        assert key not in record


def test_a_fresh_connection_s_time_is_told(door):
    case = door.case(read_body, ok(b"x"), close)
    with door.client() as client:
        client.ask(get(case.path))
        client.ask(get(case.path + "/again"))
    record = one_record(door, case.path + "/again")
    assert record["reused"] is False and 0 < record["connect_ms"] <= record["duration_ms"]


def test_each_request_of_a_connection_has_a_line(door):
    case = door.case()
    with door.client() as client:
        client.send(b"".join(get(f"{case.path}/{i}") for i in range(50)))
        for _ in range(50):
            client.final()
    wait_until(lambda: len([r for r in door.instance.access_log()
                            if r.get("path", "").startswith(case.path + "/")]) >= 50, "50 lines")
    paths = [r["path"] for r in door.instance.access_log()
             if r.get("path", "").startswith(case.path + "/")]
    assert paths == [f"{case.path}/{i}" for i in range(50)]


def test_bytes_are_those_of_bodies(door):
    case = door.case(read_body, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     + chunked(b"a" * 100, b"b" * 200))
    with door.client() as client:
        client.ask(get(case.path, "Transfer-Encoding: chunked", method="POST",
                       body=chunked(b"x" * 10, b"y" * 20)))
        client.ask(get(case.path + "/head", method="HEAD"), "HEAD")
    record = one_record(door, case.path)
    assert record["bytes_received"] == 30 and record["bytes_sent"] == 300
    assert one_record(door, case.path + "/head")["bytes_sent"] == 0


def test_durations_are_measured(door):
    case = door.case(read_body, pause(0.1), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
                     pause(0.1), b"ok")
    with door.client() as client:
        client.ask(get(case.path))
    record = one_record(door, case.path)
    assert 90 <= record["first_byte_ms"] < record["duration_ms"] - 80
    assert record["duration_ms"] < 10_000


def test_what_is_answered_here_has_a_line_without_a_server(door):
    for path in ("/made", "/moved", "/nowhere"):
        with door.client("answering") as client:
            client.ask(get(path + "?" + path))
        record = one_record(door, path + "?" + path)
        assert "server" not in record and "attempt" not in record
        assert record.get("cause") == ("no_route" if path == "/nowhere" else None)


def test_the_path_is_what_was_asked_for(door):
    case = door.case()
    with door.client("answering") as client:
        client.ask(get(f"/strip{case.path}/x"))
    assert one_record(door, f"/strip{case.path}/x")["status"] == 200
    assert case.one().target == f"{case.path}/x"


@pytest.mark.parametrize("data, status, cause", [
    (b"BAD\r\n\r\n", 400, "bad_request"),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_host"),
    (b"GET /%zz HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "bad_target"),
    (b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: x\r\n\r\n", 400, "bad_framing"),
    (b"GET / HTTP/2.0\r\nHost: a.example\r\n\r\n", 505, "unsupported_http_version"),
    (b"BREW / HTTP/1.1\r\nHost: a.example\r\n\r\n", 501, "unknown_method"),
    (b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501,
     "unknown_coding"),
    (b"TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", 405, "method_refused"),
    (b"GET / HTTP/1.1\r\nHost: a.example\r\nExpect: x\r\n\r\n", 417, "unknown_expectation"),
    (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a.example\r\n\r\n", 414, "target_too_long"),
    (b"GET / HTTP/1.1\r\nHost: a.example\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431,
     "header_too_large"),
    (b"GET / HTTP/1.1\r\nHost:", 408, "request_header_timeout")],
    ids=lambda v: v if isinstance(v, str) else None)
def test_what_was_refused_has_a_line_with_its_cause(door, data, status, cause):
    before = door.instance.metrics().get("request_errors_total", listener="hasty", cause=cause)
    with door.client("hasty") as client:
        client.try_send(data)
        assert client.final().status == status
    record = door.instance.wait_record(event="request", status=status, cause=cause,
                                       client=f"127.0.0.1:{client.local_port}")
    assert record["listener"] == "hasty" and "server" not in record
    door.instance.wait_metric(before + 1, "request_errors_total", listener="hasty", cause=cause)


def test_a_backend_s_failure_has_its_cause(door):
    case = door.case(read_body, hang)
    with door.client("hasty") as client:
        assert client.ask(get(case.path)).status == 504
    record = one_record(door, case.path)
    assert record["cause"] == "response_timeout" and record["server"] == door.backend.address


def test_a_client_that_went_away_has_no_status(door):
    case = door.case(read_body, hang)
    with door.client() as client:
        client.send(get(case.path))
        wait_until(lambda: case.requests, "the request")
        backends.reset(client.socket)
    record = one_record(door, case.path)
    assert "status" not in record and record["cause"] in ("client_gone", "client_reset")


def test_a_trusted_proxy_s_word_is_taken_for_the_client(door):
    case = door.case()
    with door.client("trusting") as client:
        client.ask(get(case.path, "X-Forwarded-For: 192.0.2.7", "X-Request-Id: theirs"))
    record = one_record(door, case.path)
    assert record["client"] == "192.0.2.7" and record["request_id"] == "theirs"
    assert record["peer"] == f"127.0.0.1:{client.local_port}"


def test_a_stranger_s_word_is_not(door):
    case = door.case()
    with door.client() as client:
        client.ask(get(case.path, "X-Forwarded-For: 192.0.2.7", "X-Request-Id: theirs"))
    record = one_record(door, case.path)
    assert record["client"].startswith("127.0.0.1:") and record["request_id"] != "theirs"


# ---- hostile bytes

HOSTILE = [
    '"', "\\", '\\"', '","status":200,"x":"', "\x80\xff\xfe", "\xc3\xa9", "\xed\xa0\x80",
    "\xf4\x90\x80\x80", "\xc0\x80", "\xe2\x80\xa8", "%00%0a%22", "</script>", "${jndi:ldap://x}",
    "{}[]", "a" * 5000, '"' * 1000, "\xff" * 2000, "a\tb", "'; DROP TABLE", "%s%n%x",
    "\xe2\x80\xae",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda t: ascii(t)[1:30])
def test_hostile_bytes_keep_a_line_whole(door, text):
    case = door.case()
    with door.client() as client:
        response = client.ask(get(case.path, f"User-Agent: {text}", f"Referer: {text}"))
        assert response.status == 200
    record = one_record(door, case.path)  # each line was parsed strictly
    assert record["status"] == 200 and record["user_agent"]
    if text.isascii() and "\t" not in text and len(text) < 200:
        assert record["user_agent"] == text and record["referer"] == text


@pytest.mark.parametrize("text", ['"', "%22%5c", "'", "{}", "%0d%0a{}", "a" * 4000, "?\"\\`<>",
                                  "?{\"a\":1}"], ids=lambda t: t[:20])
def test_hostile_paths_keep_a_line_whole(door, text):
    with door.client() as client:
        client.ask(get("/hostile" + text))
        record = door.instance.wait_record(event="request",
                                           client=f"127.0.0.1:{client.local_port}")
    assert set(record) <= KNOWN


def test_what_is_not_http_keeps_a_line_whole(door):
    for data in (bytes(range(256)) * 4 + b"\r\n\r\n", b"\xff" * 500 + b"\r\n\r\n",
                 b'GET /"\\\x00\x1b HTTP/1.1\r\nUser-Agent: "\x1b\r\n\r\n'):
        with door.client() as client:
            assert client.ask(data).status == 400
            record = door.instance.wait_record(event="request",
                                               client=f"127.0.0.1:{client.local_port}")
        assert record["status"] == 400 and record["cause"].startswith("bad_")
    for line in (door.instance.folder / "access.log").read_bytes().splitlines():
        assert not re.search(rb"[\x00-\x1f\x7f]", line)
        json.loads(line.decode("utf-8"))


# ---- combined

COMBINED = re.compile(
    r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" '
    r'"([^"]*)"')


def combined_line(door, marker):
    """The parts of the line that has `marker` in it."""
    path = door.instance.folder / "stdout"

    def look():
        found = [line for line in path.read_text().splitlines() if marker in line]
        return found or None
    [line] = wait_until(look, f"a line with {marker}")
    match = COMBINED.fullmatch(line)
    assert match, line
    return match.groups()


def test_the_combined_format(combined):
    case = combined.case(read_body, ok(b"x" * 77))
    with combined.client() as client:
        client.ask(get(case.path + "?a=b", "User-Agent: agent/1.0 (x; y)", "Referer: http://b/"))
    client_, when, line, status, sent, referer, agent = combined_line(combined, case.path)
    assert client_ == "127.0.0.1" and line == f"GET {case.path}?a=b HTTP/1.1"
    assert (status, sent, referer, agent) == ("200", "77", "http://b/", "agent/1.0 (x; y)")
    parsed = datetime.datetime.strptime(when, "%d/%b/%Y:%H:%M:%S %z")
    assert abs(parsed.timestamp() - time.time()) < 10


def test_the_combined_format_where_little_is_known(combined):
    case = combined.case()
    with combined.client() as client:
        client.ask(get(case.path, version="1.0"))
    _, _, line, status, _, referer, agent = combined_line(combined, case.path)
    assert line == f"GET {case.path} HTTP/1.0" and (status, referer, agent) == ("200", "-", "-")


def test_the_combined_format_names_the_believed_client(combined):
    case = combined.case()
    with combined.client("trusting") as client:
        client.ask(get(case.path, "X-Forwarded-For: 2001:db8::7"))
    assert combined_line(combined, case.path)[0] == "2001:db8::7"


@pytest.mark.parametrize("text", ['"', '\\"', "\xff\x80", '" 200 1 "-" "', "a\tb", "\xe2\x80\xa8"],
                         ids=ascii)
def test_the_combined_format_holds_hostile_bytes(combined, text):
    case = combined.case()
    with combined.client() as client:
        client.ask(get(case.path, f"User-Agent: {text}", f"Referer: {text}"))
    parts = combined_line(combined, case.path)
    assert parts[3] == "200" and all(" " <= c <= "~" for part in parts for c in part)
    assert parts[6].startswith("\\x") or text == "a\tb"
