#include "proxy/http/http1_write.h"

#include "proxy/http/http1_head.h"

enum { NUMBER_MAX = 24 };

void http1_writer_init(struct http1_writer *w, struct link *link)
{
	/* Not the whole of it: the buffer need not be zero. */
	w->link = link;
	w->room = true;
	w->n = 0;
}

bool http1_flush(struct http1_writer *w)
{
	if (w->n > 0 && !link_write(w->link, span_of(w->bytes, w->n)))
		w->room = false;
	w->n = 0;
	return w->room;
}

static void write_direct(struct http1_writer *w, struct span bytes)
{
	if (!link_write(w->link, bytes))
		w->room = false;
}

void http1_put_last(struct http1_writer *w, struct span bytes)
{
	if (w->n == 0 && bytes.n >= HTTP1_WRITER_BYTES)
		write_direct(w, bytes);
	else
		http1_put(w, bytes);
}

void http1_put(struct http1_writer *w, struct span bytes)
{
	while (bytes.n > 0) {
		size_t n = HTTP1_WRITER_BYTES - w->n;

		/* Whole records need no copy; their rest waits for what follows. */
		if (w->n == 0 && bytes.n >= HTTP1_WRITER_BYTES) {
			n = bytes.n - bytes.n % HTTP1_WRITER_BYTES;
			write_direct(w, span_of(bytes.p, n));
			bytes = span_of(bytes.p + n, bytes.n - n);
			continue;
		}
		if (n > bytes.n)
			n = bytes.n;
		memcpy(w->bytes + w->n, bytes.p, n);
		w->n += n;
		bytes = span_of(bytes.p + n, bytes.n - n);
		if (w->n == HTTP1_WRITER_BYTES)
			(void)http1_flush(w);
	}
}

void http1_put_str(struct http1_writer *w, const char *text)
{
	http1_put(w, span_str(text));
}

static void put_number(struct http1_writer *w, uint64_t number, unsigned base)
{
	char digits[NUMBER_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number > 0);
	http1_put(w, span_of(digits + at, sizeof(digits) - at));
}

void http1_put_number(struct http1_writer *w, uint64_t number)
{
	put_number(w, number, 10);
}

void http1_put_field(struct http1_writer *w, struct span name, struct span value)
{
	if (!http1_is_token(name) || !http1_is_value(value))
		return;
	http1_put(w, name);
	http1_put_str(w, ": ");
	http1_put(w, value);
	http1_put_str(w, "\r\n");
}

bool http1_hold(struct http1_writer *w, struct http1_hold *hold, struct loop *loop)
{
	_Static_assert((int)HTTP1_WRITER_BYTES <= (int)LOOP_CHUNK_BYTES,
		       "a writer's bytes fit a chunk");

	if (hold->chunk != NULL || (hold->chunk = loop_chunk(loop)) == NULL)
		return false;
	memcpy(hold->chunk->bytes, w->bytes, w->n);
	hold->chunk->end = (uint32_t)w->n;
	w->n = 0;
	return true;
}

void http1_unhold(struct http1_writer *w, struct http1_hold *hold, struct loop *loop)
{
	if (hold->chunk == NULL)
		return;
	http1_put(w, span_of(hold->chunk->bytes, hold->chunk->end));
	http1_hold_drop(hold, loop);
}

void http1_hold_drop(struct http1_hold *hold, struct loop *loop)
{
	if (hold->chunk != NULL)
		loop_chunk_free(loop, hold->chunk);
	hold->chunk = NULL;
}

static bool is_own(enum header_id id)
{
	switch (id) {
	case HEADER_CONNECTION:
	case HEADER_CONTENT_LENGTH:
	case HEADER_EXPECT:
	case HEADER_HOST:
	case HEADER_HTTP2_SETTINGS:
	case HEADER_KEEP_ALIVE:
	case HEADER_PROXY_CONNECTION:
	case HEADER_TE:
	case HEADER_TRANSFER_ENCODING:
	case HEADER_UPGRADE:
		return true;
	default:
		return false;
	}
}

void http1_put_fields(struct http1_writer *w, const struct head *h)
{
	for (uint32_t i = 0; i < h->num; i++) {
		if (!is_own(h->fields[i].id))
			http1_put_field(w, h->fields[i].name, h->fields[i].value);
	}
}

void http1_put_chunk(struct http1_writer *w, struct span bytes)
{
	if (bytes.n == 0)
		return;
	put_number(w, bytes.n, 16);
	http1_put_str(w, "\r\n");
	http1_put(w, bytes);
	http1_put_str(w, "\r\n");
}

void http1_put_last_chunk(struct http1_writer *w, const struct head *trailers)
{
	http1_put_str(w, "0\r\n");
	if (trailers != NULL)
		http1_put_fields(w, trailers);
	http1_put_str(w, "\r\n");
}

const char *http1_reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} phrases[] = {
		{ 100, "Continue" },
		{ 101, "Switching Protocols" },
		{ 103, "Early Hints" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 205, "Reset Content" },
		{ 206, "Partial Content" },
		{ 300, "Multiple Choices" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 411, "Length Required" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
		if (phrases[i].status == status)
			return phrases[i].phrase;
	}
	return "";
}
