#include "proxy/pool/health.h"

enum health_change health_note(struct health *h, bool ok, unsigned rise, unsigned fall)
{
	unsigned needed = !h->known ? 1 : h->down ? rise : fall;

	h->known = true;
	if (ok != h->down) { /* as was thought */
		h->streak = 0;
		return HEALTH_NONE;
	}
	if (++h->streak < needed)
		return HEALTH_NONE;
	h->streak = 0;
	h->down = !ok;
	return ok ? HEALTH_UP : HEALTH_DOWN;
}
