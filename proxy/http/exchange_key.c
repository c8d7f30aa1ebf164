#include <string.h>

#include "proxy/http/exchange_private.h"

static struct span header_value(const struct exchange *x, const char *name)
{
	struct span wanted = span_str(name);
	const struct header *f;

	/* The codec takes it out. */
	if (header_id_of(wanted) == HEADER_HOST)
		return x->host;
	f = head_find_name(x->request, wanted);
	return f == NULL ? span_of("", 0) : f->value;
}

/* The value of the first pair of that name (RFC 6265 4.2.1); empty where there is none. */
static struct span cookie_in(struct span field, struct span name)
{
	while (field.n > 0) {
		struct span pair = parameter_next(&field);

		if (pair.n > name.n && pair.p[name.n] == '=' &&
		    span_eq(span_of(pair.p, name.n), name))
			return span_of(pair.p + name.n + 1, pair.n - name.n - 1);
	}
	return span_of("", 0);
}

static struct span cookie_value(const struct head *h, const char *name)
{
	for (uint32_t i = 0; i < h->num; i++) {
		struct span value;

		if (!span_eq_nocase(h->fields[i].name, span_str("cookie")))
			continue;
		if ((value = cookie_in(h->fields[i].value, span_str(name))).n > 0)
			return value;
	}
	return span_of("", 0);
}

/* Without the query, and before anything is taken off it. */
static struct span path_of(const struct exchange *x)
{
	const char *query = memchr(x->path.p, '?', x->path.n);

	return query == NULL ? x->path : span_of(x->path.p, (size_t)(query - x->path.p));
}

uint64_t exchange_key(const struct exchange *x)
{
	const struct conf_pool *conf = pool_conf(x->pool);
	struct span what = span_of("", 0);

	if (conf->balance != CONF_BALANCE_HASH)
		return 0;
	if (conf->hash == CONF_HASH_HEADER)
		what = header_value(x, conf->hash_name);
	else if (conf->hash == CONF_HASH_COOKIE)
		what = cookie_value(x->request, conf->hash_name);
	else if (conf->hash == CONF_HASH_PATH)
		what = path_of(x);
	/* Who sends none still gets the same server each time. */
	if (what.n == 0)
		what = span_of((const char *)x->believed.bytes, sizeof(x->believed.bytes));
	return pool_key(what);
}

/* ---- the cookie that names a server */

void exchange_prefer(struct exchange *x)
{
	const struct sticky *s = pool_sticky(x->pool);
	uint32_t place;

	if (s == NULL ||
	    !sticky_find(s, cookie_value(x->request, pool_conf(x->pool)->sticky->cookie), &place))
		return;
	x->tries.wanted = place + 1;
}

void exchange_stick(const struct exchange *x, struct head *h)
{
	const struct sticky *s = pool_sticky(x->pool);
	const struct conf_sticky *conf = pool_conf(x->pool)->sticky;
	bool secure = x->listener != NULL && x->listener->tls != NULL;
	struct span token, age = span_of("", 0);

	if (s == NULL || x->tries.wanted == x->tries.server + 1)
		return;
	token = sticky_token(s, x->tries.server);
	if (conf->max_age_ns > 0)
		age = head_print(h, "; Max-Age=%lld",
				 (long long)(conf->max_age_ns / INT64_C(1000000000)));
	head_add(h, span_str("set-cookie"),
		 head_print(h, "%s=%.*s; Path=/; HttpOnly; SameSite=Lax%s%.*s", conf->cookie,
			    (int)token.n, token.p, secure ? "; Secure" : "", (int)age.n, age.p));
}
