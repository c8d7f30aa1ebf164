/* The flat table: names found, chains shared, damage harmless. */
#include "certs/index.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint32_t add(struct index_builder *b, enum index_key_type type, const char *leaf)
{
	struct span chain[2] = { span_str(leaf), span_str("the issuer") };
	struct index_certificate c = { .chain = chain,
				       .chain_len = 2,
				       .type = type,
				       .key = 5,
				       .key_bits = 256,
				       .not_before_s = -1,
				       .not_after_s = 1ll << 40,
				       .file = span_str("/f.pem") };
	uint32_t number;

	cr_assert(index_builder_add(b, &c, &number));
	return number;
}

static void name(struct index_builder *b, uint32_t set, const char *text, uint32_t number)
{
	cr_assert(index_builder_name(b, set, span_str(text), number));
}

/* Finishes `b`, frees it and opens the result; `*bytes` is to be freed. */
static struct index *finish(struct index_builder *b, void **bytes, size_t *len)
{
	struct index *i;

	cr_assert(index_builder_finish(b, bytes, len));
	index_builder_free(b);
	i = index_open(span_of(*bytes, *len));
	cr_assert_not_null(i);
	return i;
}

static uint32_t find(const struct index *i, uint32_t set, const char *text,
		     enum index_key_type type)
{
	uint32_t found[INDEX_KEY_TYPES];

	return index_find(i, set, span_str(text), found) ? found[type] : INDEX_NONE;
}

Test(index, exact_before_wildcard_in_each_set)
{
	struct index_builder *b = index_builder_new(2);
	uint32_t a = add(b, INDEX_KEY_ECDSA_P256, "a");
	uint32_t w = add(b, INDEX_KEY_ECDSA_P256, "w");
	uint32_t r = add(b, INDEX_KEY_RSA, "r");
	struct index *i;
	void *bytes;
	size_t len;

	name(b, 0, "a.example.com", a);
	name(b, 0, "a.example.com", r);
	name(b, 0, "a.example.com", w); /* too late */
	name(b, 0, "*.example.com", w);
	name(b, 1, "b.example.com", r);
	cr_assert_not(index_builder_name(b, 2, span_str("x"), a), "no such set");
	cr_assert_not(index_builder_name(b, 0, span_str("x"), 3), "no such certificate");
	cr_assert_not(index_builder_name(b, 0, span_str(""), a));
	i = finish(b, &bytes, &len);
	cr_assert_eq(index_count(i), 3);
	cr_assert_eq(find(i, 0, "a.example.com", INDEX_KEY_ECDSA_P256), a);
	cr_assert_eq(find(i, 0, "A.EXAMPLE.com.", INDEX_KEY_RSA), r);
	cr_assert_eq(find(i, 0, "b.example.com", INDEX_KEY_ECDSA_P256), w);
	cr_assert_eq(find(i, 0, "b.example.com", INDEX_KEY_RSA), INDEX_NONE);
	cr_assert_eq(find(i, 1, "b.example.com", INDEX_KEY_RSA), r);
	cr_assert_eq(find(i, 1, "a.example.com", INDEX_KEY_RSA), INDEX_NONE);
	cr_assert_eq(find(i, 2, "a.example.com", INDEX_KEY_RSA), INDEX_NONE);
	index_close(i);
	free(bytes);
}

Test(index, odd_names_find_nothing)
{
	static const char *const odd[] = { "",
					   ".",
					   "..",
					   "example.com",
					   ".example.com",
					   "*.example.com",
					   "x.y.example.com",
					   "a..example.com",
					   "com",
					   "a.example.com.." };
	struct index_builder *b = index_builder_new(1);
	uint32_t w = add(b, INDEX_KEY_RSA, "w");
	char longest[300];
	struct index *i;
	void *bytes;
	size_t len;

	name(b, 0, "*.example.com", w);
	memset(longest, 'a', sizeof(longest));
	cr_assert_not(index_builder_name(b, 0, span_of(longest, 254), w));
	cr_assert(index_builder_name(b, 0, span_of(longest, 253), w));
	i = finish(b, &bytes, &len);
	for (size_t n = 0; n < sizeof(odd) / sizeof(odd[0]); n++)
		cr_assert_eq(find(i, 0, odd[n], INDEX_KEY_RSA), INDEX_NONE, "%s", odd[n]);
	longest[253] = '\0';
	cr_assert_eq(find(i, 0, longest, INDEX_KEY_RSA), w);
	longest[253] = 'a';
	longest[299] = '\0';
	cr_assert_eq(find(i, 0, longest, INDEX_KEY_RSA), INDEX_NONE);
	index_close(i);
	free(bytes);
}

Test(index, defaults_are_one_of_each_type)
{
	struct index_builder *b = index_builder_new(2);
	uint32_t one = add(b, INDEX_KEY_RSA, "1");
	uint32_t two = add(b, INDEX_KEY_RSA, "2");
	uint32_t three = add(b, INDEX_KEY_ED25519, "3");
	uint32_t found[INDEX_KEY_TYPES];
	struct index *i;
	void *bytes;
	size_t len;

	cr_assert(index_builder_default(b, 0, one));
	cr_assert(index_builder_default(b, 0, two));
	cr_assert(index_builder_default(b, 0, three));
	i = finish(b, &bytes, &len);
	cr_assert(index_defaults(i, 0, found));
	cr_assert_eq(found[INDEX_KEY_RSA], one);
	cr_assert_eq(found[INDEX_KEY_ED25519], three);
	cr_assert_eq(found[INDEX_KEY_ECDSA_P256], INDEX_NONE);
	cr_assert_not(index_defaults(i, 1, found));
	cr_assert_not(index_defaults(i, 2, found));
	index_close(i);
	free(bytes);
}

Test(index, entries_and_chains_come_back)
{
	struct index_builder *b = index_builder_new(0);
	uint32_t one = add(b, INDEX_KEY_ED25519, "leaf one");
	uint32_t two = add(b, INDEX_KEY_RSA, "leaf two");
	CRYPTO_BUFFER *first[2];
	CRYPTO_BUFFER *second[2];
	struct index_entry e;
	struct span chain[2];
	struct index *i;
	void *bytes;
	size_t len;

	i = finish(b, &bytes, &len);
	cr_assert(index_entry(i, two, &e));
	cr_assert(e.type == INDEX_KEY_RSA && e.key == 5 && e.key_bits == 256 && e.chain_len == 2 &&
		  e.not_before_s == -1 && e.not_after_s == 1ll << 40);
	cr_assert(span_eq(e.file, span_str("/f.pem")));
	cr_assert_eq(index_chain(i, one, chain, 2), 2);
	cr_assert(span_eq(chain[0], span_str("leaf one")));
	cr_assert_eq(index_chain(i, one, chain, 1), 0, "no room");
	cr_assert_eq(index_chain(i, 2, chain, 2), 0);
	cr_assert_eq(index_buffers(i, one, first, 2), 2);
	cr_assert_eq(index_buffers(i, two, second, 2), 2);
	cr_assert_eq(first[1], second[1], "the issuer is stored once");
	cr_assert_neq(first[0], second[0]);
	index_close(i);
	free(bytes);
}

Test(index, many_names_are_all_found)
{
	struct index_builder *b = index_builder_new(1);
	struct index *i;
	char text[64];
	char der[32];
	void *bytes;
	size_t len;

	for (uint32_t n = 0; n < 20000; n++) {
		(void)snprintf(der, sizeof(der), "der %u", n);
		(void)snprintf(text, sizeof(text), "host%u.example.com", n);
		name(b, 0, text, add(b, INDEX_KEY_RSA, der));
	}
	i = finish(b, &bytes, &len);
	for (uint32_t n = 0; n < 20000; n++) {
		(void)snprintf(text, sizeof(text), "host%u.example.com", n);
		cr_assert_eq(find(i, 0, text, INDEX_KEY_RSA), n);
	}
	cr_assert_eq(find(i, 0, "host20000.example.com", INDEX_KEY_RSA), INDEX_NONE);
	index_close(i);
	free(bytes);
}

Test(index, foreign_bytes_are_refused)
{
	struct index_builder *b = index_builder_new(1);
	struct index *i;
	char *bytes;
	size_t len;

	(void)add(b, INDEX_KEY_RSA, "x");
	i = finish(b, (void **)&bytes, &len);
	index_close(i);
	cr_assert_null(index_open(span_of(bytes, 0)));
	cr_assert_null(index_open(span_of(bytes, len - 1)));
	cr_assert_null(index_open(span_of(bytes, 40)));
	bytes[0] ^= 1;
	cr_assert_null(index_open(span_of(bytes, len)));
	free(bytes);
}

/* Every byte in turn gets other values: nothing may be read outside (ASan watches). */
Test(index, damage_is_harmless)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0xff };
	struct index_builder *b = index_builder_new(1);
	uint32_t one = add(b, INDEX_KEY_RSA, "x");
	CRYPTO_BUFFER *buffers[4];
	struct index_entry e;
	struct index *i;
	uint8_t *bytes;
	size_t len;

	name(b, 0, "a.example", one);
	name(b, 0, "*.b.example", one);
	i = finish(b, (void **)&bytes, &len);
	index_close(i);
	for (size_t at = 0; at < len; at++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			uint8_t was = bytes[at];
			uint32_t found[INDEX_KEY_TYPES];

			bytes[at] = values[v];
			i = index_open(span_of(bytes, len));
			if (i != NULL) {
				(void)index_find(i, 0, span_str("a.example"), found);
				(void)index_find(i, 0, span_str("x.b.example"), found);
				(void)index_defaults(i, 0, found);
				(void)index_entry(i, 0, &e);
				(void)index_buffers(i, 0, buffers, 4);
			}
			index_close(i);
			bytes[at] = was;
		}
	}
	free(bytes);
}

/* ---- what it costs to adopt one */

/* The least of many: what the machine adds is not the index's. */
static int64_t opening_ns(struct span bytes)
{
	int64_t least = INT64_MAX;

	for (int n = 0; n < 200; n++) {
		struct timespec before, after;
		struct index *i;
		int64_t ns;

		(void)clock_gettime(CLOCK_MONOTONIC, &before);
		i = index_open(bytes);
		(void)clock_gettime(CLOCK_MONOTONIC, &after);
		cr_assert_not_null(i);
		index_close(i);
		ns = (after.tv_sec - before.tv_sec) * INT64_C(1000000000) + after.tv_nsec -
		     before.tv_nsec;
		if (ns < least)
			least = ns;
	}
	return least;
}

static int64_t opening_of(uint32_t num)
{
	struct index_builder *b = index_builder_new(1);
	char text[64], der[32];
	struct index *i;
	int64_t ns;
	void *bytes;
	size_t len;

	for (uint32_t n = 0; n < num; n++) {
		(void)snprintf(der, sizeof(der), "der %u", n);
		(void)snprintf(text, sizeof(text), "host%u.example.com", n);
		name(b, 0, text, add(b, INDEX_KEY_RSA, der));
	}
	i = finish(b, &bytes, &len);
	index_close(i);
	ns = opening_ns(span_of(bytes, len));
	free(bytes);
	return ns;
}

Test(index, adopting_100_000_costs_what_ten_cost)
{
	enum { A_PAGE_OR_TWO_NS = 20000 };
	int64_t few = opening_of(10), many = opening_of(100000);

	cr_assert_lt(many, few + A_PAGE_OR_TWO_NS, "%lld ns, %lld ns", (long long)few,
		     (long long)many);
}
