/* record_request: what a worker puts on its ring when an HTTP exchange has ended, and the access
 * line the steward makes of it, as JSON or in Apache's combined format. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"
#include "proxy/observe/record.h"

/* Texts of a request: symbol, and the most bytes that are kept of it. */
#define RECORD_REQUEST_TEXTS(TEXT) \
	TEXT(SNI, RECORD_SNI_MAX)  \
	TEXT(METHOD, 32)           \
	TEXT(AUTHORITY, 255)       \
	TEXT(PATH, 2048)           \
	TEXT(REQUEST_ID, 128)      \
	TEXT(USER_AGENT, 256)      \
	TEXT(REFERER, 512)         \
	TEXT(DETAIL, RECORD_DETAIL_MAX)

enum record_text {
#define TEXT(sym, max) RECORD_TEXT_##sym,
	RECORD_REQUEST_TEXTS(TEXT)
#undef TEXT
		RECORD_TEXTS
};

enum {
	RECORD_REQUEST_TEXT_MAX = 0
#define TEXT(sym, max) +(max)
	RECORD_REQUEST_TEXTS(TEXT)
#undef TEXT
};

struct record_request {
	uint32_t type; /* RECORD_REQUEST */
	uint32_t worker;
	int64_t time_ns;		 /* wall clock at the end, since 1970 */
	uint32_t listener, pool, server; /* slots, or RECORD_NONE */
	uint32_t attempt;		 /* tries at servers; 0: answered here */
	uint16_t cause;			 /* enum cause; CAUSE_NONE: all went well */
	uint16_t status;		 /* of the final response; 0: none was sent */
	uint16_t tls_version;		 /* as on the wire; 0: plaintext */
	uint16_t cipher;		 /* as on the wire, or 0 */
	uint16_t group;
	uint16_t peer_port;    /* host order */
	uint8_t http_version;  /* 10, 11, 20; 0: not known */
	uint8_t resumed;       /* TLS session */
	uint8_t reused;	       /* the server's connection was kept from an earlier request */
	uint8_t peer_family;   /* AF_INET, AF_INET6, AF_UNIX: who is connected */
	uint8_t client_family; /* who is believed to be the client; 0: the peer */
	uint8_t reserved;      /* 0 */
	uint8_t peer_address[16];
	uint8_t client_address[16];
	int64_t handshake_ns;  /* with the client; 0: none */
	int64_t connect_ns;    /* to the server; 0: none */
	int64_t first_byte_ns; /* from the request's first byte to the response's; 0: none */
	int64_t duration_ns;
	uint64_t bytes_received, bytes_sent; /* bodies of request and response */
	uint16_t lens[RECORD_TEXTS];
	char text[RECORD_REQUEST_TEXT_MAX]; /* in the order of enum record_text, without gaps */
};

/* record_request_start makes an empty record: no slots, no texts, all else zero. Fast: the room
 * for texts is left as it is. */
void record_request_start(struct record_request *r);

/* record_request_put sets one text, which is cut to its greatest length; one that was set before
 * is replaced. Any order will do; that of enum record_text moves nothing. */
void record_request_put(struct record_request *r, enum record_text which, struct span value);

/* record_request_size returns the bytes of `r` that are used: what goes to the ring. */
size_t record_request_size(const struct record_request *r);

/* record_request_sound tells whether bytes as read from a ring are a request's record. */
bool record_request_sound(struct span bytes);

/* record_request_slots returns the slots of such a record; RECORD_NONE where it is none. */
struct record_slots record_request_slots(struct span bytes);

/* record_request_line makes a JSON line (with its newline); `bytes` come from shared memory and
 * may say anything. Returns the line's length, 0 where the record makes no sense or `len` is too
 * small. */
size_t record_request_line(struct span bytes, const struct record_names *names, char *line,
			   size_t len);

/* record_request_combined makes a line in Apache's combined log format, in UTC. Spaces in the
 * method or path, quotes, backslashes and bytes that are not printable ASCII become \xHH. Returns
 * as record_request_line. */
size_t record_request_combined(struct span bytes, char *line, size_t len);
