#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/unit/conf/given.h"

/* Ten thousand broken configurations: each gives a tree or an error, and never a crash. */
enum { MUTATIONS = 10000, ROOM = 16384 };

static uint64_t random_next(uint64_t *state)
{
	/* xorshift64: the same on every machine. */
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static size_t random_below(uint64_t *state, size_t n)
{
	return n == 0 ? 0 : (size_t)(random_next(state) % n);
}

static const char *const tokens[] = { "{",
				      "}",
				      "[",
				      "]",
				      ",",
				      ":",
				      "\"",
				      "\\",
				      "\\u0000",
				      "\\ud800",
				      "null",
				      "true",
				      "false",
				      "0",
				      "-1",
				      "257",
				      "1e9",
				      "99999999999999999999",
				      "\"\"",
				      "\"x\"",
				      "\"${NO}\"",
				      "\"${HOST}\"",
				      "\"${\"",
				      "\"$${\"",
				      "\":443\"",
				      "\"[::]:443\"",
				      "\"unix:/a\"",
				      "\"unix:b\"",
				      "\"10ms\"",
				      "\"9d\"",
				      "\"1.3\"",
				      "[]",
				      "{}",
				      "[[]]",
				      "\"tls\":",
				      "\"pool\":",
				      "\"servers\":",
				      "\"name\":",
				      "\"address\":",
				      "\"certificates\":",
				      "\"$comment\":",
				      "\"groups\":[\"X\"],",
				      "\n",
				      "\xff",
				      "\xc3\xa9",
				      "\"web\":{},",
				      "\"admin\":false,",
				      "\"weight\":2,",
				      "\"routes\":[",
				      "\"path\":",
				      "\"host\":",
				      "\"redirect\":",
				      "\"set\":{",
				      "\"https\"",
				      "\"/a/\"",
				      "\"64KiB\"",
				      "\"10.0.0.0/8\"",
				      "\"mode\":\"tcp\"," };
enum { TOKENS = sizeof(tokens) / sizeof(tokens[0]) };

/* Replaces `out` bytes at `at` by `in`. */
static size_t splice(char *text, size_t len, size_t at, size_t out, struct span in)
{
	if (out > len - at)
		out = len - at;
	if (len - out + in.n > ROOM)
		return len;
	memmove(text + at + in.n, text + at + out, len - at - out);
	memcpy(text + at, in.p, in.n);
	return len - out + in.n;
}

/* From `at`, the length of a string with its quotes, a number or word, or one byte. */
static size_t token_at(const char *text, size_t len, size_t at)
{
	static const char ends[] = "{}[],:\" \n";
	size_t n = 1;

	if (text[at] == '"') {
		while (at + n < len && text[at + n] != '"')
			n++;
		return n + 1;
	}
	while (at + n < len && strchr(ends, text[at]) == NULL &&
	       memchr(ends, text[at + n], sizeof(ends) - 1) == NULL)
		n++;
	return n;
}

static size_t mutate(char *text, size_t len, uint64_t *state)
{
	size_t at = random_below(state, len), other, n;
	struct span token = span_str(tokens[random_below(state, TOKENS)]);
	char copy[256];

	switch (random_below(state, 7)) {
	case 0: /* a byte */
		text[at] = (char)random_next(state);
		return len;
	case 1: /* a byte gone, or a few */
		return splice(text, len, at, 1 + random_below(state, 8), span_of("", 0));
	case 2: /* a token in between */
		return splice(text, len, at, 0, token);
	case 3: /* a token for a token */
		return splice(text, len, at, token_at(text, len, at), token);
	case 4: /* a piece from elsewhere */
		other = random_below(state, len);
		n = random_below(state, sizeof(copy));
		if (n > len - other)
			n = len - other;
		memcpy(copy, text + other, n);
		return splice(text, len, at, random_below(state, 2) * n, span_of(copy, n));
	case 5: /* a token gone */
		return splice(text, len, at, token_at(text, len, at), span_of("", 0));
	default: /* the rest gone */
		return random_below(state, 8) == 0 ? at : len;
	}
}

static bool survives(const char *text, size_t len, size_t number)
{
	/* A copy of the exact size, so that a read past its end shows. */
	char *exact = malloc(len == 0 ? 1 : len);
	struct conf_source from = given_source();
	struct problems why;
	struct conf *c;

	cr_assert_not_null(exact);
	memcpy(exact, text, len);
	problems_init(&why);
	c = conf_parse(span_of(exact, len), &from, &why);
	cr_assert_eq(c == NULL, why.num_errors > 0, "mutation %zu", number);
	for (size_t i = 0; i < why.num; i++) {
		cr_assert_eq(strncmp(why.list[i].where, "t.json", 6), 0, "mutation %zu", number);
		cr_assert_neq(why.list[i].what[0], '\0', "mutation %zu", number);
	}
	conf_free(c);
	problems_fini(&why);
	free(exact);
	return c != NULL;
}

Test(mutation, never_crashes_and_always_answers)
{
	static const char *const files[] = { "conf/examples/minimal.json", "conf/examples/tcp.json",
					     "conf/examples/sidecar.json",
					     "conf/examples/http.json" };
	enum { FILES = sizeof(files) / sizeof(files[0]) };
	uint64_t state = 0x5a11790a7;
	size_t accepted = 0, len;
	char *base[FILES], text[ROOM];

	for (size_t i = 0; i < FILES; i++)
		base[i] = given_file(files[i]);
	for (size_t i = 0; i < MUTATIONS; i++) {
		const char *from = base[i % FILES];

		len = strlen(from);
		memcpy(text, from, len);
		for (size_t rounds = 1 + random_below(&state, 4); rounds > 0 && len > 0; rounds--)
			len = mutate(text, len, &state);
		accepted += survives(text, len, i) ? 1 : 0;
	}
	/* Both ways out are taken, or the mutations would prove little. */
	cr_expect_gt(accepted, MUTATIONS / 100);
	cr_expect_lt(accepted, MUTATIONS / 2);
	for (size_t i = 0; i < FILES; i++)
		free(base[i]);
}
