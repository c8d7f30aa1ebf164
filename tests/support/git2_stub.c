/* git2_stub: stands in for libgit2, which Criterion uses only to show differences between texts,
 * and which would bring OpenSSL into every unit test. Says that it could make no difference. */

#define SEEN __attribute__((visibility("default")))

SEEN int git_libgit2_init(void);
SEEN int git_libgit2_shutdown(void);
SEEN int git_diff_buffers(void);

int git_libgit2_init(void)
{
	return 1;
}

int git_libgit2_shutdown(void)
{
	return 0;
}

/* Its arguments are left unread; a negative answer makes Criterion print the texts whole. */
int git_diff_buffers(void)
{
	return -1;
}
