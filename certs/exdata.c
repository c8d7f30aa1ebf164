#include "certs/exdata.h"

#include <pthread.h>

static pthread_once_t exdata_once = PTHREAD_ONCE_INIT;
static int exdata_index = -1;

static void exdata_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl,
			void *argp)
{
	struct exdata *x = ptr;

	(void)parent;
	(void)ad;
	(void)index;
	(void)argl;
	(void)argp;
	if (x != NULL)
		x->drop(x);
}

static void exdata_register(void)
{
	exdata_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, exdata_free);
}

static bool exdata_ready(void)
{
	return pthread_once(&exdata_once, exdata_register) == 0 && exdata_index >= 0;
}

bool exdata_set(SSL *ssl, struct exdata *x)
{
	struct exdata *old = exdata_get(ssl);

	if (!exdata_ready() || !SSL_set_ex_data(ssl, exdata_index, x))
		return false;
	if (old != NULL)
		old->drop(old);
	return true;
}

struct exdata *exdata_get(const SSL *ssl)
{
	return exdata_ready() ? SSL_get_ex_data(ssl, exdata_index) : NULL;
}

void exdata_drop(SSL *ssl)
{
	struct exdata *x = exdata_get(ssl);

	if (x != NULL && SSL_set_ex_data(ssl, exdata_index, NULL))
		x->drop(x);
}
