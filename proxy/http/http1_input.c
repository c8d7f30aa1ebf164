#include "proxy/http/http1_input.h"

#include <stdlib.h>

/* Makes the view lie at the front of a buffer of its own, with room for `more` behind it. */
static bool own(struct http1_input *in, size_t more)
{
	size_t need;
	char *grown;

	if (!size_add(&need, in->view.n, more))
		return false;
	if (in->held != NULL && in->view.n > 0 && in->view.p != in->held)
		memmove(in->held, in->view.p, in->view.n);
	if (in->held == NULL || need > in->room) {
		/* More by half, where it has grown before: a head may come byte by byte. */
		if (in->held != NULL && !size_add(&need, need, need / 2))
			return false;
		if ((grown = realloc(in->held, need)) == NULL) {
			if (in->held != NULL)
				in->view.p = in->held;
			return false;
		}
		if (in->held == NULL && in->view.n > 0)
			memcpy(grown, in->view.p, in->view.n);
		in->held = grown;
		in->room = need;
	}
	in->view.p = in->held;
	return true;
}

bool http1_input_add(struct http1_input *in, struct span bytes)
{
	if (in->view.n == 0) {
		in->view = bytes;
		http1_input_fini(in);
		return true;
	}
	if (!own(in, bytes.n))
		return false;
	memcpy(in->held + in->view.n, bytes.p, bytes.n);
	in->view.n += bytes.n;
	return true;
}

bool http1_input_keep(struct http1_input *in)
{
	if (in->view.n > 0)
		return in->held != NULL || own(in, 0);
	in->view = span_of(NULL, 0);
	http1_input_fini(in);
	return true;
}

void http1_input_fini(struct http1_input *in)
{
	free(in->held);
	in->held = NULL;
	in->room = 0;
}
