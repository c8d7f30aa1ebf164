#include <stdlib.h>
#include <string.h>

#include "conf/must.h"
#include "proxy/pool/balance_draw.h"

/* A Maglev table: each server fills places in an order of its own, in turn with the others, as many
 * as its weight says. A server that comes or goes moves the keys that are its own, and few others.
 * A key that cannot have its place's server goes to the place of its next hash, and so on; where
 * that finds nothing, every server is given a rank by the key, which moves as little. */

enum {
	PLACES_EACH = 128, /* for a weight of one, where the largest table has them */
	/* Up to so many requests on their way a server is not held to be loaded: what belongs
	 * together stays so, though the others have nothing to do. */
	LOAD_FLOOR = 8,
};

static const uint32_t table_sizes[] = { 4093, 16381, 65537, 131071 }; /* primes */

struct hashed {
	uint64_t id;
	uint32_t number;
	uint16_t weight;
};

struct balance {
	uint32_t num, size;
	uint32_t left;		 /* picks until the weight of the usable ones is summed again */
	uint64_t weight;	 /* of the usable ones, times their shares */
	uint16_t *table;	 /* of places in `servers` */
	struct hashed servers[]; /* in the order of their ids */
};

/* What is hashed here are hashes: it has only to be mixed. (The end of SplitMix64.) */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* ---- the table */

struct filling {
	uint32_t at, step;
	uint32_t owed; /* turns times weight, of which one place takes `heaviest` */
};

static uint32_t heaviest_of(const struct balance *b)
{
	uint32_t heaviest = 1;

	for (uint32_t i = 0; i < b->num; i++)
		if (b->servers[i].weight > heaviest)
			heaviest = b->servers[i].weight;
	return heaviest;
}

static void take_place(struct balance *b, struct filling *f, uint32_t server)
{
	while (b->table[f->at] != UINT16_MAX)
		f->at = (uint32_t)(((uint64_t)f->at + f->step) % b->size);
	b->table[f->at] = (uint16_t)server;
}

static bool fill(struct balance *b)
{
	struct filling *f = calloc(b->num, sizeof(*f));
	uint32_t heaviest = heaviest_of(b), taken = 0;

	if (f == NULL)
		return false;
	for (uint32_t i = 0; i < b->num; i++) {
		f[i].at = (uint32_t)(mix(b->servers[i].id) % b->size);
		f[i].step = (uint32_t)(mix(~b->servers[i].id) % (b->size - 1)) + 1;
	}
	memset(b->table, 0xff, b->size * sizeof(b->table[0]));
	while (taken < b->size) {
		for (uint32_t i = 0; i < b->num && taken < b->size; i++) {
			f[i].owed += b->servers[i].weight;
			if (f[i].owed < heaviest)
				continue;
			f[i].owed -= heaviest;
			take_place(b, &f[i], i);
			taken++;
		}
	}
	free(f);
	return true;
}

static uint32_t size_for(const struct balance *b)
{
	size_t last = sizeof(table_sizes) / sizeof(table_sizes[0]) - 1, i = 0;
	uint64_t places = 0;

	for (uint32_t s = 0; s < b->num; s++)
		places += (uint64_t)b->servers[s].weight * PLACES_EACH;
	while (i < last && table_sizes[i] < places)
		i++;
	return table_sizes[i];
}

/* ---- choosing */

static uint64_t weight_now(const struct balance *b, const struct balance_view *view, uint32_t i)
{
	const struct hashed *s = &b->servers[i];

	return balance_usable(view, s->number)
		       ? (uint64_t)s->weight * balance_share(view, s->number)
		       : 0;
}

static void sum_weights(struct balance *b, const struct balance_view *view)
{
	b->left = b->num;
	b->weight = 0;
	for (uint32_t i = 0; i < b->num; i++)
		b->weight += weight_now(b, view, i);
}

/* Whether it has as much as it may, of `total` requests: 1.25 times its part, rounded up. */
static bool is_loaded(const struct balance *b, const struct balance_view *view, uint32_t i,
		      uint64_t total)
{
	uint64_t load;

	if (total <= LOAD_FLOOR || b->weight == 0)
		return false;
	load = balance_load(view, b->servers[i].number);
	return load >= LOAD_FLOOR && load * 4 * b->weight >= total * 5 * weight_now(b, view, i);
}

/* Of the keys of a server whose share is not whole, always the same ones stay. */
static bool has_share(const struct balance *b, const struct balance_view *view, uint32_t i)
{
	unsigned share = balance_share(view, b->servers[i].number);

	return share == BALANCE_WHOLE || mix(view->key ^ b->servers[i].id) % BALANCE_WHOLE < share;
}

/* -log2 of `x` / 2^32, times 2^16; `x` is not 0. */
static uint64_t rarity(uint32_t x)
{
	unsigned zeros = (unsigned)__builtin_clz(x);
	uint64_t m = (uint64_t)x << zeros, log = (uint64_t)(31 - zeros) << 16;

	for (unsigned bit = 1U << 15; bit > 0; bit >>= 1) {
		m = m * m >> 31;
		if (m >> 32 == 0)
			continue;
		log += bit;
		m >>= 1;
	}
	return (UINT64_C(32) << 16) - log;
}

/* Ranks every server by the key, so that each is the first for its part of all keys (weighted
 * rendezvous), and returns the first that may be taken. */
static size_t look(struct balance *b, const struct balance_view *view, uint64_t total)
{
	size_t best = BALANCE_NONE, loaded = BALANCE_NONE, without = BALANCE_NONE;
	uint64_t best_rarity = 0, best_weight = 0, loaded_rarity = 0, loaded_weight = 0;

	sum_weights(b, view);
	for (uint32_t i = 0; i < b->num; i++) {
		uint64_t weight = weight_now(b, view, i), rare;

		if (without == BALANCE_NONE && balance_usable(view, b->servers[i].number))
			without = b->servers[i].number;
		if (weight == 0)
			continue;
		rare = rarity((uint32_t)(mix(view->key ^ b->servers[i].id) >> 32) | 1);
		if (loaded == BALANCE_NONE || rare * loaded_weight < loaded_rarity * weight) {
			loaded = b->servers[i].number;
			loaded_rarity = rare;
			loaded_weight = weight;
		}
		if (is_loaded(b, view, i, total))
			continue;
		if (best == BALANCE_NONE || rare * best_weight < best_rarity * weight) {
			best = b->servers[i].number;
			best_rarity = rare;
			best_weight = weight;
		}
	}
	return best != BALANCE_NONE ? best : loaded != BALANCE_NONE ? loaded : without;
}

static size_t pick(struct balance *b, const struct balance_view *view)
{
	uint64_t total = view->total == NULL ? 0 : view->total(view->pool), hash = view->key;

	if (view->total != NULL && b->left-- == 0)
		sum_weights(b, view);
	for (unsigned n = 0; n < BALANCE_DRAWS; n++) {
		uint32_t i = b->table[hash % b->size];

		if (balance_usable(view, b->servers[i].number) && has_share(b, view, i) &&
		    !is_loaded(b, view, i, total))
			return b->servers[i].number;
		hash = mix(hash + 1);
	}
	return look(b, view, total);
}

/* ---- making */

static void drop(struct balance *b)
{
	if (b == NULL)
		return;
	free(b->table);
	free(b);
}

static int by_id(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static struct balance *make(const struct balance_server *servers, size_t num, unsigned start)
{
	struct balance *b = calloc(1, sizeof(*b) + num * sizeof(b->servers[0]));

	(void)start; /* the same key goes to the same server, whoever asks */
	MUST(num > 0 && num < UINT16_MAX);
	if (b == NULL)
		return NULL;
	b->num = (uint32_t)num;
	for (uint32_t i = 0; i < b->num; i++)
		b->servers[i] = (struct hashed){ .id = servers[i].id,
						 .number = i,
						 .weight = (uint16_t)servers[i].weight };
	qsort(b->servers, num, sizeof(b->servers[0]), by_id);
	b->size = size_for(b);
	b->table = calloc(b->size, sizeof(b->table[0]));
	if (b->table == NULL || !fill(b)) {
		drop(b);
		return NULL;
	}
	return b;
}

const struct balance_policy balance_hash = { .make = make, .drop = drop, .pick = pick };
