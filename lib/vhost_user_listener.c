// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

#define SUFFIX	 ".lock"
#define LOCK_MAX (VHOST_USER_PATH_MAX + sizeof(SUFFIX))

static void lock_path(const char *path, char out[LOCK_MAX])
{
	snprintf(out, LOCK_MAX, "%s" SUFFIX, path);
}

/* Others could replace the socket by their own, and receive the memory of a guest. */
static int check_directory(const char *name, const char *path)
{
	char directory[VHOST_USER_PATH_MAX];
	struct stat st;
	char *slash;

	strcpy(directory, path);
	slash = strrchr(directory, '/');
	if (!slash)
		strcpy(directory, ".");
	else
		slash[slash == directory] = '\0';
	if (stat(directory, &st)) {
		int err = -errno;

		log_err("%s: cannot use socket %s: directory %s: %s", name, path, directory,
			strerror(-err));
		return err;
	}
	if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX)) {
		log_err("%s: cannot use socket %s: every user may write to directory %s; use "
			"another directory, or 'chmod o-w %s'",
			name, path, directory, directory);
		return -EPERM;
	}
	return 0;
}

/* Return: a locked descriptor; -EAGAIN: another process has the lock; -ESTALE: try again */
static int lock_try(const char *file)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;
	int fd, err = 0;

	fd = open(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &lock))
		err = errno == EACCES ? -EAGAIN : -errno;
	else if (fstat(fd, &st) || !st.st_nlink)
		err = -ESTALE; /* the former owner has just removed it */
	if (!err)
		return fd;
	close(fd);
	return err;
}

static void remove_lock(const char *path)
{
	char file[LOCK_MAX];

	lock_path(path, file);
	unlink(file);
}

static int lock_open(const char *name, const char *path)
{
	char file[LOCK_MAX];
	int fd, tries = 0;

	lock_path(path, file);
	do
		fd = lock_try(file);
	while (fd == -ESTALE && ++tries < 10);
	if (fd >= 0)
		return fd;
	if (fd == -EAGAIN) {
		log_err("%s: socket %s belongs to a running server; choose another socket, or stop "
			"that server",
			name, path);
		return -EADDRINUSE;
	}
	log_err("%s: cannot lock %s: %s", name, file, strerror(-fd));
	return fd;
}

/* Removes the socket of a dead server. Anything else at @path stays, and bind() fails. */
static void remove_stale(const char *path)
{
	struct stat st;

	if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
		unlink(path);
}

/* Return: 0; -ENOENT: there is no such group; other -errno */
static int find_group(const char *group, gid_t *gid)
{
	size_t size = 4096, most = 16 << 20;
	struct group entry, *found = NULL;
	int err = ERANGE;

	if (group[0] && group[strspn(group, "0123456789")] == '\0') {
		unsigned long number = strtoul(group, NULL, 10);

		*gid = (gid_t)number;
		return number < UINT32_MAX ? 0 : -ENOENT; /* (gid_t)-1: no change */
	}
	for (; err == ERANGE && size <= most; size *= 4) {
		char *buffer = malloc(size);

		if (!buffer)
			return -ENOMEM;
		err = getgrnam_r(group, &entry, buffer, size, &found);
		if (!err && found)
			*gid = entry.gr_gid;
		free(buffer);
	}
	return err ? -err : found ? 0 : -ENOENT;
}

static int set_access(const char *name, const struct vhost_user_listener *listener)
{
	gid_t gid;
	int err = 0;

	if (listener->group)
		err = find_group(listener->group, &gid);
	if (err) {
		log_err("%s: cannot use socket_group = %s: %s", name, listener->group,
			err == -ENOENT ? "there is no such group" : strerror(-err));
		return err;
	}
	/* First the group: until then only the owner may connect (umask of bind_socket()). */
	if ((listener->group && lchown(listener->path, (uid_t)-1, gid)) ||
	    chmod(listener->path, listener->mode)) {
		err = -errno;
		log_err("%s: cannot set group and mode of %s: %s", name, listener->path,
			strerror(-err));
	}
	return err;
}

static int bind_socket(const char *name, struct vhost_user_listener *listener)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int err;

	strcpy(address.sun_path, listener->path);
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0) {
		err = -errno;
		log_err("%s: cannot create a socket: %s", name, strerror(-err));
		return err;
	}
	/* The mode of the file is that of the socket, so no process can connect before set_access(). */
	if (!fchmod(listener->fd, 0600) &&
	    !bind(listener->fd, (struct sockaddr *)&address, sizeof(address)))
		return 0;
	err = -errno;
	log_err("%s: cannot create socket %s: %s", name, listener->path,
		err == -EADDRINUSE ? "there is a file that is not a socket" : strerror(-err));
	close(listener->fd);
	listener->fd = -1;
	return err;
}

static int start_listening(const char *name, struct vhost_user_listener *listener)
{
	int err = bind_socket(name, listener);

	if (err)
		return err;
	err = set_access(name, listener);
	if (!err && listen(listener->fd, 16)) {
		err = -errno;
		log_err("%s: cannot listen on %s: %s", name, listener->path, strerror(-err));
	}
	if (!err)
		return 0;
	unlink(listener->path);
	close(listener->fd);
	listener->fd = -1;
	return err;
}

int vhost_user_listen(const char *name, struct vhost_user_listener *listener)
{
	int err;

	if (listener->inherited)
		return 0;
	listener->fd = listener->lock_fd = -1;
	if (strlen(listener->path) >= VHOST_USER_PATH_MAX) {
		log_err("%s: socket %s is too long: %zu bytes, at most %d are possible", name,
			listener->path, strlen(listener->path), VHOST_USER_PATH_MAX - 1);
		return -ENAMETOOLONG;
	}
	err = check_directory(name, listener->path);
	if (err)
		return err;
	listener->lock_fd = lock_open(name, listener->path);
	if (listener->lock_fd < 0)
		return listener->lock_fd;
	remove_stale(listener->path);
	err = start_listening(name, listener);
	if (!err)
		return 0;
	remove_lock(listener->path);
	vhost_user_unlisten(listener);
	return err;
}

void vhost_user_unlink(const struct vhost_user_listener *listener)
{
	if (listener->inherited)
		return;
	unlink(listener->path);
	remove_lock(listener->path);
}

void vhost_user_unlisten(struct vhost_user_listener *listener)
{
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->lock_fd >= 0)
		close(listener->lock_fd);
	listener->fd = listener->lock_fd = -1;
}
