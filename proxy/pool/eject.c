#include "proxy/pool/eject.h"

#include <limits.h>

/* Doubled each time. */
static int64_t time_out(const struct eject_rule *r, unsigned times)
{
	int64_t most = r->for_ns > EJECT_MAX_NS ? r->for_ns : EJECT_MAX_NS, ns = r->for_ns;

	while (times-- > 0 && ns < most)
		ns *= 2;
	return ns < most ? ns : most;
}

static void count(struct eject_server *s, const struct eject_rule *r, uint64_t failed,
		  uint64_t fine, int64_t now_ns)
{
	if (fine == 0) {
		s->streak = failed > UINT_MAX - s->streak ? UINT_MAX : s->streak + (unsigned)failed;
		return;
	}
	s->streak = 0;
	if (s->times > 0 && now_ns - s->back_ns > time_out(r, s->times - 1))
		s->times = 0;
}

enum eject_change eject_look(struct eject_server *s, const struct eject_rule *r,
			     const struct eject_counts *now, bool room, int64_t now_ns)
{
	struct eject_counts before = s->seen;

	s->seen = *now;
	if (!s->known) {
		s->known = true;
		return EJECT_NONE;
	}
	if (s->until_ns != 0) {
		if (now_ns < s->until_ns)
			return EJECT_NONE;
		s->until_ns = 0;
		s->back_ns = now_ns;
		return EJECT_BACK;
	}
	count(s, r, now->failures - before.failures, now->successes - before.successes, now_ns);
	if (r->failures == 0 || s->streak < r->failures || !room)
		return EJECT_NONE;
	s->until_ns = now_ns + time_out(r, s->times++);
	s->streak = 0;
	return EJECT_OUT;
}

bool eject_has_room(unsigned out, unsigned num, unsigned max_percent)
{
	return (uint64_t)(out + 1) * 100 <= (uint64_t)num * max_percent;
}
