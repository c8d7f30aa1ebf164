#include "tests/support/world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/http/upstream.h"
#include "proxy/net/listener.h"
#include "proxy/net/pending.h"
#include "proxy/net/relay.h"

static void client_ended(void *arg)
{
	struct world *w = arg;

	w->num_ended++;
	listener_room(&w->traffic);
}

static void site_gone(void *arg)
{
	struct world *w = arg;
	const struct site *oldest = TAILQ_FIRST(&w->sites.list);

	w->released = oldest == NULL ? UINT32_MAX : oldest->snapshot->plan->generation;
}

void world_init(struct world *w, struct loop *loop)
{
	struct traffic *t = &w->traffic;

	*w = (struct world){ .board = board_new(WORLD_WORKERS),
			     .keys = keys_new(),
			     .tickets = tickets_new() };
	MUST(w->board != NULL && w->keys != NULL && w->tickets != NULL);
	w->cert =
		make_cert(&(struct make_options){ .type = MAKE_P256, .san = "DNS:world.example" });
	w->other =
		make_cert(&(struct make_options){ .type = MAKE_P256, .san = "DNS:other.example" });
	TAILQ_INIT(&w->sites.list);
	w->sites.gone = site_gone;
	w->sites.gone_arg = w;
	TAILQ_INIT(&t->clients);
	TAILQ_INIT(&t->listeners);
	MUST((t->upstreams = upstreams_new(t)) != NULL);
	t->loop = loop;
	MUST((t->pending = pending_new(t)) != NULL);
	t->random[0] = 1;
	t->page = board_worker(w->board, 0);
	t->limits = (struct limits){ .board = w->board, .max_fds = 10000 };
	t->journal = (struct journal){ .head = &t->page->ring,
				       .tail = &board_steward(w->board)->tails[0],
				       .dropped = &t->page->metrics.log_dropped,
				       .access = true,
				       .level = CONF_LOG_DEBUG };
	t->client_ended = client_ended;
	t->client_ended_arg = w;
}

void world_at(struct server_addresses *a, const struct sockaddr_in *to)
{
	struct plan_address *p = &a->list[a->num++];

	memcpy(&p->address, to, sizeof(*to));
	p->len = sizeof(*to);
}

static uint32_t add_certificate(struct index_builder *b, struct key_table *keys,
				const struct made *m)
{
	struct index_certificate cert = { .chain_len = 1, .type = INDEX_KEY_ECDSA_P256 };
	size_t n, key_len;
	uint8_t *der = made_cert_der(m, &n), *key = made_key_der(m, &key_len);
	struct span chain = span_of(der, n);
	uint32_t number;

	cert.chain = &chain;
	MUST(key_table_add(keys, span_of(key, key_len), &cert.key));
	MUST(index_builder_add(b, &cert, &number));
	free(key);
	free(der);
	return number;
}

/* The same certificates for every listener. */
static void make_index(const struct world *w, const struct conf *c, void **bytes, size_t *len,
		       struct key_table *keys)
{
	struct index_builder *b = index_builder_new((uint32_t)c->num_listeners);
	uint32_t first, other;

	MUST(b != NULL);
	first = add_certificate(b, keys, &w->cert);
	other = add_certificate(b, keys, &w->other);
	for (uint32_t i = 0; i < c->num_listeners; i++) {
		MUST(index_builder_default(b, i, first));
		MUST(index_builder_name(b, i, span_str("other.example"), other));
	}
	MUST(index_builder_finish(b, bytes, len));
	index_builder_free(b);
}

static void number_slots(int fd, uint32_t generation, uint32_t shift)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct plan *p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	MUST(p != MAP_FAILED);
	p->generation = generation;
	for (uint32_t i = 0; i < p->num_listeners; i++)
		plan_listeners(p)[i].slot = i + shift;
	for (uint32_t i = 0; i < p->num_pools; i++)
		plan_pools(p)[i].slot = i + shift;
	for (uint32_t i = 0; i < p->num_servers; i++)
		plan_servers(p)[i].slot = i + shift;
	for (uint32_t i = 0; i < p->num_sockets; i++)
		plan_sockets(p)[i].id = plan_sockets(p)[i].listener + shift;
	MUST(munmap(p, (size_t)size) == 0);
}

static void seal(int fd)
{
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
}

/* A socket of each listener, which nobody binds. */
static struct plan_socket *make_sockets(const struct conf *c)
{
	struct plan_socket *list = calloc(c->num_listeners, sizeof(*list));
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(1) };

	MUST(list != NULL);
	for (uint32_t i = 0; i < c->num_listeners; i++) {
		(void)snprintf(list[i].text, sizeof(list[i].text), "socket %u", i);
		list[i].listener = i;
		list[i].len = sizeof(in);
		memcpy(&list[i].address, &in, sizeof(in));
	}
	return list;
}

struct snapshot *world_snapshot(struct world *w, const char *json,
				const struct server_addresses *servers, uint32_t generation,
				uint32_t shift)
{
	struct conf_source from = { .file = "world.json", .folder = "/" };
	struct site_parts parts = { .now_ns = &w->traffic.loop->now_ns,
				    .keys = w->keys,
				    .tickets = w->tickets,
				    .board = w->board,
				    .sites = &w->sites };
	struct snapshot_source source = { .file = "world.json", .servers = servers, .workers = 2 };
	struct key_table *keys = key_table_new();
	struct span roots[8] = { { NULL, 0 } };
	struct plan_socket *sockets;
	struct snapshot *s = NULL;
	struct problems why;
	struct conf *conf;
	void *index;
	size_t len;
	int fds[2] = { -1, -1 };

	problems_init(&why);
	if ((conf = conf_parse(span_str(json), &from, &why)) == NULL)
		goto done;
	MUST(keys != NULL && conf->num_pools <= 8);
	make_index(w, conf, &index, &len, keys);
	sockets = make_sockets(conf);
	source.conf = conf;
	source.index = span_of(index, len);
	source.roots = roots;
	source.sockets = sockets;
	source.num_sockets = (uint32_t)conf->num_listeners;
	fds[0] = snapshot_build(&source, &why);
	fds[1] = snapshot_build_keys(keys, &why);
	free(sockets);
	free(index);
	conf_free(conf);
	if (fds[0] < 0 || fds[1] < 0)
		goto done;
	number_slots(fds[0], generation, shift);
	seal(fds[0]);
	seal(fds[1]);
	if ((s = snapshot_open(fds[0], fds[1], &why)) != NULL)
		MUST(site_new(s, &parts, &why) != NULL);
done:
	problems_print(&why, stderr);
	problems_fini(&why);
	key_table_free(keys);
	MUST(s != NULL);
	return s;
}

void world_use(struct world *w, struct snapshot *s)
{
	struct snapshot *before = w->traffic.now;

	w->traffic.now = s;
	listener_adopt(&w->traffic, before);
	upstreams_adopt(w->traffic.upstreams);
	snapshot_unref(before);
}

void world_fini(struct world *w)
{
	listener_leave(&w->traffic);
	clients_end_all(&w->traffic, CAUSE_DRAIN);
	upstreams_free(w->traffic.upstreams);
	pending_free(w->traffic.pending);
	snapshot_unref(w->traffic.now);
	MUST(TAILQ_EMPTY(&w->sites.list));
	loop_bury(w->traffic.loop);
	tickets_free(w->tickets);
	keys_free(w->keys);
	made_fini(&w->cert);
	made_fini(&w->other);
	board_free(w->board);
}
