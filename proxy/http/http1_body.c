#include "proxy/http/http1_body.h"

#include "conf/must.h"

enum { SIZE_DIGITS_MAX = 16, EXTENSIONS_MAX = 1024 };

/* The states of chunks. */
enum { SIZE, SIZE_BLANK, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILERS };

void http1_body_begin(struct http1_body *b, enum http1_body_kind kind, int64_t length)
{
	MUST(kind != HTTP1_BODY_SIZED || length >= 0);
	*b = (struct http1_body){ .kind = (uint8_t)kind, .state = SIZE };
	if (kind == HTTP1_BODY_SIZED)
		b->left = (uint64_t)length;
}

static struct span take(struct span *in, size_t n)
{
	struct span front = span_of(in->p, n);

	*in = span_of(in->p + n, in->n - n);
	return front;
}

static enum http1_body_step broken(struct http1_fault *f, const char *detail)
{
	*f = (struct http1_fault){ .status = 400, .why = CAUSE_BAD_FRAMING, .detail = detail };
	return HTTP1_BODY_BROKEN;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What follows a chunk's size. */
static bool size_over(struct http1_body *b, char c)
{
	if (c == ';')
		b->state = EXTENSION;
	else if (c == ' ' || c == '\t')
		b->state = SIZE_BLANK; /* before an extension; else it does not belong there */
	else if (c == '\r' && b->state == SIZE)
		b->state = SIZE_LF;
	else
		return false;
	return c == '\r' || ++b->extensions <= EXTENSIONS_MAX;
}

/* Extensions are for nobody here, and go no further (RFC 9112 7.1.1). */
static bool extension_byte(struct http1_body *b, char c)
{
	if (c == '\r')
		b->state = SIZE_LF;
	else if (!http1_is_value(span_of(&c, 1)))
		return false;
	return c == '\r' || ++b->extensions <= EXTENSIONS_MAX;
}

/* One byte of a chunk's size. False: it does not belong there. */
static bool size_byte(struct http1_body *b, char c)
{
	int digit = hex(c);

	if (digit >= 0) {
		if (b->digits == SIZE_DIGITS_MAX || b->left > (uint64_t)INT64_MAX >> 4)
			return false;
		b->digits++;
		b->left = b->left << 4 | (unsigned)digit;
		return true;
	}
	if (b->digits == 0)
		return false;
	return size_over(b, c);
}

/* One byte of what is around the data of chunks. False: it does not belong there. */
static bool frame_byte(struct http1_body *b, char c)
{
	switch (b->state) {
	case SIZE:
		return size_byte(b, c);
	case SIZE_BLANK:
		return size_over(b, c);
	case EXTENSION:
		return extension_byte(b, c);
	case SIZE_LF:
		b->state = b->left > 0 ? DATA : TRAILERS;
		return c == '\n';
	case DATA_CR:
		b->state = DATA_LF;
		return c == '\r';
	default:
		b->state = SIZE;
		b->digits = 0;
		return c == '\n';
	}
}

static enum http1_body_step next_trailers(struct http1_body *b, struct http1_bounds bounds,
					  struct span *in, struct head **trailers,
					  struct http1_fault *f)
{
	size_t len = 0;

	switch (http1_scan(&b->trailers, HTTP1_TRAILERS, bounds, *in, &len, f)) {
	case HTTP1_MORE:
		return HTTP1_BODY_MORE;
	case HTTP1_BAD:
		return HTTP1_BODY_BROKEN;
	case HTTP1_WHOLE:
		break;
	}
	*trailers = NULL;
	if (len > 2 && !http1_trailers_parse(span_of(in->p, len), trailers, f))
		return HTTP1_BODY_BROKEN;
	(void)take(in, len);
	return HTTP1_BODY_END;
}

static enum http1_body_step next_data(struct http1_body *b, struct span *in, struct span *data)
{
	if (in->n == 0)
		return HTTP1_BODY_MORE;
	*data = take(in, in->n < b->left ? in->n : (size_t)b->left);
	b->left -= data->n;
	return HTTP1_BODY_DATA;
}

static enum http1_body_step next_chunked(struct http1_body *b, struct http1_bounds bounds,
					 struct span *in, struct span *data, struct head **trailers,
					 struct http1_fault *f)
{
	while (b->state != TRAILERS) {
		if (b->state == DATA) {
			enum http1_body_step step = next_data(b, in, data);

			if (b->left == 0)
				b->state = DATA_CR;
			return step;
		}
		if (in->n == 0)
			return HTTP1_BODY_MORE;
		if (!frame_byte(b, *take(in, 1).p))
			return broken(f, "malformed chunk");
	}
	return next_trailers(b, bounds, in, trailers, f);
}

enum http1_body_step http1_body_next(struct http1_body *b, struct http1_bounds bounds,
				     struct span *in, struct span *data, struct head **trailers,
				     struct http1_fault *fault)
{
	switch ((enum http1_body_kind)b->kind) {
	case HTTP1_BODY_CHUNKED:
		return next_chunked(b, bounds, in, data, trailers, fault);
	case HTTP1_BODY_SIZED:
		if (b->left == 0) {
			*trailers = NULL;
			return HTTP1_BODY_END;
		}
		return next_data(b, in, data);
	case HTTP1_BODY_OPEN:
		if (in->n == 0)
			return HTTP1_BODY_MORE;
		*data = take(in, in->n);
		return HTTP1_BODY_DATA;
	}
	MUST(b->kind <= HTTP1_BODY_OPEN);
	return HTTP1_BODY_BROKEN;
}
