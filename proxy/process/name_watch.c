/* Passes the files that say how names become addresses to the steward, which may open none. */
#include <sys/stat.h>

#include "proxy/process/name_files.h"
#include "proxy/process/supervision.h"

/* What tells one state of a file from another; all zero where there is no file. */
static struct name_file_state state_of(enum name_file which)
{
	struct stat st;

	if (stat(name_files_path(which), &st) != 0)
		return (struct name_file_state){ .inode = 0 };
	return (struct name_file_state){ .device = st.st_dev,
					 .inode = st.st_ino,
					 .size = st.st_size,
					 .changed_s = st.st_mtim.tv_sec,
					 .changed_ns = st.st_mtim.tv_nsec };
}

void name_watch_send(struct child *steward)
{
	struct channel_message m = { .type = CHANNEL_NAMES };
	struct supervisor *s = steward->supervisor;
	struct handle *handles[NAME_FILES];
	size_t n = 0;

	for (unsigned i = 0; i < NAME_FILES; i++) {
		int fd;

		/* Before it is read: what changes meanwhile is seen to have changed. */
		s->name_files[i] = state_of((enum name_file)i);
		fd = name_files_open((enum name_file)i);
		if (fd < 0 || (handles[n] = handle_new(fd)) == NULL)
			continue;
		m.flags |= 1U << i;
		n++;
	}
	child_send(steward, &m, handles, n);
	while (n > 0)
		handle_unref(handles[--n]);
}

void name_watch_beat(struct supervisor *s)
{
	bool changed = false;

	for (unsigned i = 0; i < NAME_FILES; i++) {
		const struct name_file_state now = state_of((enum name_file)i),
					     *before = &s->name_files[i];

		if (now.device == before->device && now.inode == before->inode &&
		    now.size == before->size && now.changed_s == before->changed_s &&
		    now.changed_ns == before->changed_ns)
			continue;
		changed = true;
	}
	if (changed)
		name_watch_send(&s->steward);
}
