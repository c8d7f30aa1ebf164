"""HTTP/2 as RFC 9113 has it, by its sections, each violation with the error that the section names.
Here its sections 3 to 5: starting, frames, streams. A stream's error leaves the connection usable;
the connection's is a GOAWAY and the end."""

import ssl

import pytest

from support import tlsclient
from support.h2door import lower, part
from support.h2frames import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS,
                              INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MOST,
                              PING, PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
                              WINDOW_UPDATE, Code, block, frame, goaway, head, rst, settings, u32,
                              window)
from support.rawbackend import hang, read_body, until_gone
from support.rawh2 import Client, h2_context
from support.rawhttp import get, ok
from support.wait import wait_until

PROTOCOL, CLOSED, SIZE = Code.PROTOCOL_ERROR, Code.STREAM_CLOSED, Code.FRAME_SIZE_ERROR
GOOD = block(head())
POST = block(head(method="POST"))


@pytest.fixture(scope="module")
def door(h2_door):
    return h2_door({"few": {"tls": True, "http": {"max_concurrent_streams": 4}},
                    "old": {"tls": True, "http": {"versions": [1.1]}},
                    "new": {"tls": True, "http": {"versions": [2]}},
                    "default": {}})


def alpn(port, *offers):
    """What is agreed on with these offers; "alert" where it is refused."""
    try:
        with tlsclient.connect(port, ctx=h2_context(protocols=offers)) as tls:
            return tls.selected_alpn_protocol()
    except ssl.SSLError:
        return "alert"


def started(h2, *fields, listener="door"):
    """A client with a request whose body is still to come, on stream 1, and that stream."""
    client = h2.client(listener=listener)
    return client, client.request(h2.case().path, *fields, method="POST", end=False)


def is_refused(client, stream, *codes):
    """A stream's error, or the connection's (RFC 9113, 5.4.1: an endpoint may choose that)."""
    client.wait(lambda: stream.reset is not None or client.goaways, "an error")
    if client.goaways:
        client.broken(*codes)
    else:
        assert stream.reset in codes, stream.reset
        client.works()


# ---- 3 starting

@pytest.mark.parametrize("offers, wanted", [
    (["h2"], "h2"), (["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"),
    (["http/1.1"], "http/1.1"), (["h2c", "http/1.1"], "http/1.1"), (["h2-14", "h2"], "h2")])
def test_3_2_alpn(door, offers, wanted):
    assert alpn(door.port(), *offers) == wanted


def test_3_2_alpn_of_versions_that_are_configured(door):
    assert alpn(door.port("old"), "h2", "http/1.1") == "http/1.1"
    assert alpn(door.port("old"), "h2") in (None, "alert")
    assert alpn(door.port("new"), "h2", "http/1.1") == "h2"
    assert alpn(door.port(), "h2c") in (None, "alert")


def test_3_2_http_1_1_where_it_was_agreed_on_takes_no_preface(door):
    with door.client(ctx=h2_context(protocols=["http/1.1"])) as client:
        assert client.ask(PREFACE + settings()).status in (400, 505)


def test_3_3_prior_knowledge_without_tls(h2, door):
    response, got = h2.exchange(client=h2.client(listener="clear"))
    assert response.status == 200 and bytes(response.body) == b"ok"
    assert got.get("host") == "a.example"
    with door.client("clear") as client:
        assert client.ask(get("/")).status == 200


def test_3_3_prior_knowledge_is_not_for_others(door):
    with door.client("default") as client:
        assert client.ask(PREFACE + settings()).status in (400, 505)


@pytest.mark.parametrize("listener", ["door", "clear", "default"])
def test_3_1_an_upgrade_to_h2c_is_not_followed_and_not_forwarded(door, listener):
    response, got = door.exchange(lambda path: get(
        path, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__"), listener=listener)
    assert response.status == 200
    assert got.get("upgrade") is None and got.get("http2-settings") is None
    assert "upgrade" not in got.list("connection")


def test_3_4_settings_come_first_and_ours_are_acknowledged(h2):
    client = h2.client().wait_settings()
    first = client.frames[0]
    assert first.type == SETTINGS and "ACK" not in first.flags
    assert client.peer_settings[MAX_CONCURRENT_STREAMS] == 128
    assert client.peer_settings.get(2, 0) == 0  # nothing may say that a server takes pushes
    client.works()


def test_3_4_settings_come_before_the_preface(door):
    # What a server says first depends on nothing that the client says.
    with Client(door.port(), greets=False) as client:
        client.wait(lambda: client.frames, "SETTINGS")
        assert client.frames[0].type == SETTINGS


@pytest.mark.parametrize("data", [part(d) for d in (
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", PREFACE[:-1] + b"X", b"X" + PREFACE[1:],
    b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"\0" * 64, b"PRI * HTTP/2.0\r\n\r\n\r\n\r\nSM")])
def test_3_4_a_preface_that_is_none(h2, data):
    client = h2.client(greets=False)
    client.try_send(data)
    client.broken(PROTOCOL, silent=True)


@pytest.mark.parametrize("data", [
    part(frame(PING, 0, 0, b"12345678"), "ping"), part(settings(flags=ACK), "acknowledgement"),
    part(frame(HEADERS, END_HEADERS | END_STREAM, 1, GOOD), "headers"),
    part(window(0, 1), "window"), part(frame(77), "unknown")])
def test_3_4_the_preface_ends_with_settings(h2, data):
    client = h2.client(greets=False)
    client.try_send(PREFACE + data)
    client.broken(PROTOCOL)


def test_3_4_requests_may_come_with_the_preface(h2):
    client = h2.client(greets=False)
    stream = client.stream(1)
    client.send(PREFACE + settings() + frame(HEADERS, END_HEADERS | END_STREAM, 1, GOOD))
    assert stream.done().status == 200


def test_3_4_pieces_of_any_size(h2):
    client = h2.client(greets=False)
    stream = client.stream(1)
    data = (PREFACE + settings() + frame(HEADERS, END_HEADERS, 1, POST) +
            frame(DATA, END_STREAM, 1, b"hello"))
    for i in range(0, len(data), 3):
        client.send(data[i:i + 3])
    assert stream.done().status == 200


# ---- 4 frames

def test_4_1_unknown_frames_are_ignored(h2):
    client, stream = started(h2)
    client.send(frame(77, 0xff, 0, b"what"), frame(250, 0, 1, b"x" * 100), frame(99, 1, 5),
                frame(DATA, END_STREAM, 1, b"ok"))
    assert stream.done().status == 200
    client.works()


@pytest.mark.parametrize("data", [
    part(frame(PING, 0xfe, 0, b"flagged!"), "ping"), part(settings(flags=0xfe), "settings"),
    part(frame(WINDOW_UPDATE, 0xff, 0, u32(1)), "window"),
    part(frame(PRIORITY, 0xff, 3, u32(0) + b"\x10"), "priority"),
    part(frame(DATA, 0xf6 & ~0x08 & ~0x01, 1, b"x"), "data"),
    part(frame(GOAWAY, 0xff, 0, u32(0) * 2), "goaway")])
def test_4_1_undefined_flags_are_ignored(h2, data):
    client, stream = started(h2)
    client.send(data, frame(DATA, 0xf7 & ~0x08, 1, b"ok"))
    assert stream.done().status == 200


def test_4_1_the_reserved_bit_is_ignored(h2):
    client = h2.client()
    stream = client.stream(1)
    client.send(frame(HEADERS, END_HEADERS, 1 | 1 << 31, POST),
                frame(WINDOW_UPDATE, 0, 1 << 31, u32(1 << 31 | 5)),
                frame(DATA, END_STREAM, 1 | 1 << 31, b"ok"))
    assert stream.done().status == 200
    client.works()


@pytest.mark.parametrize("data", [
    part(frame(HEADERS, END_HEADERS | END_STREAM, 3, GOOD + b"\0" * 16384), "headers"),
    part(frame(SETTINGS, 0, 0, b"\0\x77\0\0\0\0" * 2731), "settings"),
    part(frame(GOAWAY, 0, 0, u32(0) * 2 + b"x" * 16384), "goaway"),
    part(frame(PING, 0, 0, b"x" * 16385), "ping"), part(frame(77, 0, 0, b"x" * 16385), "unknown"),
    part(frame(HEADERS, 0, 3, GOOD) + frame(CONTINUATION, END_HEADERS, 3, b"\0" * 16385),
         "continuation"),
    part(frame(HEADERS, 0, 3, b"", 1 << 24 - 1), "announced")])
def test_4_2_frames_longer_than_allowed(h2, data):
    client, _ = started(h2)
    most = client.wait_settings().peer_settings.get(MAX_FRAME_SIZE, 16384)
    assert most == 16384
    client.try_send(data)
    client.broken(SIZE)


def test_4_2_data_longer_than_allowed(h2):
    client, stream = started(h2)
    client.try_send(frame(DATA, END_STREAM, 1, b"x" * 16385))
    is_refused(client, stream, SIZE)


def test_4_2_data_as_long_as_allowed(h2):
    case = h2.case()
    client = h2.client()
    stream = client.request(case.path, method="POST", end=False)
    client.send(frame(DATA, END_STREAM, 1, b"x" * 16384))
    assert stream.done().status == 200
    assert case.one().body == b"x" * 16384


@pytest.mark.parametrize("data", [
    part(frame(PING, 0, 0, b"1234567"), "ping"), part(frame(PING, 0, 0, b"123456789"), "long ping"),
    part(frame(RST_STREAM, 0, 1, b"\0\0\0"), "reset"),
    part(frame(RST_STREAM, 0, 1, b"\0\0\0\0\0"), "long reset"),
    part(frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), "window"),
    part(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\0\1"), "long window"),
    part(frame(SETTINGS, 0, 0, b"\0\3\0\0\0"), "settings"),
    part(frame(GOAWAY, 0, 0, u32(0) + b"\0"), "goaway"),
    part(frame(HEADERS, END_HEADERS | 8, 3), "padded headers"),
    part(frame(HEADERS, END_HEADERS | 32, 3, b"\0\0\0\0"), "headers with half a priority"),
    part(frame(DATA, 8, 1), "padded data")])
def test_4_2_frames_shorter_than_they_must_be(h2, data):
    client, _ = started(h2)
    client.try_send(data)
    client.broken(SIZE, *([PROTOCOL] if data[4] & 8 else []))  # or, by 6.1, of padding


@pytest.mark.parametrize("between", [
    part(frame(PING, 0, 0, b"12345678"), "ping"), part(frame(77, 0, 0), "unknown"),
    part(frame(DATA, 0, 1, b"x"), "data"), part(rst(3), "reset"), part(settings(), "settings"),
    part(frame(HEADERS, END_HEADERS, 5, GOOD), "headers"), part(window(0, 1), "window"),
    part(frame(PRIORITY, 0, 3, u32(0) + b"\x10"), "priority"), part(goaway(), "goaway"),
    part(frame(CONTINUATION, END_HEADERS, 1, b""), "continuation elsewhere")])
def test_4_3_field_blocks_are_not_interrupted(h2, between):
    client, _ = started(h2)
    client.try_send(frame(HEADERS, END_STREAM, 3, GOOD[:5]), between,
                    frame(CONTINUATION, END_HEADERS, 3, GOOD[5:]))
    client.broken(PROTOCOL)


@pytest.mark.parametrize("data", [part(b"\x80", "index zero"), part(b"\xff\xff\xff\x7f", "beyond"),
                                  part(b"\x00\x03ab", "cut")])
@pytest.mark.parametrize("kind", ["head", "trailers", "continuation"])
def test_4_3_a_block_that_cannot_be_decoded(h2, kind, data):
    client, _ = started(h2)
    if kind == "head":
        client.try_send(frame(HEADERS, END_HEADERS | END_STREAM, 3, GOOD + data))
    elif kind == "trailers":
        client.try_send(frame(HEADERS, END_HEADERS | END_STREAM, 1, data))
    else:
        client.try_send(frame(HEADERS, END_STREAM, 3, GOOD),
                        frame(CONTINUATION, END_HEADERS, 3, data))
    client.broken(Code.COMPRESSION_ERROR)


def test_4_3_fields_are_decoded_also_where_they_are_refused(h2):
    # What a stream's error leaves out must not leave the tables out of step.
    client = h2.client()
    bad = client.open([*client.fields("/", ("x-first", "kept")), ("Upper", "case")])
    bad.malformed()
    late = client.request("/", ("x-second", "kept too"), ("Upper", "case"), end=False,
                          method="POST")
    client.wait(lambda: late.reset is not None, "a reset")
    client.send_head(late.id, [("x-third", "kept as well")], end=True)
    response, got = h2.exchange(("x-first", "kept"), ("x-second", "kept too"),
                                ("x-third", "kept as well"), client=client)
    assert response.status == 200
    assert lower(got.passed) == [(b"x-first", b"kept"), (b"x-second", b"kept too"),
                                 (b"x-third", b"kept as well")]


# ---- 5.1 states

IDLE = {"data": frame(DATA, END_STREAM, 5, b"x"), "reset": rst(5), "window": window(5, 1),
        "continuation": frame(CONTINUATION, END_HEADERS, 5, GOOD)}


@pytest.mark.parametrize("name", list(IDLE))
def test_5_1_idle(h2, name):
    client, _ = started(h2)
    client.try_send(IDLE[name])
    client.broken(PROTOCOL)


def test_5_1_priority_on_idle_and_closed_streams(h2):
    client = h2.client().works()
    client.send(*[frame(PRIORITY, 0, sid, u32(0) + b"\x10") for sid in (1, 3, 99, 7)])
    client.works()


@pytest.mark.parametrize("data", [
    part(frame(DATA, 0, 1, b"x"), "data"), part(frame(DATA, END_STREAM, 1), "end"),
    part(frame(HEADERS, END_HEADERS | END_STREAM, 1, block([("x", "y")])), "headers")])
def test_5_1_half_closed_by_the_client(h2, data):
    client = h2.client()
    stream = client.request(h2.case(read_body, hang).path)
    client.ping().send(data)
    is_refused(client, stream, CLOSED)


def test_5_1_half_closed_takes_windows_priorities_and_resets(h2):
    client = h2.client({INITIAL_WINDOW_SIZE: 0})
    case = h2.case(read_body, ok(b"x" * 100))
    stream = client.request(case.path, grants=False)
    case.one()
    client.send(frame(PRIORITY, 0, 1, u32(0) + b"\x10"))
    stream.wait_head().grant(10)
    stream.wait_total(10)
    client.send(rst(1)).ping()
    assert stream.total == 10
    client.send(settings({INITIAL_WINDOW_SIZE: 65535}))
    client.settings[INITIAL_WINDOW_SIZE] = 65535
    client.works()


@pytest.mark.parametrize("data", [
    part(frame(DATA, END_STREAM, 1, b"x"), "data"),
    part(frame(HEADERS, END_HEADERS | END_STREAM, 1, GOOD), "headers")])
def test_5_1_closed_by_both_ends(h2, data):
    client = h2.client()
    assert client.ask().id == 1
    client.ping().try_send(data)
    client.broken(CLOSED)


@pytest.mark.parametrize("data", [part(window(1, 5), "window"), part(rst(1), "reset"),
                                  part(frame(PRIORITY, 0, 1, u32(0) + b"\x10"), "priority")])
def test_5_1_closed_takes_what_was_under_way(h2, data):
    client = h2.client().works()
    client.send(data)
    client.works()


@pytest.mark.parametrize("data", [
    part(frame(DATA, END_STREAM, 1, b"x"), "data"),
    part(frame(HEADERS, END_HEADERS | END_STREAM, 1, block([("x", "y")])), "headers")])
def test_5_1_closed_by_the_clients_reset(h2, data):
    client, stream = started(h2)
    client.send(rst(1)).ping()
    client.try_send(data)
    is_refused(client, stream, CLOSED)


def test_5_1_closed_by_our_reset_what_was_under_way_is_ignored(h2):
    client, stream = started(h2)
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block([(":path", "/")])))
    stream.cut(PROTOCOL)
    client.send(frame(DATA, 0, 1, b"x"), window(1, 1), rst(1))
    client.works()


# ---- 5.1.1 identifiers

@pytest.mark.parametrize("sid", [0, 2, 4, 1000, MOST - 1])
def test_5_1_1_ids_that_are_not_the_clients(h2, sid):
    client, _ = started(h2)
    client.try_send(frame(HEADERS, END_HEADERS | END_STREAM, sid, GOOD))
    client.broken(PROTOCOL)


def test_5_1_1_ids_grow(h2):
    client = h2.client()
    stream = client.stream(5)
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 5, GOOD))
    stream.done()
    client.try_send(frame(HEADERS, END_HEADERS | END_STREAM, 3, GOOD))
    client.broken(PROTOCOL, CLOSED)  # a lower one counts as closed


def test_5_1_1_those_left_out_are_closed(h2):
    client = h2.client()
    stream = client.stream(7)
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 7, GOOD))
    stream.done()
    client.try_send(frame(DATA, END_STREAM, 3, b"x"))
    client.broken(PROTOCOL, CLOSED)


def test_5_1_1_the_last_id(h2):
    client = h2.client()
    stream = client.stream(MOST)
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, MOST, GOOD))
    assert stream.done().status == 200


# ---- 5.1.2 concurrency

def test_5_1_2_more_streams_than_allowed(h2):
    client = h2.client(listener="few").wait_settings()
    assert client.peer_settings[MAX_CONCURRENT_STREAMS] == 4
    gone = []
    case = h2.case(until_gone(gone))
    for _ in range(4):
        client.request(case.path)
    wait_until(lambda: len(case.requests) == 4, "four at the backend")
    is_refused(client, client.request(case.path), Code.REFUSED_STREAM, PROTOCOL)
    if client.over is None:
        client.send(*[rst(sid) for sid in (1, 3, 5, 7)])
    wait_until(lambda: len(gone) == 4, "the end of what was reset")


# ---- 5.2 and 5.4

def test_5_2_windows_bound_what_is_sent(h2):
    # That no DATA goes past a window is checked all the time; here that it goes up to there.
    client = h2.client({INITIAL_WINDOW_SIZE: 100_000}, grants=False)
    one = client.request(h2.case(read_body, ok(b"a" * 90_000)).path)
    client.wait(lambda: one.total == 65535, "a window full")
    client.ping()
    assert one.total == 65535
    client.grant(10_000)
    one.wait_total(75_535)
    client.ping()
    client.grant(50_000)
    assert one.done().total == 90_000


def test_5_2_windows_have_room_for_a_long_way(h2):
    """64 KiB a round trip are 5 Mbit/s at 100 ms; here it is 256 KiB for a stream, 1 MiB in all."""
    client = h2.client()
    client.works()
    assert client.peer_settings[INITIAL_WINDOW_SIZE] == 256 << 10
    assert client.window == 1 << 20


def test_5_2_2_one_stuck_stream_does_not_stop_the_others(h2):
    client = h2.client({INITIAL_WINDOW_SIZE: 1000})
    stuck = client.request(h2.case(read_body, ok(b"a" * 3000)).path, grants=False)
    stuck.wait_total(1000)
    for _ in range(5):
        client.works()
    assert stuck.total == 1000
    stuck.grant(2000)
    assert stuck.done().total == 3000


def test_5_4_1_goaway_names_the_last_stream_and_what_was_taken_is_answered_or_ended(h2):
    client = h2.client()
    client.works().works()
    client.try_send(frame(PING, 0, 0, b"short"))
    client.broken(SIZE)
    assert client.goaways[-1].last_stream_id == 3


def test_5_4_2_a_reset_is_not_answered_by_one(h2):
    client, stream = started(h2)
    client.send(rst(1), rst(1), rst(1, 12345)).ping()
    assert stream.reset is None
    client.works()


def test_5_4_2_resets_with_any_code(h2):
    client = h2.client()
    for code in [*Code, 14, 0xffffffff]:
        stream = client.request(h2.case().path, method="POST", end=False)
        client.send(rst(stream.id, int(code)))
    client.works()


def test_5_5_unknown_settings_and_frames_are_no_error(h2):
    client = h2.client([(0x10, 5), (0xff00, 0xffffffff), (0, 1)])
    client.send(frame(0xf0, 0xff, 2, b"x"))
    client.works()


def test_7_unknown_codes_mean_nothing_special(h2):
    client, _ = started(h2)
    client.send(rst(1, 0xdeadbeef))
    client.works()
    last = client.request(h2.case().path, method="POST", end=False)
    client.send(goaway(0, 0xdeadbeef)).ping()
    assert last.data(b"x", end=True).done().status == 200


def test_8_4_nothing_is_pushed_and_a_push_is_refused(h2):
    client, _ = started(h2)
    client.try_send(frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + GOOD))
    client.broken(PROTOCOL)
