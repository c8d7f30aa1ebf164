#include "proxy/http/http1_server_private.h"

static struct http1_server *from_codec(struct server_codec *c)
{
	return (struct http1_server *)((char *)c - offsetof(struct http1_server, codec));
}

static void codec_data(struct server_codec *c, struct span bytes)
{
	http1_server_data(from_codec(c), bytes);
}

static void codec_eof(struct server_codec *c)
{
	http1_server_eof(from_codec(c));
}

static void codec_drained(struct server_codec *c)
{
	http1_server_drained(from_codec(c));
}

static void codec_link_ended(struct server_codec *c, enum cause why, const char *detail)
{
	http1_server_link_ended(from_codec(c), why, detail);
}

static void codec_drain(struct server_codec *c)
{
	http1_server_drain(from_codec(c));
}

static bool codec_is_idle(const struct server_codec *c)
{
	return http1_server_is_idle(
		(const struct http1_server *)((const char *)c -
					      offsetof(struct http1_server, codec)));
}

static void codec_free(struct server_codec *c)
{
	http1_server_free(from_codec(c));
}

const struct server_codec_ops http1_server_codec_ops = {
	.data = codec_data,
	.eof = codec_eof,
	.drained = codec_drained,
	.link_ended = codec_link_ended,
	.drain = codec_drain,
	.is_idle = codec_is_idle,
	.free = codec_free,
};

struct server_codec *http1_server_codec(struct http1_server *h)
{
	return h == NULL ? NULL : &h->codec;
}
