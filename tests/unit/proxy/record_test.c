#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/observe/cause.h"
#include "proxy/observe/record.h"

static char line[RECORD_LINE_MAX + 1];

static const struct record_names no_names;

/* 2026-01-02T03:04:05.678Z */
#define TIME_NS INT64_C(1767323045678901234)

static struct record_connection whole(void)
{
	struct record_connection r = {
		.type = RECORD_CONNECTION,
		.worker = 1,
		.time_ns = TIME_NS,
		.cause = CAUSE_CLOSED,
		.tls_version = 0x0304,
		.cipher = 0x1301,
		.group = 0x001d,
		.resumed = 1,
		.client_family = AF_INET,
		.client_port = 50000,
		.client_address = { 192, 0, 2, 7 },
		.handshake_ns = 1234567,
		.connect_ns = 400499,
		.duration_ns = 2000000500,
		.bytes_received = 12,
		.bytes_sent = UINT64_MAX,
		.sni_len = 9,
		.detail_len = 4,
	};

	memcpy(r.text, "a.examplemore", 13);
	return r;
}

static size_t make(const struct record_connection *r, const struct record_names *names)
{
	size_t n = record_line(span_of(r, record_size(r)), names, line, RECORD_LINE_MAX);

	line[n] = '\0';
	return n;
}

Test(record, a_whole_connection_has_every_field_in_order)
{
	struct record_connection r = whole();

	cr_assert_gt(make(&r, &(struct record_names){ "https", "web", "10.0.0.1:80" }), 0);
	cr_assert_str_eq(line,
			 "{\"time\":\"2026-01-02T03:04:05.678Z\",\"event\":\"connection\","
			 "\"client\":\"192.0.2.7:50000\",\"listener\":\"https\","
			 "\"sni\":\"a.example\",\"tls\":\"TLSv1.3\","
			 "\"cipher\":\"TLS_AES_128_GCM_SHA256\",\"group\":\"X25519\","
			 "\"resumed\":true,\"handshake_ms\":1.235,\"connect_ms\":0.400,"
			 "\"bytes_received\":12,\"bytes_sent\":18446744073709551615,"
			 "\"duration_ms\":2000.001,\"pool\":\"web\",\"server\":\"10.0.0.1:80\","
			 "\"cause\":\"closed\",\"detail\":\"more\"}\n");
}

Test(record, what_does_not_apply_is_left_out)
{
	struct record_connection r = { .type = RECORD_CONNECTION,
				       .time_ns = TIME_NS,
				       .client_family = AF_UNIX,
				       .cause = CAUSE_NO_SERVER };

	cr_assert_gt(make(&r, &no_names), 0);
	cr_assert_str_eq(line, "{\"time\":\"2026-01-02T03:04:05.678Z\",\"event\":\"connection\","
			       "\"client\":\"unix\",\"bytes_received\":0,\"bytes_sent\":0,"
			       "\"duration_ms\":0.000,\"cause\":\"no_server\"}\n");
}

Test(record, a_failed_handshake_has_no_bytes_and_no_resumption)
{
	struct record_connection r = whole();

	r.type = RECORD_HANDSHAKE_FAILED;
	r.cause = CAUSE_TLS + TLS_REASON_VERSION;
	r.tls_version = r.cipher = r.group = 0;
	r.handshake_ns = r.connect_ns = 0;
	cr_assert_gt(make(&r, &(struct record_names){ .listener = "https" }), 0);
	cr_assert_str_eq(line, "{\"time\":\"2026-01-02T03:04:05.678Z\","
			       "\"event\":\"handshake_failed\",\"client\":\"192.0.2.7:50000\","
			       "\"listener\":\"https\",\"sni\":\"a.example\","
			       "\"duration_ms\":2000.001,\"cause\":\"unsupported_version\","
			       "\"detail\":\"more\"}\n");
}

static const char *client_of(const struct record_connection *r)
{
	static char value[128];
	json_t *j;

	cr_assert_gt(make(r, &no_names), 0);
	j = json_loads(line, JSON_DECODE_INT_AS_REAL, NULL);
	cr_assert_not_null(j);
	(void)snprintf(value, sizeof(value), "%s", json_string_value(json_object_get(j, "client")));
	json_decref(j);
	return value;
}

Test(record, clients_of_each_family)
{
	struct record_connection r = whole();

	r.client_family = AF_INET6;
	memset(r.client_address, 0, 16);
	r.client_address[15] = 1;
	cr_assert_str_eq(client_of(&r), "[::1]:50000");
	memset(r.client_address + 10, 0xff, 2);
	memcpy(r.client_address + 12, (const uint8_t[]){ 198, 51, 100, 1 }, 4);
	cr_assert_str_eq(client_of(&r), "198.51.100.1:50000"); /* mapped */
}

Test(record, numbers_without_a_name_are_shown_as_numbers)
{
	struct record_connection r = whole();

	r.tls_version = 0x7f1c;
	r.cipher = 0xfefe;
	r.group = 0xfdfd;
	cr_assert_gt(make(&r, &no_names), 0);
	cr_assert_not_null(strstr(line, "\"tls\":\"0x7f1c\",\"cipher\":\"0xfefe\","
					"\"group\":\"0xfdfd\""));
}

Test(record, what_a_client_sent_cannot_break_the_line)
{
	struct record_connection r = whole();
	json_t *j;

	r.sni_len = RECORD_SNI_MAX;
	r.detail_len = RECORD_DETAIL_MAX;
	for (size_t i = 0; i < sizeof(r.text); i++)
		r.text[i] = (char)i;
	cr_assert_gt(make(&r, &(struct record_names){ "\"\n", "\\", "\xff" }), 0);
	cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
	j = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
		       NULL);
	cr_assert_not_null(j);
	cr_assert_str_eq(json_string_value(json_object_get(j, "listener")), "\"\n");
	cr_assert_str_eq(json_string_value(json_object_get(j, "server")), "\xef\xbf\xbd");
	json_decref(j);
}

Test(record, the_longest_line_fits)
{
	char *name = malloc(256);
	struct record_connection r = whole();

	cr_assert_not_null(name);
	memset(name, 1, 255);
	name[255] = '\0';
	r.sni_len = RECORD_SNI_MAX;
	r.detail_len = RECORD_DETAIL_MAX;
	memset(r.text, 1, sizeof(r.text));
	r.client_family = AF_INET6;
	memset(r.client_address, 0x11, 16);
	r.duration_ns = r.handshake_ns = r.connect_ns = INT64_MAX;
	cr_assert_gt(make(&r, &(struct record_names){ name, name, name }), 0);
	free(name);
}

Test(record, a_line_that_does_not_fit_is_no_line)
{
	struct record_connection r = whole();
	size_t n = make(&r, &no_names);

	for (size_t len = 0; len < n; len++)
		cr_assert_eq(record_line(span_of(&r, record_size(&r)), &no_names, line, len), 0);
	cr_assert_eq(record_line(span_of(&r, record_size(&r)), &no_names, line, n), n);
}

Test(record, hostile_records_are_refused)
{
	struct record_connection r = whole();
	size_t n = record_size(&r);

	for (size_t i = 0; i < n; i++) { /* of any other length */
		cr_assert_eq(record_line(span_of(&r, i), &no_names, line, RECORD_LINE_MAX), 0);
		cr_assert_eq(record_type_of(span_of(&r, i)), 0);
	}
	cr_assert_eq(record_line(span_of(&r, n + 1), &no_names, line, RECORD_LINE_MAX), 0);
	r.sni_len = RECORD_SNI_MAX + 1;
	cr_assert_eq(make(&r, &no_names), 0);
	r = whole();
	r.detail_len = RECORD_DETAIL_MAX + 1;
	cr_assert_eq(record_line(span_of(&r, sizeof(r)), &no_names, line, RECORD_LINE_MAX), 0);
	r = whole();
	r.type = 99;
	cr_assert_eq(make(&r, &no_names), 0);
	cr_assert_eq(record_type_of(span_of(&r, n)), 0);
	r = whole();
	r.client_family = 77;
	cr_assert_eq(make(&r, &no_names), 0);
}

Test(record, times_that_make_no_sense_are_still_a_line)
{
	struct record_connection r = whole();
	json_t *j;

	r.time_ns = r.duration_ns = r.handshake_ns = INT64_MIN;
	r.cause = 0xffff;
	cr_assert_gt(make(&r, &no_names), 0);
	j = json_loads(line, JSON_DECODE_INT_AS_REAL, NULL);
	cr_assert_not_null(j);
	cr_assert_str_eq(json_string_value(json_object_get(j, "cause")), "unknown");
	cr_assert_eq(json_real_value(json_object_get(j, "duration_ms")), 0.0);
	json_decref(j);
}

static size_t event_line(struct record_event *e, const char *text, size_t len)
{
	size_t n;

	e->text_len = (uint32_t)strlen(text);
	memcpy(e->text, text, strlen(text));
	n = record_event_line(span_of(e, offsetof(struct record_event, text) + strlen(text)), line,
			      len);
	line[n] = '\0';
	return n;
}

Test(record, event_line)
{
	struct record_event e = {
		.type = RECORD_EVENT, .worker = 3, .time_ns = TIME_NS, .level = CONF_LOG_WARNING
	};

	cr_assert_gt(event_line(&e, "text\r\nwith \x1b[31m", RECORD_LINE_MAX), 0);
	cr_assert_str_eq(line, "2026-01-02T03:04:05.678Z warning worker 3: text??with ?[31m\n");
	cr_assert_eq(record_level_of(span_of(&e, offsetof(struct record_event, text) + e.text_len)),
		     CONF_LOG_WARNING);
	cr_assert_gt(event_line(&e, "abcdef", 54), 0);
	cr_assert_str_eq(line, "2026-01-02T03:04:05.678Z warning worker 3: abcdef\n");
	cr_assert_gt(event_line(&e, "abcdef", 46), 0); /* too long: cut */
	cr_assert_str_eq(line, "2026-01-02T03:04:05.678Z warning worker 3: ab\n");
	cr_assert_eq(event_line(&e, "abcdef", 20), 0);
}

Test(record, hostile_events_are_refused)
{
	struct record_event e = { .type = RECORD_EVENT, .level = CONF_LOG_DEBUG + 1 };

	cr_assert_eq(event_line(&e, "text", RECORD_LINE_MAX), 0); /* no such level */
	e.level = CONF_LOG_DEBUG;
	cr_assert_gt(event_line(&e, "text", RECORD_LINE_MAX), 0);
	e.type = RECORD_CONNECTION;
	cr_assert_eq(event_line(&e, "text", RECORD_LINE_MAX), 0);
	e.type = RECORD_EVENT;
	e.text_len = RECORD_TEXT_MAX + 1;
	cr_assert_eq(record_event_line(span_of(&e, sizeof(e)), line, RECORD_LINE_MAX), 0);
	e.text_len = 4;
	cr_assert_eq(record_event_line(span_of(&e, sizeof(e)), line, RECORD_LINE_MAX), 0);
	cr_assert_eq(record_event_line(span_of(&e, 3), line, RECORD_LINE_MAX), 0);
}

Test(record, slots_are_read_as_they_are)
{
	struct record_connection r = whole();
	struct record_slots s;

	r.listener = 5;
	r.pool = RECORD_NONE;
	r.server = 12345678;
	s = record_slots_of(span_of(&r, record_size(&r)));
	cr_assert(s.listener == 5 && s.pool == RECORD_NONE && s.server == 12345678);
	s = record_slots_of(span_of(&r, 3));
	cr_assert(s.listener == RECORD_NONE && s.server == RECORD_NONE);
}
