#include "proxy/pool/sticky.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct conf_server servers[] = { { .name = "a:1" },
					      { .name = "b:1" },
					      { .name = "c:1" } };
static const struct conf_pool pool = { .name = "p", .servers = servers, .num_servers = 3 };

Test(sticky, a_token_names_its_server)
{
	struct sticky *s = sticky_new(&pool, span_str("secret"));

	cr_assert_not_null(s);
	for (uint32_t i = 0; i < 3; i++) {
		struct span token = sticky_token(s, i);
		uint32_t place = 99;

		cr_assert_eq(token.n, (size_t)STICKY_TOKEN);
		cr_assert(sticky_find(s, token, &place));
		cr_assert_eq(place, i);
		for (size_t k = 0; k < token.n; k++)
			cr_assert(strchr("\",;\\ ", token.p[k]) == NULL, "a cookie may hold it");
	}
	sticky_free(s);
}

Test(sticky, what_was_changed_is_nobodys)
{
	struct sticky *s = sticky_new(&pool, span_str("secret"));
	char token[STICKY_TOKEN];
	uint32_t place;

	for (size_t i = 0; i < STICKY_TOKEN; i++) {
		memcpy(token, sticky_token(s, 1).p, STICKY_TOKEN);
		token[i] = token[i] == 'A' ? 'B' : 'A';
		cr_assert_not(sticky_find(s, span_of(token, STICKY_TOKEN), &place), "%zu", i);
		cr_assert_not(sticky_find(s, span_of(sticky_token(s, 1).p, i), &place));
	}
	sticky_free(s);
}

Test(sticky, tokens_depend_on_secret_pool_and_server_only)
{
	const struct conf_server turned[] = { { .name = "c:1" }, { .name = "a:1" } };
	struct conf_pool other = { .name = "p", .servers = turned, .num_servers = 2 };
	struct sticky *s = sticky_new(&pool, span_str("secret"));
	struct sticky *t = sticky_new(&other, span_str("secret")), *u;
	uint32_t place;

	cr_assert(sticky_find(t, sticky_token(s, 0), &place) && place == 1);
	cr_assert_not(sticky_find(t, sticky_token(s, 1), &place), "it has gone");
	u = sticky_new(&pool, span_str("another"));
	cr_assert_not(sticky_find(u, sticky_token(s, 0), &place));
	sticky_free(u);
	other.name = "q";
	u = sticky_new(&other, span_str("secret"));
	cr_assert_not(sticky_find(u, sticky_token(s, 0), &place));
	sticky_free(u);
	sticky_free(t);
	sticky_free(s);
}
