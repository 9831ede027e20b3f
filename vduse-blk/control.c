// SPDX-License-Identifier: GPL-2.0-or-later
#include "control.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

#define SUFFIX	    ".control"
#define CLIENTS_MAX 16u
#define ASK_WAIT_S  10

struct client {
	struct control *control;
	struct ring_poll poll;
};

static int address_of(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	return 0;
}

/* Sends a word and, as a descriptor, the memory file with the text. */
static void send_answer(int fd, bool ok, int text_fd)
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
	if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("control: %s", strerror(errno)); /* it did not wait for us */
}

static void answer_client(struct control *control, int fd, const char *question)
{
	int text_fd = memfd_create("answer", MFD_CLOEXEC);
	FILE *to = text_fd < 0 ? NULL : fdopen(text_fd, "w");
	bool ok;

	if (!to) {
		log_err("control: cannot answer: %s", strerror(errno));
		if (text_fd >= 0)
			close(text_fd);
		return;
	}
	ok = control->answer(control, question, to);
	if (!fflush(to))
		send_answer(fd, ok, text_fd);
	fclose(to);
}

static void client_stopped(struct ring_poll *poll)
{
	struct client *client = container_of(poll, struct client, poll);
	struct control *control = client->control;

	close(poll->fd);
	free(client);
	control->clients--;
	if (control->stopping && !control->clients && !control->accepts.ring)
		control->stopped(control);
}

static void client_ready(struct ring_poll *poll)
{
	struct client *client = container_of(poll, struct client, poll);
	static char question[CONTROL_QUESTION_MAX + 1]; /* the main thread's */
	ssize_t len = recv(poll->fd, question, CONTROL_QUESTION_MAX, MSG_DONTWAIT);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len > 0) {
		question[len] = 0;
		answer_client(client->control, poll->fd, question);
	}
	ring_poll_stop(poll, client_stopped);
}

static void accept_one(struct control *control, int fd)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return;
	}
	client->control = control;
	control->clients++;
	ring_poll_start(control->ring, &client->poll, fd, client_ready);
}

static void accepts_ready(struct ring_poll *poll)
{
	struct control *control = container_of(poll, struct control, accepts);
	int fd;

	while ((fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (control->clients < CLIENTS_MAX)
			accept_one(control, fd);
		else
			close(fd);
	}
}

/* Return: connected; -ECONNREFUSED: nobody listens any more; other -errno */
static int connect_to(const char *path)
{
	struct timeval wait = { .tv_sec = ASK_WAIT_S };
	struct sockaddr_un address;
	int fd, err;

	err = address_of(path, &address);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static bool is_control(const char *name, pid_t *pid)
{
	char *end;

	*pid = (pid_t)strtol(name, &end, 10);
	return *pid > 0 && end != name && !strcmp(end, SUFFIX);
}

/* What is left of servers that were killed. */
static void remove_dead(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	char path[512];
	pid_t pid;
	int fd;

	while (dir && (entry = readdir(dir))) {
		if (!is_control(entry->d_name, &pid))
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		fd = connect_to(path);
		if (fd >= 0)
			close(fd);
		else if (fd == -ECONNREFUSED)
			unlink(path);
	}
	if (dir)
		closedir(dir);
}

static int listen_on(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	int err;

	if (fd < 0)
		return -errno;
	err = address_of(path, &address);
	if (!err) {
		unlink(path); /* of a process that had our number before */
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 16))
			err = -errno;
	}
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int control_start(struct control *control, struct ring *ring, const char *directory)
{
	control->ring = ring;
	remove_dead(directory);
	snprintf(control->path, sizeof(control->path), "%s/%d" SUFFIX, directory, (int)getpid());
	control->fd = listen_on(control->path);
	if (control->fd < 0) {
		log_err("cannot listen on %s: %s", control->path, strerror(-control->fd));
		return control->fd;
	}
	ring_poll_start(ring, &control->accepts, control->fd, accepts_ready);
	return 0;
}

static void accepts_stopped(struct ring_poll *poll)
{
	struct control *control = container_of(poll, struct control, accepts);

	poll->ring = NULL;
	close(control->fd);
	if (!control->clients)
		control->stopped(control);
}

void control_stop(struct control *control, void (*stopped)(struct control *control))
{
	control->stopping = true;
	control->stopped = stopped;
	unlink(control->path);
	ring_poll_stop(&control->accepts, accepts_stopped);
}

/* Takes the word and the text. Return: the text, to be freed; NULL: no answer */
static char *receive_answer(int fd, bool *error)
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
	off_t size;
	char *text;

	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return NULL;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(&text_fd, CMSG_DATA(cmsg), sizeof(int));
	size = text_fd < 0 ? -1 : lseek(text_fd, 0, SEEK_END);
	text = size < 0 ? NULL : calloc(1, (size_t)size + 1);
	if (text && pread(text_fd, text, (size_t)size, 0) != size)
		text[0] = 0;
	if (text_fd >= 0)
		close(text_fd);
	*error = strcmp(word, "ok") != 0;
	return text;
}

int control_ask(const char *directory, const char *question,
		void (*answer)(pid_t pid, bool error, const char *text, void *ctx), void *ctx)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	char path[512], *text;
	int fd, count = 0;
	bool error;
	pid_t pid;

	if (!dir && errno != ENOENT) {
		log_err("%s: %s", directory, strerror(errno));
		return -errno;
	}
	while (dir && (entry = readdir(dir))) {
		if (!is_control(entry->d_name, &pid))
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		fd = connect_to(path);
		if (fd < 0)
			continue; /* it has just ended */
		text = NULL;
		if (send(fd, question, strlen(question), MSG_NOSIGNAL) > 0)
			text = receive_answer(fd, &error);
		close(fd);
		if (!text) {
			log_err("the server with process id %d does not answer", (int)pid);
			continue;
		}
		answer(pid, error, text, ctx);
		free(text);
		count++;
	}
	if (dir)
		closedir(dir);
	return count;
}
