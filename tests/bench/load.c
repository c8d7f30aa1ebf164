/* bench_load: what tests/bench/run.py loads a proxy with; see load.h. */
#include "tests/bench/load.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { MAX_UNITS = 10000000, MAX_CONCURRENCY = 20000 };

bool load_add_fd(int epoll, int fd, uint32_t events, void *of)
{
	struct epoll_event e = { .events = events, .data.ptr = of };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

bool load_tune_fd(int fd, uint16_t segment)
{
	int on = 1, bytes = segment;

	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
	       (segment == 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &bytes, sizeof(bytes)) == 0);
}

static int usage(void)
{
	(void)fputs(
		"usage: bench_load backend PORT [--segment BYTES]\n"
		"       bench_load full|resumed|bodies|idle|kept PORT [--units N] [--concurrency N]\n"
		"                  [--open N] [--asking N] [--body BYTES] [--segment BYTES] [--plain]\n"
		"                  [--seconds N] [--pause MS]\n",
		stderr);
	return 2;
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *text == '-' || n > max)
		return false;
	*out = n;
	return true;
}

static bool kind_of(const char *name, enum load_kind *out)
{
	static const char *const names[] = {
		[LOAD_FULL] = "full", [LOAD_RESUMED] = "resumed", [LOAD_BODIES] = "bodies",
		[LOAD_IDLE] = "idle", [LOAD_KEPT] = "kept",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = (enum load_kind)i;
			return true;
		}
	}
	return false;
}

static bool options(int argc, char **argv, struct load *what)
{
	static const struct option known[] = {
		{ "units", required_argument, NULL, 'n' },
		{ "concurrency", required_argument, NULL, 'c' },
		{ "open", required_argument, NULL, 'o' },
		{ "asking", required_argument, NULL, 'a' },
		{ "body", required_argument, NULL, 'b' },
		{ "segment", required_argument, NULL, 's' },
		{ "plain", no_argument, NULL, 'p' },
		{ "seconds", required_argument, NULL, 't' },
		{ "pause", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t n;
	int o;

	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (o) {
		case 'n':
			if (!number(optarg, MAX_UNITS, &n) || n == 0)
				return false;
			what->units = (unsigned)n;
			break;
		case 'c':
			if (!number(optarg, MAX_CONCURRENCY, &n) || n == 0)
				return false;
			what->concurrency = (unsigned)n;
			break;
		case 'o':
			if (!number(optarg, MAX_CONCURRENCY, &n))
				return false;
			what->open = (unsigned)n;
			break;
		case 'a':
			if (!number(optarg, MAX_CONCURRENCY, &n))
				return false;
			what->asking = (unsigned)n;
			break;
		case 'b':
			if (!number(optarg, UINT64_C(1) << 40, &what->body))
				return false;
			break;
		case 's':
			if (!number(optarg, UINT16_MAX, &n))
				return false;
			what->segment = (uint16_t)n;
			break;
		case 'w':
			if (!number(optarg, 10000, &n))
				return false;
			what->pause_ms = (unsigned)n;
			break;
		case 't':
			if (!number(optarg, 3600, &n))
				return false;
			what->seconds = (unsigned)n;
			break;
		case 'p':
			what->plain = true;
			break;
		default:
			return false;
		}
	}
	if (what->open < what->concurrency)
		what->open = what->concurrency;
	if (what->asking == 0 || what->asking > what->open)
		what->asking = what->open;
	return optind == argc && (what->body > 0 || what->kind != LOAD_BODIES);
}

int main(int argc, char **argv)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct load what = { .units = 1000, .concurrency = 32 };
	uint64_t port;

	if (argc < 3 || !number(argv[2], UINT16_MAX, &port) || port == 0)
		return usage();
	if (sigaction(SIGPIPE, &ignore, NULL) != 0)
		return 1;
	if (strcmp(argv[1], "backend") == 0)
		return options(argc - 2, argv + 2, &what)
			       ? (load_backend((uint16_t)port, what.segment) ? 0 : 1)
			       : usage();
	if (!kind_of(argv[1], &what.kind) || !options(argc - 2, argv + 2, &what))
		return usage();
	what.port = (uint16_t)port;
	return load_clients(&what) ? 0 : 1;
}
