#include "certs/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certs/compat.h"

/* Reads until the end; false with errno where that fails. */
static bool read_all(int fd, struct file *f, size_t room)
{
	while (f->n < room) {
		ssize_t n = read(fd, f->p + f->n, room - f->n);

		if (n == 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
		f->n += n < 0 ? 0 : (size_t)n;
	}
	return true;
}

static void say_errno(const char *what, int error, char *why, size_t why_len)
{
	const char *remedy = error == EACCES   ? "; let the user that starts sallyport read it"
			     : error == ENOENT ? "; is the path right?"
					       : "";

	(void)snprintf(why, why_len, "%s: %s%s", what, strerror(error), remedy);
}

bool file_read(const char *path, size_t max, struct file *out, char *why, size_t why_len)
{
	struct file f = { 0 };
	struct stat st;
	/* O_NONBLOCK: a FIFO by that name must not stop the load. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bool ok = false;

	if (fd < 0 || fstat(fd, &st) != 0) {
		say_errno("cannot be read", errno, why, why_len);
		goto done;
	}
	if (!S_ISREG(st.st_mode)) {
		(void)snprintf(why, why_len, "is not a file");
		goto done;
	}
	if ((uintmax_t)st.st_size > max) {
		(void)snprintf(why, why_len, "is longer than %zu KiB", max / 1024);
		goto done;
	}
	/* One byte more shows a file that grew. */
	f.p = malloc((size_t)st.st_size + 1);
	f.mode = st.st_mode;
	if (f.p == NULL || !read_all(fd, &f, (size_t)st.st_size + 1)) {
		say_errno("cannot be read", errno, why, why_len);
		goto done;
	}
	if (f.n > (size_t)st.st_size) {
		(void)snprintf(why, why_len, "grew while it was read; try again");
		goto done;
	}
	*out = f;
	ok = true;
done:
	if (!ok)
		file_fini(&f);
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

void file_fini(struct file *f)
{
	if (f->p != NULL)
		OPENSSL_cleanse(f->p, f->n);
	free(f->p);
	*f = (struct file){ 0 };
}
