#include "proxy/process/plan.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "proxy/observe/metrics.h"

static void *plan_at(const struct plan *p, uint64_t offset)
{
	return (char *)(uintptr_t)p + offset;
}

struct plan_socket *plan_sockets(const struct plan *p)
{
	return plan_at(p, p->sockets);
}

struct plan_listener *plan_listeners(const struct plan *p)
{
	return plan_at(p, p->listeners);
}

struct plan_pool *plan_pools(const struct plan *p)
{
	return plan_at(p, p->pools);
}

struct plan_server *plan_servers(const struct plan *p)
{
	return plan_at(p, p->servers);
}

struct plan_address *plan_addresses(const struct plan *p)
{
	return plan_at(p, p->addresses);
}

/* Whether `len` bytes at `offset` lie behind the head and inside. */
static bool plan_inside(const struct plan *p, uint64_t offset, uint64_t len)
{
	return offset >= sizeof(*p) && offset <= p->size && len <= p->size - offset;
}

static bool plan_array(const struct plan *p, uint64_t offset, uint32_t num, uint32_t max,
		       size_t each)
{
	return num <= max && offset % PLAN_ALIGN == 0 &&
	       plan_inside(p, offset, (uint64_t)num * each);
}

/* A text with its NUL inside its room. */
static bool plan_text(const char *text, size_t room)
{
	return memchr(text, '\0', room) != NULL;
}

bool plan_address_ok(const struct sockaddr_storage *a, uint32_t len)
{
	struct sockaddr_un path;

	switch (a->ss_family) {
	case AF_INET:
		return len == sizeof(struct sockaddr_in);
	case AF_INET6:
		return len == sizeof(struct sockaddr_in6);
	case AF_UNIX:
		if (len <= offsetof(struct sockaddr_un, sun_path) + 1 || len > sizeof(path))
			return false;
		memcpy(&path, a, sizeof(path));
		/* Not an abstract one, and ended within its length. */
		return path.sun_path[0] == '/' &&
		       memchr(path.sun_path, '\0', len - offsetof(struct sockaddr_un, sun_path)) !=
			       NULL;
	default:
		return false;
	}
}

static const char *plan_check_head(const struct plan *p)
{
	if (!plan_array(p, p->sockets, p->num_sockets, PLAN_MAX_SOCKETS,
			sizeof(struct plan_socket)))
		return "its sockets lie outside";
	if (!plan_array(p, p->listeners, p->num_listeners, CONF_MAX_LISTENERS,
			sizeof(struct plan_listener)))
		return "its listeners lie outside";
	if (!plan_array(p, p->pools, p->num_pools, CONF_MAX_POOLS, sizeof(struct plan_pool)))
		return "its pools lie outside";
	if (!plan_array(p, p->servers, p->num_servers, CONF_MAX_SERVERS,
			sizeof(struct plan_server)))
		return "its servers lie outside";
	if (!plan_array(p, p->addresses, p->num_addresses, PLAN_MAX_ADDRESSES,
			sizeof(struct plan_address)))
		return "its addresses lie outside";
	if (!plan_inside(p, p->json_offset, p->json_len) || p->json_len > CONF_MAX_TEXT)
		return "its configuration lies outside";
	if (!plan_inside(p, p->file_offset, p->file_len) || p->file_len > 4096)
		return "its file name lies outside";
	if (!plan_inside(p, p->index_offset, p->index_len) || p->index_offset % PLAN_ALIGN != 0)
		return "its certificate index lies outside";
	if (p->workers < 1 || p->workers > CONF_MAX_WORKERS)
		return "its number of workers is out of range";
	if (p->log_level > CONF_LOG_DEBUG || p->sandbox > CONF_SANDBOX_OFF ||
	    p->drain_timeout_ns < 0 || p->drain_delay_ns < 0)
		return "a setting is out of range";
	if (!plan_text(p->log_error, sizeof(p->log_error)) ||
	    !plan_text(p->log_access, sizeof(p->log_access)) ||
	    !plan_text(p->admin_text, sizeof(p->admin_text)))
		return "a text has no end";
	if (p->admin_on > 1 || p->admin_default > 1 ||
	    (p->admin_on == 1 && !plan_address_ok(&p->admin, p->admin_len)))
		return "its admin address makes no sense";
	return NULL;
}

static const char *plan_check_listeners(const struct plan *p)
{
	for (uint32_t i = 0; i < p->num_sockets; i++) {
		const struct plan_socket *s = &plan_sockets(p)[i];

		if (!plan_text(s->text, sizeof(s->text)) || s->listener >= p->num_listeners ||
		    !plan_address_ok(&s->address, s->len))
			return "one of its sockets makes no sense";
	}
	for (uint32_t i = 0; i < p->num_listeners; i++) {
		const struct plan_listener *l = &plan_listeners(p)[i];

		if (!plan_text(l->name, sizeof(l->name)) || l->slot >= METRICS_LISTENERS)
			return "one of its listeners makes no sense";
	}
	return NULL;
}

static const char *plan_check_pools(const struct plan *p)
{
	for (uint32_t i = 0; i < p->num_pools; i++) {
		const struct plan_pool *pool = &plan_pools(p)[i];

		if (!plan_text(pool->name, sizeof(pool->name)) || pool->slot >= METRICS_POOLS ||
		    pool->first_server > p->num_servers ||
		    pool->num_servers > p->num_servers - pool->first_server ||
		    !plan_inside(p, pool->roots_offset, pool->roots_len))
			return "one of its pools makes no sense";
	}
	for (uint32_t i = 0; i < p->num_servers; i++) {
		const struct plan_server *s = &plan_servers(p)[i];

		if (!plan_text(s->name, sizeof(s->name)) || !plan_text(s->host, sizeof(s->host)) ||
		    s->pool >= p->num_pools || s->slot >= METRICS_SERVERS ||
		    s->discovery > CONF_DISCOVERY_ONCE || s->first_address > p->num_addresses ||
		    s->num_addresses > p->num_addresses - s->first_address)
			return "one of its servers makes no sense";
	}
	for (uint32_t i = 0; i < p->num_addresses; i++) {
		const struct plan_address *a = &plan_addresses(p)[i];

		if (!plan_address_ok(&a->address, a->len))
			return "one of its addresses makes no sense";
	}
	return NULL;
}

const char *plan_check(const void *bytes, uint64_t size)
{
	const struct plan *p = bytes;
	const char *wrong;

	if (size < sizeof(*p))
		return "it is too short";
	if (p->magic != PLAN_MAGIC || p->version != PLAN_VERSION)
		return "it was made by another version";
	if (p->size != size)
		return "its size is not what it says";
	if ((wrong = plan_check_head(p)) != NULL || (wrong = plan_check_listeners(p)) != NULL)
		return wrong;
	return plan_check_pools(p);
}
