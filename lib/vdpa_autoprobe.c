// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdpa_autoprobe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "log.h"
#include "sysfs.h"
#include "vdpa_paths.h"

#define LOCK_POLL_MS 1

/*
 * Threads of this process wait for each other with this mutex. So the time limit for the lock of
 * the host is spent on other processes only, however many disks this process attaches at a time.
 */
static pthread_mutex_t own_turn = PTHREAD_MUTEX_INITIALIZER;

static const char *switch_path(char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/bus/vdpa/drivers_autoprobe", vdpa_paths.sys);
	return path;
}

static const char *mark_path(char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/vduse-blk.autoprobe", vdpa_paths.run);
	return path;
}

/*
 * The lock of the host is a flock() on drivers_probe, which only root can open (mode 0200). Every
 * user can open, and lock, drivers_autoprobe. To open drivers_probe has no effect.
 */
static const char *lock_path(char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/bus/vdpa/drivers_probe", vdpa_paths.sys);
	return path;
}

/* flock() with a time limit. */
static int wait_lock(int fd)
{
	for (unsigned int ms = 0; flock(fd, LOCK_EX | LOCK_NB); ms += LOCK_POLL_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (ms >= vdpa_paths.lock_wait_ms)
			return -ETIMEDOUT;
		usleep(LOCK_POLL_MS * 1000);
	}
	return 0;
}

static void unlock(int fd)
{
	close(fd);
	pthread_mutex_unlock(&own_turn);
}

/* Return: a descriptor that holds the lock; -errno */
static int lock(void)
{
	char path[PATH_MAX];
	int fd, err;

	pthread_mutex_lock(&own_turn);
	fd = open(lock_path(path), O_WRONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : wait_lock(fd);
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	pthread_mutex_unlock(&own_turn);
	return err;
}

static void log_lock_failure(const char *name, int err)
{
	char path[PATH_MAX];

	if (err == -ETIMEDOUT)
		log_err("%s: cannot lock %s: another process has kept the lock for %u s, which a "
			"server that adds a device does not do; /proc/locks names the process",
			name, lock_path(path), vdpa_paths.lock_wait_ms / 1000);
	else
		log_err("%s: cannot lock %s: %s", name, lock_path(path), strerror(-err));
}

/* Return: 1 on; 0 off; -errno */
static int read_switch(void)
{
	char path[PATH_MAX], text = 0;
	int fd = open(switch_path(path), O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (read(fd, &text, 1) < 0)
		err = -errno;
	close(fd);
	return err ? err : text == '1';
}

static bool marked(void)
{
	char path[PATH_MAX];

	return access(mark_path(path), F_OK) == 0;
}

static void mark(const char *name)
{
	char path[PATH_MAX];
	int fd = open(mark_path(path), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	else
		log_warn(
			"%s: cannot create %s: %s; if this process is killed now, autoprobe of the "
			"vdpa bus stays off",
			name, path, strerror(errno));
}

static void unmark(void)
{
	char path[PATH_MAX];

	unlink(mark_path(path));
}

/* The mark stays until autoprobe is on. */
static void switch_on(const char *name)
{
	char path[PATH_MAX];
	int err = sysfs_write(switch_path(path), "1");

	if (err)
		log_err("%s: cannot switch %s on again: %s", name, path, strerror(-err));
	else
		unmark();
}

static int switch_off(const char *name)
{
	char path[PATH_MAX];
	int err;

	mark(name);
	err = sysfs_write(switch_path(path), "0");
	if (err)
		unmark();
	return err;
}

static void log_left_off(const char *name)
{
	log_info("%s: a server that was killed had left autoprobe of the vdpa bus off; it is now "
		 "switched on again",
		 name);
}

int vdpa_autoprobe_stop(struct vdpa_autoprobe *probe, const char *name)
{
	int fd = lock(), was_on, err;
	bool left_off;

	if (fd < 0) {
		log_lock_failure(name, fd);
		return fd;
	}
	was_on = read_switch();
	left_off = was_on == 0 && marked();
	err = was_on < 0 ? was_on : was_on ? switch_off(name) : 0;
	if (err) {
		log_err("%s: cannot switch off autoprobe of the vdpa bus: %s", name,
			strerror(-err));
		unlock(fd);
		return err;
	}
	if (left_off)
		log_left_off(name);
	*probe = (struct vdpa_autoprobe){ .lock_fd = fd, .restore = was_on || left_off };
	return 0;
}

void vdpa_autoprobe_restore(const struct vdpa_autoprobe *probe, const char *name)
{
	if (probe->restore)
		switch_on(name);
	unlock(probe->lock_fd);
}

void vdpa_autoprobe_repair(const char *name)
{
	int fd;

	if (!marked())
		return;
	fd = lock();
	if (fd < 0)
		return; /* the process that has the lock has made the mark, and will remove it */
	/* A mark that is there while we hold the lock belongs to a server that was killed. */
	if (marked()) {
		if (read_switch() == 0)
			log_left_off(name);
		switch_on(name);
	}
	unlock(fd);
}
