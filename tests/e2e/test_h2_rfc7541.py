"""HPACK as RFC 7541 has it, by its sections: what a decoder must refuse ends the connection with
COMPRESSION_ERROR, and both tables stay in step."""

import hpack
import pytest

from support.h2door import lower, part
from support.h2frames import (END_HEADERS, END_STREAM, HEADER_TABLE_SIZE, HEADERS, Code, block,
                              frame, head, literal, number, settings, split)

GOOD = block(head())
UPDATE = 0x20  # first byte of a change of the table's size


@pytest.fixture(scope="module")
def door(h2_door):
    return h2_door()


def bits(text):
    """Bytes of these bits."""
    text = text.replace(" ", "")
    return int(text, 2).to_bytes(len(text) // 8, "big")


def huffman(data):
    """A string that says it is compressed."""
    return bytes((0x80 | len(data),)) + data


# ---- what must be refused

@pytest.mark.parametrize("data", [
    part(b"\x80", "2.3.3 index 0"), part(number(62, 7, 0x80), "2.3.3 an empty table"),
    part(number(10_000, 7, 0x80), "2.3.3 far beyond"),
    part(number(62, 6, 0x40) + b"\1x", "2.3.3 a name beyond"),
    part(number(62, 4) + b"\1x", "2.3.3 a name beyond, without indexing"),
    part(b"\x82" + bytes((UPDATE,)), "4.2 a change behind a field"),
    part(b"\xff" + b"\xff" * 4 + b"\x7f", "5.1 an index past 32 bits"),
    part(b"\xff" + b"\x80" * 20 + b"\x01", "5.1 an index with many bytes"),
    part(b"\xff" + b"\xff" * 10, "5.1 an integer without end"),
    part(b"\x00\x7f" + b"\xff" * 9 + b"\x7f", "5.1 a length past 64 bits"),
    part(b"\xff", "5.1 an integer that is cut"),
    part(b"\x00\x05ab", "5.2 a name that is cut"), part(b"\x00\x01x\x05ab", "5.2 a cut value"),
    part(b"\x00\x01x", "5.2 no value"), part(b"\x40", "6.2.1 nothing behind"),
    part(b"\x00\x01x" + huffman(bits("00011 000")), "5.2 padding of zeros"),
    part(b"\x00\x01x" + huffman(bits("00011 111 11111111")), "5.2 padding of 11 bits"),
    part(b"\x00\x01x" + huffman(b"\xff"), "5.2 nothing but padding, 8 bits"),
    part(b"\x00\x01x" + huffman(b"\xff\xff\xff\xff"), "5.2 the end of strings"),
    part(b"\x00\x01x" + huffman(bits("11111111 11111111 11111111 11111100 00011111")),
         "5.2 the end of strings within"),
    part(b"\x00\x01x" + huffman(b"\xfe"), "5.2 a code that is cut")])
def test_decoding_errors(h2, data):
    client = h2.client()
    client.try_send(frame(HEADERS, END_HEADERS | END_STREAM, 1, GOOD + data))
    client.broken(Code.COMPRESSION_ERROR)


@pytest.mark.parametrize("data", [
    part(number(4097, 5, UPDATE), "one past the limit"), part(number(1 << 31, 5, UPDATE), "huge"),
    part(number(100, 5, UPDATE) + number(5000, 5, UPDATE), "the second of two")])
def test_4_2_a_table_larger_than_allowed(h2, data):
    client = h2.client().wait_settings()
    assert client.peer_settings.get(HEADER_TABLE_SIZE, 4096) == 4096
    client.try_send(frame(HEADERS, END_HEADERS | END_STREAM, 1, data + GOOD))
    client.broken(Code.COMPRESSION_ERROR)


# ---- what must be understood

@pytest.mark.parametrize("data", [
    part(bytes((UPDATE,)), "zero"), part(number(4096, 5, UPDATE), "the limit"),
    part(bytes((UPDATE,)) + number(4096, 5, UPDATE), "two"), part(number(31, 5, UPDATE), "31")])
def test_4_2_changes_of_the_tables_size(h2, data):
    client = h2.client()
    stream = client.stream(1)
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, data + GOOD))
    assert stream.done().status == 200


def ask_block(h2, client, *blocks):
    """A request for a case with these blocks behind its pseudo-header fields; what the backend got
    of them."""
    case = h2.case()
    stream = client.new()
    data = block(head(case.path)) + b"".join(blocks)
    client.send(split(HEADERS, END_STREAM, stream.id, data))
    assert stream.done().status == 200
    return lower(case.one().passed)


def test_2_3_2_entries_come_in_at_the_front_and_leave_at_the_back(h2):
    client = h2.client()
    # Each takes 32 + 5 + 1000: three have room in 4096.
    assert len(ask_block(h2, client, *[literal(f"x-{i:03}", chr(97 + i) * 1000, 0x40)
                                       for i in range(4)])) == 4
    got = ask_block(h2, client, number(62, 7, 0x80), number(63, 7, 0x80), number(64, 7, 0x80))
    assert got == [(b"x-003", b"d" * 1000), (b"x-002", b"c" * 1000), (b"x-001", b"b" * 1000)]
    client.try_send(frame(HEADERS, END_HEADERS | END_STREAM, 99, GOOD + number(65, 7, 0x80)))
    client.broken(Code.COMPRESSION_ERROR)


def test_4_3_entries_leave_where_the_table_shrinks(h2):
    client = h2.client()
    ask_block(h2, client, literal("x-a", "1", 0x40), literal("x-b", "2", 0x40))
    stream = client.new()
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream.id,
                      number(36, 5, UPDATE) + GOOD + number(62, 7, 0x80)))  # x-b alone
    assert stream.done().status == 200
    client.try_send(frame(HEADERS, END_HEADERS | END_STREAM, 99, GOOD + number(63, 7, 0x80)))
    client.broken(Code.COMPRESSION_ERROR)


def test_4_4_an_entry_larger_than_the_table_empties_it(h2):
    client = h2.client()
    ask_block(h2, client, literal("x-a", "1", 0x40))
    assert ask_block(h2, client, literal("x-big", "b" * 4096, 0x40)) == [(b"x-big", b"b" * 4096)]
    client.try_send(frame(HEADERS, END_HEADERS | END_STREAM, 99, GOOD + number(62, 7, 0x80)))
    client.broken(Code.COMPRESSION_ERROR)


def test_4_4_an_entry_may_take_its_name_from_one_that_leaves(h2):
    client = h2.client()
    ask_block(h2, client, literal("x-name", "a" * 3000, 0x40))
    got = ask_block(h2, client, number(62, 6, 0x40) + number(3000, 7) + b"b" * 3000)
    assert got == [(b"x-name", b"b" * 3000)]
    assert ask_block(h2, client, number(62, 7, 0x80)) == [(b"x-name", b"b" * 3000)]


@pytest.mark.parametrize("first", [0x40, 0x00, 0x10])
def test_6_2_literals_of_all_kinds(h2, first):
    bits_of_name = {0x40: 6, 0x00: 4, 0x10: 4}[first]
    got = ask_block(h2, h2.client(), literal("x-new", "v", first),
                    number(19, bits_of_name, first) + b"\2*\x2f",     # accept
                    literal("x-empty", "", first))
    assert got == [(b"x-new", b"v"), (b"accept", b"*/"), (b"x-empty", b"")]


def test_5_2_compressed_strings(h2):
    encoder = hpack.Encoder()
    everything = bytes(range(32, 127)).strip() + bytes(range(128, 256))
    data = encoder.encode([(b"x-all", everything), (b"x-z", b"!" * 300)], huffman=True)
    assert ask_block(h2, h2.client(), data) == [(b"x-all", everything), (b"x-z", b"!" * 300)]


def test_5_1_integers_may_be_longer_than_they_must(h2):
    long = b"\x00\x03x-a\x7f" + b"\x81\x80\x80\x00" + b"v" * 128
    assert ask_block(h2, h2.client(), long) == [(b"x-a", b"v" * 128)]


@pytest.mark.parametrize("size", [0, 64, 4096, 65536])
def test_4_2_our_table_is_respected(h2, size):
    # hpack's decoder refuses what goes past it, and wants the change to be told.
    client = h2.client({HEADER_TABLE_SIZE: size}).wait_settings()
    for _ in range(3):
        client.works()
    client.decoder.max_allowed_table_size = 0
    client.send(settings({HEADER_TABLE_SIZE: 0}))
    client.wait(lambda: client.acknowledged == 2, "an acknowledgement")
    client.works().works()
    assert client.decoder.header_table_size == 0
