/* main: the program's start: a command for people, or a role that the supervisor gives. */

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs/compat.h"
#include "conf/conf.h"
#include "conf/values.h"
#include "proxy/cli.h"
#include "proxy/control.h"
#include "proxy/demo/backend.h"
#include "proxy/demo/demo.h"
#include "proxy/process/channel.h"
#include "proxy/process/loader.h"
#include "proxy/process/privileges.h"
#include "proxy/process/role.h"
#include "proxy/process/supervisor.h"
#include "version.h"

static char *const *main_words; /* of the command line, for a binary that takes over */
static const char flags_name[] = "command line"; /* of a configuration made from flags */

/* ---- roles */

static bool main_id(const char *text, uint32_t *id)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n >= UINT32_MAX)
		return false;
	*id = (uint32_t)n;
	return true;
}

/* Gives up what a role does not need before it reads anything but its channel. `argv` holds user
 * and group, empty where they are to stay, and whether there is to be a sandbox. */
static int role_unprivileged(int argc, char **argv, int (*run)(bool sandboxed))
{
	uint32_t uid, gid;

	if (argc != 3)
		return CLI_START;
	privileges_bound(false);
	if (argv[0][0] != '\0' &&
	    (!main_id(argv[0], &uid) || !main_id(argv[1], &gid) || !privileges_drop(uid, gid))) {
		(void)fprintf(stderr, "sallyport: cannot become user %s, group %s: %s\n", argv[0],
			      argv[1], strerror(errno));
		return CLI_START;
	}
	if (!privileges_lock()) {
		(void)fprintf(stderr, "sallyport: cannot give up privileges: %s\n",
			      strerror(errno));
		return CLI_START;
	}
	return run(strcmp(argv[2], ROLE_SANDBOXED) == 0);
}

static int role_worker(int argc, char **argv)
{
	return role_unprivileged(argc, argv, worker_main);
}

static int role_steward(int argc, char **argv)
{
	return role_unprivileged(argc, argv, steward_main);
}

static int role_keeper(int argc, char **argv)
{
	privileges_lock_memory();
	return role_unprivileged(argc, argv, keeper_main);
}

static int role_demo(bool sandboxed)
{
	(void)sandboxed; /* it plays an application, which would not be either */
	return backend_main();
}

static int role_backend(int argc, char **argv)
{
	return role_unprivileged(argc, argv, role_demo);
}

/* It reads files that only root may, so it stays what it is; for one load. */
static int role_loader(int argc, char **argv)
{
	return privileges_hide() ? loader_main(argc, argv) : CLI_START;
}

static const struct {
	const char *argument;
	const char *name; /* of the process, with its number from the title behind */
	int (*run)(int argc, char **argv);
} roles[] = {
	{ "@worker", "sallyport:w", role_worker },
	{ "@steward", "sallyport:stew", role_steward },
	{ "@keeper", "sallyport:keep", role_keeper },
	{ "@loader", "sallyport:load", role_loader },
	{ "@demo-backend", "sallyport:demo", role_backend },
};

/* Whether the supervisor started us: nobody else has such a channel. */
static bool role_has_channel(void)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(CHANNEL_FD, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       type == SOCK_SEQPACKET && fcntl(CHANNEL_FD, F_SETFD, FD_CLOEXEC) == 0;
}

/* Shows the title alone in lists of processes. */
static void role_show_title(const char *name, int argc, char **argv)
{
	const char *number = strrchr(argv[0], ' ');
	char comm[16];

	(void)snprintf(comm, sizeof(comm), "%s%s", name,
		       number != NULL && number[1] >= '0' && number[1] <= '9' ? number + 1 : "");
	(void)prctl(PR_SET_NAME, comm, 0, 0, 0);
	for (int i = 1; i < argc; i++)
		memset(argv[i], 0, strlen(argv[i]));
}

static int role_main(int argc, char **argv)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));
	int code = CLI_USAGE;
	size_t i = 0;

	while (i < sizeof(roles) / sizeof(roles[0]) && strcmp(roles[i].argument, argv[1]) != 0)
		i++;
	if (i == sizeof(roles) / sizeof(roles[0]) || !role_has_channel()) {
		(void)fprintf(stderr, "sallyport: \"%s\" is for its own processes only\n", argv[1]);
		goto done;
	}
	code = CLI_START;
	for (int k = 0; copy != NULL && k < argc; k++) {
		if ((copy[k] = strdup(argv[k])) == NULL)
			goto done;
	}
	if (copy == NULL)
		goto done;
	role_show_title(roles[i].name, argc, argv);
	code = roles[i].run(argc - 2, copy + 2);
done:
	for (int k = 0; copy != NULL && k < argc; k++)
		free(copy[k]);
	free(copy);
	return code;
}

/* ---- commands */

/* The folder of the configuration, made absolute. */
static bool main_folder(const char *file, char folder[VALUE_MAX])
{
	char here[VALUE_MAX], path[VALUE_MAX];
	char *slash;

	if (getcwd(here, sizeof(here)) == NULL) {
		(void)fprintf(stderr, "sallyport: where are we? %s\n", strerror(errno));
		return false;
	}
	if (file == NULL) {
		memcpy(folder, here, VALUE_MAX);
		return true;
	}
	if (!value_path(here, span_str(file), path) || (slash = strrchr(path, '/')) == NULL) {
		(void)fprintf(stderr, "%s: the path is too long\n", file);
		return false;
	}
	slash[slash == path] = '\0';
	memcpy(folder, path, VALUE_MAX);
	return true;
}

static int main_run(const struct cli *cli)
{
	char folder[VALUE_MAX];
	struct supervisor_options options = {
		.source = { .file = cli->config, .folder = folder, .text_fd = -1 },
		.program = main_words[0],
		.argv = (const char *const *)main_words,
		.ready_fd = -1,
	};

	return main_folder(cli->config, folder) ? supervisor_run(&options) : CLI_START;
}

static int main_check(const struct cli *cli)
{
	char folder[VALUE_MAX];
	struct loader_source source = { .file = cli->config, .folder = folder, .text_fd = -1 };
	struct loaded made;
	struct problems why;
	bool ok;

	if (!main_folder(cli->config, folder))
		return CLI_START;
	problems_init(&why);
	ok = loader_load(&source, NULL, &made, &why);
	problems_print(&why, stderr);
	problems_fini(&why);
	if (!ok)
		return CLI_CONFIGURATION;
	(void)close(made.snapshot_fd);
	(void)close(made.keys_fd);
	(void)printf("%s: ok, %zu listeners, %zu pools, %zu certificates\n", cli->config,
		     made.num_listeners, made.num_pools, made.num_certificates);
	return CLI_OK;
}

/* Writes what the flags stand for, if it is a configuration. */
static int main_print_config(const char *json, const char *folder)
{
	struct conf_source source = { .file = flags_name, .folder = folder };
	struct problems why;
	struct conf *c;
	int code = CLI_CONFIGURATION;

	problems_init(&why);
	c = conf_parse(span_str(json), &source, &why);
	problems_print(&why, stderr);
	problems_fini(&why);
	if (c != NULL)
		code = puts(json) >= 0 ? CLI_OK : CLI_START;
	conf_free(c);
	return code;
}

static int main_proxy(const struct cli *cli)
{
	struct conf_sidecar flags = { .listen = cli->listen.list,
				      .num_listen = cli->listen.num,
				      .cert = cli->cert,
				      .key = cli->key,
				      .backend = cli->backend.list,
				      .num_backend = cli->backend.num,
				      .mode = cli->mode,
				      .admin = cli->admin,
				      .redirect_from = cli->redirect_from.list,
				      .num_redirect_from = cli->redirect_from.num };
	char folder[VALUE_MAX];
	struct supervisor_options options = {
		.source = { .file = flags_name, .folder = folder, .text_fd = -1 },
		.program = main_words[0],
		.argv = (const char *const *)main_words,
		.ready_fd = -1,
	};
	char *json = conf_sidecar_json(&flags);
	int code = CLI_START, *fd = &options.source.text_fd;

	if (json == NULL) {
		(void)fprintf(stderr, "sallyport: out of memory\n");
	} else if (!main_folder(NULL, folder)) {
		/* It has said why. */
	} else if (cli->print_config) {
		code = main_print_config(json, folder);
	} else if ((*fd = memfd_create("flags", MFD_CLOEXEC)) >= 0 &&
		   write(*fd, json, strlen(json)) == (ssize_t)strlen(json)) {
		code = supervisor_run(&options);
	} else {
		(void)fprintf(stderr, "sallyport: cannot start: %s\n", strerror(errno));
	}
	if (*fd >= 0)
		(void)close(*fd);
	free(json);
	return code;
}

static int main_schema(const struct cli *cli)
{
	char *text = cli->reference ? conf_reference() : conf_schema();
	int code = CLI_START;

	if (text == NULL)
		(void)fprintf(stderr, "sallyport: out of memory\n");
	else if (fputs(text, stdout) >= 0 &&
		 (text[0] == '\0' || text[strlen(text) - 1] == '\n' || putchar('\n') != EOF))
		code = CLI_OK;
	free(text);
	return code;
}

static int main_version(void)
{
	const char *groups[COMPAT_MAX_GROUPS];
	size_t num = compat_groups(groups);

	(void)printf("sallyport %s\n%s\nkey exchange:", SALLYPORT_VERSION, compat_library());
	for (size_t i = 0; i < num; i++)
		(void)printf(" %s", groups[i]);
	(void)printf("\nfeatures: http/2 http/1.1 tcp tls1.2 tls1.3 tickets sni ecdsa rsa reload "
		     "unix-sockets metrics\nlibraries: libevent %s, nghttp2 %s, jansson %s\n",
		     event_get_version(), nghttp2_version(0)->version_str, JANSSON_VERSION);
	return CLI_OK;
}

static int main_command(const struct cli *cli)
{
	switch (cli->command) {
	case CLI_RUN:
		return main_run(cli);
	case CLI_PROXY:
		return main_proxy(cli);
	case CLI_DEMO:
		return demo_run(cli->listen.num > 0 ? cli->listen.list[0] : "127.0.0.1:8443");
	case CLI_CHECK:
		return main_check(cli);
	case CLI_STATUS:
		return control_run(CONTROL_STATUS, cli->admin, cli->json);
	case CLI_RELOAD:
		return control_run(CONTROL_RELOAD, cli->admin, false);
	case CLI_DRAIN:
		return control_run(CONTROL_DRAIN, cli->admin, false);
	case CLI_SCHEMA:
		return main_schema(cli);
	case CLI_VERSION:
		return main_version();
	case CLI_HELP:
		break;
	}
	return CLI_OK;
}

/* ---- the start */

/* Else the next file that is opened would be taken for one of these. */
static bool main_standard_fds(void)
{
	int fd;

	do {
		if ((fd = open("/dev/null", O_RDWR)) < 0)
			return false;
	} while (fd <= STDERR_FILENO);
	return close(fd) == 0;
}

static bool main_ignore(void)
{
	static const int early[] = { SIGHUP, SIGUSR1, SIGUSR2 };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++)
		if (sigaction(early[i], &ignore, NULL) != 0)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	struct cli cli;
	sigset_t none;
	int code;

	if (argc >= 2 && argv[1][0] == '@')
		return role_main(argc, argv);
	/* Whoever started us may have blocked what we wait for. Until the supervisor listens, what
	 * is meant for one that serves must not end us. */
	if (!main_standard_fds() || !main_ignore() || sigemptyset(&none) != 0 ||
	    sigprocmask(SIG_SETMASK, &none, NULL) != 0)
		return CLI_START;
	main_words = argv;
	if (!cli_parse(argc - 1, (const char *const *)(argv + 1), &cli, stdout, stderr))
		return CLI_USAGE;
	code = main_command(&cli);
	if (fflush(stdout) != 0 && code == CLI_OK) {
		(void)fprintf(stderr, "sallyport: cannot write: %s\n", strerror(errno));
		code = CLI_START;
	}
	return code;
}
