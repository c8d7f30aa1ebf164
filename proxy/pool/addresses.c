#include "proxy/pool/addresses.h"

#include <stdlib.h>
#include <string.h>

enum { FAMILIES = 2 }; /* IPv6, and all else */

/* Of one server. */
struct place {
	struct named_address
		*list; /* sorted by priority, then family; NULL: as the snapshot says */
	uint32_t num;
	uint64_t seen;	   /* of what the board says */
	uint64_t identity; /* 0: no name */
	uint32_t turn;
};

struct addresses {
	const struct snapshot *snapshot;
	const struct plan_pool *pool;
	const struct board *board;
	const struct shun *shun;
	uint32_t num;
	struct place places[];
};

static const struct plan_server *server_at(const struct addresses *a, uint32_t i)
{
	return snapshot_server(a->snapshot, a->pool->first_server + i);
}

struct addresses *addresses_new(const struct snapshot *s, const struct plan_pool *pool,
				const struct board *board, const struct shun *shun)
{
	struct addresses *a = calloc(1, sizeof(*a) + pool->num_servers * sizeof(a->places[0]));

	if (a == NULL)
		return NULL;
	a->snapshot = s;
	a->pool = pool;
	a->board = board;
	a->shun = shun;
	a->num = pool->num_servers;
	for (uint32_t i = 0; i < a->num; i++) {
		const struct plan_server *server = server_at(a, i);

		if (server->discovery != CONF_DISCOVERY_ONCE)
			a->places[i].identity = board_name_identity(server);
	}
	return a;
}

void addresses_free(struct addresses *a)
{
	for (uint32_t i = 0; a != NULL && i < a->num; i++)
		free(a->places[i].list);
	free(a);
}

bool addresses_may_change(const struct addresses *a, uint32_t i)
{
	return a->places[i].identity != 0;
}

/* ---- what there is */

/* Takes over what the steward has found since; without memory, the next time. */
static void refresh(struct addresses *a, uint32_t i)
{
	struct place *p = &a->places[i];
	const struct board_name *name;
	struct named_address *list, *fit;
	uint32_t num;

	if (p->identity == 0)
		return;
	name = &board_steward(a->board)->names[server_at(a, i)->slot];
	if (!board_name_changed(name, p->seen) ||
	    (list = malloc(BOARD_NAME_ADDRESSES * sizeof(*list))) == NULL)
		return;
	if (!board_name_read(name, p->identity, list, &num, &p->seen) || num == 0) {
		free(list);
		return;
	}
	if ((fit = realloc(list, num * sizeof(*list))) != NULL)
		list = fit;
	free(p->list);
	p->list = list;
	p->num = num;
}

static uint32_t num_of(const struct addresses *a, uint32_t i)
{
	const struct place *p = &a->places[i];

	return p->list != NULL ? p->num : server_at(a, i)->num_addresses;
}

static const struct plan_address *address_at(const struct addresses *a, uint32_t i, uint32_t n)
{
	const struct place *p = &a->places[i];

	return p->list != NULL ? &p->list[n].at
			       : snapshot_address(a->snapshot, server_at(a, i)->first_address + n);
}

bool addresses_has_any(struct addresses *a, uint32_t i)
{
	refresh(a, i);
	return num_of(a, i) > 0;
}

bool addresses_has(struct addresses *a, uint32_t i, const struct sockaddr_storage *address,
		   socklen_t len)
{
	refresh(a, i);
	for (uint32_t n = 0; n < num_of(a, i); n++) {
		const struct plan_address *one = address_at(a, i, n);

		if (one->len == len && memcmp(&one->address, address, len) == 0)
			return true;
	}
	return false;
}

/* ---- which is next */

/* Addresses of one priority and family, and which of them has its turn. */
struct group {
	uint32_t from, num;
	uint32_t at; /* the next one to take */
	uint32_t left;
};

static bool is_v6(const struct plan_address *one)
{
	return one->address.ss_family == AF_INET6;
}

static uint16_t priority_at(const struct addresses *a, uint32_t i, uint32_t n)
{
	const struct place *p = &a->places[i];

	return p->list != NULL ? p->list[n].priority : 0;
}

static uint32_t weight_at(const struct addresses *a, uint32_t i, uint32_t n)
{
	const struct place *p = &a->places[i];

	return p->list != NULL ? p->list[n].weight : 1;
}

/* By weight, evenly: fractions of the golden ratio fall where the largest gap is. RFC 2782 lets
 * those of weight 0 have next to nothing, unless there are no others. */
static uint32_t whose_turn(const struct addresses *a, uint32_t i, const struct group *g)
{
	const uint32_t golden = UINT32_C(2654435769);
	uint32_t turn = a->places[i].turn * golden;
	uint64_t sum = 0, at;

	for (uint32_t n = 0; n < g->num; n++)
		sum += weight_at(a, i, g->from + n);
	if (sum == 0)
		return (uint32_t)((uint64_t)turn * g->num >> 32);
	at = (uint64_t)turn * sum >> 32;
	for (uint32_t n = 0; n < g->num; n++) {
		uint32_t weight = weight_at(a, i, g->from + n);

		if (at < weight)
			return n;
		at -= weight;
	}
	return 0;
}

/* Takes the groups of the priority that begins at `from`; returns where the next one begins. */
static uint32_t take_groups(const struct addresses *a, uint32_t i, uint32_t from,
			    struct group groups[FAMILIES])
{
	uint32_t num = num_of(a, i), n = from;

	groups[0] = groups[1] = (struct group){ .num = 0 };
	/* What the snapshot says has the other family first. */
	while (n < num && priority_at(a, i, n) == priority_at(a, i, from)) {
		struct group *g = &groups[is_v6(address_at(a, i, n)) ? 0 : 1];

		if (g->num++ == 0)
			g->from = n;
		n++;
	}
	for (unsigned f = 0; f < FAMILIES; f++) {
		groups[f].left = groups[f].num;
		groups[f].at = groups[f].num == 0 ? 0 : whose_turn(a, i, &groups[f]);
	}
	return n;
}

/* The next of a group that is shunned or, `shunned` false, is not. NULL: there is none. */
static const struct plan_address *next_of(const struct addresses *a, uint32_t i, struct group *g,
					  bool shunned, int64_t now_ns)
{
	while (g->left > 0) {
		const struct plan_address *one = address_at(a, i, g->from + g->at);

		g->at = (g->at + 1) % g->num;
		g->left--;
		if (a->shun == NULL ? !shunned
				    : shun_has(a->shun, &one->address, one->len, now_ns) == shunned)
			return one;
	}
	return NULL;
}

static void choose(const struct addresses *a, uint32_t i, bool shunned, int64_t now_ns,
		   struct addresses_choice *out)
{
	uint32_t num = num_of(a, i);

	for (uint32_t from = 0; from < num && out->num < ADDRESSES_CHOICE;) {
		struct group groups[FAMILIES];
		unsigned family = 0, misses = 0;

		from = take_groups(a, i, from, groups);
		while (misses < FAMILIES && out->num < ADDRESSES_CHOICE) {
			const struct plan_address *one =
				next_of(a, i, &groups[family], shunned, now_ns);

			family = !family;
			misses = one == NULL ? misses + 1 : 0;
			if (one != NULL)
				out->list[out->num++] = one;
		}
	}
}

void addresses_choose(struct addresses *a, uint32_t i, int64_t now_ns, struct addresses_choice *out)
{
	out->num = 0;
	refresh(a, i);
	if (num_of(a, i) == 1) {
		out->list[out->num++] = address_at(a, i, 0);
		return;
	}
	choose(a, i, false, now_ns, out);
	if (a->shun != NULL)
		choose(a, i, true, now_ns, out);
	a->places[i].turn++;
}
