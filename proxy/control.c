#include "proxy/control.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf/conf.h"
#include "proxy/cli.h"
#include "proxy/process/loader_addresses.h"

enum {
	CONTROL_MAX_ANSWER = 64 << 20,
	CONTROL_PATIENCE_S = 130, /* an instance gives an outcome sooner */
	CONTROL_FIRST_ROOM = 64 << 10,
};

/* ---- connecting */

static bool control_be_patient(int fd)
{
	struct timeval patience = { .tv_sec = CONTROL_PATIENCE_S };

	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0;
}

static int control_connect_to(int family, const struct sockaddr *address, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

	if (fd >= 0 && control_be_patient(fd) && connect(fd, address, len) == 0)
		return fd;
	error = errno;
	if (fd >= 0)
		(void)close(fd);
	errno = error;
	return -1;
}

static int control_connect_unix(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(at.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(at.sun_path, path, strlen(path) + 1);
	return control_connect_to(AF_UNIX, (const struct sockaddr *)&at, sizeof(at));
}

static int control_connect_tcp(const struct conf_address *a)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	char port[16];
	int fd = -1;

	(void)snprintf(port, sizeof(port), "%u", a->port);
	if (getaddrinfo(a->host, port, &hints, &found) != 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	for (struct addrinfo *i = found; i != NULL && fd < 0; i = i->ai_next)
		fd = control_connect_to(i->ai_family, i->ai_addr, i->ai_addrlen);
	freeaddrinfo(found);
	return fd;
}

/* Returns the exit code of a failure, 0 with the connection. */
static int control_connect(const char *admin, int *fd)
{
	struct conf_address a;
	char path[108], why[256], text[128];

	if (admin == NULL) {
		if (!loader_default_admin(geteuid() == 0, getenv("XDG_RUNTIME_DIR"), path,
					  sizeof(path))) {
			(void)fprintf(stderr,
				      "sallyport: XDG_RUNTIME_DIR is not set: give --admin\n");
			return CLI_USAGE;
		}
		(void)snprintf(text, sizeof(text), "unix:%s", path);
		admin = text;
	}
	if (!conf_address_parse(admin, true, &a, why, sizeof(why))) {
		(void)fprintf(stderr, "sallyport: --admin %s: %s\n", admin, why);
		return CLI_USAGE;
	}
	*fd = a.is_unix ? control_connect_unix(a.path) : control_connect_tcp(&a);
	conf_address_fini(&a);
	if (*fd >= 0)
		return CLI_OK;
	(void)fprintf(stderr,
		      "sallyport: nobody answers at %s: %s; is it running, and with this `admin` "
		      "address (--admin)?\n",
		      admin, strerror(errno));
	return CLI_START;
}

/* ---- asking: HTTP/1.0, so that the end of the stream is the end of the answer */

static bool control_send(int fd, const char *method, const char *path)
{
	char request[128];
	int n = snprintf(request, sizeof(request),
			 "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", method,
			 path);

	return send(fd, request, (size_t)n, MSG_NOSIGNAL) == n;
}

/* Reads to the end. NULL with errno. */
static char *control_read(int fd)
{
	size_t room = CONTROL_FIRST_ROOM, n = 0;
	char *all = malloc(room), *more;
	ssize_t got;

	while (all != NULL) {
		if (n + 1 == room) {
			more = room >= CONTROL_MAX_ANSWER ? NULL : realloc(all, room * 2);
			if (more == NULL)
				break;
			all = more;
			room *= 2;
		}
		got = recv(fd, all + n, room - n - 1, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		if (got == 0) {
			all[n] = '\0';
			return all;
		}
		n += (size_t)got;
	}
	free(all);
	return NULL;
}

/* The body and the status of an answer; NULL: it is none. */
static char *control_body(char *answer, int *status)
{
	char *body = strstr(answer, "\r\n\r\n");
	char *end;

	if (body == NULL || strncmp(answer, "HTTP/1.", 7) != 0 || strlen(answer) < 12)
		return NULL;
	*status = (int)strtol(answer + 9, &end, 10);
	return end == answer + 12 ? body + 4 : NULL;
}

static int control_say(enum control_command command, int status, const char *body, bool json)
{
	bool done = status == 200;

	if (done && command == CONTROL_STATUS && !json) {
		if (control_say_status(body, stdout))
			return CLI_OK;
		(void)fprintf(stderr, "sallyport: it is no Sallyport that answers there\n");
		return CLI_START;
	}
	(void)fprintf(done ? stdout : stderr, "%s%s", body, done && json ? "\n" : "");
	return done ? CLI_OK : CLI_CONFIGURATION;
}

int control_run(enum control_command command, const char *admin, bool json)
{
	static const struct {
		const char *method, *path;
	} requests[] = { [CONTROL_STATUS] = { "GET", "/status" },
			 [CONTROL_RELOAD] = { "POST", "/reload" },
			 [CONTROL_DRAIN] = { "POST", "/drain" } };
	char *answer = NULL, *body = NULL;
	int fd = -1, status = 0, code = control_connect(admin, &fd);

	if (code != CLI_OK)
		return code;
	errno = 0;
	if (control_send(fd, requests[command].method, requests[command].path))
		answer = control_read(fd);
	if (answer != NULL)
		body = control_body(answer, &status);
	if (body != NULL) {
		code = control_say(command, status, body, json);
	} else {
		(void)fprintf(stderr, "sallyport: no answer: %s\n",
			      errno != 0 ? strerror(errno) : "the connection was closed");
		code = CLI_START;
	}
	free(answer);
	(void)close(fd);
	return code;
}
