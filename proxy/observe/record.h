/* record: what a worker puts on its ring, and the line the steward makes of it. Records are plain
 * structs: writer and reader are the same binary's roles. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/span.h"

enum record_type {
	RECORD_CONNECTION = 1,
	RECORD_HANDSHAKE_FAILED,
	RECORD_EVENT,
	RECORD_REQUEST /* record_request.h */
};

enum { RECORD_NONE = 0xffffffffu }; /* a slot that does not apply */
enum { RECORD_SNI_MAX = 255, RECORD_DETAIL_MAX = 400, RECORD_TEXT_MAX = 1500 };

/* Both for an ended connection and, with less filled in, for a failed handshake. */
struct record_connection {
	uint32_t type; /* RECORD_CONNECTION or RECORD_HANDSHAKE_FAILED */
	uint32_t worker;
	int64_t time_ns;		 /* wall clock at the end, since 1970 */
	uint32_t listener, pool, server; /* slots, or RECORD_NONE */
	uint16_t cause;			 /* enum cause */
	uint16_t tls_version;		 /* as on the wire; 0: plaintext or none yet */
	uint16_t cipher;		 /* as on the wire, or 0 */
	uint16_t group;
	uint8_t resumed;
	uint8_t client_family; /* AF_INET, AF_INET6, AF_UNIX */
	uint16_t client_port;  /* host order */
	uint8_t client_address[16];
	int64_t handshake_ns; /* 0: none */
	int64_t connect_ns;   /* to the server; 0: none */
	int64_t duration_ns;
	uint64_t bytes_received, bytes_sent; /* from and to the client, after TLS */
	uint16_t sni_len, detail_len;
	char text[RECORD_SNI_MAX + RECORD_DETAIL_MAX]; /* SNI, then detail, as many bytes as said */
};

/* A line for the error log. */
struct record_event {
	uint32_t type; /* RECORD_EVENT */
	uint32_t worker;
	int64_t time_ns;
	uint32_t level; /* enum conf_log_level */
	uint32_t text_len;
	char text[RECORD_TEXT_MAX];
};

/* What any line of a record or event fits in: names and texts of the greatest length, escaped. */
enum { RECORD_LINE_MAX = 32768 };

/* record_size returns the bytes of `r` that are used: what goes to the ring. */
size_t record_size(const struct record_connection *r);

/* Names by slot, for lines and metrics; NULL where a slot has none. */
struct record_names {
	const char *listener;
	const char *pool;
	const char *server;
};

/* record_slots are the slots that a record speaks of. */
struct record_slots {
	uint32_t listener, pool, server;
};

/* record_type_of returns the type of a record as read from a ring; 0 where it has none that is
 * known, or its length is not that of its type. */
enum record_type record_type_of(struct span bytes);

/* record_slots_of returns the slots of a record, which may be anything; RECORD_NONE where it has
 * none. */
struct record_slots record_slots_of(struct span bytes);

/* record_level_of returns the level of an event record. */
enum conf_log_level record_level_of(struct span bytes);

/* record_line makes a JSON line (with its newline) of a connection record; `bytes` come from
 * shared memory and may say anything. Returns the line's length, 0 where the record makes no
 * sense or `len` is too small. */
size_t record_line(struct span bytes, const struct record_names *names, char *line, size_t len);

/* record_event_line makes an error-log line with its newline: "2026-01-02T03:04:05.678Z LEVEL
 * worker 3: text". Returns its length, 0 where the record makes no sense. */
size_t record_event_line(struct span bytes, char *line, size_t len);

/* record_log_text makes the same line from parts; control characters become '?'. Returns its
 * length, newline included; a text that is too long is cut. 0: `len` has no room for a text. */
size_t record_log_text(int64_t time_ns, enum conf_log_level level, const char *role,
		       struct span text, char *line, size_t len);
