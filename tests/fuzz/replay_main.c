/* replay_main: runs a fuzz target over files and folders of seeds, without libFuzzer, so that
 * every build replays what was once found. Fails where it finds nothing to replay. */

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SEED_MAX = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Targets may set something up once, as libFuzzer lets them. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

/* An allocation of exactly `size` bytes, so that ASan sees a read past the end. */
static bool replay_file(const char *path, size_t size)
{
	FILE *f = NULL;
	uint8_t *data = NULL;
	bool ok = false;

	if (size > SEED_MAX)
		goto done;
	if ((f = fopen(path, "rb")) == NULL || (data = malloc(size == 0 ? 1 : size)) == NULL)
		goto done;
	if (fread(data, 1, size, f) != size)
		goto done;
	(void)LLVMFuzzerTestOneInput(data, size);
	ok = true;
done:
	if (!ok)
		(void)fprintf(stderr, "%s: cannot be replayed: %s\n", path,
			      size > SEED_MAX ? "too large" : strerror(errno));
	free(data);
	if (f != NULL)
		(void)fclose(f);
	return ok;
}

static bool replay_path(const char *path, size_t *num);

static bool replay_folder(const char *path, size_t *num)
{
	DIR *d = opendir(path);
	const struct dirent *entry;
	bool ok = true;

	if (d == NULL) {
		(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	while (ok && (entry = readdir(d)) != NULL) {
		char inside[4096];
		int n;

		if (entry->d_name[0] == '.')
			continue;
		n = snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name);
		ok = n > 0 && (size_t)n < sizeof(inside) && replay_path(inside, num);
	}
	(void)closedir(d);
	return ok;
}

static bool replay_path(const char *path, size_t *num)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	if (S_ISDIR(st.st_mode))
		return replay_folder(path, num);
	(*num)++;
	return replay_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	size_t num = 0;
	bool ok = true;

	if (LLVMFuzzerInitialize != NULL && LLVMFuzzerInitialize(&argc, &argv) != 0)
		return 1;
	for (int i = 1; i < argc; i++)
		ok = replay_path(argv[i], &num) && ok;
	if (num == 0)
		(void)fprintf(stderr, "usage: %s SEED|FOLDER...: nothing to replay\n", argv[0]);
	else
		(void)printf("%zu seeds replayed\n", num);
	return ok && num > 0 ? 0 : 1;
}
