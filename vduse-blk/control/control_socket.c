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

#include "passed_fds.h"

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

int control_send_packet(int fd, const char *text, const int *fds, unsigned int count)
{
	const struct iovec iov = { .iov_base = (char *)text, .iov_len = strlen(text) };
	ssize_t sent = passed_fds_send(fd, &iov, 1, fds, count, MSG_DONTWAIT);

	if (sent >= 0)
		return 0;
	return passed_fds_may_retry(sent) ? -EAGAIN : (int)sent;
}

int control_send(int fd, bool ok, int text_fd)
{
	return control_send_packet(fd, ok ? "ok" : "error", &text_fd, 1);
}

ssize_t control_receive_packet(int fd, char *text, size_t size, int fds[CONTROL_FDS_MAX])
{
	const struct iovec iov = { .iov_base = text, .iov_len = size };
	unsigned int count;
	ssize_t len = passed_fds_receive(fd, iov, fds, CONTROL_FDS_MAX, &count);

	while (count < CONTROL_FDS_MAX)
		fds[count++] = -1;
	return len;
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
	char word[8] = "", *text = NULL;
	int fds[CONTROL_FDS_MAX];
	ssize_t len = control_receive_packet(fd, word, sizeof(word) - 1, fds);

	if (len > 0 && fds[0] >= 0)
		text = read_text(fds[0]);
	for (unsigned int i = 0; i < CONTROL_FDS_MAX; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*error = strcmp(word, "ok") != 0;
	return text;
}
