/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket that front ends connect to. The functions access the file system, and may block there:
 * call them in a task (task.h).
 *
 * A lock file, PATH.lock, belongs to the server that listens. So a server knows without connect()
 * whether the socket at PATH is in use: connect() could wait for a server that is stopped.
 */
#ifndef LIB_VHOST_USER_LISTENER_H
#define LIB_VHOST_USER_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"

#define VHOST_USER_PATH_MAX 108 /* of struct sockaddr_un, with the null byte */

struct vhost_user_listener {
	/* Set by the caller. */
	const char *path;
	mode_t mode;	   /* of the socket */
	const char *group; /* of the socket; NULL: that of the process */
	bool inherited;	   /* the process was started with @fd: there is no path */

	/* Set by vhost_user_listen(). */
	int fd;	     /* non-blocking, listening */
	int lock_fd; /* locked */
};

/**
 * vhost_user_listen() - create the socket and listen
 *
 * No effect on an inherited one. A socket that a dead server left is replaced. A path to anything else is refused. Return: 0;
 * -EADDRINUSE: a live server listens; other -errno; logged
 */
int __must_check vhost_user_listen(const char *name, struct vhost_user_listener *listener);

/** vhost_user_unlink() - remove the socket and the lock file of a listener, before it is closed */
void vhost_user_unlink(const struct vhost_user_listener *listener);

/** vhost_user_unlisten() - close the descriptors. Does not block. No effect where there are none */
void vhost_user_unlisten(struct vhost_user_listener *listener);

#endif
