/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front end vhost-user: a virtual machine monitor (VMM) connects to a socket.
 *
 *     vhost_user_device     from device_make() to the end; accepts one connection at a time
 *     vhost_user_session    one connection: a message is received, takes effect, gets its reply
 *     vhost_user_effect     what must stop before a message takes effect, and run after it
 *     vhost_user_messages   the table of messages; features, config space, reset
 *     vhost_user_guest      the effect of messages about memory and migration
 *     vhost_user_rings      ... about the vrings
 *     vhost_user_inflight   ... about the inflight log
 *     vhost_user_transport  rings, kicks and interrupts of the queues
 *     vhost_user_disconnect  the end of a connection: it is closed, or passed on
 *     vhost_user_handover   the connection is passed to the next server
 *     vhost_user_signal     an eventfd that a worker writes
 *
 * Main thread, except for the transport and what struct vhost_user_signal says.
 */
#ifndef VDUSE_BLK_VHOST_USER_DEVICE_H
#define VDUSE_BLK_VHOST_USER_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "device.h"
#include "dirty_log.h"
#include "list.h"
#include "log.h"
#include "queue/transport.h"
#include "ring.h"
#include "store/backend.h"
#include "task.h"
#include "vhost_user_listener.h"
#include "vhost_user_memory.h"
#include "vhost_user_signal.h"
#include "vhost_user_socket.h"

struct vhost_user_device;
struct vhost_user_handler;
struct vhost_user_opening;

/* One virtqueue, as the front end has described it. */
struct vhost_user_vring {
	struct vhost_user_device *vu; /* constant, and @index too */
	uint32_t index;

	uint32_t num;  /* descriptors; 0: not set */
	uint16_t base; /* avail index of the first chain to pop */
	bool has_addr;
	struct vhost_user_addr addr;
	int kick_fd;  /* -1: the ring is not started */
	bool enabled; /* by SET_VRING_ENABLE, which counts if the front end uses it */
	bool running; /* its queue was started, and not stopped */
	bool served;  /* its rings were mapped at the last start */

	struct vhost_user_signal call; /* interrupts */
	struct vhost_user_signal err;  /* the ring is broken */
};

#define VHOST_USER_CLOSERS_MAX 8u

struct vhost_user_device {
	struct device *device;
	struct transport transport;
	struct vhost_user_vring *vrings; /* device->limits.queues */
	struct vhost_user_memory memory;
	struct vhost_user_listener listener;
	struct backend *store;		    /* open while rings run; NULL: it is closed */
	struct vhost_user_opening *opening; /* of the store, by a task; NULL: none is under way */
	struct backend_io sync;		    /* writes back its page cache */
	struct task store_task;		    /* closes it */
	struct list closers; /* of descriptors and memory of front ends; their tasks run */
	unsigned int closer_count;
	void (*store_done)(struct vhost_user_device *vu, const char *why);
	struct ring_poll accepting;
	struct ring_timer accept_retry;
	bool queues_gone;	      /* device_close() has removed the queues */
	bool begun;		      /* the queues exist */
	bool listening;		      /* @listener is not a task's any more */
	bool stopped;		      /* no connection is accepted any more */
	struct log_limit refusals;    /* lines about messages that are refused, and other errors */
	struct log_limit connections; /* lines about connections */

	/* The connection. vhost_user_disconnect.c resets what the next one must not find. */
	bool connected;
	bool announced; /* the log has a line about the connection */
	struct vhost_user_socket socket;
	struct ring_poll poll;
	pid_t pid; /* of the front end, 0: not known */
	bool ending;
	bool lost;     /* the connection is of no use any more: it is not passed on */
	int next_fd;   /* @socket has a transcript, and this is the connection; -1: no transcript */
	bool said_all; /* TRANSCRIPT_END has come */
	uint64_t rest; /* bytes that follow it */
	bool switching; /* the transcript has ended: @poll stops, and starts again with @next_fd */
	int resume_err; /* of the transcript: struct device, resumed */
	bool held;	/* struct device_connection */
	uint64_t features, protocol_features;
	uint8_t status;
	bool log_all;		  /* the dirty log is to be written */
	struct dirty_log dirty;	  /* bits NULL: none */
	uint64_t dirty_offset;	  /* in @dirty_fd, bytes */
	int dirty_fd;		  /* of @dirty; -1: none */
	int backend_fd;		  /* for messages to the front end; -1: none */
	bool knows_config;	  /* it has read the config space, or was told that it changed */
	uint16_t inflight_queues; /* of the inflight log */
	int inflight_fd;	  /* of the inflight log */
	bool keeps_inflight;	  /* the front end has the inflight log */
	bool stale_inflight;	  /* the log is a former front end's: it could not be renewed */

	/* The message that is being processed, @socket.message. */
	const struct vhost_user_handler *handler; /* NULL: none */
	const char *why;			  /* why it was refused; NULL: it was not */
	char error[LOG_CAPTURE_MAX];		  /* memory for @why */
	bool paused;				  /* the queues are paused for it */
	uint32_t ring;				  /* index of the vring that it names; else 0 */
	bool receiving;
	unsigned int budget; /* messages until other disks have their turn */
	struct ring_message more;
};

extern const struct device_ops vhost_user_device_ops;

/** vhost_user_listener_of() - for the tasks that open and remove the socket; NULL: no vhost-user */
struct vhost_user_listener *vhost_user_listener_of(struct device *device);

/** vhost_user_listening() - the listener has a socket: accept connections */
void vhost_user_listening(struct device *device);

/** vhost_user_resuming() - is there a connection of a former server, and device->resumed() not called? */
bool vhost_user_resuming(const struct device *device);

/** vhost_user_keep_connection() - the former server will not take the connection back: it is not held */
void vhost_user_keep_connection(struct device *device);

/**
 * vhost_user_config_changed() - the config space has changed: tell the front end
 *
 * No effect without a front end that can be told. The next one reads the config space, or is told when
 * its first ring starts.
 */
void vhost_user_config_changed(struct device *device);

/** vhost_user_front_end() - the process id of the front end that is connected; 0: none; -1: unknown */
pid_t vhost_user_front_end(const struct device *device);

#endif
