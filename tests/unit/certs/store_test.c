/* Files and folders to table, and what is said about those that are not right. */
#include "certs/store.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "certs/key_store.h"
#include "tests/support/make_certs.h"

static char *folder;
static struct made ec, rsa;
static char *ec_cert, *ec_key, *rsa_cert, *rsa_key;
static struct problems why;

static void setup(void)
{
	folder = make_folder();
	ec = make_cert(&(struct make_options){ .type = MAKE_P256, .san = "DNS:a.example" });
	rsa = make_cert(&(struct make_options){ .type = MAKE_RSA_2048, .san = "DNS:A.Example" });
	ec_cert = made_cert_pem(&ec);
	ec_key = made_key_pem(&ec);
	rsa_cert = made_cert_pem(&rsa);
	rsa_key = made_key_pem(&rsa);
	problems_init(&why);
}

static void teardown(void)
{
	drop_folder(folder);
	made_fini(&ec);
	made_fini(&rsa);
	free(ec_cert);
	free(ec_key);
	free(rsa_cert);
	free(rsa_key);
	problems_fini(&why);
}

TestSuite(store, .init = setup, .fini = teardown);

/* Loads one listener with up to three entries; NULL ends them. */
static struct store *load(const char *fallback, const char *a, const char *b, const char *c)
{
	struct conf_certificate certificates[3] = { { .certificate = a },
						    { .certificate = b },
						    { .certificate = c } };
	struct conf_tls tls = { .certificates = certificates,
				.num_certificates = b == NULL	? 1
						    : c == NULL ? 2
								: 3,
				.default_certificate = fallback };
	struct conf_listener l = { .name = "x", .tls = &tls };
	struct conf conf = { .listeners = &l, .num_listeners = 1 };

	problems_fini(&why);
	problems_init(&why);
	return store_load(&conf, (int64_t)time(NULL), &why);
}

static bool told(enum problem_level level, const char *where, const char *what)
{
	for (size_t i = 0; i < why.num; i++) {
		if (why.list[i].level == level && strstr(why.list[i].where, where) != NULL &&
		    strstr(why.list[i].what, what) != NULL)
			return true;
	}
	problems_print(&why, stderr);
	return false;
}

/* File that `name` is found in, by key type, borrowed from `*i`, which is to be closed. */
static struct span finds(struct store *s, const char *name, enum index_key_type type)
{
	struct index *i = index_open(store_index(s));
	uint32_t found[INDEX_KEY_TYPES];
	struct index_entry e;
	bool ok;

	cr_assert_not_null(i);
	ok = name == NULL ? index_defaults(i, 0, found) : index_find(i, 0, span_str(name), found);
	ok = ok && index_entry(i, found[type], &e);
	index_close(i);
	return ok ? e.file : span_of(NULL, 0);
}

static void is_from(struct store *s, const char *name, enum index_key_type type, const char *path)
{
	struct span file = finds(s, name, type);

	cr_assert(span_eq(file, span_str(path)), "%s is from %.*s", name == NULL ? "default" : name,
		  (int)file.n, file.p);
}

/* Loads `path` alone, which must fail with `what` about `where`. */
static void fails(const char *path, const char *where, const char *what)
{
	cr_assert_null(load(NULL, path, NULL, NULL));
	cr_assert(told(PROBLEM_ERROR, where, what), "%s", what);
}

Test(store, file_and_pair)
{
	char *one = make_file(folder, "one.pem", ec_cert, ec_key, NULL);
	char *crt = make_file(folder, "two.crt", rsa_cert, NULL);
	char *key = make_file(folder, "two.secret", rsa_key, NULL);
	struct conf_certificate certificates[] = { { .certificate = one },
						   { .certificate = crt, .key = key } };
	struct conf_tls tls = { .certificates = certificates, .num_certificates = 2 };
	struct conf_listener l[2] = { { .name = "x", .tls = &tls }, { .name = "y", .tls = &tls } };
	struct conf conf = { .listeners = l, .num_listeners = 2 };
	struct store *s = store_load(&conf, (int64_t)time(NULL), &why);

	cr_assert_not_null(s);
	cr_assert_eq(why.num, 0);
	cr_assert_eq(store_count(s), 2, "read once for two listeners");
	is_from(s, "a.example", INDEX_KEY_ECDSA_P256, one);
	is_from(s, "a.example", INDEX_KEY_RSA, crt);
	is_from(s, NULL, INDEX_KEY_ECDSA_P256, one);
	is_from(s, NULL, INDEX_KEY_RSA, crt);
	store_free(s);
	free(one);
	free(crt);
	free(key);
}

Test(store, folder_of_every_shape)
{
	struct made b =
		make_cert(&(struct make_options){ .type = MAKE_P384, .san = "DNS:b.example" });
	struct made c =
		make_cert(&(struct make_options){ .type = MAKE_P521, .san = "DNS:c.example" });
	struct made d =
		make_cert(&(struct make_options){ .type = MAKE_ED25519, .san = "DNS:*.d.example" });
	char *texts[] = { made_cert_pem(&b), made_key_pem(&b),	made_cert_pem(&c),
			  made_key_pem(&c),  made_cert_pem(&d), made_key_pem(&d) };
	char *k8s;
	char *certbot;
	char *path;
	struct store *s;

	cr_assert_gt(asprintf(&k8s, "%s/k8s", folder), 0);
	cr_assert_gt(asprintf(&certbot, "%s/live", folder), 0);
	cr_assert(mkdir(k8s, 0700) == 0 && mkdir(certbot, 0700) == 0);
	free(make_file(folder, "1.pem", ec_cert, ec_key, NULL));
	free(make_file(folder, "2.crt", texts[0], NULL));
	free(make_file(folder, "2.key", texts[1], NULL));
	free(make_file(folder, "README", "nothing\n", NULL));
	free(make_file(folder, ".hidden.pem", "BROKEN", NULL));
	free(make_file(k8s, "tls.crt", texts[2], NULL));
	free(make_file(k8s, "tls.key", texts[3], NULL));
	free(make_file(k8s, "ca.crt", "BROKEN", NULL));
	free(make_file(certbot, "fullchain.pem", texts[4], NULL));
	free(make_file(certbot, "privkey.pem", texts[5], NULL));
	s = load(NULL, folder, NULL, NULL);
	cr_assert(s != NULL && why.num == 0);
	cr_assert_eq(store_count(s), 4);
	is_from(s, "x.d.example", INDEX_KEY_ED25519,
		(path = make_file(certbot, "fullchain.pem", texts[4], NULL)));
	free(path);
	cr_assert_gt(finds(s, "b.example", INDEX_KEY_ECDSA_P384).n, 0);
	cr_assert_gt(finds(s, "c.example", INDEX_KEY_ECDSA_P521).n, 0);
	cr_assert_gt(finds(s, NULL, INDEX_KEY_ECDSA_P256).n, 0, "the first by name");
	store_free(s);
	s = load(NULL, k8s, NULL, NULL); /* such a folder named itself */
	cr_assert(s != NULL && store_count(s) == 1);
	store_free(s);
	for (size_t i = 0; i < 6; i++)
		free(texts[i]);
	free(k8s);
	free(certbot);
	made_fini(&b);
	made_fini(&c);
	made_fini(&d);
}

Test(store, kubernetes_links_are_followed)
{
	char *data;
	char *path;
	struct store *s;

	cr_assert_gt(asprintf(&data, "%s/..2026", folder), 0);
	cr_assert_eq(mkdir(data, 0700), 0);
	free(make_file(data, "tls.crt", ec_cert, NULL));
	free(make_file(data, "tls.key", ec_key, NULL));
	cr_assert_gt(asprintf(&path, "%s/..data", folder), 0);
	cr_assert_eq(symlink("..2026", path), 0);
	free(path);
	cr_assert_gt(asprintf(&path, "%s/tls.crt", folder), 0);
	cr_assert_eq(symlink("..data/tls.crt", path), 0);
	free(path);
	cr_assert_gt(asprintf(&path, "%s/tls.key", folder), 0);
	cr_assert_eq(symlink("..data/tls.key", path), 0);
	free(path);
	free(data);
	s = load(NULL, folder, NULL, NULL);
	cr_assert(s != NULL && store_count(s) == 1 && why.num == 0);
	store_free(s);
}

Test(store, folder_passes_over_what_is_plainly_something_else)
{
	struct made ca = make_cert(&(struct make_options){ .type = MAKE_P256, .ca = true });
	char *ca_pem = made_cert_pem(&ca);
	struct store *s;

	free(make_file(folder, "a.pem", ec_cert, ec_key, NULL));
	free(make_file(folder, "ca.crt", ca_pem, NULL));
	free(make_file(folder, "dh.pem", "-----BEGIN X-----\n-----END X-----\n", NULL));
	free(make_file(folder, "lone.key", rsa_key, NULL));
	s = load(NULL, folder, NULL, NULL);
	cr_assert(s != NULL && store_count(s) == 1);
	cr_assert(told(PROBLEM_WARNING, "ca.crt", "CA certificate"));
	cr_assert(told(PROBLEM_WARNING, "dh.pem", "no certificate"));
	cr_assert(told(PROBLEM_WARNING, "lone.key", "without a certificate"));
	store_free(s);
	free(make_file(folder, "b.crt", rsa_cert, NULL));
	fails(folder, "b.crt", "holds no private key");
	free(ca_pem);
	made_fini(&ca);
}

Test(store, empty_and_missing_are_errors)
{
	char *path = make_file(folder, "a.pem", "nothing here\n", NULL);
	char *gone;

	fails(path, path, "holds no certificate");
	cr_assert_eq(unlink(path), 0);
	fails(folder, folder, "holds no certificate: put in files");
	cr_assert_gt(asprintf(&gone, "%s/gone.pem", folder), 0);
	fails(gone, gone, "cannot be read: No such file");
	free(make_file(folder, "only.crt", "-----BEGIN X-----\n-----END X-----\n", NULL));
	fails(folder, folder, "holds no certificate that has its key");
	cr_assert_eq(mkfifo(gone, 0600), 0);
	fails(gone, gone, "is not a file");
	free(gone);
	free(path);
}

Test(store, wrong_keys_are_errors_that_name_the_file)
{
	char *path = make_file(folder, "a.pem", ec_cert, rsa_key, NULL);
	char *pair = make_file(folder, "b.pem", rsa_cert, ec_cert, ec_key, NULL);
	char *none = make_file(folder, "c.pem", ec_cert, NULL);
	char *cut = make_file(folder, "d.pem", "-----BEGIN CERTIFICATE-----\n", NULL);
	char *bad = make_file(folder, "e.pem",
			      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
			      ec_key, NULL);

	fails(path, path, "does not belong to the certificate");
	fails(pair, pair, "belongs to certificate 2 of the file");
	fails(none, none, "holds no private key: put it in the same file, or name both");
	fails(cut, cut, "cut short");
	fails(bad, bad, "certificate 1 is damaged");
	cr_assert_null(load(NULL, path, cut, bad));
	cr_assert_eq(why.num_errors, 3, "all of them are told");
	free(path);
	free(pair);
	free(none);
	free(cut);
	free(bad);
}

Test(store, weak_and_odd_keys_are_errors)
{
	static const enum make_key types[] = { MAKE_RSA_1024, MAKE_P224 };

	for (size_t i = 0; i < 2; i++) {
		struct made m =
			make_cert(&(struct make_options){ .type = types[i], .san = "DNS:a" });
		char *cert = made_cert_pem(&m);
		char *key = made_key_pem(&m);
		char *path = make_file(folder, "a.pem", cert, key, NULL);

		fails(path, path, "key is not supported");
		free(path);
		free(cert);
		free(key);
		made_fini(&m);
	}
}

/* Loads a certificate of `type` with these usages; the store is to be freed. */
static struct store *load_usage(EVP_PKEY *key, const char *key_usage, const char *usage)
{
	struct made m = make_cert(&(struct make_options){
		.key = key, .san = "DNS:a.example", .key_usage = key_usage, .usage = usage });
	char *cert = made_cert_pem(&m);
	char *text = made_key_pem(&m);
	char *path = make_file(folder, "usage.pem", cert, text, NULL);
	struct store *s = load(NULL, path, NULL, NULL);

	free(path);
	free(cert);
	free(text);
	made_fini(&m);
	return s;
}

Test(store, usage_is_checked)
{
	struct store *s = load_usage(ec.key, "digitalSignature", "serverAuth");

	cr_assert(s != NULL && why.num == 0);
	store_free(s);
	cr_assert_null(load_usage(ec.key, "keyEncipherment", NULL));
	cr_assert(told(PROBLEM_ERROR, "usage.pem", "may not sign"));
	s = load_usage(rsa.key, "keyEncipherment", NULL);
	cr_assert_not_null(s);
	cr_assert(told(PROBLEM_WARNING, "usage.pem", "may not sign"));
	store_free(s);
	s = load_usage(ec.key, NULL, "clientAuth");
	cr_assert_not_null(s);
	cr_assert(told(PROBLEM_WARNING, "usage.pem", "not meant for TLS servers"));
	store_free(s);
}

Test(store, open_key_file_is_a_warning)
{
	char *path = make_file(folder, "a.pem", ec_cert, ec_key, NULL);
	struct store *s;

	cr_assert_eq(chmod(path, 0640), 0);
	s = load(NULL, path, NULL, NULL);
	cr_assert(s != NULL && why.num == 0, "a group may be meant");
	store_free(s);
	cr_assert_eq(chmod(path, 0644), 0);
	s = load(NULL, path, NULL, NULL);
	cr_assert_not_null(s);
	cr_assert(told(PROBLEM_WARNING, path, "chmod o-rwx"));
	store_free(s);
	free(path);
}

/* Writes a certificate with these dates, names and key type. */
static char *dated(const char *name, int64_t starts, int64_t ends, const char *san)
{
	struct made m = make_cert(&(struct make_options){
		.type = MAKE_P256, .san = san, .starts_s = starts, .ends_s = ends });
	char *cert = made_cert_pem(&m);
	char *key = made_key_pem(&m);
	char *path = make_file(folder, name, cert, key, NULL);

	free(cert);
	free(key);
	made_fini(&m);
	return path;
}

Test(store, one_in_date_goes_before_one_that_is_not)
{
	char *old = dated("1.pem", -7200, -3600, "DNS:a.example,DNS:old.example");
	char *new = dated("2.pem", 3600, 7200, "DNS:a.example");
	char *now = dated("3.pem", 0, 0, "DNS:a.example");
	struct store *s = load(NULL, folder, NULL, NULL);

	cr_assert_not_null(s);
	cr_assert(told(PROBLEM_WARNING, old, "expired on 20"));
	cr_assert(told(PROBLEM_WARNING, new, "is not valid before 20"));
	cr_assert_eq(why.num, 2);
	is_from(s, "a.example", INDEX_KEY_ECDSA_P256, now);
	is_from(s, "old.example", INDEX_KEY_ECDSA_P256, old);
	store_free(s);
	free(old);
	free(new);
	free(now);
}

Test(store, default_is_the_one_named_with_its_other_key_types)
{
	char *first = dated("1.pem", 0, 0, "DNS:first.example");
	char *a = make_file(folder, "2.pem", ec_cert, ec_key, NULL);
	char *b = make_file(folder, "3.pem", rsa_cert, rsa_key, NULL);
	struct store *s = load(NULL, first, a, b);

	is_from(s, NULL, INDEX_KEY_ECDSA_P256, first);
	cr_assert_eq(finds(s, NULL, INDEX_KEY_RSA).n, 0, "other names are no default");
	store_free(s);
	s = load(b, first, a, b);
	is_from(s, NULL, INDEX_KEY_ECDSA_P256, a);
	is_from(s, NULL, INDEX_KEY_RSA, b);
	store_free(s);
	s = load(a, first, NULL, NULL);
	cr_assert_eq(store_count(s), 2, "loaded though not listed");
	is_from(s, NULL, INDEX_KEY_ECDSA_P256, a);
	is_from(s, "a.example", INDEX_KEY_ECDSA_P256, a);
	store_free(s);
	free(first);
	free(a);
	free(b);
}

Test(store, odd_names_are_warnings)
{
	char *none = dated("1.pem", 0, 0, NULL);
	char *odd = dated("2.pem", 0, 0,
			  "DNS:w*.example,DNS:a..example,DNS:*,DNS:.x,DNS:good.example,"
			  "DNS:x.,DNS:*.ok.example,IP:10.0.0.1");
	struct store *s = load(NULL, none, odd, NULL);

	cr_assert_not_null(s);
	cr_assert(told(PROBLEM_WARNING, none, "names no host"));
	cr_assert(told(PROBLEM_WARNING, odd, "\"w*.example\""));
	cr_assert_eq(why.num_warnings, 6);
	is_from(s, "good.example", INDEX_KEY_ECDSA_P256, odd);
	is_from(s, "y.ok.example", INDEX_KEY_ECDSA_P256, odd);
	is_from(s, NULL, INDEX_KEY_ECDSA_P256, none);
	store_free(s);
	free(none);
	free(odd);
}

Test(store, chain_out_of_order_is_a_warning)
{
	struct made root =
		make_cert(&(struct make_options){ .type = MAKE_P256, .ca = true, .cn = "R" });
	struct made mid = make_cert(&(struct make_options){
		.type = MAKE_P256, .ca = true, .cn = "M", .issuer = &root });
	struct made m = make_cert(&(struct make_options){
		.type = MAKE_P256, .san = "DNS:a.example", .issuer = &mid });
	char *texts[] = { made_cert_pem(&root), made_cert_pem(&mid), made_cert_pem(&m),
			  made_key_pem(&m) };
	char *right = make_file(folder, "1.pem", texts[2], texts[1], texts[0], texts[3], NULL);
	char *wrong = make_file(folder, "2.pem", texts[2], texts[0], texts[1], texts[3], NULL);
	struct store *s = load(NULL, right, NULL, NULL);

	cr_assert(s != NULL && why.num == 0);
	store_free(s);
	s = load(NULL, wrong, NULL, NULL);
	cr_assert_not_null(s);
	cr_assert(told(PROBLEM_WARNING, wrong, "certificate 2 did not issue certificate 1"));
	store_free(s);
	for (size_t i = 0; i < 4; i++)
		free(texts[i]);
	free(right);
	free(wrong);
	made_fini(&root);
	made_fini(&mid);
	made_fini(&m);
}

/* Loads two pools that verify against `ca`, and one that does not verify. */
static struct store *load_pools(const char *ca)
{
	struct conf_pool_tls verify = { .verify = true, .ca = ca };
	struct conf_pool_tls trusting = { .ca = ca };
	struct conf_pool pools[] = { { .name = "a", .tls = &verify, .pointer = "/pools/a" },
				     { .name = "b", .tls = &verify, .pointer = "/pools/b" },
				     { .name = "c", .tls = &trusting, .pointer = "/pools/c" },
				     { .name = "d", .pointer = "/pools/d" } };
	struct conf conf = { .pools = pools, .num_pools = 4 };

	problems_fini(&why);
	problems_init(&why);
	return store_load(&conf, (int64_t)time(NULL), &why);
}

Test(store, roots_are_read_once_and_only_to_verify)
{
	char *path = make_file(folder, "ca.pem", ec_cert, NULL);
	struct store *s = load_pools(path);

	cr_assert_not_null(s);
	cr_assert(span_eq(store_roots(s, 0), span_str(ec_cert)));
	cr_assert_eq(store_roots(s, 0).p, store_roots(s, 1).p);
	cr_assert_eq(store_roots(s, 2).n, 0);
	cr_assert_eq(store_roots(s, 3).n, 0);
	cr_assert_eq(store_roots(s, 4).n, 0);
	store_free(s);
	free(path);
}

Test(store, unusable_roots_are_told_once)
{
	static const char damaged[] =
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	char *path = make_file(folder, "ca.pem", "", NULL);
	struct store *s;

	cr_assert_null(load_pools(path));
	cr_assert(told(PROBLEM_ERROR, path, "holds no certificate"));
	cr_assert_eq(why.num_errors, 1);
	free(path);
	path = make_file(folder, "ca.pem", ec_cert, ec_key, NULL);
	cr_assert_null(load_pools(path));
	cr_assert(told(PROBLEM_ERROR, path, "holds a private key"));
	free(path);
	path = make_file(folder, "ca.pem", damaged, NULL);
	cr_assert_null(load_pools(path));
	cr_assert(told(PROBLEM_ERROR, path, "1 of 1 certificates cannot be read"));
	free(path);
	path = make_file(folder, "ca.pem", damaged, ec_cert, NULL);
	s = load_pools(path);
	cr_assert_not_null(s);
	cr_assert(told(PROBLEM_WARNING, path, "1 of 2 certificates cannot be read"));
	store_free(s);
	free(path);
}

/* What the key of the first certificate of `set` may sign. */
static unsigned roles(struct store *s, uint32_t set)
{
	struct key_store *keys = key_store_new();
	struct index *i = index_open(store_index(s));
	uint32_t found[INDEX_KEY_TYPES];
	size_t len = key_table_size(store_keys(s));
	char *table = malloc(len);
	struct index_entry e;
	unsigned r;

	key_table_write(store_keys(s), table);
	cr_assert(key_store_adopt(keys, 1, span_of(table, len)));
	cr_assert(index_defaults(i, set, found));
	cr_assert(index_entry(i, found[INDEX_KEY_ECDSA_P256], &e));
	r = key_store_roles(keys, (struct key_id){ 1, e.key });
	cr_assert_eq(key_store_roles(keys, (struct key_id){ 1, 99 }), 0);
	cr_assert_eq(key_store_roles(keys, (struct key_id){ 2, e.key }), 0);
	index_close(i);
	key_store_free(keys);
	free(table);
	return r;
}

Test(store, a_key_has_the_roles_that_it_is_loaded_for)
{
	struct made other = make_cert(&(struct make_options){ .type = MAKE_P256 });
	char *other_cert = made_cert_pem(&other), *other_key = made_key_pem(&other);
	char *a = make_file(folder, "a.pem", ec_cert, ec_key, NULL);
	char *b = make_file(folder, "b.pem", other_cert, other_key, NULL);
	struct conf_certificate certificate = { .certificate = a };
	struct conf_tls tls = { .certificates = &certificate, .num_certificates = 1 };
	struct conf_listener l = { .name = "x", .tls = &tls };
	struct conf_pool_tls shows = { .certificate = b }, same = { .certificate = a };
	struct conf_pool pools[] = { { .tls = &shows, .pointer = "/pools/a" },
				     { .tls = &same, .pointer = "/pools/b" } };
	struct conf conf = { .listeners = &l, .num_listeners = 1, .pools = pools, .num_pools = 1 };
	struct store *s = store_load(&conf, (int64_t)time(NULL), &why);

	cr_assert_not_null(s);
	cr_assert_eq(roles(s, 0), KEY_ROLE_SERVER);
	cr_assert_eq(roles(s, 1), KEY_ROLE_CLIENT);
	store_free(s);
	conf.num_pools = 2;
	cr_assert_not_null(s = store_load(&conf, (int64_t)time(NULL), &why));
	cr_assert_eq(roles(s, 0), KEY_ROLE_SERVER | KEY_ROLE_CLIENT);
	cr_assert_eq(roles(s, 1), KEY_ROLE_CLIENT);
	cr_assert_eq(roles(s, 2), KEY_ROLE_SERVER | KEY_ROLE_CLIENT);
	store_free(s);
	made_fini(&other);
	free(other_cert);
	free(other_key);
	free(a);
	free(b);
}
