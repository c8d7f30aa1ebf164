#include "proxy/process/stack.h"

#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

#include "proxy/process/channel.h"

enum { STACK_FRAMES = 40, STACK_OURS = 2, STACK_MODULES = 16, STACK_NAME = 32 };

/* What is mapped to run. It does not change later: nothing can be loaded any more. */
static struct {
	char name[STACK_NAME];
	uintptr_t base, begin, end;
} modules[STACK_MODULES];
static size_t num_modules;

static int stack_note(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *slash = strrchr(info->dlpi_name, '/');
	const char *name = slash == NULL ? info->dlpi_name : slash + 1;

	(void)size;
	(void)arg;
	for (size_t i = 0; i < info->dlpi_phnum && num_modules < STACK_MODULES; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || (p->p_flags & PF_X) == 0)
			continue;
		/* The program itself has no name here. */
		(void)strncpy(modules[num_modules].name, name[0] == '\0' ? "sallyport" : name,
			      STACK_NAME - 1);
		modules[num_modules].base = info->dlpi_addr;
		modules[num_modules].begin = info->dlpi_addr + p->p_vaddr;
		modules[num_modules].end = info->dlpi_addr + p->p_vaddr + p->p_memsz;
		num_modules++;
	}
	return 0;
}

/* ---- in the handler: nothing that allocates, locks or formats by locale */

struct stack_text {
	char *p;
	size_t n, room;
};

static void stack_put(struct stack_text *t, const char *text)
{
	for (; *text != '\0' && t->n + 1 < t->room; text++)
		t->p[t->n++] = *text;
	t->p[t->n] = '\0';
}

static void stack_put_hex(struct stack_text *t, uintptr_t v)
{
	char digits[2 * sizeof(v) + 1];
	size_t i = sizeof(digits) - 1;

	digits[i] = '\0';
	do {
		digits[--i] = "0123456789abcdef"[v & 15];
		v >>= 4;
	} while (v != 0);
	stack_put(t, digits + i);
}

static void stack_put_frame(struct stack_text *t, uintptr_t at)
{
	if (t->n > 0)
		stack_put(t, " ");
	for (size_t i = 0; i < num_modules; i++) {
		if (at >= modules[i].begin && at < modules[i].end) {
			stack_put(t, modules[i].name);
			at -= modules[i].base;
			break;
		}
	}
	stack_put(t, "+0x");
	stack_put_hex(t, at);
}

static void stack_tell(int signal)
{
	struct channel_message m = { .type = CHANNEL_STACK };
	struct stack_text t = { .p = m.text, .room = sizeof(m.text) };
	void *frames[STACK_FRAMES];
	int error = errno, n = backtrace(frames, STACK_FRAMES);

	(void)signal;
	for (int i = STACK_OURS; i < n; i++)
		stack_put_frame(&t, (uintptr_t)frames[i]);
	(void)channel_send(CHANNEL_FD, &m, NULL, 0);
	errno = error;
}

bool stack_listen(void)
{
	struct sigaction action = { .sa_handler = stack_tell, .sa_flags = SA_RESTART };
	void *frame;

	/* The first call loads what unwinds. */
	(void)backtrace(&frame, 1);
	num_modules = 0;
	(void)dl_iterate_phdr(stack_note, NULL);
	return sigaction(STACK_SIGNAL, &action, NULL) == 0;
}
