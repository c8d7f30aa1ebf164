#include "proxy/pool/health.h"

#include <criterion/criterion.h>

/* Notes '+' and '-' in turn, and returns the changes: 'd' down, 'u' up, '.' none. */
static void expect(const char *outcomes, unsigned rise, unsigned fall, const char *changes)
{
	struct health h = { 0 };

	for (size_t i = 0; outcomes[i] != '\0'; i++) {
		enum health_change c = health_note(&h, outcomes[i] == '+', rise, fall);

		cr_expect_eq(c == HEALTH_DOWN ? 'd'
			     : c == HEALTH_UP ? 'u'
					      : '.',
			     changes[i], "%s, %zu", outcomes, i);
	}
}

Test(health, the_first_check_decides)
{
	expect("-", 2, 3, "d");
	expect("+", 2, 3, ".");
}

Test(health, so_many_in_a_row_take_it_down_and_bring_it_back)
{
	expect("+---++", 2, 3, "...d.u");
	expect("+--+--+---", 2, 3, ".........d");
	expect("-+-++", 2, 3, "d...u");
	expect("+-+-+-", 1, 1, ".dudud");
	expect("-+++", 3, 1, "d..u");
}
