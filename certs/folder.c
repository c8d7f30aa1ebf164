#include "certs/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Names of one folder. */
struct names {
	char **list;
	size_t num, room;
};

/* Folders that hold one certificate in two files. */
static const struct {
	const char *certificate, *key;
} known_pairs[] = {
	{ "tls.crt", "tls.key" },
	{ "fullchain.pem", "privkey.pem" },
};

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s);
	size_t m = strlen(end);

	return n > m && strcmp(s + n - m, end) == 0;
}

static char *join(const char *folder, const char *name)
{
	size_t n = strlen(folder);
	char *path;

	while (n > 1 && folder[n - 1] == '/')
		n--;
	return asprintf(&path, "%.*s/%s", (int)n, folder, name) < 0 ? NULL : path;
}

static bool is_kind(const char *path, mode_t kind)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

static void names_fini(struct names *n)
{
	for (size_t i = 0; i < n->num; i++)
		free(n->list[i]);
	free(n->list);
	*n = (struct names){ 0 };
}

static bool names_add(struct names *n, const char *name)
{
	if (n->num == n->room) {
		size_t room = n->room == 0 ? 64 : n->room * 2;
		char **grown = realloc(n->list, room * sizeof(*grown));

		if (grown == NULL)
			return false;
		n->list = grown;
		n->room = room;
	}
	if ((n->list[n->num] = strdup(name)) == NULL)
		return false;
	n->num++;
	return true;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Lists what does not begin with a dot, sorted. */
static bool names_read(const char *path, struct names *out, struct problems *why)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool ok = dir != NULL;

	while (ok && (errno = 0, entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (out->num == FOLDER_MAX_FILES) {
			problems_add(why, PROBLEM_ERROR, path, "holds more than %d files",
				     FOLDER_MAX_FILES);
			(void)closedir(dir);
			return false;
		}
		ok = names_add(out, entry->d_name);
	}
	ok = ok && errno == 0;
	if (!ok)
		problems_add(why, PROBLEM_ERROR, path, "cannot be listed: %s",
			     strerror(errno == 0 ? ENOMEM : errno));
	if (dir != NULL)
		(void)closedir(dir);
	if (ok && out->num > 0)
		qsort(out->list, out->num, sizeof(*out->list), compare);
	return ok;
}

static bool has(const struct names *n, const char *name)
{
	return n->num > 0 && bsearch(&name, n->list, n->num, sizeof(*n->list), compare) != NULL;
}

/* Takes both strings, also on failure. */
static bool folder_add(struct folder *f, char *certificate, char *key)
{
	struct folder_pair *grown = f->pairs;

	/* Grows at powers of two. */
	if ((f->num & (f->num - 1)) == 0)
		grown = realloc(f->pairs, (f->num == 0 ? 1 : f->num * 2) * sizeof(*grown));
	if (grown == NULL || certificate == NULL) {
		free(certificate);
		free(key);
		return false;
	}
	f->pairs = grown;
	f->pairs[f->num++] = (struct folder_pair){ certificate, key };
	return true;
}

/* Adds the pair that makes `path` the folder of one certificate; `*found` tells whether it is. */
static bool add_known_pair(struct folder *f, const char *path, bool *found)
{
	*found = false;
	for (size_t i = 0; i < sizeof(known_pairs) / sizeof(known_pairs[0]) && !*found; i++) {
		char *certificate = join(path, known_pairs[i].certificate);
		char *key = join(path, known_pairs[i].key);

		if (certificate == NULL || key == NULL) {
			free(certificate);
			free(key);
			return false;
		}
		*found = is_kind(certificate, S_IFREG) && is_kind(key, S_IFREG);
		if (!*found) {
			free(certificate);
			free(key);
		} else if (!folder_add(f, certificate, key)) {
			return false;
		}
	}
	return true;
}

/* Puts another ending in place of the last four bytes. */
static void change_ending(char *name, const char ending[4])
{
	size_t at = strlen(name) - 4;

	for (size_t i = 0; i < 4; i++)
		name[at + i] = ending[i];
}

/* "a.crt" or "a.pem" to "a.key"; NULL where it has no such ending, or memory was short. */
static char *key_name(const char *certificate)
{
	char *name = strdup(certificate);

	if (name != NULL && (ends_with(name, ".crt") || ends_with(name, ".pem"))) {
		change_ending(name, ".key");
		return name;
	}
	free(name);
	return NULL;
}

/* A key without its certificate is no error: one may be on its way. */
static void tell_lone_key(const struct names *all, const char *path, const char *name,
			  struct problems *why)
{
	char *other = strdup(name);

	if (other == NULL)
		return;
	change_ending(other, ".crt");
	if (!has(all, other)) {
		change_ending(other, ".pem");
		if (!has(all, other))
			problems_add(why, PROBLEM_WARNING, path,
				     "is a key without a certificate of the same name (.crt or "
				     ".pem) beside it: passed over");
	}
	free(other);
}

static bool add_entry(struct folder *f, const struct names *all, const char *folder,
		      const char *name, struct problems *why)
{
	char *path = join(folder, name);
	bool ok = path != NULL;
	bool found;
	char *key;

	if (!ok)
		return false;
	if (ends_with(name, ".key")) {
		tell_lone_key(all, path, name, why);
	} else if (ends_with(name, ".crt") || ends_with(name, ".pem")) {
		key = key_name(name);
		ok = key != NULL;
		if (ok && has(all, key)) {
			free(key);
			key = key_name(path);
			return key != NULL ? folder_add(f, path, key) : (free(path), false);
		}
		free(key);
		if (ok && !is_kind(path, S_IFDIR))
			return folder_add(f, path, NULL);
	} else if (is_kind(path, S_IFDIR)) {
		ok = add_known_pair(f, path, &found);
	}
	free(path);
	return ok;
}

bool folder_list(const char *path, struct folder *out, struct problems *why)
{
	struct folder f = { 0 };
	struct names all = { 0 };
	bool found = false;
	bool ok = names_read(path, &all, why);

	if (!ok)
		goto done;
	ok = add_known_pair(&f, path, &found);
	for (size_t i = 0; ok && !found && i < all.num; i++)
		ok = add_entry(&f, &all, path, all.list[i], why);
	if (!ok) {
		problems_add(why, PROBLEM_ERROR, path, "out of memory");
	} else if (f.num == 0) {
		problems_add(
			why, PROBLEM_ERROR, path,
			"holds no certificate: put in files that end in .pem or .crt, with "
			"chain and key, or with the key beside it in a file that ends in .key");
		ok = false;
	} else {
		*out = f;
		f = (struct folder){ 0 };
	}
done:
	names_fini(&all);
	folder_fini(&f);
	return ok;
}

void folder_fini(struct folder *f)
{
	for (size_t i = 0; i < f->num; i++) {
		free(f->pairs[i].certificate);
		free(f->pairs[i].key);
	}
	free(f->pairs);
	*f = (struct folder){ 0 };
}

char *folder_key_of(const char *certificate)
{
	const char *slash = strrchr(certificate, '/');
	char *key = key_name(certificate);
	char *folder;

	if (key != NULL && is_kind(key, S_IFREG))
		return key;
	free(key);
	if (slash == NULL || strcmp(slash + 1, "fullchain.pem") != 0)
		return NULL;
	if ((folder = strndup(certificate, (size_t)(slash - certificate))) == NULL)
		return NULL;
	key = join(folder, "privkey.pem");
	free(folder);
	if (key != NULL && is_kind(key, S_IFREG))
		return key;
	free(key);
	return NULL;
}
