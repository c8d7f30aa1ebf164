/* Bytes as a hostile worker may leave them on its ring: the steward must read them within bounds,
 * come to an end, and make nothing but well-formed lines of them. Input: 2 bytes of where the tail
 * is before the ring's end, 8 bytes that are added to where the head is, then the ring's bytes. */

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/must.h"
#include "proxy/observe/record.h"
#include "proxy/observe/record_request.h"
#include "proxy/observe/ring.h"

enum { PREFIX = 10 };

static struct ring_head ring;
static char line[RECORD_LINE_MAX];

static void check_json(size_t n)
{
	json_t *parsed;

	MUST(n <= sizeof(line) && line[n - 1] == '\n');
	MUST(memchr(line, '\n', n - 1) == NULL);
	parsed = json_loadb(
		line, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
	MUST(json_is_object(parsed));
	json_decref(parsed);
}

static void check_plain(size_t n)
{
	MUST(n <= sizeof(line) && line[n - 1] == '\n');
	for (size_t i = 0; i < n - 1; i++)
		MUST((uint8_t)line[i] >= 0x20 && line[i] != 0x7f);
}

/* One line of printable ASCII, with the six quotes of the format and no others. */
static void check_combined(size_t n)
{
	unsigned quotes = 0;

	check_plain(n);
	for (size_t i = 0; i < n - 1; i++) {
		MUST((uint8_t)line[i] < 0x7f);
		quotes += line[i] == '"';
	}
	MUST(quotes == 6);
}

static void read_request(struct span bytes, const struct record_names *names)
{
	bool sound = record_request_sound(bytes);
	size_t n;

	MUST(sound == (record_type_of(bytes) == RECORD_REQUEST));
	if ((n = record_request_line(bytes, names, line, sizeof(line))) > 0) {
		MUST(sound);
		check_json(n);
	}
	if ((n = record_request_combined(bytes, line, sizeof(line))) > 0) {
		MUST(sound);
		check_combined(n);
	}
	(void)record_request_line(bytes, names, line, bytes.n % 700);
	(void)record_request_combined(bytes, line, bytes.n % 700);
}

static void read_one(struct span bytes)
{
	static const struct record_names names = { "listener", "p\"ool", "ser\nver" };
	struct record_slots slots = record_slots_of(bytes);
	size_t n;

	(void)slots;
	(void)record_level_of(bytes);
	if ((n = record_line(bytes, &names, line, sizeof(line))) > 0) {
		MUST(record_type_of(bytes) == RECORD_CONNECTION ||
		     record_type_of(bytes) == RECORD_HANDSHAKE_FAILED);
		check_json(n);
	}
	if ((n = record_event_line(bytes, line, sizeof(line))) > 0) {
		MUST(record_type_of(bytes) == RECORD_EVENT);
		check_plain(n);
	}
	read_request(bytes, &names);
	/* A buffer that is too small is no reason to write past it. */
	(void)record_line(bytes, &names, line, bytes.n % 700);
	(void)record_event_line(bytes, line, bytes.n % 700);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t record[RING_RECORD_MAX];
	struct ring_tail tail;
	uint16_t before_end;
	uint64_t add;
	size_t len, start;
	bool skipped;

	if (size < PREFIX || size - PREFIX > RING_BYTES)
		return 0;
	memcpy(&before_end, data, sizeof(before_end));
	memcpy(&add, data + sizeof(before_end), sizeof(add));
	data += PREFIX;
	size -= PREFIX;
	start = ((size_t)RING_BYTES - before_end) % RING_BYTES;
	tail.tail = RING_BYTES - before_end;
	ring.head = tail.tail + size + add;
	for (size_t i = 0; i < size; i++)
		ring.bytes[(start + i) % RING_BYTES] = data[i];
	for (int reads = 0; ring_read(&ring, &tail, record, &len, &skipped); reads++) {
		MUST(len > 0 && len <= sizeof(record) && reads < RING_BYTES);
		/* An allocation of its own, so that ASan sees a read past the record. */
		uint8_t *copy = malloc(len);

		MUST(copy != NULL);
		memcpy(copy, record, len);
		read_one(span_of(copy, len));
		free(copy);
	}
	MUST(tail.tail == ring.head);
	MUST(!ring_read(&ring, &tail, record, &len, &skipped) && !skipped);
	for (size_t i = 0; i < size; i++)
		ring.bytes[(start + i) % RING_BYTES] = 0;
	return 0;
}
