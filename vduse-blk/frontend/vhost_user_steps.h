/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions that the files of the front end vhost-user share. Main thread. */
#ifndef VDUSE_BLK_VHOST_USER_STEPS_H
#define VDUSE_BLK_VHOST_USER_STEPS_H

#include "vhost_user_device.h"

/* What must hold before a message takes effect. */
enum vhost_user_needs {
	NEEDS_NOTHING,
	NEEDS_PAUSE,	 /* no queue accesses the memory of the guest */
	NEEDS_RING_STOP, /* the ring that the message names is stopped; its base is known */
	NEEDS_ALL_STOP,	 /* all rings are stopped */
	NEEDS_RESET,	 /* all rings are stopped, and what is in flight was cancelled */
};

struct vhost_user_handler {
	enum vhost_user_needs needs;
	uint32_t size;	  /* of the payload, bytes; the least one, if @longer */
	bool longer;	  /* the payload may be longer */
	unsigned int fds; /* most descriptors */
	bool replies;	  /* it has a reply of its own */
	bool suspends; /* GET_VRING_BASE_INFLIGHT: the ring may be stopped with requests in flight */
	bool releases;	   /* if no ring runs any more, the store is closed before @apply */
	bool names_vring;  /* the payload begins with the index of a vring: 32 bits */
	bool names_vring8; /* the payload is as VHOST_USER_VRING_INDEX says */

	/**
	 * @apply: take effect, and send the reply if @replies
	 *
	 * Return: NULL; or why the message is refused: an error text whose subject is the front end
	 */
	const char *(*apply)(struct vhost_user_device *vu, struct vhost_user_message *message);
};

/** vhost_user_of_queues() - the device with these queues */
static inline struct vhost_user_device *vhost_user_of_queues(struct queues *queues)
{
	return device_of_queues(queues)->vhost_user;
}

/** vhost_user_handler_of() - NULL: the message is unknown */
const struct vhost_user_handler *vhost_user_handler_of(uint32_t request);

/** vhost_user_features() - the virtio features that are offered, with those of the protocol */
uint64_t vhost_user_features(const struct vhost_user_device *vu);

/** vhost_user_take_effect() - the message is valid: do what it needs, apply it, end with message_done() */
void vhost_user_take_effect(struct vhost_user_device *vu);

/** vhost_user_message_done() - the message has taken effect, or @vu->why says why not: acknowledge it */
void vhost_user_message_done(struct vhost_user_device *vu);

/** vhost_user_session_begin() - serve the connection @fd */
void vhost_user_session_begin(struct vhost_user_device *vu, int fd);

/** vhost_user_session_end() - end the connection, and then call vhost_user_session_ended() */
void vhost_user_session_end(struct vhost_user_device *vu);

/**
 * vhost_user_close() - close @count descriptors of the front end, and unmap memory that was removed, in a task
 *
 * While CLOSERS_MAX tasks have not ended, no message is received and no connection is accepted: only this
 * disk has the disadvantage.
 */
void vhost_user_close(struct vhost_user_device *vu, const int *fds, unsigned int count);

/** vhost_user_may_receive() - see vhost_user_close() */
static inline bool vhost_user_may_receive(const struct vhost_user_device *vu)
{
	return vu->closer_count < VHOST_USER_CLOSERS_MAX;
}

/** vhost_user_receive_next() - in vhost_user_session.c: receive messages, if the session can */
void vhost_user_receive_next(struct vhost_user_device *vu);

/** vhost_user_note_connection() - in vhost_user_device.c: tell the disk of a new or lost connection */
void vhost_user_note_connection(struct vhost_user_device *vu);

/** vhost_user_session_ended() - in vhost_user_device.c: accept the next connection, or close */
void vhost_user_session_ended(struct vhost_user_device *vu);

/** vhost_user_unsent() - the result of @apply for the result of vhost_user_reply() */
const char *vhost_user_unsent(int err);

/* Send the reply of the message; for functions @apply, which return the result. */
const char *vhost_user_reply_with(struct vhost_user_device *vu, const void *payload, uint32_t size);
const char *vhost_user_reply_u64(struct vhost_user_device *vu, uint64_t value);

/* @apply of messages that are not in vhost_user_messages.c. */
const char *vhost_user_get_max_mem_slots(struct vhost_user_device *vu,
					 struct vhost_user_message *message);
const char *vhost_user_set_mem_table(struct vhost_user_device *vu,
				     struct vhost_user_message *message);
const char *vhost_user_add_mem_reg(struct vhost_user_device *vu,
				   struct vhost_user_message *message);
const char *vhost_user_rem_mem_reg(struct vhost_user_device *vu,
				   struct vhost_user_message *message);
const char *vhost_user_set_vring_num(struct vhost_user_device *vu,
				     struct vhost_user_message *message);
const char *vhost_user_set_vring_addr(struct vhost_user_device *vu,
				      struct vhost_user_message *message);
const char *vhost_user_set_vring_base(struct vhost_user_device *vu,
				      struct vhost_user_message *message);
const char *vhost_user_get_vring_base(struct vhost_user_device *vu,
				      struct vhost_user_message *message);
const char *vhost_user_set_vring_kick(struct vhost_user_device *vu,
				      struct vhost_user_message *message);
const char *vhost_user_set_vring_call(struct vhost_user_device *vu,
				      struct vhost_user_message *message);
const char *vhost_user_set_vring_err(struct vhost_user_device *vu,
				     struct vhost_user_message *message);
const char *vhost_user_set_vring_enable(struct vhost_user_device *vu,
					struct vhost_user_message *message);
const char *vhost_user_get_inflight_fd(struct vhost_user_device *vu,
				       struct vhost_user_message *message);
const char *vhost_user_set_inflight_fd(struct vhost_user_device *vu,
				       struct vhost_user_message *message);
const char *vhost_user_set_log_base(struct vhost_user_device *vu,
				    struct vhost_user_message *message);

/**
 * vhost_user_open_store() - open and lock the store, in a task, and use it for the queues
 * @done: called on the main thread. @why: NULL: the store is open; else an error text
 *
 * No ring runs. Another process may have the store for some more seconds: the source of a migration, or
 * I/O of a server that was killed.
 */
void vhost_user_open_store(struct vhost_user_device *vu,
			   void (*done)(struct vhost_user_device *vu, const char *why));

/**
 * vhost_user_abandon_store() - the server stops: do not wait for a store that is being opened
 *
 * open() may never return. Calls @done of vhost_user_open_store() with a reason. The store is closed at
 * once if it is opened after all. No effect where none is being opened.
 */
void vhost_user_abandon_store(struct vhost_user_device *vu);

/** vhost_user_close_store() - close it, in a task, and unlock it; no ring runs. @why is NULL */
void vhost_user_close_store(struct vhost_user_device *vu,
			    void (*done)(struct vhost_user_device *vu, const char *why));

/** vhost_user_renew_inflight() - use a new inflight log, which the front end does not have */
int __must_check vhost_user_renew_inflight(struct vhost_user_device *vu);

/** vhost_user_forget_inflight() - likewise, after a connection: in the new log no write is lost */
void vhost_user_forget_inflight(struct vhost_user_device *vu);

/** vhost_user_keep_requests() - a ring is stopped with requests in flight: another host may get the log */
void vhost_user_keep_requests(struct vhost_user_device *vu);

/** vhost_user_forget_requests() - after a reset: none is in flight, says the inflight log */
void vhost_user_forget_requests(struct vhost_user_device *vu);

/**
 * vhost_user_set_writethrough() - switch the write cache of the disk off or on
 *
 * Also notes it in the inflight log: the guest switches it once, and no front end repeats that when it
 * connects again.
 */
void vhost_user_set_writethrough(struct vhost_user_device *vu, bool on);

/** vhost_user_drop_dirty_log() - vhost_user_close() unmaps it */
void vhost_user_drop_dirty_log(struct vhost_user_device *vu);

/** vhost_user_close_kick() - forget the kick of a ring that does not run: it is not started */
void vhost_user_close_kick(struct vhost_user_vring *vring);

/** vhost_user_reset_vrings() - forget what the front end has said about them; they are stopped */
void vhost_user_reset_vrings(struct vhost_user_device *vu);

/** vhost_user_transport_init() - the transport and the vrings. Return: 0; -errno, logged */
int __must_check vhost_user_transport_init(struct vhost_user_device *vu);
void vhost_user_transport_exit(struct vhost_user_device *vu);

#endif
