#include "proxy/demo/demo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/conf.h"
#include "proxy/demo/certificate.h"
#include "proxy/process/channel.h"
#include "proxy/process/spawn.h"
#include "proxy/process/supervisor.h"

#define DEMO_NOBODY "65534"

enum { DEMO_CANNOT_START = 3, DEMO_BACKLOG = 128 };

struct demo {
	char folder[256];
	char cert[300], key[300], config[300];
	const char *listen;
	struct conf_address address;
	char backend_address[64];
	pid_t backend, supervisor;
	int channel; /* of the backend; -1: none */
	int signals; /* signalfd */
	int ready;   /* a byte comes when everything serves */
	int exit_code;
};

static bool demo_fail(const char *what)
{
	(void)fprintf(stderr, "sallyport demo: %s: %s\n", what, strerror(errno));
	return false;
}

/* ---- the folder */

static bool demo_folder(struct demo *d)
{
	const char *temporary = getenv("TMPDIR");

	if (temporary == NULL || temporary[0] != '/' || strlen(temporary) > 200)
		temporary = "/tmp";
	(void)snprintf(d->folder, sizeof(d->folder), "%s/sallyport-demo-XXXXXX", temporary);
	if (mkdtemp(d->folder) == NULL) {
		d->folder[0] = '\0';
		return demo_fail("cannot make a temporary folder");
	}
	(void)snprintf(d->cert, sizeof(d->cert), "%s/demo.crt", d->folder);
	(void)snprintf(d->key, sizeof(d->key), "%s/demo.key", d->folder);
	(void)snprintf(d->config, sizeof(d->config), "%s/sallyport.json", d->folder);
	return demo_certificate(d->address.host, d->cert, d->key) ||
	       demo_fail("cannot make a certificate");
}

static void demo_remove(struct demo *d)
{
	if (d->folder[0] == '\0')
		return;
	(void)unlink(d->cert);
	(void)unlink(d->key);
	(void)unlink(d->config);
	(void)rmdir(d->folder);
}

static bool demo_config(const struct demo *d)
{
	const char *backends[] = { d->backend_address };
	struct conf_sidecar flags = { .listen = &d->listen,
				      .num_listen = 1,
				      .cert = d->cert,
				      .key = d->key,
				      .backend = backends,
				      .num_backend = 1,
				      .admin = "false" };
	char *json = conf_sidecar_json(&flags);
	FILE *f = json == NULL ? NULL : fopen(d->config, "wxe");
	bool ok = false;

	if (f != NULL) {
		ok = fputs(json, f) >= 0;
		ok = fclose(f) == 0 && ok;
	}
	free(json);
	return ok || demo_fail("cannot write the configuration");
}

/* ---- the backend */

/* A socket on a free port of the loopback interface. */
static int demo_listen(struct demo *d)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(a);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	    listen(fd, DEMO_BACKLOG) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0) {
		(void)snprintf(d->backend_address, sizeof(d->backend_address), "127.0.0.1:%u",
			       (unsigned)ntohs(a.sin_port));
		return fd;
	}
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

static bool demo_backend(struct demo *d)
{
	const char *id = geteuid() == 0 ? DEMO_NOBODY : "";
	const char *argv[] = { "sallyport: demo backend", "@demo-backend", id, id, "", NULL };
	struct spawn_role role = { .argv = argv, .ends_with_us = true };
	struct channel_message m = { .type = CHANNEL_SOCKET };
	int exe = spawn_open(), fd = demo_listen(d);
	bool ok = exe >= 0 && fd >= 0 && spawn_start(exe, &role, &d->backend, &d->channel) &&
		  channel_send(d->channel, &m, &fd, 1);

	if (!ok)
		(void)demo_fail("cannot start the backend");
	if (exe >= 0)
		(void)close(exe);
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

/* ---- the supervisor */

static bool demo_signals(struct demo *d)
{
	sigset_t wanted;

	(void)sigemptyset(&wanted);
	(void)sigaddset(&wanted, SIGINT);
	(void)sigaddset(&wanted, SIGTERM);
	(void)sigaddset(&wanted, SIGQUIT);
	(void)sigaddset(&wanted, SIGHUP);
	(void)sigaddset(&wanted, SIGUSR1);
	(void)sigaddset(&wanted, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &wanted, NULL) != 0)
		return demo_fail("cannot block signals");
	d->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signals >= 0 || demo_fail("cannot wait for signals");
}

/* In the new process. */
static _Noreturn void demo_supervise(const struct demo *d, int ready_fd)
{
	struct supervisor_options options = {
		.source = { .file = d->config, .folder = d->folder, .text_fd = -1 },
		.ready_fd = ready_fd,
	};
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)close(d->signals);
	(void)close(d->ready);
	(void)close(d->channel);
	exit(supervisor_run(&options));
}

static bool demo_start(struct demo *d)
{
	pid_t parent = getpid();
	int ready[2];

	if (pipe2(ready, O_CLOEXEC) != 0)
		return demo_fail("cannot make a pipe");
	d->ready = ready[0];
	(void)fflush(NULL);
	d->supervisor = fork();
	if (d->supervisor == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) != 0 || getppid() != parent)
			_exit(DEMO_CANNOT_START);
		demo_supervise(d, ready[1]);
	}
	(void)close(ready[1]);
	return d->supervisor > 0 || demo_fail("cannot start a process");
}

/* ---- waiting */

static void demo_welcome(const struct demo *d)
{
	const char *host = d->address.host != NULL ? d->address.host : "127.0.0.1";
	char url[300];

	if (d->address.is_unix)
		(void)snprintf(url, sizeof(url), "--unix-socket %s https://localhost/",
			       d->address.path);
	else if (strchr(host, ':') != NULL)
		(void)snprintf(url, sizeof(url), "https://[%s]:%u/", host, d->address.port);
	else
		(void)snprintf(url, sizeof(url), "https://%s:%u/", host, d->address.port);
	(void)printf("\nSallyport serves with the configuration %s\n"
		     "try: curl -k %s\n"
		     "ctrl-c ends it\n\n",
		     d->config, url);
	(void)fflush(stdout);
}

/* True once the supervisor has ended. */
static bool demo_reap(struct demo *d)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == d->supervisor) {
			d->supervisor = 0;
			d->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : DEMO_CANNOT_START;
			ended = true;
		} else if (pid == d->backend) {
			d->backend = 0;
			(void)fprintf(stderr, "sallyport demo: the backend has ended\n");
			if (d->supervisor != 0)
				(void)kill(d->supervisor, SIGTERM);
		}
	}
	return ended;
}

/* True once the supervisor has ended. */
static bool demo_signal(struct demo *d)
{
	struct signalfd_siginfo info;

	while (read(d->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			if (demo_reap(d))
				return true;
		} else if (d->supervisor != 0) {
			(void)kill(d->supervisor, (int)info.ssi_signo);
		}
	}
	return false;
}

static void demo_wait(struct demo *d)
{
	struct pollfd on[] = { { .fd = d->signals, .events = POLLIN },
			       { .fd = d->ready, .events = POLLIN } };
	char byte;

	for (;;) {
		if (poll(on, 2, -1) < 0 && errno != EINTR) {
			(void)demo_fail("cannot wait");
			return;
		}
		if (on[1].revents != 0) {
			if (read(d->ready, &byte, 1) == 1)
				demo_welcome(d);
			on[1].fd = -1;
		}
		if (on[0].revents != 0 && demo_signal(d))
			return;
	}
}

int demo_run(const char *listen)
{
	struct demo d = { .listen = listen,
			  .channel = -1,
			  .signals = -1,
			  .ready = -1,
			  .exit_code = DEMO_CANNOT_START };
	char why[256];

	if (!conf_address_parse(listen, false, &d.address, why, sizeof(why))) {
		(void)fprintf(stderr, "sallyport demo: --listen: %s\n", why);
		return 2;
	}
	if (demo_signals(&d) && demo_folder(&d) && demo_backend(&d) && demo_config(&d) &&
	    demo_start(&d))
		demo_wait(&d);
	if (d.backend > 0 && kill(d.backend, SIGKILL) == 0)
		(void)waitpid(d.backend, NULL, 0);
	if (d.channel >= 0)
		(void)close(d.channel);
	if (d.signals >= 0)
		(void)close(d.signals);
	if (d.ready >= 0)
		(void)close(d.ready);
	demo_remove(&d);
	conf_address_fini(&d.address);
	return d.exit_code;
}
