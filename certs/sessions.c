#include "certs/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "conf/must.h"

/* The newest is the last. */
struct place {
	unsigned num;
	SSL_SESSION *kept[SESSIONS_EACH];
};

struct sessions {
	unsigned refs;
	uint32_t num;
	struct place places[];
};

struct sessions *sessions_new(uint32_t places)
{
	struct sessions *s = calloc(1, sizeof(*s) + places * sizeof(s->places[0]));

	if (s == NULL)
		return NULL;
	s->refs = 1;
	s->num = places;
	return s;
}

struct sessions *sessions_ref(struct sessions *s)
{
	s->refs++;
	return s;
}

void sessions_unref(struct sessions *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	for (uint32_t i = 0; i < s->num; i++) {
		for (unsigned k = 0; k < s->places[i].num; k++)
			SSL_SESSION_free(s->places[i].kept[k]);
	}
	free(s);
}

void sessions_put(struct sessions *s, uint32_t place, SSL_SESSION *session)
{
	struct place *p = &s->places[place];

	MUST(place < s->num);
	/* That of TLS 1.2 is good for any number of times, and newer is better. */
	if (p->num == SESSIONS_EACH || (p->num > 0 && !SSL_SESSION_should_be_single_use(session))) {
		SSL_SESSION_free(p->kept[0]);
		p->num--;
		memmove(&p->kept[0], &p->kept[1], p->num * sizeof(p->kept[0]));
	}
	p->kept[p->num++] = session;
}

SSL_SESSION *sessions_take(struct sessions *s, uint32_t place)
{
	struct place *p = &s->places[place];
	SSL_SESSION *newest;

	MUST(place < s->num);
	if (p->num == 0)
		return NULL;
	newest = p->kept[p->num - 1];
	if (SSL_SESSION_should_be_single_use(newest))
		p->num--;
	else
		(void)SSL_SESSION_up_ref(newest);
	return newest;
}
