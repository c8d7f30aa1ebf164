#include "proxy/http/buffer.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(buffer, gives_back_what_was_put_in_whatever_the_pieces)
{
	struct loop *loop = loop_new();
	struct buffer b;
	char *bytes = malloc(200000);
	size_t in = 0, out = 0;

	buffer_init(&b);
	cr_assert_eq(buffer_at(&b, 0).n, 0u);
	for (size_t i = 0; i < 200000; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	for (size_t piece = 1; in < 200000; piece = piece * 3 % 50021 + 1) {
		size_t n = piece < 200000 - in ? piece : 200000 - in;

		cr_assert(buffer_append(&b, loop, span_of(bytes + in, n)));
		in += n;
		if (b.len > 60000) {
			buffer_drop(&b, loop, 45000);
			out += 45000;
		}
		for (size_t at = 0; at < b.len;) {
			struct span s = buffer_at(&b, at);

			cr_assert_gt(s.n, 0u);
			cr_assert_arr_eq(s.p, bytes + out + at, s.n);
			at += s.n;
		}
		cr_assert_eq(b.len, in - out);
	}
	cr_assert_eq(buffer_at(&b, b.len).n, 0u);
	buffer_drop(&b, loop, b.len);
	cr_assert(TAILQ_EMPTY(&b.list));
	free(bytes);
	loop_free(loop);
}
