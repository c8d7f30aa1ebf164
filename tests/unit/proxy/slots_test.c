#include <criterion/criterion.h>
#include <stdio.h>

#include "proxy/process/slots.h"
#include "proxy/process/ticket_ring.h"

/* Which slot connections still count on, besides those of generations in use; -1: none. */
static bool is_busy(const void *arg, uint32_t slot)
{
	return *(const int *)arg == (int)slot;
}

static void release(struct slots *s, uint32_t below, int busy)
{
	slots_release(s, below, is_busy, &busy);
}

static uint32_t assign(struct slots *s, uint32_t generation, const char *key, bool fresh)
{
	uint32_t slot = 99;
	bool is_fresh = !fresh;

	cr_assert(slots_assign(s, generation, key, &slot, &is_fresh));
	cr_assert_eq(is_fresh, fresh, "%s", key);
	return slot;
}

Test(slots, a_key_keeps_its_slot_over_generations)
{
	struct slots *s = slots_new(4);
	uint32_t a = assign(s, 1, "a", true), b = assign(s, 1, "b", true);

	cr_assert_neq(a, b);
	cr_assert_eq(assign(s, 2, "b", false), b);
	cr_assert_eq(assign(s, 2, "a", false), a);
	cr_assert_eq(assign(s, 2, "a", false), a);
	slots_free(s);
}

Test(slots, a_slot_is_used_again_only_after_release)
{
	struct slots *s = slots_new(2);
	uint32_t a = assign(s, 1, "a", true), b = assign(s, 1, "b", true), slot;
	bool fresh;

	/* "b" is gone from generation 2, but a worker may still count for it. */
	cr_assert_eq(assign(s, 2, "a", false), a);
	cr_assert_not(slots_assign(s, 2, "c", &slot, &fresh));
	release(s, 1, -1);
	cr_assert_not(slots_assign(s, 2, "c", &slot, &fresh));
	release(s, 2, -1);
	cr_assert_eq(assign(s, 3, "c", true), b);
	cr_assert_eq(assign(s, 3, "a", false), a);
	slots_free(s);
}

Test(slots, a_slot_that_connections_count_on_is_not_used_again)
{
	struct slots *s = slots_new(2);
	uint32_t a = assign(s, 1, "a", true), b = assign(s, 1, "b", true), slot;
	bool fresh;

	(void)assign(s, 2, "a", false);
	release(s, 2, (int)b);
	cr_assert_not(slots_assign(s, 3, "c", &slot, &fresh));
	cr_assert_eq(assign(s, 3, "a", false), a);
	release(s, 2, (int)a);
	cr_assert_eq(assign(s, 3, "c", true), b);
	slots_free(s);
}

Test(slots, a_key_that_comes_back_before_release_finds_its_slot)
{
	struct slots *s = slots_new(2);
	uint32_t a = assign(s, 1, "a", true);

	(void)assign(s, 2, "b", true);
	cr_assert_eq(assign(s, 3, "a", false), a);
	/* And then it is not released with the generation it was absent from. */
	release(s, 3, -1);
	cr_assert_eq(assign(s, 4, "a", false), a);
	slots_free(s);
}

Test(slots, abandon_takes_back_only_that_generation)
{
	struct slots *s = slots_new(2);
	uint32_t a = assign(s, 1, "a", true), b = assign(s, 2, "b", true), slot;
	bool fresh;

	cr_assert_eq(assign(s, 2, "a", false), a);
	slots_abandon(s, 2);
	cr_assert_eq(assign(s, 2, "c", true), b);
	cr_assert_eq(assign(s, 2, "a", false), a);
	cr_assert_not(slots_assign(s, 2, "d", &slot, &fresh));
	slots_free(s);
}

Test(slots, what_was_abandoned_can_be_released)
{
	struct slots *s = slots_new(2);
	uint32_t b;

	(void)assign(s, 1, "a", true);
	b = assign(s, 2, "b", true);
	/* Generation 3 wants "a" back and is refused; nobody uses generation 1 any more. */
	(void)assign(s, 3, "a", false);
	slots_abandon(s, 3);
	release(s, 2, -1);
	cr_assert_eq(assign(s, 3, "b", false), b);
	(void)assign(s, 3, "c", true);
	slots_free(s);
}

Test(slots, all_can_be_taken)
{
	struct slots *s = slots_new(300);
	bool seen[300] = { false }, fresh;
	char key[16];
	uint32_t slot;

	for (int i = 0; i < 300; i++) {
		(void)snprintf(key, sizeof(key), "key %d", i);
		slot = assign(s, 1, key, true);
		cr_assert_lt(slot, 300);
		cr_assert_not(seen[slot]);
		seen[slot] = true;
	}
	cr_assert_not(slots_assign(s, 1, "one more", &slot, &fresh));
	slots_free(s);
	slots_free(NULL);
}

Test(ticket_ring, keeps_the_newest_first_and_forgets_the_oldest)
{
	struct ticket_ring r = { .num = 0 };
	struct ticket_key first;
	struct channel_message m;

	cr_assert(ticket_ring_rotate(&r));
	first = r.keys[0];
	ticket_ring_message(&r, &m);
	cr_assert_eq(m.type, CHANNEL_TICKETS);
	cr_assert_eq(m.num_keys, 1);
	for (size_t i = 1; i < TICKETS_KEYS; i++) {
		cr_assert(ticket_ring_rotate(&r));
		cr_assert_eq(memcmp(&r.keys[i], &first, sizeof(first)), 0);
		cr_assert_neq(memcmp(&r.keys[0], &first, sizeof(first)), 0);
	}
	ticket_ring_message(&r, &m);
	cr_assert_eq(m.num_keys, TICKETS_KEYS);
	cr_assert_eq(memcmp(m.keys, r.keys, sizeof(m.keys)), 0);
	cr_assert(ticket_ring_rotate(&r));
	cr_assert_eq(r.num, TICKETS_KEYS);
	for (size_t i = 0; i < TICKETS_KEYS; i++)
		cr_assert_neq(memcmp(&r.keys[i], &first, sizeof(first)), 0);
	ticket_ring_fini(&r);
	cr_assert_eq(r.num, 0);
}
