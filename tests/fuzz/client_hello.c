/* What a client sends, from its first byte, to a server with a small index, all key types and
 * tickets. The first byte of the input chooses the listener (strict or not, which versions), the
 * rest is the stream. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "certs/reason.h"
#include "conf/must.h"
#include "tests/support/tls_pair.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LISTENERS = 3, TURNS = 8 };

/* Lives as long as the process: making certificates takes longer than a run. */
static struct tls_side sides[LISTENERS];
static struct tickets *tickets;

static void make_side(struct tls_side *s, bool strict, uint16_t max_version)
{
	static const struct {
		enum make_key make;
		enum index_key_type type;
		const char *names;
	} certificates[] = {
		{ MAKE_P256, INDEX_KEY_ECDSA_P256, "a.example,*.w.example" },
		{ MAKE_P384, INDEX_KEY_ECDSA_P384, "a.example" },
		{ MAKE_ED25519, INDEX_KEY_ED25519, "a.example,ed.example" },
		{ MAKE_RSA_2048, INDEX_KEY_RSA, "a.example,rsa.example" },
	};
	static struct made made[4];

	tls_side_init(s, "fuzz");
	for (size_t i = 0; i < 4; i++) {
		if (made[i].key == NULL)
			made[i] = make_cert(&(struct make_options){ .type = certificates[i].make });
		tls_side_add(s, &made[i], certificates[i].type, certificates[i].names);
	}
	s->tls.strict_sni = strict;
	s->tls.max_version = max_version;
	tls_side_start(s, tickets);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct ticket_key key = { { 1 }, { 2 } };

	(void)argc;
	(void)argv;
	MUST((tickets = tickets_new()) != NULL);
	tickets_set(tickets, &key, 1);
	make_side(&sides[0], false, TLS1_3_VERSION);
	make_side(&sides[1], true, TLS1_3_VERSION);
	make_side(&sides[2], false, TLS1_2_VERSION);
	return 0;
}

static void ready(void *owner)
{
	(*(int *)owner)++;
}

static void check_name(const SSL *ssl)
{
	char name[300];

	server_tls_name(ssl, name, sizeof(name));
	for (const char *c = name; *c != '\0'; c++)
		MUST(*c > ' ' && *c <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_side *s;
	char words[300];
	int answers = 0;
	SSL *ssl;
	BIO *in;
	BIO *out;
	int n = 0;

	if (sides[0].server == NULL) /* a replay without libFuzzer's own main */
		MUST(LLVMFuzzerInitialize(NULL, NULL) == 0);
	if (size == 0)
		return 0;
	s = &sides[data[0] % LISTENERS];
	MUST((ssl = server_tls_accept(s->server, ready, &answers)) != NULL);
	MUST((in = BIO_new_mem_buf(data + 1, (int)(size - 1))) != NULL);
	MUST((out = BIO_new(BIO_s_mem())) != NULL);
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, out);
	for (int turn = 0; turn < TURNS && n != 1; turn++) {
		n = SSL_do_handshake(ssl);
		if (n != 1 && SSL_get_error(ssl, n) != SSL_ERROR_WANT_PRIVATE_KEY_OPERATION)
			break;
		/* Some leave while their signature is being made. */
		if (data[0] >= 128)
			break;
		keys_run(s->keys, 2);
	}
	check_name(ssl);
	(void)tls_reason_take(ssl, words, sizeof(words));
	SSL_free(ssl);
	MUST(keys_waiting(s->keys) == 0);
	return 0;
}
