// SPDX-License-Identifier: GPL-2.0-or-later
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node_users.h"
#include "log.h"
#include "vdpa_nl.h"

/*
 * Opens a disk with O_EXCL, so that it cannot be mounted between the check and the unbind, and
 * writes back its page cache. Return: an fd; -EBUSY: it is mounted or opened with O_EXCL; other
 * -errno
 */
static int claim_and_flush(const struct attach_job *job)
{
	int fd = open(job->node, O_RDONLY | O_EXCL | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fsync(fd))
		log_warn("%s: cannot flush %s: %s", job->name, job->node, strerror(errno));
	return fd;
}

/* Only one process can have a vhost-vdpa node open, and /proc may not show that process. */
static int try_vhost_node(const struct attach_job *job)
{
	int fd = open(job->node, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd); /* the unbind would wait for this descriptor */
	return -ENODEV;
}

/* Return: true: the node is in use, and @job->users names its users */
static bool node_is_used(struct attach_job *job, int claim)
{
	int users = node_users_find(job->node, job->users, sizeof(job->users));

	if (users > 0)
		return true;
	/* A loop device, an LIO target, or a process that /proc does not show. */
	if (claim == -EBUSY)
		snprintf(job->users, sizeof(job->users),
			 "held by the kernel or a process in another PID namespace");
	return claim == -EBUSY;
}

static int do_detach(struct attach_job *job)
{
	/* Another process may have bound the device again, and that changes the node. */
	bool has_node = vdpa_bus_node(job->name, job->node) == 0;
	const struct front_end *front_end;
	enum vdpa_driver driver;
	bool must_be_unused;
	int claim = -ENODEV, err;

	if (vdpa_bus_state(job->name) == VDPA_REMOVING)
		return -EINPROGRESS; /* open() would wait for the removal, or delay it */
	if (vdpa_bus_driver(job->name, &driver))
		front_end = front_end_of(job->driver);
	else
		front_end = front_end_on_bus(driver);
	/* An unbind from vhost-vdpa waits, unkillable, until the VM closes the node. */
	must_be_unused = job->verb == DETACH_UNUSED || !front_end->block_node;
	if (has_node)
		claim = front_end->block_node ? claim_and_flush(job) : try_vhost_node(job);
	if (has_node && must_be_unused && node_is_used(job, claim))
		err = -EBUSY;
	else
		err = vdpa_bus_detach(job->name);
	if (claim >= 0)
		close(claim);
	return err;
}

static enum vdpa_driver bus_driver(const struct attach_job *job)
{
	return front_end_of(job->driver)->bus_driver;
}

/* Return: 0: @name is on the bus; -ESTALE: it is not; -EINPROGRESS: it is being removed */
static int check_state(const char *name)
{
	switch (vdpa_bus_state(name)) {
	case VDPA_ABSENT:
		return -ESTALE;
	case VDPA_REMOVING:
		return -EINPROGRESS;
	case VDPA_UNBOUND:
	case VDPA_BOUND:
		break;
	}
	return 0;
}

/* Another program may have added a different device of this name. */
static int adopt(struct attach_job *job)
{
	struct vdpa_nl_info info;
	int err = check_state(job->name);

	if (err)
		return err;
	err = vdpa_nl_show(job->name, &info); /* waits for a removal that is under way */
	if (err == -ENODEV) {
		err = check_state(job->name);
		return err ? err : -EINPROGRESS; /* it was removed and added again */
	}
	if (err)
		return err;
	if (info.device_id != VIRTIO_ID_BLOCK || strcmp(info.mgmtdev, "vduse")) {
		log_err("%s: the vdpa bus has another device of this name: virtio device type %u "
			"of management device %s; remove or rename one of them",
			job->name, info.device_id, info.mgmtdev);
		return -EINVAL;
	}
	return vdpa_bus_adopt(job->name, bus_driver(job), job->node);
}

static int attach_socket(struct attach_job *job)
{
	int err = vhost_user_listen(job->name, job->listener);

	if (err)
		return err;
	if (job->listener->inherited) {
		snprintf(job->node, sizeof(job->node), "fd:%d", job->listener->fd);
		return 0;
	}
	strcpy(job->node, job->listener->path);
	task_give(&job->task, &job->listener->fd);
	task_give(&job->task, &job->listener->lock_fd);
	return 0;
}

static int detach_socket(struct attach_job *job)
{
	if (job->front_end && job->verb == DETACH_UNUSED) {
		if (job->front_end > 0)
			snprintf(job->users, sizeof(job->users), "process %d is connected",
				 (int)job->front_end);
		else
			snprintf(job->users, sizeof(job->users),
				 "a process in another PID namespace is connected");
		return -EBUSY;
	}
	vhost_user_unlink(job->listener);
	return 0;
}

static int do_socket_job(struct attach_job *job)
{
	return job->verb == ATTACH || job->verb == ADOPT ? attach_socket(job) : detach_socket(job);
}

static int do_job(struct attach_job *job)
{
	if (job->listener)
		return do_socket_job(job);
	switch (job->verb) {
	case ATTACH:
		return vdpa_bus_attach(job->name, bus_driver(job), job->node);
	case ADOPT:
		return adopt(job);
	case DETACH_UNUSED:
	case DETACH_FORCE:
		return do_detach(job);
	}
	return -EINVAL;
}

static void run_job(struct task *task)
{
	struct attach_job *job = container_of(task, struct attach_job, task);

	if (job->verb == ATTACH || job->verb == ADOPT)
		log_capture(job->error);
	job->result = do_job(job);
	log_capture(NULL);
}

static void job_done(struct task *task)
{
	struct attach_job *job = container_of(task, struct attach_job, task);

	if (task->lost)
		job->result = -EMFILE;
	job->finished(job);
}

void attach_submit(struct attach_job *job, struct ring *ring)
{
	int err;

	job->users[0] = '\0';
	job->task = (struct task){ .name = "attach", .work = run_job, .done = job_done };
	err = task_start(&job->task, ring);
	if (!err)
		return;
	log_err("%s: cannot start a thread: %s", job->name, strerror(-err));
	job->result = err;
	job->finished(job);
}
