#include "proxy/http/grpc.h"

#include <criterion/criterion.h>

static bool is_call(const char *type, uint8_t version)
{
	struct head *h = head_new(0);
	bool yes;

	h->version = version;
	if (type != NULL)
		head_add_id(h, HEADER_CONTENT_TYPE, span_str(type));
	yes = grpc_is_request(h);
	head_free(h);
	return yes;
}

Test(grpc, calls_are_told_by_type_and_version)
{
	cr_assert(is_call("application/grpc", 20));
	cr_assert(is_call("application/grpc+proto", 20));
	cr_assert(is_call("Application/gRPC;x=y", 20));
	cr_assert_not(is_call("application/grpc", 11));
	cr_assert_not(is_call("application/grpc-web", 20));
	cr_assert_not(is_call("application/grp", 20));
	cr_assert_not(is_call(NULL, 20));
	cr_assert_not(grpc_is_request(NULL));
}

Test(grpc, messages_are_encoded)
{
	struct head *h = grpc_answer(503, "50% of \xc3\xa9\n~");

	cr_assert(span_eq(head_find_name(h, span_str("grpc-message"))->value,
			  span_str("50%25 of %C3%A9%0A~")));
	head_free(h);
}

Test(grpc, errors_have_a_status_of_grpc)
{
	static const struct {
		unsigned status;
		const char *code;
	} cases[] = { { 400, "13" }, { 401, "16" }, { 403, "7" },  { 404, "12" }, { 413, "8" },
		      { 429, "14" }, { 502, "14" }, { 503, "14" }, { 504, "4" },  { 418, "2" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct head *h = grpc_answer(cases[i].status, "why it is so");

		cr_assert_eq(h->status, 200);
		cr_assert_eq(h->length, 0);
		cr_assert(span_eq(head_find_name(h, span_str("grpc-status"))->value,
				  span_str(cases[i].code)));
		cr_assert(span_eq(head_find_name(h, span_str("grpc-message"))->value,
				  span_str("why it is so")));
		head_free(h);
	}
}
