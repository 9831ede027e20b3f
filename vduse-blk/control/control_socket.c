// SPDX-License-Identifier: GPL-2.0-or-later
#include "control_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define SUFFIX	".control"
#define BACKLOG 64

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

enum control_name control_name_of(const char *name)
{
	bool hidden = name[0] == '.', unique = false;
	char *end;

	name += hidden;
	if (name[0] < '1' || name[0] > '9')
		return CONTROL_NAME_OTHER;
	strtoul(name, &end, 10);
	if (*end == '-') {
		end++;
		unique = strspn(end, "0123456789abcdef") == 8;
		end += unique ? 8 : 0;
	}
	if (strcmp(end, SUFFIX) || (hidden && !unique))
		return CONTROL_NAME_OTHER;
	if (hidden)
		return CONTROL_NAME_HIDDEN;
	return unique ? CONTROL_NAME_UNIQUE : CONTROL_NAME_PLAIN;
}

static int address_of(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	return 0;
}

static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

/* Return: 0; -errno, and then @hidden does not exist */
static int bind_and_listen(int fd, const char *hidden, const char *path)
{
	struct sockaddr_un address;
	int err = address_of(hidden, &address);

	if (err)
		return err;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	if (listen(fd, BACKLOG) || rename(hidden, path)) {
		err = -errno;
		unlink(hidden);
	}
	return err;
}

int control_listen(const char *directory, char *path)
{
	char hidden[CONTROL_PATH_MAX];
	uint32_t random;
	int fd, err;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	if (snprintf(path, CONTROL_PATH_MAX, "%s/%d-%08x" SUFFIX, directory, (int)getpid(),
		     random) >= CONTROL_PATH_MAX - 1)
		return -ENAMETOOLONG;
	snprintf(hidden, sizeof(hidden), "%.100s/.%s", directory, path + strlen(directory) + 1);
	fd = open_socket();
	if (fd < 0)
		return fd;
	err = bind_and_listen(fd, hidden, path);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int control_connect(const char *path)
{
	struct sockaddr_un address;
	int fd, err;

	err = address_of(path, &address);
	if (err)
		return err;
	fd = open_socket();
	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/*
 * For Linux before 6.5. The process id may have been reused for another process, but not while the
 * connection is open: its other end is open in the process, or is in the backlog of its socket.
 */
static int open_pidfd(int fd, pid_t pid)
{
	struct pollfd connection = { .fd = fd };
	int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (pidfd >= 0 && poll(&connection, 1, 0) != 0) {
		close(pidfd);
		return -1;
	}
	return pidfd;
}

void control_peer_get(int fd, struct control_peer *peer)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	*peer = (struct control_peer){ .pidfd = -1 };
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		peer->pid = cred.pid;
	len = sizeof(peer->pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &peer->pidfd, &len))
		peer->pidfd = errno == ENOPROTOOPT ? open_pidfd(fd, peer->pid) : -1;
}

void control_peer_put(struct control_peer *peer)
{
	if (peer->pidfd >= 0)
		close(peer->pidfd);
	peer->pidfd = -1;
}

const char *control_peer_name(pid_t pid, char text[CONTROL_PEER_NAME_MAX])
{
	if (pid)
		snprintf(text, CONTROL_PEER_NAME_MAX, "the server with process id %d", (int)pid);
	else
		strcpy(text, "a server in another PID namespace");
	return text;
}

int control_send(int fd, bool ok, int text_fd)
{
	char word[8], control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = word };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	strcpy(word, ok ? "ok" : "error");
	iov.iov_len = strlen(word);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &text_fd, sizeof(int));
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static char *read_text(int text_fd)
{
	off_t size = lseek(text_fd, 0, SEEK_END);
	char *text = size < 0 ? NULL : calloc(1, (size_t)size + 1);

	if (text && pread(text_fd, text, (size_t)size, 0) != size)
		text[0] = 0;
	return text;
}

char *control_receive(int fd, bool *error)
{
	char word[8] = "", control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = word, .iov_len = sizeof(word) - 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	int text_fd = -1;
	char *text;

	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0)
		return NULL;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(&text_fd, CMSG_DATA(cmsg), sizeof(int));
	if (text_fd < 0)
		return NULL;
	text = read_text(text_fd);
	close(text_fd);
	*error = strcmp(word, "ok") != 0;
	return text;
}
