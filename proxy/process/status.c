#include "proxy/process/status.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proxy/process/sandbox.h"

/* jansson's setters take NULL for an error that they then return: one look at the end is enough. */
static json_t *count(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

/* Another process writes it, but whole words, and ends it. */
static json_t *text_of(const char *text, size_t room)
{
	char plain[1024];
	size_t n = strnlen(text, room);
	json_t *whole = json_stringn(text, n);

	/* A file's name may be anything, and a cut may go through a character. */
	if (whole == NULL && n <= sizeof(plain)) {
		for (size_t i = 0; i < n; i++)
			plain[i] = (char)((unsigned char)text[i] < 0x80 ? text[i] : '?');
		whole = json_stringn(plain, n);
	}
	return whole;
}

static uint64_t sum(const struct exposition_source *from, size_t offset)
{
	return metrics_sum(from->workers, from->num_workers, offset);
}

#define SUM(from, member) sum(from, offsetof(struct metrics_worker, member))

/* ---- processes */

static json_t *protection_of(uint32_t parts)
{
	static const enum sandbox_part all[] = { SANDBOX_PRIVILEGES, SANDBOX_FILES, SANDBOX_CALLS };
	json_t *list = json_array();
	char name[32];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		sandbox_say(parts & all[i], name, sizeof(name));
		if ((parts & all[i]) != 0 && json_array_append_new(list, json_string(name)) != 0)
			goto fail;
	}
	return list;
fail:
	json_decref(list);
	return NULL;
}

static json_t *process_of(const char *role, const struct board_process *p, uint64_t now)
{
	uint64_t started = metrics_read(&p->started_s);
	uint32_t pid = __atomic_load_n(&p->pid, __ATOMIC_RELAXED);
	uint32_t protection = __atomic_load_n(&p->protection, __ATOMIC_RELAXED);

	if (pid == 0)
		return json_pack("{s:s, s:n}", "role", role, "pid");
	return json_pack("{s:s, s:i, s:o, s:o}", "role", role, "pid", (int)pid, "uptime_seconds",
			 count(now > started ? now - started : 0), "protection",
			 protection_of(protection));
}

static json_t *worker_of(const struct board *b, unsigned n, uint64_t now)
{
	const struct metrics_worker *m = &board_worker(b, n)->metrics;
	json_t *o = process_of("worker", &board_supervisor(b)->workers[n], now);

	if (json_object_set_new(o, "number", json_integer((json_int_t)n)) != 0 ||
	    json_object_set_new(o, "generation", count(metrics_read(&m->generation))) != 0 ||
	    json_object_set_new(o, "connections", count(metrics_read(&m->connections))) != 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static json_t *processes_of(const struct board *b, uint64_t now)
{
	const struct board_supervisor *s = board_supervisor(b);
	struct board_process own = { .pid = s->pid, .started_s = s->metrics.started_s };
	json_t *list = json_array();
	int failed = json_array_append_new(list, process_of("supervisor", &own, now));

	/* Without key_isolation there never is a keeper. */
	if (metrics_read(&s->keeper.started_s) != 0)
		failed |= json_array_append_new(list, process_of("keeper", &s->keeper, now));
	failed |= json_array_append_new(list, process_of("steward", &s->steward, now));
	for (unsigned i = 0; i < board_workers(b); i++)
		failed |= json_array_append_new(list, worker_of(b, i, now));
	if (failed == 0)
		return list;
	json_decref(list);
	return NULL;
}

/* ---- configuration */

static json_t *configuration_of(const struct board *b)
{
	const struct board_supervisor *s = board_supervisor(b);
	const struct metrics_supervisor *m = &s->metrics;
	bool done = metrics_read(&m->reload_last_ok) != 0;
	uint64_t reloads = metrics_read(&m->reloads_done) + metrics_read(&m->reloads_refused);
	json_t *last = NULL;

	if (reloads > 0)
		last = json_pack("{s:o, s:s, s:o*}", "time", count(metrics_read(&m->reload_last_s)),
				 "outcome", done ? "done" : "refused", "reason",
				 done ? NULL : text_of(s->reload_reason, sizeof(s->reload_reason)));
	return json_pack("{s:o, s:o, s:o, s:o?}", "generation", count(metrics_read(&m->generation)),
			 "certificates", count(metrics_read(&m->certificates)), "first_expiry_time",
			 count(metrics_read(&m->certificate_first_expiry_s)), "last_reload", last);
}

/* ---- traffic */

static json_t *listeners_of(const struct exposition_source *from)
{
	json_t *list = json_array();

	for (uint32_t i = 0; from->names != NULL && i < METRICS_LISTENERS; i++) {
		size_t at = offsetof(struct metrics_worker, listeners) +
			    i * sizeof(struct metrics_listener);

		if (!from->names->listeners[i].current)
			continue;
		if (json_array_append_new(
			    list, json_pack("{s:s, s:o, s:o, s:o}", "name",
					    from->names->listeners[i].text, "connections",
					    count(sum(from, at + offsetof(struct metrics_listener,
									  active))),
					    "accepted",
					    count(sum(from, at + offsetof(struct metrics_listener,
									  accepted))),
					    "requests_active",
					    count(sum(from, at + offsetof(struct metrics_listener,
									  requests_active))))) != 0)
			goto fail;
	}
	return list;
fail:
	json_decref(list);
	return NULL;
}

static const char *state_of(const struct board *b, uint32_t slot)
{
	const struct board_server *s = &board_steward(b)->servers[slot];

	if (__atomic_load_n(&s->down, __ATOMIC_RELAXED) != 0)
		return "down";
	return __atomic_load_n(&s->out, __ATOMIC_RELAXED) != 0 ? "ejected" : "up";
}

static json_t *server_of(const struct board *b, const struct exposition_source *from, uint32_t slot)
{
	size_t at = offsetof(struct metrics_worker, servers) + slot * sizeof(struct metrics_server);
	uint64_t failures = 0;

	for (size_t i = 0; i < CAUSE_COUNT; i++)
		failures += sum(from, at + offsetof(struct metrics_server, failures) +
					      i * sizeof(uint64_t));
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "address",
			 from->names->servers[slot].text, "state", state_of(b, slot), "connections",
			 count(sum(from, at + offsetof(struct metrics_server, active))), "connects",
			 count(sum(from, at + offsetof(struct metrics_server, connects))),
			 "requests_active",
			 count(sum(from, at + offsetof(struct metrics_server, requests_active))),
			 "failures", count(failures));
}

static json_t *servers_of(const struct board *b, const struct exposition_source *from,
			  uint32_t pool)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < METRICS_SERVERS; i++) {
		if (from->names->servers[i].current && from->names->server_pools[i] == pool &&
		    json_array_append_new(list, server_of(b, from, i)) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *pools_of(const struct board *b, const struct exposition_source *from)
{
	json_t *list = json_array();

	for (uint32_t i = 0; from->names != NULL && i < METRICS_POOLS; i++) {
		size_t at = offsetof(struct metrics_worker, pools_active) + i * sizeof(uint64_t);

		if (from->names->pools[i].current &&
		    json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "name",
							  from->names->pools[i].text, "connections",
							  count(sum(from, at)), "servers",
							  servers_of(b, from, i))) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

char *status_json(const struct board *b, const struct exposition_source *from)
{
	const struct metrics_supervisor *m = from->supervisor;
	uint64_t now = (uint64_t)time(NULL), started = metrics_read(&m->started_s);
	json_t *all =
		json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:{s:o, s:o}, s:o, s:o}", "version",
			  from->version, "crypto", from->crypto, "state",
			  metrics_read(&m->draining) != 0 ? "draining"
			  : exposition_ready(from)	  ? "serving"
							  : "starting",
			  "uptime_seconds", count(now > started ? now - started : 0), "processes",
			  processes_of(b, now), "configuration", configuration_of(b), "connections",
			  "clients", count(SUM(from, connections)), "idle_to_servers",
			  count(SUM(from, idle_connections)), "listeners", listeners_of(from),
			  "pools", pools_of(b, from));
	char *text = all == NULL ? NULL : json_dumps(all, JSON_COMPACT);

	json_decref(all);
	return text;
}
