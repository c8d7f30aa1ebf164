#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/observe/cause.h"
#include "proxy/observe/record_request.h"
#include "proxy/observe/ring.h"

static char line[RECORD_LINE_MAX + 1];

static const struct record_names no_names;
static const struct record_names some_names = { "https", "web", "10.0.0.1:80" };

/* 2026-01-02T03:04:05.678Z */
#define TIME_NS INT64_C(1767323045678901234)

static void put(struct record_request *r, enum record_text which, const char *value)
{
	record_request_put(r, which, span_str(value));
}

static void fill_whole(struct record_request *r)
{
	record_request_start(r);
	r->time_ns = TIME_NS;
	r->listener = 1;
	r->pool = 2;
	r->server = 3;
	r->attempt = 2;
	r->status = 502;
	r->cause = CAUSE_SERVER_RESET;
	r->tls_version = 0x0304;
	r->cipher = 0x1301;
	r->group = 0x001d;
	r->peer_port = 50000;
	r->http_version = 20;
	r->reused = 1;
	r->peer_family = AF_INET;
	memcpy(r->peer_address, (const uint8_t[]){ 192, 0, 2, 7 }, 4);
	r->client_family = AF_INET6;
	memcpy(r->client_address, (const uint8_t[]){ 0x20, 0x01, 0x0d, 0xb8 }, 4);
	r->client_address[15] = 5;
	r->handshake_ns = 1234567;
	r->connect_ns = 400499;
	r->first_byte_ns = 1500000;
	r->duration_ns = 2000000500;
	r->bytes_received = 12;
	r->bytes_sent = UINT64_MAX;
	put(r, RECORD_TEXT_SNI, "a.example");
	put(r, RECORD_TEXT_METHOD, "GET");
	put(r, RECORD_TEXT_AUTHORITY, "A.example:443");
	put(r, RECORD_TEXT_PATH, "/x?y=1");
	put(r, RECORD_TEXT_REQUEST_ID, "id-1");
	put(r, RECORD_TEXT_USER_AGENT, "curl/8 (x)");
	put(r, RECORD_TEXT_REFERER, "https://b.example/");
	put(r, RECORD_TEXT_DETAIL, "more");
}

static struct span bytes_of(const struct record_request *r)
{
	return span_of(r, record_request_size(r));
}

static size_t make(const struct record_request *r, const struct record_names *names)
{
	size_t n = record_request_line(bytes_of(r), names, line, RECORD_LINE_MAX);

	line[n] = '\0';
	return n;
}

static size_t combined(const struct record_request *r)
{
	size_t n = record_request_combined(bytes_of(r), line, RECORD_LINE_MAX);

	line[n] = '\0';
	return n;
}

Test(record_request, a_whole_request_has_every_field_in_order)
{
	struct record_request r;

	fill_whole(&r);
	cr_assert_gt(make(&r, &some_names), 0);
	cr_assert_str_eq(
		line,
		"{\"time\":\"2026-01-02T03:04:05.678Z\",\"event\":\"request\","
		"\"client\":\"2001:db8::5\",\"peer\":\"192.0.2.7:50000\","
		"\"listener\":\"https\",\"sni\":\"a.example\",\"tls\":\"TLSv1.3\","
		"\"cipher\":\"TLS_AES_128_GCM_SHA256\",\"group\":\"X25519\","
		"\"resumed\":false,\"handshake_ms\":1.235,\"http\":\"2.0\",\"method\":\"GET\","
		"\"host\":\"A.example:443\",\"path\":\"/x?y=1\",\"status\":502,"
		"\"bytes_received\":12,\"bytes_sent\":18446744073709551615,"
		"\"first_byte_ms\":1.500,\"duration_ms\":2000.001,\"connect_ms\":0.400,"
		"\"pool\":\"web\",\"server\":\"10.0.0.1:80\",\"attempt\":2,\"reused\":true,"
		"\"request_id\":\"id-1\",\"user_agent\":\"curl/8 (x)\","
		"\"referer\":\"https://b.example/\",\"cause\":\"server_reset\","
		"\"detail\":\"more\"}\n");
}

Test(record_request, what_does_not_apply_is_left_out)
{
	struct record_request r;

	record_request_start(&r);
	r.time_ns = TIME_NS;
	r.peer_family = AF_UNIX;
	cr_assert_gt(make(&r, &no_names), 0);
	cr_assert_str_eq(line, "{\"time\":\"2026-01-02T03:04:05.678Z\",\"event\":\"request\","
			       "\"client\":\"unix\",\"bytes_received\":0,\"bytes_sent\":0,"
			       "\"duration_ms\":0.000}\n");
}

Test(record_request, the_peer_is_shown_where_another_is_believed)
{
	struct record_request r;

	record_request_start(&r);
	r.peer_family = r.client_family = AF_INET;
	r.peer_port = 7;
	memcpy(r.peer_address, (const uint8_t[]){ 192, 0, 2, 7 }, 4);
	memcpy(r.client_address, (const uint8_t[]){ 192, 0, 2, 7, 99 }, 5); /* only 4 count */
	cr_assert_gt(make(&r, &no_names), 0);
	cr_assert_not_null(strstr(line, "\"client\":\"192.0.2.7:7\",\"bytes"));
	r.client_family = AF_INET6; /* the same in other clothes */
	memset(r.client_address, 0, 10);
	memset(r.client_address + 10, 0xff, 2);
	memcpy(r.client_address + 12, (const uint8_t[]){ 192, 0, 2, 7 }, 4);
	cr_assert_gt(make(&r, &no_names), 0);
	cr_assert_not_null(strstr(line, "\"client\":\"192.0.2.7:7\",\"bytes"));
	r.client_address[15] = 8;
	cr_assert_gt(make(&r, &no_names), 0);
	cr_assert_not_null(strstr(line, "\"client\":\"192.0.2.8\",\"peer\":\"192.0.2.7:7\","));
	r.peer_family = AF_UNIX;
	cr_assert_gt(make(&r, &no_names), 0);
	cr_assert_not_null(strstr(line, "\"client\":\"192.0.2.8\",\"peer\":\"unix\","));
	r.peer_family = AF_INET6;
	memset(r.peer_address, 0, 16);
	r.peer_address[15] = 1;
	r.client_family = 0;
	cr_assert_gt(make(&r, &no_names), 0);
	cr_assert_not_null(strstr(line, "\"client\":\"[::1]:7\",\"bytes"));
}

static void expect_texts(const struct record_request *r)
{
	size_t n = record_request_size(r) - offsetof(struct record_request, text);

	cr_assert(n == 9 && memcmp(r->text, "snGET/pid", 9) == 0, "%.*s", (int)n, r->text);
	cr_assert_eq(r->lens[RECORD_TEXT_SNI], 2);
	cr_assert_eq(r->lens[RECORD_TEXT_METHOD], 3);
	cr_assert_eq(r->lens[RECORD_TEXT_PATH], 2);
	cr_assert_eq(r->lens[RECORD_TEXT_REQUEST_ID], 2);
}

Test(record_request, texts_may_be_put_in_any_order_and_again)
{
	struct record_request r;

	memset(&r, 0x5a, sizeof(r));
	record_request_start(&r);
	put(&r, RECORD_TEXT_REQUEST_ID, "id");
	put(&r, RECORD_TEXT_SNI, "sn");
	put(&r, RECORD_TEXT_PATH, "/p");
	put(&r, RECORD_TEXT_METHOD, "GET");
	expect_texts(&r);
	put(&r, RECORD_TEXT_METHOD, "OPTIONS");
	put(&r, RECORD_TEXT_SNI, "");
	put(&r, RECORD_TEXT_METHOD, "GET");
	put(&r, RECORD_TEXT_SNI, "sn");
	put(&r, RECORD_TEXT_DETAIL, "gone");
	record_request_put(&r, RECORD_TEXT_DETAIL, span_of(NULL, 0));
	expect_texts(&r);
}

Test(record_request, long_texts_are_cut_and_all_fit)
{
	static const size_t want[] = { 255, 32, 255, 2048, 128, 256, 512, 400 };
	struct record_request *r = calloc(1, sizeof(*r));
	char *words = malloc(10000);

	cr_assert(r != NULL && words != NULL);
	memset(words, 'x', 10000);
	record_request_start(r);
	for (int round = 0; round < 2; round++) {
		for (unsigned i = RECORD_TEXTS; i-- > 0;)
			record_request_put(r, i, span_of(words, 10000));
	}
	for (unsigned i = 0; i < RECORD_TEXTS; i++)
		cr_assert_eq(r->lens[i], want[i]);
	cr_assert_leq(record_request_size(r), sizeof(*r));
	cr_assert_leq(record_request_size(r), RING_RECORD_MAX);
	free(words);
	free(r);
}

Test(record_request, what_a_client_sent_cannot_break_the_line)
{
	struct record_request r;
	char odd[256];
	json_t *j;

	for (size_t i = 0; i < sizeof(odd); i++)
		odd[i] = (char)i;
	fill_whole(&r);
	for (unsigned i = 0; i < RECORD_TEXTS; i++)
		record_request_put(&r, i, span_of(odd, sizeof(odd)));
	cr_assert_gt(make(&r, &(struct record_names){ "\"\n", "\\", "\xff" }), 0);
	cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
	j = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
		       NULL);
	cr_assert_not_null(j);
	cr_assert_str_eq(json_string_value(json_object_get(j, "server")), "\xef\xbf\xbd");
	json_decref(j);

	cr_assert_gt(combined(&r), 0);
	cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
	for (size_t i = 0; line[i] != '\n'; i++)
		cr_assert(line[i] >= ' ' && line[i] <= '~');
}

Test(record_request, the_longest_lines_fit)
{
	struct record_request *r = calloc(1, sizeof(*r));
	char *name = malloc(4096);

	cr_assert(r != NULL && name != NULL);
	memset(name, 1, 4096);
	fill_whole(r);
	for (unsigned i = 0; i < RECORD_TEXTS; i++)
		record_request_put(r, i, span_of(name, 4095));
	r->client_family = r->peer_family = AF_INET6;
	memset(r->peer_address, 0x11, 16);
	memset(r->client_address, 0x22, 16);
	r->duration_ns = r->handshake_ns = r->connect_ns = r->first_byte_ns = INT64_MAX;
	r->bytes_received = UINT64_MAX;
	r->attempt = UINT32_MAX;
	r->tls_version = r->cipher = r->group = 0x7f7f;
	r->cause = 0xffff;
	name[255] = '\0';
	cr_assert_gt(make(r, &(struct record_names){ name, name, name }), 0);
	cr_assert_gt(combined(r), 0);
	free(name);
	free(r);
}

Test(record_request, a_line_that_does_not_fit_is_no_line)
{
	struct record_request r;
	size_t n;

	fill_whole(&r);
	n = make(&r, &no_names);
	for (size_t len = 0; len < n; len++)
		cr_assert_eq(record_request_line(bytes_of(&r), &no_names, line, len), 0);
	cr_assert_eq(record_request_line(bytes_of(&r), &no_names, line, n), n);
	n = combined(&r);
	for (size_t len = 0; len < n; len++)
		cr_assert_eq(record_request_combined(bytes_of(&r), line, len), 0);
	cr_assert_eq(record_request_combined(bytes_of(&r), line, n), n);
}

static void expect_refused(struct span bytes)
{
	struct record_slots s = record_slots_of(bytes);

	cr_assert_not(record_request_sound(bytes));
	cr_assert_eq(record_type_of(bytes), 0);
	cr_assert_eq(record_request_line(bytes, &no_names, line, RECORD_LINE_MAX), 0);
	cr_assert_eq(record_request_combined(bytes, line, RECORD_LINE_MAX), 0);
	cr_assert(s.listener == RECORD_NONE && s.pool == RECORD_NONE && s.server == RECORD_NONE);
}

Test(record_request, hostile_records_are_refused)
{
	struct record_request r;
	size_t n;

	fill_whole(&r);
	n = record_request_size(&r);
	for (size_t i = 0; i < n; i++) /* of any other length */
		expect_refused(span_of(&r, i));
	expect_refused(span_of(&r, n + 1));
	for (unsigned i = 0; i < RECORD_TEXTS; i++) {
		fill_whole(&r);
		r.lens[i] = UINT16_MAX;
		expect_refused(span_of(&r, n));
		expect_refused(span_of(&r, sizeof(r)));
	}
	fill_whole(&r); /* longer than a method may be, though the bytes are there */
	r.lens[RECORD_TEXT_METHOD] = 33;
	expect_refused(bytes_of(&r));
	fill_whole(&r);
	r.status = 1000;
	expect_refused(bytes_of(&r));
	fill_whole(&r);
	r.type = 99;
	expect_refused(bytes_of(&r));
}

Test(record_request, families_that_are_none_make_no_line)
{
	struct record_request r;

	fill_whole(&r);
	r.client_family = 77;
	cr_assert_eq(make(&r, &no_names), 0);
	cr_assert_eq(combined(&r), 0);
	r.client_family = 0;
	r.peer_family = 77;
	cr_assert_eq(make(&r, &no_names), 0);
	cr_assert_eq(combined(&r), 0);
}

Test(record_request, numbers_that_make_no_sense_are_still_a_line)
{
	struct record_request r;
	json_t *j;

	fill_whole(&r);
	r.time_ns = r.duration_ns = r.handshake_ns = r.first_byte_ns = INT64_MIN;
	r.cause = 0xffff;
	r.http_version = 99;
	r.cipher = 0xfefe;
	cr_assert_gt(make(&r, &no_names), 0);
	j = json_loads(line, JSON_DECODE_INT_AS_REAL, NULL);
	cr_assert_not_null(j);
	cr_assert_str_eq(json_string_value(json_object_get(j, "cause")), "unknown");
	cr_assert_str_eq(json_string_value(json_object_get(j, "cipher")), "0xfefe");
	cr_assert_null(json_object_get(j, "http"));
	cr_assert_null(json_object_get(j, "handshake_ms"));
	json_decref(j);
}

Test(record_request, slots_are_read_as_they_are)
{
	struct record_request r;
	struct record_slots s;

	fill_whole(&r);
	r.server = 12345678;
	s = record_slots_of(bytes_of(&r));
	cr_assert(s.listener == 1 && s.pool == 2 && s.server == 12345678);
	record_request_start(&r);
	s = record_slots_of(bytes_of(&r));
	cr_assert(s.listener == RECORD_NONE && s.pool == RECORD_NONE && s.server == RECORD_NONE);
}

Test(record_request, combined_line)
{
	struct record_request r;

	fill_whole(&r);
	r.status = 200;
	r.bytes_sent = 2326;
	r.http_version = 10;
	cr_assert_gt(combined(&r), 0);
	cr_assert_str_eq(line, "2001:db8::5 - - [02/Jan/2026:03:04:05 +0000] "
			       "\"GET /x?y=1 HTTP/1.0\" 200 2326 \"https://b.example/\" "
			       "\"curl/8 (x)\"\n");
	put(&r, RECORD_TEXT_PATH, "/a b\"");
	put(&r, RECORD_TEXT_REFERER, "");
	put(&r, RECORD_TEXT_USER_AGENT, "a \"\\\x01\xff");
	r.client_family = 0;
	r.http_version = 20;
	cr_assert_gt(combined(&r), 0);
	cr_assert_str_eq(line, "192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "
			       "\"GET /a\\x20b\\x22 HTTP/2.0\" 200 2326 \"-\" "
			       "\"a \\x22\\x5C\\x01\\xFF\"\n");
}

Test(record_request, combined_line_of_a_request_that_was_not_understood)
{
	struct record_request r;

	record_request_start(&r);
	r.time_ns = TIME_NS;
	r.peer_family = AF_UNIX;
	cr_assert_gt(combined(&r), 0);
	cr_assert_str_eq(line, "unix - - [02/Jan/2026:03:04:05 +0000] \"-\" 000 0 \"-\" \"-\"\n");
	put(&r, RECORD_TEXT_METHOD, "GET");
	r.status = 400;
	cr_assert_gt(combined(&r), 0);
	cr_assert_str_eq(line,
			 "unix - - [02/Jan/2026:03:04:05 +0000] \"GET -\" 400 0 \"-\" \"-\"\n");
}
