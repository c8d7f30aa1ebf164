/* What a reload may not change, by the table of keys. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/keys.h"
#include "conf/must.h"
#include "conf/reader.h"

enum { START_VALUE = 256, START_POINTER = 256 };

static uint64_t load_unsigned(const void *base, struct field f)
{
	uint64_t u64 = 0;
	uint32_t u32;
	uint16_t u16;

	if (f.size == sizeof(u64)) {
		memcpy(&u64, (const char *)base + f.offset, sizeof(u64));
	} else if (f.size == sizeof(u32)) {
		memcpy(&u32, (const char *)base + f.offset, sizeof(u32));
		u64 = u32;
	} else {
		MUST(f.size == sizeof(u16));
		memcpy(&u16, (const char *)base + f.offset, sizeof(u16));
		u64 = u16;
	}
	return u64;
}

static bool load_flag(const void *base, struct field f)
{
	bool flag = true;

	if (f.size > 0)
		memcpy(&flag, (const char *)base + f.offset, sizeof(flag));
	return flag;
}

/* The text of a string or an address; NULL: none. */
static const char *load_text(const void *base, const struct key *k)
{
	const char *text;

	if (k->type == KEY_LISTEN || k->type == KEY_CONNECT) {
		struct conf_address a;

		memcpy(&a, (const char *)base + k->at.offset, sizeof(a));
		return a.text;
	}
	memcpy(&text, (const char *)base + k->at.offset, sizeof(text));
	return text;
}

static bool key_same(const struct key *k, const void *old, const void *now)
{
	const char *a, *b;

	/* The table marks no list as taken at start. */
	MUST(k->shape == KEY_ONE);
	if (load_flag(old, k->on) != load_flag(now, k->on))
		return false;
	if (k->type == KEY_OBJECT) {
		bool same = true;

		for (size_t i = 0; i < k->object->num_keys && load_flag(old, k->on); i++)
			same = same &&
			       key_same(&k->object->keys[i], (const char *)old + k->at.offset,
					(const char *)now + k->at.offset);
		return same;
	}
	if (k->type == KEY_BOOL)
		return load_flag(old, k->at) == load_flag(now, k->at);
	if (key_is_number(k->type))
		return load_unsigned(old, k->at) == load_unsigned(now, k->at);
	a = load_text(old, k);
	b = load_text(now, k);
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static const char *key_was(const struct key *k, const void *old, char *out, size_t len)
{
	const char *text;

	if (k->type == KEY_BOOL) {
		(void)snprintf(out, len, " to %s", load_flag(old, k->at) ? "true" : "false");
		return out;
	}
	for (const struct key_choice *c = k->choices; c != NULL && c->name != NULL; c++) {
		if ((uint64_t)c->value == load_unsigned(old, k->at)) {
			(void)snprintf(out, len, " to \"%s\"", c->name);
			return out;
		}
	}
	if (k->type == KEY_COUNT && load_unsigned(old, k->at) >= (uint64_t)k->min)
		(void)snprintf(out, len, " to %" PRIu64, load_unsigned(old, k->at));
	else if (key_is_text(k->type) && !key_is_number(k->type) &&
		 (text = load_text(old, k)) != NULL)
		(void)snprintf(out, len, " to \"%.120s\"", text);
	else
		(void)snprintf(out, len, "%s",
			       k->type == KEY_OBJECT ? "" : " to its default, by leaving it out");
	return out;
}

static bool object_same(const struct object *o, const void *old, const void *now,
			const char *pointer, const char *file, struct problems *why)
{
	char here[START_POINTER], where[READER_POINTER], was[START_VALUE];
	bool same = true;

	for (size_t i = 0; i < o->num_keys; i++) {
		const struct key *k = &o->keys[i];

		(void)snprintf(here, sizeof(here), "%s/%s", pointer, k->name);
		if (!k->at_start) {
			/* Members of lists and maps come and go with them. */
			if (k->type == KEY_OBJECT && k->shape == KEY_ONE &&
			    !object_same(k->object, (const char *)old + k->at.offset,
					 (const char *)now + k->at.offset, here, file, why))
				same = false;
			continue;
		}
		if (key_same(k, old, now))
			continue;
		same = false;
		reader_where(file, here, where, sizeof(where));
		problems_add(why, PROBLEM_ERROR, where,
			     "is taken only at start: put it back%s, or restart Sallyport",
			     key_was(k, old, was, sizeof(was)));
	}
	return same;
}

bool conf_same_start(const struct conf *old, const struct conf *now, const char *file,
		     struct problems *why)
{
	return object_same(conf_root(), old, now, "", file, why);
}
