// SPDX-License-Identifier: GPL-2.0-or-later
#include "passed_fds.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(PASSED_FDS_MAX * sizeof(int))];
};

ssize_t passed_fds_send(int socket, const struct iovec *iov, size_t iov_count, const int *fds,
			unsigned int count, int flags)
{
	union control control = { .bytes = { 0 } };
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = iov_count };
	ssize_t sent;

	if (count) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(count * sizeof(int)),
		};
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	sent = sendmsg(socket, &msg, flags | MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}

bool passed_fds_may_retry(ssize_t err)
{
	return err == -EAGAIN || err == -ENOBUFS || err == -ENOMEM || err == -ETOOMANYREFS;
}

/* Alignment makes room for one more than was asked for. Return: their number */
static unsigned int take(const union control *control, int *fds, unsigned int max)
{
	int received[PASSED_FDS_MAX + 1];
	unsigned int count = (control->header.cmsg_len - CMSG_LEN(0)) / sizeof(int);

	memcpy(received, CMSG_DATA(&control->header), count * sizeof(int));
	for (unsigned int i = max; i < count; i++)
		close(received[i]);
	count = MIN(count, max);
	memcpy(fds, received, count * sizeof(int));
	return count;
}

ssize_t passed_fds_receive(int socket, struct iovec iov, int *fds, unsigned int max,
			   unsigned int *count)
{
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(max * sizeof(int)),
	};
	ssize_t len = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	*count = 0;
	if (len < 0)
		return -errno;
	if (CMSG_FIRSTHDR(&msg) && control.header.cmsg_level == SOL_SOCKET &&
	    control.header.cmsg_type == SCM_RIGHTS)
		*count = take(&control, fds, max);
	return len;
}
