/* listen: makes listening sockets: the binding of addresses, and nothing of who accepts. Blocks
 * for no peer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

enum { LISTEN_BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

/* How to listen. */
struct listen_how {
	const struct sockaddr_storage *address;
	socklen_t len;
	bool both_families; /* the address is "::" and stands for IPv4, too */
	bool beside_ours;   /* the port is ours already, at an address that may overlap */
	mode_t mode;	    /* of a unix socket */
};

/* The file of a unix socket that was bound, so that another's is never removed. */
struct listen_file {
	char path[108]; /* "": none */
	dev_t device;
	ino_t inode;
};

/* listen_tcp opens `num` sockets that share the address, each with a queue of its own
 * (SO_REUSEPORT); whoever else has the address, a second instance of ours too, is refused. Where
 * there is no IPv6, `both_families` becomes IPv4. False, nothing open: `why` says what and what to
 * do. */
bool listen_tcp(const struct listen_how *how, unsigned num, int *fds, char *why, size_t why_len);

/* listen_folder makes the folder of a unix socket, mode 0755, where it is missing. False: `why`
 * says what and what to do. */
bool listen_folder(const struct sockaddr_storage *address, char *why, size_t why_len);

/* listen_unix opens one socket and fills `file`. A file that is in the way goes only if it is a
 * socket that nobody answers at. Returns the descriptor; -1: `why` says what and what to do. */
int listen_unix(const struct listen_how *how, struct listen_file *file, char *why, size_t why_len);

/* listen_adopt_file fills `file` for a unix socket that another process has bound; it stays empty
 * where its path is gone. */
void listen_adopt_file(int fd, struct listen_file *file);

/* listen_unlink removes a unix socket's file if it is still the one that was bound. To be called
 * before the socket is closed: then nothing else can have its inode. */
void listen_unlink(struct listen_file *file);
