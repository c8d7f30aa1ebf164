"""HTTP/2 as RFC 9113 has it: its section 6, the frames, each violation with the error that the
section names."""

import socket

import pytest

from support.h2door import part
from support.h2frames import (ACK, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM,
                              HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE,
                              MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, MOST,
                              PADDED, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
                              WINDOW_UPDATE, WITH_PRIORITY, Code, block, frame, goaway, head, rst,
                              settings, u32, window)
from support.ports import HOST
from support.rawbackend import read_body, until_gone
from support.rawh2 import WINDOW
from support.rawhttp import ok
from support.wait import wait_until

PROTOCOL, SIZE, FLOW = Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR, Code.FLOW_CONTROL_ERROR
GOOD = block(head())
WEIGHT = b"\x10"


@pytest.fixture(scope="module")
def door(h2_door):
    """Behind the listener "stuck" is a server that no connection gets to: nothing of a body is
    taken until that is given up."""
    with socket.socket() as full, socket.socket() as last:
        full.bind((HOST, 0))
        full.listen(0)
        last.connect(full.getsockname())
        stuck = f"{HOST}:{full.getsockname()[1]}"
        yield h2_door({"stuck": {"tls": True, "pool": "stuck"}}, {"stuck": {"servers": [stuck]}})


@pytest.fixture
def broken(h2):
    """These bytes, behind a request on stream 1 whose body is to come, end the connection with one
    of these codes."""
    def check(data, *codes):
        client = h2.client()
        client.request(h2.case().path, method="POST", end=False)
        client.try_send(data)
        client.broken(*codes)
    return check


def posting(h2, *script, values=None, **words):
    """A client, a request on it whose body is to come, and its case."""
    case, client = h2.case(*script), h2.client(values, **words)
    return client, client.request(case.path, method="POST", end=False), case


def is_refused(client, stream, code):
    """A stream's error, or the connection's (RFC 9113, 5.4.1: an endpoint may choose that)."""
    client.wait(lambda: stream.reset is not None or client.goaways, "an error")
    if client.goaways:
        client.broken(code)
    else:
        assert stream.reset == code
        client.works()


# ---- 6.1 DATA

@pytest.mark.parametrize("data", [part(frame(DATA, 0, 0, b"x"), "stream 0"),
                                  part(frame(DATA, PADDED, 1, b"\x01"), "all padding"),
                                  part(frame(DATA, PADDED, 1, b"\xff" + b"x" * 200), "beyond")])
def test_6_1_data(broken, data):
    broken(data, PROTOCOL)


@pytest.mark.parametrize("padding", [0, 1, 255])
def test_6_1_padding_is_no_body(h2, padding):
    client, stream, case = posting(h2)
    client.send(frame(DATA, PADDED, 1, bytes((padding,)) + b"hello" + bytes(padding)),
                frame(DATA, PADDED | END_STREAM, 1, bytes((padding,)) + bytes(padding)))
    assert stream.done().status == 200
    assert case.one().body == b"hello"


def test_6_1_padding_counts_in_the_windows(h2):
    # Nothing else would open them again: 1 MiB of it, and the body still gets through.
    client, stream, case = posting(h2)
    padded = frame(DATA, PADDED, 1, b"\xff" + b"x" + bytes(255))
    for _ in range(4096):
        client.wait(lambda: client.window >= 257 and stream.window >= 257, "windows")
        client.window -= 257
        stream.window -= 257
        client.send(padded)
    client.send(frame(DATA, END_STREAM, 1))
    assert stream.done().status == 200
    assert case.one().body == b"x" * 4096


# ---- 6.2 HEADERS

@pytest.mark.parametrize("data", [
    part(frame(HEADERS, END_HEADERS | END_STREAM, 0, GOOD), "stream 0"),
    part(frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 3, b"\xff" + GOOD), "padding beyond"),
    part(frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 3, b"\x05" + bytes(4)), "only padding"),
    part(frame(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, 3, b"\x01" + u32(0) + WEIGHT),
         "padding and priority")])
def test_6_2_headers(broken, data):
    broken(data, PROTOCOL)


@pytest.mark.parametrize("flags, before, behind", [
    (PADDED, b"\0", b""), (PADDED, b"\xff", bytes(255)), (WITH_PRIORITY, u32(0) + WEIGHT, b""),
    (WITH_PRIORITY, u32(1 << 31 | 7) + b"\xff", b""),
    (PADDED | WITH_PRIORITY, b"\x03" + u32(0) + WEIGHT, bytes(3))])
def test_6_2_padding_and_priority_are_passed_over(h2, flags, before, behind):
    client = h2.client()
    stream = client.stream(1)
    client.send(frame(HEADERS, END_HEADERS | END_STREAM | flags, 1, before + GOOD + behind))
    assert stream.done().status == 200


def test_6_2_end_stream_on_headers_with_continuations(h2):
    client = h2.client()
    stream = client.stream(1)
    client.send(frame(HEADERS, END_STREAM, 1, GOOD[:3]), frame(CONTINUATION, 0, 1, GOOD[3:4]),
                frame(CONTINUATION, END_HEADERS, 1, GOOD[4:]))
    assert stream.done().status == 200


# ---- 6.3 PRIORITY

def test_6_3_priority_on_stream_0(broken):
    broken(frame(PRIORITY, 0, 0, u32(0) + WEIGHT), PROTOCOL)


@pytest.mark.parametrize("length", [0, 4, 6])
def test_6_3_priority_of_another_length(h2, length):
    client, stream, _ = posting(h2)
    client.try_send(frame(PRIORITY, 0, 1, bytes(length)))
    is_refused(client, stream, SIZE)


# ---- 6.4 RST_STREAM

@pytest.mark.parametrize("data, code", [
    (rst(0), PROTOCOL), (rst(99), PROTOCOL), (rst(2), PROTOCOL),
    (frame(RST_STREAM, 0, 1, bytes(3)), SIZE), (frame(RST_STREAM, 0, 1, bytes(5)), SIZE)])
def test_6_4_resets(broken, data, code):
    broken(data, code)


def test_6_4_a_reset_ends_the_exchange(h2):
    client = h2.client()
    gone = []
    case = h2.case(read_body, until_gone(gone))
    stream = client.request(case.path)
    case.one()
    client.send(rst(1))
    wait_until(lambda: gone, "the backend's request to be given up")
    client.works()
    assert stream.fields is None


# ---- 6.5 SETTINGS

@pytest.mark.parametrize("data, code", [
    (frame(SETTINGS, ACK, 0, b"\0\x03\0\0\0\x01"), SIZE), (frame(SETTINGS, ACK, 0, b"\0"), SIZE),
    (settings(sid=1), PROTOCOL), (settings(flags=ACK, sid=1), PROTOCOL),
    (frame(SETTINGS, 0, 0, bytes(5)), SIZE), (frame(SETTINGS, 0, 0, bytes(7)), SIZE),
    (settings({ENABLE_PUSH: 2}), PROTOCOL), (settings({ENABLE_PUSH: 0xffffffff}), PROTOCOL),
    (settings({INITIAL_WINDOW_SIZE: MOST + 1}), FLOW),
    (settings({INITIAL_WINDOW_SIZE: 0xffffffff}), FLOW),
    (settings({MAX_FRAME_SIZE: 16383}), PROTOCOL), (settings({MAX_FRAME_SIZE: 0}), PROTOCOL),
    (settings({MAX_FRAME_SIZE: 1 << 24}), PROTOCOL)])
def test_6_5_settings_that_are_none(broken, data, code):
    broken(data, code)


@pytest.mark.parametrize("values", [
    {}, {HEADER_TABLE_SIZE: 0}, {HEADER_TABLE_SIZE: 0xffffffff}, {ENABLE_PUSH: 0},
    {MAX_CONCURRENT_STREAMS: 0}, {INITIAL_WINDOW_SIZE: 0}, {INITIAL_WINDOW_SIZE: MOST},
    {MAX_FRAME_SIZE: 16384}, {MAX_FRAME_SIZE: (1 << 24) - 1}, {MAX_HEADER_LIST_SIZE: 0xffffffff},
    {8: 1}, {0xfe: 7}])
def test_6_5_settings_are_acknowledged(h2, values):
    client = h2.client().wait_settings()
    client.settings.update(values)
    client.decoder.max_allowed_table_size = values.get(HEADER_TABLE_SIZE, 4096)
    client.send(settings(values))
    client.wait(lambda: client.acknowledged == 2, "an acknowledgement")
    stream = client.request(body=b"x")
    if client.settings.get(INITIAL_WINDOW_SIZE) == 0:
        assert stream.wait_head().total == 0
        stream.grant(10)
    assert stream.done().status == 200


def test_6_5_3_settings_are_taken_in_order(h2):
    client = h2.client().wait_settings()
    client.send(settings([(INITIAL_WINDOW_SIZE, 5), (MAX_FRAME_SIZE, 16385),
                          (INITIAL_WINDOW_SIZE, 7), (0x77, 1), (MAX_FRAME_SIZE, 16384)]))
    client.settings[INITIAL_WINDOW_SIZE] = 7
    client.wait(lambda: client.acknowledged == 2, "an acknowledgement")
    stream = client.request(h2.case(read_body, ok(b"x" * 20)).path, grants=False)
    stream.wait_total(7)
    client.ping()
    assert stream.total == 7
    stream.grant(13)
    stream.done()


def test_6_5_settings_of_other_documents(h2):
    h2.client({8: 1, 9: 1, 0x77: 7}).wait_settings().works()


# ---- 6.6 PUSH_PROMISE, 6.7 PING, 6.8 GOAWAY

@pytest.mark.parametrize("sid", [0, 1, 99])
def test_6_6_clients_do_not_push(broken, sid):
    broken(frame(PUSH_PROMISE, END_HEADERS, sid, u32(2) + GOOD), PROTOCOL)


@pytest.mark.parametrize("data, code", [
    (frame(PING, 0, 1, b"12345678"), PROTOCOL), (frame(PING, ACK, 3, b"12345678"), PROTOCOL),
    (frame(PING, 0, 0), SIZE), (frame(PING, 0, 0, bytes(7)), SIZE),
    (frame(PING, ACK, 0, bytes(9)), SIZE)])
def test_6_7_pings_that_are_none(broken, data, code):
    broken(data, code)


def test_6_7_pings_are_answered_in_kind(h2):
    client = h2.client()
    for data in (b"\0" * 8, b"\xff" * 8, b"whatever"):
        client.ping(data)
    assert client.pongs == [b"\0" * 8, b"\xff" * 8, b"whatever"]


def test_6_7_an_answer_is_not_answered(h2):
    client = h2.client()
    client.send(frame(PING, ACK, 0, b"unasked!")).works()
    assert client.pongs == [] and client.counts[PING] == 0


def test_6_8_goaway_on_a_stream(broken):
    broken(frame(7, 0, 1, u32(0) * 2), PROTOCOL)


def test_6_8_streams_from_before_a_clients_goaway_are_finished(h2):
    client, stream, case = posting(h2)
    client.send(goaway(0, Code.NO_ERROR, b"so long")).ping()
    stream.data(b"the rest", end=True)
    assert stream.done().status == 200
    assert case.one().body == b"the rest"


# ---- 6.9 WINDOW_UPDATE

def test_6_9_no_increment_on_a_stream(h2):
    client, stream, _ = posting(h2)
    client.try_send(window(1, 0))
    is_refused(client, stream, PROTOCOL)


@pytest.mark.parametrize("data, code", [
    (window(0, 0), PROTOCOL), (window(99, 1), PROTOCOL), (window(2, 1), PROTOCOL),
    (frame(WINDOW_UPDATE, 0, 0, bytes(3)), SIZE), (frame(WINDOW_UPDATE, 0, 1, bytes(5)), SIZE),
    (frame(WINDOW_UPDATE, 0, 1), SIZE)])
def test_6_9_windows_that_are_none(broken, data, code):
    broken(data, code)


def test_6_9_more_than_a_streams_window(h2):
    client = h2.client(listener="stuck").wait_settings().ping()
    stream = client.request(method="POST", end=False)
    client.wait(lambda: client.window >= stream.window, "the connection's window")
    left, frames = stream.window + 1, []
    while left > 0:
        frames.append(frame(DATA, 0, 1, b"x" * min(left, 16384)))
        left -= 16384
    client.try_send(*frames)
    client.wait(lambda: stream.reset is not None or client.goaways, "an error")
    if client.goaways:
        client.broken(FLOW)
    else:
        assert stream.reset == FLOW
        client.ping()


def test_6_9_more_than_the_connections_window(h2):
    client = h2.client(listener="stuck").wait_settings().ping()
    sent, frames = 0, []
    while sent <= client.window:
        stream = client.request(method="POST", end=False)
        frames += [frame(DATA, 0, stream.id, b"x" * 16384)] * (stream.window // 16384)
        sent += stream.window // 16384 * 16384
    client.try_send(*frames)
    client.broken(FLOW)


def test_6_9_1_a_streams_window_past_the_most(h2):
    client, stream, _ = posting(h2)
    client.try_send(window(1, MOST))
    is_refused(client, stream, FLOW)


def test_6_9_1_the_connections_window_past_the_most(broken):
    broken(window(0, MOST), FLOW)


def test_6_9_1_windows_up_to_the_most(h2):
    client, stream, _ = posting(h2)
    client.send(window(0, MOST - WINDOW), window(1, MOST - WINDOW), frame(DATA, END_STREAM, 1))
    assert stream.done().status == 200
    client.works()


def test_6_9_2_a_change_of_the_initial_window_past_the_most(h2):
    client, _, _ = posting(h2)
    client.send(window(1, MOST - WINDOW)).try_send(settings({INITIAL_WINDOW_SIZE: WINDOW + 1}))
    client.broken(FLOW)


def change(client, n):
    """Another initial window, and what that makes of the streams that are open."""
    difference = n - client.settings.get(INITIAL_WINDOW_SIZE, WINDOW)
    acknowledged = client.acknowledged
    if difference > 0:
        grow(client, difference)
    client.settings[INITIAL_WINDOW_SIZE] = n
    client.send(settings({INITIAL_WINDOW_SIZE: n}))
    client.wait(lambda: client.acknowledged > acknowledged, "an acknowledgement")
    if difference < 0:
        grow(client, difference)


def grow(client, n):
    """Only once the peer knows is it held to less, and at once to more."""
    with client.changed:
        for stream in client.streams.values():
            stream.credit += n


def waiting(h2, total, start):
    """A response that waits for windows, and its client."""
    client = h2.client({INITIAL_WINDOW_SIZE: start}).wait_settings()
    stream = client.request(h2.case(read_body, ok(b"x" * total)).path,
                            grants=False)
    stream.wait_total(start)
    client.ping()
    assert stream.total == start
    return client, stream


def test_6_9_2_a_change_of_the_initial_window_changes_the_open_streams(h2):
    client, stream = waiting(h2, 30_000, 1000)
    change(client, 11_000)
    stream.wait_total(11_000)
    client.ping()
    assert stream.total == 11_000
    change(client, 30_000)
    assert stream.done().total == 30_000


def test_6_9_2_windows_may_become_negative(h2):
    client, stream = waiting(h2, 30_000, 10_000)
    change(client, 2000)       # -8000 are left
    stream.grant(8000)         # 0
    client.ping()
    assert stream.total == 10_000
    stream.grant(1)
    stream.wait_total(10_001)
    client.ping()
    assert stream.total == 10_001
    stream.grant(19_999)
    assert stream.done().total == 30_000


def test_6_9_2_a_negative_window_grows_with_the_settings_too(h2):
    client, stream = waiting(h2, 30_000, 10_000)
    change(client, 0)
    change(client, 10_000)
    client.ping()
    assert stream.total == 10_000
    change(client, 10_005)
    stream.wait_total(10_005)
    client.ping()
    assert stream.total == 10_005
    stream.grant(20_000)
    assert stream.done().total == 30_000


def test_6_9_empty_data_needs_no_window(h2):
    client = h2.client({INITIAL_WINDOW_SIZE: 0})
    stream = client.request(h2.case(read_body, ok(b"")).path)
    assert stream.done().total == 0


# ---- 6.10 CONTINUATION

@pytest.mark.parametrize("data", [
    part(frame(CONTINUATION, END_HEADERS, 0, GOOD), "stream 0"),
    part(frame(CONTINUATION, END_HEADERS, 1, b""), "behind nothing"),
    part(frame(HEADERS, END_STREAM | END_HEADERS, 3, GOOD) +
         frame(CONTINUATION, END_HEADERS, 3, b""), "behind the end"),
    part(frame(HEADERS, END_STREAM, 3, GOOD) + frame(CONTINUATION, END_HEADERS, 1, b""),
         "of another stream"),
    part(frame(DATA, 0, 1, b"x") + frame(CONTINUATION, END_HEADERS, 1, b""), "behind data")])
def test_6_10_continuations(broken, data):
    broken(data, PROTOCOL)


def test_6_10_a_block_in_many_pieces(h2):
    client = h2.client()
    stream = client.stream(1)
    data = frame(HEADERS, END_STREAM, 1, b"")
    for i in range(0, len(GOOD), 9):
        last = END_HEADERS if i + 9 >= len(GOOD) else 0
        data += frame(CONTINUATION, last, 1, GOOD[i:i + 9])
    client.send(data)
    assert stream.done().status == 200
