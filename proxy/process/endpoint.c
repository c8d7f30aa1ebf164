#include "proxy/process/endpoint.h"

enum { ENDPOINT_UNIX_MODE = 0600 };

bool endpoint_open(const struct plan *p, struct handle **admin, struct listen_file *file,
		   struct problems *why)
{
	struct listen_how how = { .address = &p->admin,
				  .len = (socklen_t)p->admin_len,
				  .both_families = p->admin_text[0] == ':',
				  .mode = ENDPOINT_UNIX_MODE,
				  .make_folder = true };
	char what[256] = "out of memory";
	int fd = -1;

	*admin = NULL;
	if (!p->admin_on)
		return true;
	if (p->admin.ss_family == AF_UNIX)
		fd = listen_unix(&how, file, what, sizeof(what));
	else if (!listen_tcp(&how, 1, &fd, what, sizeof(what)))
		fd = -1;
	if (fd >= 0 && (*admin = handle_new(fd)) != NULL)
		return true;
	if (p->admin_default) {
		problems_add(why, PROBLEM_WARNING, p->admin_text,
			     "there is no admin endpoint, for its default address cannot be had: "
			     "%s (give `admin` another `address`, or set it to false)",
			     what);
		return true;
	}
	problems_add(why, PROBLEM_ERROR, p->admin_text, "cannot listen: %s", what);
	return false;
}
