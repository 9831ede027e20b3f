/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages with descriptors on Unix sockets (SCM_RIGHTS of unix(7)). Any thread. */
#ifndef LIB_PASSED_FDS_H
#define LIB_PASSED_FDS_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "compiler.h"

#define PASSED_FDS_MAX 32 /* with one message */

/**
 * passed_fds_send() - sendmsg() with @count descriptors, which the caller closes
 * @flags: of sendmsg(); MSG_NOSIGNAL is added
 *
 * Return: bytes; -errno
 */
ssize_t passed_fds_send(int socket, const struct iovec *iov, size_t iov_count, const int *fds,
			unsigned int count, int flags);

/**
 * passed_fds_may_retry() - is @err of passed_fds_send() a shortage that passes?
 *
 * The socket is full, the kernel has no memory, or too many descriptors of this user are in flight in
 * sockets (ETOOMANYREFS of unix(7)).
 */
bool passed_fds_may_retry(ssize_t err);

/**
 * passed_fds_receive() - recvmsg() with the descriptors of the message; does not block
 * @fds:   out: the caller's; room for @max, which is at most PASSED_FDS_MAX
 * @count: out: their number. Others, for which there was no room or no number, are closed
 *
 * Return: bytes; 0: the other end has closed the connection; -errno, and *@count is 0
 */
ssize_t passed_fds_receive(int socket, struct iovec iov, int *fds, unsigned int max,
			   unsigned int *count);

#endif
