#include "proxy/http/head.h"

#include <criterion/criterion.h>

static struct span s(const char *text)
{
	return span_str(text);
}

Test(head, ids_are_found_whatever_their_case)
{
	cr_assert_eq(header_id_of(s("Host")), HEADER_HOST);
	cr_assert_eq(header_id_of(s("tRANSFER-eNCODING")), HEADER_TRANSFER_ENCODING);
	cr_assert_eq(header_id_of(s("Hosts")), HEADER_OTHER);
	cr_assert_eq(header_id_of(s("Hos")), HEADER_OTHER);
	cr_assert_eq(header_id_of(s("")), HEADER_OTHER);
	cr_assert_eq(header_id_of(s("a-name-that-is-longer-than-any-of-them")), HEADER_OTHER);
}

Test(head, methods_are_case_sensitive)
{
	cr_assert_eq(method_of(s("GET")), METHOD_GET);
	cr_assert_eq(method_of(s("get")), METHOD_OTHER);
	cr_assert_eq(method_of(s("PROPFIND")), METHOD_OTHER);
	cr_assert(method_is_idempotent(METHOD_PUT));
	cr_assert_not(method_is_idempotent(METHOD_POST));
	cr_assert_not(method_is_idempotent(METHOD_OTHER));
}

Test(head, fields_are_added_found_set_and_removed)
{
	struct head *h = head_new(0);

	cr_assert_not_null(h);
	for (int i = 0; i < 100; i++)
		head_add(h, s(i % 2 ? "X-One" : "Accept"), head_print(h, "%d", i));
	cr_assert_eq(h->num, 100);
	cr_assert(span_eq(head_find(h, HEADER_ACCEPT)->value, s("0")));
	cr_assert(span_eq(head_find_name(h, s("x-oNE"))->value, s("1")));
	head_remove(h, HEADER_ACCEPT);
	cr_assert_eq(h->num, 50);
	cr_assert_null(head_find(h, HEADER_ACCEPT));
	head_set(h, s("x-one"), s("only"));
	cr_assert_eq(h->num, 1);
	cr_assert(span_eq(h->fields[0].value, s("only")));
	head_add_id(h, HEADER_VIA, s("1.1 a"));
	cr_assert(span_eq(h->fields[1].name, s("via")));
	head_remove_name(h, s("VIA"));
	cr_assert_eq(h->num, 1);
	cr_assert_not(h->failed);
	head_free(h);
	head_free(NULL);
}

Test(head, texts_stay_where_they_are_as_the_head_grows)
{
	struct head *h = head_new(10);
	struct span first = head_copy(h, s("first"));

	for (int i = 0; i < 1000; i++)
		cr_assert_eq(head_print(h, "%0100d", i).n, 100);
	cr_assert_eq(head_copy(h, span_of(NULL, 0)).n, 0);
	cr_assert(span_eq(first, s("first")));
	cr_assert_not_null(head_alloc(h, 100000));
	cr_assert_not(h->failed);
	head_free(h);
}

Test(head, lists_are_cut_at_commas_outside_of_quotes)
{
	struct span list = s(" a , ,\"b,\\\"c\",\td\t,"), e;

	cr_assert(header_next(&list, &e) && span_eq(e, s("a")));
	cr_assert(header_next(&list, &e) && span_eq(e, s("\"b,\\\"c\"")));
	cr_assert(header_next(&list, &e) && span_eq(e, s("d")));
	cr_assert_not(header_next(&list, &e));
	list = s("\"open, and cut\\");
	cr_assert(header_next(&list, &e) && span_eq(e, s("\"open, and cut\\")));
	cr_assert_not(header_next(&list, &e));
}
