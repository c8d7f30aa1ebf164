#include "conf/problems.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void problems_init(struct problems *p)
{
	*p = (struct problems){ .list = NULL };
}

void problems_fini(struct problems *p)
{
	if (p == NULL)
		return;
	free(p->list);
	p->list = NULL;
	p->num = 0;
}

/* The list holds 4, 8, 16 ... PROBLEMS_MAX findings: full whenever `num` is one of these. */
static bool problems_grow(struct problems *p)
{
	struct problem *list;
	size_t room = p->num == 0 ? 4 : p->num * 2;

	if (p->num >= PROBLEMS_MAX)
		return false;
	if (p->num != 0 && (p->num < 4 || (p->num & (p->num - 1)) != 0))
		return true;
	if (room > PROBLEMS_MAX)
		room = PROBLEMS_MAX;
	if ((list = realloc(p->list, room * sizeof(*list))) == NULL)
		return false;
	p->list = list;
	return true;
}

/* Makes text safe to print on one line; drops a UTF-8 sequence that was cut at the end. */
static void problem_clean(char *text, size_t room)
{
	size_t n = strlen(text), start = n, need;
	unsigned char lead;

	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	}
	if (n + 1 < room)
		return;
	while (start > 1 && n - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	lead = (unsigned char)text[start - 1];
	need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	if (n - start + 1 < need)
		text[start - 1] = '\0';
}

void problems_add(struct problems *p, enum problem_level level, const char *where, const char *what,
		  ...)
{
	struct problem *one;
	va_list args;

	if (level == PROBLEM_ERROR)
		p->num_errors++;
	else
		p->num_warnings++;
	if (!problems_grow(p)) {
		p->num_dropped++;
		return;
	}
	one = &p->list[p->num++];
	one->level = level;
	(void)snprintf(one->where, sizeof(one->where), "%s", where);
	va_start(args, what);
	(void)vsnprintf(one->what, sizeof(one->what), what, args);
	va_end(args);
	problem_clean(one->where, sizeof(one->where));
	problem_clean(one->what, sizeof(one->what));
}

void problems_print(const struct problems *p, FILE *out)
{
	for (size_t i = 0; i < p->num; i++) {
		const struct problem *one = &p->list[i];

		(void)fprintf(out, "%s: %s%s\n", one->where,
			      one->level == PROBLEM_WARNING ? "warning: " : "", one->what);
	}
	if (p->num_dropped > 0)
		(void)fprintf(out, "... and %zu more\n", p->num_dropped);
}
