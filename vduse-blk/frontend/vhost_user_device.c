// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_device.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "closer.h"
#include "vhost_user_steps.h"

/* The time until a connection that could not be accepted is tried again. */
#define ACCEPT_RETRY_US 200000

/* Is the socket that the server has inherited connected, or does it listen? */
static bool is_listening(int fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) && listens;
}

static int vhost_user_make(struct device *device)
{
	struct vhost_user_device *vu = calloc(1, sizeof(*vu));
	int err;

	if (!vu)
		return -ENOMEM;
	err = vhost_user_memory_init(&vu->memory);
	if (err) {
		free(vu);
		return err;
	}
	vu->device = device;
	list_init(&vu->closers);
	vu->listener = (struct vhost_user_listener){
		.path = device->config->socket,
		.mode = device->config->socket_mode,
		.group = device->config->socket_group[0] ? device->config->socket_group : NULL,
		.fd = device->config->socket_fd ? device->config->socket_fd : -1,
		.lock_fd = -1,
		.inherited = device->config->socket_fd,
	};
	vu->connections.info = true;
	vu->backend_fd = vu->dirty_fd = vu->inflight_fd = vu->next_fd = -1;
	device->vhost_user = vu;
	return 0;
}

static void vhost_user_unmake(struct device *device)
{
	struct vhost_user_device *vu = device->vhost_user;
	struct list_node *node;

	while ((node = list_take(&vu->closers)))
		container_of(node, struct closer, node)->closed = NULL;
	log_limit_flush(&vu->connections, device->config->name);
	vhost_user_unlisten(&vu->listener);
	vhost_user_memory_exit(&vu->memory);
	if (vu->inflight_fd >= 0)
		close(vu->inflight_fd);
	free(vu);
	device->vhost_user = NULL;
}

/* A front end that is still there connects again, and passes the inflight log that it keeps. */
static bool vhost_user_adopted(const struct device *device)
{
	(void)device;
	return false;
}

static struct transport *vhost_user_open_transport(struct device *device)
{
	struct vhost_user_device *vu = device->vhost_user;

	if (vhost_user_transport_init(vu))
		return NULL;
	if (vhost_user_renew_inflight(vu)) {
		vhost_user_transport_exit(vu);
		return NULL;
	}
	device->queues.disk.inflight = device->inflight;
	return &vu->transport;
}

static void vhost_user_close_transport(struct device *device)
{
	vhost_user_transport_exit(device->vhost_user);
}

static pid_t peer_pid(int fd)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ? 0 : cred.pid;
}

static void accept_next(struct vhost_user_device *vu);

static void retry_accept(struct ring_timer *timer)
{
	struct vhost_user_device *vu = container_of(timer, struct vhost_user_device, accept_retry);

	if (vu->queues_gone)
		vu->device->closed(vu->device);
	else
		accept_next(vu);
}

static void accept_next(struct vhost_user_device *vu)
{
	int fd;

	if (vu->connected || vu->stopped || !vu->accepting.ring || !vhost_user_may_receive(vu))
		return;
	if (vu->stale_inflight)
		vhost_user_forget_inflight(vu);
	if (vu->stale_inflight) {
		ring_timer_start(vu->device->ring, &vu->accept_retry, ACCEPT_RETRY_US,
				 retry_accept);
		return;
	}
	fd = accept4(vu->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN) /* the poll reports the connection only once */
			ring_timer_start(vu->device->ring, &vu->accept_retry, ACCEPT_RETRY_US,
					 retry_accept);
		if (errno != EAGAIN && log_allow(&vu->refusals, vu->device->config->name))
			log_err("%s: cannot accept a connection on %s: %s",
				vu->device->config->name, vu->listener.path, strerror(errno));
		return;
	}
	vu->pid = peer_pid(fd);
	vhost_user_session_begin(vu, fd);
}

static void connection_came(struct ring_poll *poll)
{
	accept_next(container_of(poll, struct vhost_user_device, accepting));
}

/* A former server has passed its connection: what the front end has said comes first. */
static void resume_connection(struct vhost_user_device *vu)
{
	struct device_connection *connection = vu->device->connection;
	int transcript;

	if (!connection || connection->fds[0] < 0)
		return;
	vu->next_fd = connection->fds[0];
	transcript = connection->fds[1];
	connection->fds[0] = connection->fds[1] = -1;
	vu->pid = peer_pid(vu->next_fd);
	vhost_user_session_begin(vu, transcript);
}

static void accept_start(struct vhost_user_device *vu)
{
	if (!vu->begun || !vu->listening || vu->stopped)
		return;
	resume_connection(vu);
	if (vu->listener.inherited && !is_listening(vu->listener.fd)) {
		int fd = vu->listener.fd;

		vu->listener.fd = -1; /* the session closes it */
		vu->pid = peer_pid(fd);
		vhost_user_session_begin(vu, fd);
	} else {
		ring_poll_start(vu->device->ring, &vu->accepting, vu->listener.fd, connection_came);
	}
}

static void vhost_user_begin(struct device *device)
{
	device->vhost_user->begun = true;
	accept_start(device->vhost_user);
}

void vhost_user_listening(struct device *device)
{
	device->vhost_user->listening = true;
	accept_start(device->vhost_user);
}

bool vhost_user_resuming(const struct device *device)
{
	const struct vhost_user_device *vu = device->vhost_user;

	if (!vu)
		return false;
	return vu->next_fd >= 0 || (device->connection && device->connection->fds[0] >= 0);
}

void vhost_user_keep_connection(struct device *device)
{
	struct vhost_user_device *vu = device->vhost_user;

	if (!vu || !vu->held)
		return;
	vu->held = false;
	vhost_user_receive_next(vu);
}

struct vhost_user_listener *vhost_user_listener_of(struct device *device)
{
	return device->vhost_user ? &device->vhost_user->listener : NULL;
}

void vhost_user_config_changed(struct device *device)
{
	struct vhost_user_device *vu = device->vhost_user;
	int err = 0;

	if (!vu || !vu->connected)
		return;
	vu->knows_config = vu->store != NULL; /* QEMU ignores it before rings run */
	if (vu->backend_fd >= 0)
		err = vhost_user_send(vu->backend_fd, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, NULL,
				      0);
	if (err)
		log_warn("%s: cannot tell the front end (process %d) that the disk has changed: %s",
			 device->config->name, (int)vu->pid, strerror(-err));
}

pid_t vhost_user_front_end(const struct device *device)
{
	const struct vhost_user_device *vu = device->vhost_user;

	if (!vu || (!vu->connected && !vhost_user_resuming(device)))
		return 0;
	return vu->connected && vu->pid ? vu->pid : -1;
}

void vhost_user_session_ended(struct vhost_user_device *vu)
{
	if (vu->stopped && vu->accepting.ring)
		return; /* accept_stopped() closes the queues */
	if (vu->stopped)
		device_close_queues(vu->device);
	else if (vu->accepting.ring)
		accept_next(vu);
	else
		kill(getpid(), SIGTERM); /* the only connection, which the server has inherited */
}

/* ---- the end of the connection ---- */

void vhost_user_note_connection(struct vhost_user_device *vu)
{
	if (vu->device->driver_changed)
		vu->device->driver_changed(vu->device);
}

static void fds_closed(struct closer *closer)
{
	struct vhost_user_device *vu = closer->ctx;

	list_remove(&closer->node);
	vu->closer_count--;
	if (vu->connected)
		vhost_user_receive_next(vu);
	else
		accept_next(vu);
}

void vhost_user_close(struct vhost_user_device *vu, const int *fds, unsigned int count)
{
	struct closer_items items = { .fds = fds, .fd_count = count };
	struct closer *closer;

	items.mapping_count = vhost_user_memory_take_unused(&vu->memory, &items.mappings);
	if (!items.fd_count && !items.mapping_count)
		return;
	closer = closer_start(vu->device->ring, &items, fds_closed, vu);
	if (!closer)
		return;
	list_add(&vu->closers, &closer->node);
	vu->closer_count++;
}

/* ---- the end of the device ---- */

static void accept_stopped(struct ring_poll *poll)
{
	struct vhost_user_device *vu = container_of(poll, struct vhost_user_device, accepting);

	poll->ring = NULL;
	if (!vu->connected) {
		device_close_queues(vu->device);
		return;
	}
	vhost_user_session_end(vu); /* after the message that is being processed */
}

static void vhost_user_stop(struct device *device)
{
	struct vhost_user_device *vu = device->vhost_user;

	vu->stopped = true;
	/* From here on connect() fails, and a front end tries again until the next server listens. */
	if (vu->listening && !vu->listener.inherited)
		shutdown(vu->listener.fd, SHUT_RDWR);
	if (vu->accepting.ring)
		ring_poll_stop(&vu->accepting, accept_stopped);
	else if (vu->connected)
		vhost_user_session_end(vu);
	else if (vu->begun)
		device_close_queues(device);
	/* else queues_added() removes the queues */
	vhost_user_abandon_store(vu);
}

static void vhost_user_queues_removed(struct device *device)
{
	struct vhost_user_device *vu = device->vhost_user;

	vu->queues_gone = true;
	if (vu->accept_retry.active)
		ring_timer_expire_now(device->ring,
				      &vu->accept_retry); /* retry_accept() calls closed() */
	else
		device->closed(device);
}

static int vhost_user_destroy(struct device *device)
{
	vhost_user_unmake(device);
	return 0;
}

static void vhost_user_abandon(struct device *device)
{
	vhost_user_unmake(device);
}

const struct device_ops vhost_user_device_ops = {
	.make = vhost_user_make,
	.unmake = vhost_user_unmake,
	.adopted = vhost_user_adopted,
	.open_transport = vhost_user_open_transport,
	.close_transport = vhost_user_close_transport,
	.begin = vhost_user_begin,
	.stop = vhost_user_stop,
	.queues_removed = vhost_user_queues_removed,
	.destroy = vhost_user_destroy,
	.abandon = vhost_user_abandon,
};
