/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk with driver = vhost-user, and its front end.
 *
 * The disk is real: a thread with the main ring, workers, queues, a socket in temp_dir, a file behind
 * a manual_backend while rings run. The test is the front end: a client of the socket (vhost_user_client.h) with
 * the memory of a guest (vhost_user_guest.h). It may block, since the disk has threads of its own.
 *
 * A test may change what is marked with (t) before vuf_serve().
 */
#ifndef TESTS_VHOST_USER_FIXTURE_H
#define TESTS_VHOST_USER_FIXTURE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "disk/disk_device.h"
#include "frontend/vhost_user_device.h"
#include "guest.h"
#include "manual_backend.h"
#include "queue/worker.h"
#include "ring.h"
#include "vhost_user_guest.h"

#define VUF_NAME	"disk0"
#define VUF_DISK_SIZE	(1u << 20)
#define VUF_QUEUES	2u
#define VUF_RING_SIZE	64u
#define VUF_WORKERS_MAX 2
#define VUF_PATIENCE_MS 60000u

/* The memory of the guest: one region for each queue, at these guest physical addresses. */
#define VUF_GUEST_ADDR(queue) (0x100000ull + (queue)*0x1000000ull)

struct vuf {
	struct device_config config; /* (t) 2 queues of 64, cache = writeback */
	unsigned int worker_count;   /* (t) 1 */
	bool event_idx, indirect;    /* (t) accepted by the driver; before vuf_start() */
	uint64_t refused;	     /* (t) features that are offered and not accepted; likewise */
	uint64_t protocol;	     /* (t) protocol features to accept; before vuf_connect() */

	/* The server, on its thread. */
	pthread_t thread;
	bool serving; /* the thread exists */
	bool ended, awaited;
	sem_t ready, closed;
	struct ring ring;
	struct worker workers[VUF_WORKERS_MAX];
	struct polling_shared polling_shared;
	struct device device;
	struct device_connection connection; /* for the next vuf_serve(); -1: none */
	int resumed; /* what device->resumed() was called with; 1: it was not called */
	bool hold;   /* see vuf_set_hold() */

	/* The front end. */
	struct vuc c;
	uint64_t offered;  /* features */
	uint64_t features; /* accepted ones */
	struct vug_memory memory;
	struct vug_queue queues[VUF_QUEUES];
	struct vuc_inflight inflight;
	int inflight_fd; /* -1: the front end has no inflight log */
};

extern struct vuf vuf;

/* Checked fixture; temp_dir_make() is to be an unchecked one. What is left running is stopped. */
void vuf_setup(void);
void vuf_teardown(void);

/** vuf_wait() - until @cond holds; the test fails where it never does */
#define vuf_wait(cond)                                                                             \
	do {                                                                                       \
		unsigned int left_ms = VUF_PATIENCE_MS;                                            \
		while (!(cond)) {                                                                  \
			must(left_ms--, "this never came: " #cond);                                \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)

/* ---- the server ---- */

/** vuf_serve() - start threads, open the store, make the device, listen */
void vuf_serve(void);

/** vuf_call() - call @function on the server's thread, and wait for it */
void vuf_call(void (*function)(void));

/** vuf_post() - as vuf_call(), without waiting: @message must exist until @run is called */
void vuf_post(struct ring_message *message, void (*run)(struct ring_message *message));

/** vuf_settle() - until all threads have done what they were told to */
void vuf_settle(void);

/** vuf_begin_close() - device_close(); vuf_await_close() - to its end */
void vuf_begin_close(void);
void vuf_await_close(void);

/** vuf_stop() - close the device unless that was begun, destroy it, end the threads */
void vuf_stop(void);

/**
 * vuf_crash() - the server is killed: what it would do from now on does not happen
 *
 * The memory of the guest and the inflight log stay as they are now; what the store holds is lost.
 */
void vuf_crash(void);

/**
 * vuf_hand_over() - the server stops, and the next one gets the connection; then vuf_serve()
 *
 * What the store holds ends with @result.
 */
void vuf_hand_over(int result);

/** vuf_hand_over_held() - likewise, and this server may take the connection back */
void vuf_hand_over_held(void);

/** vuf_forget_connection() - this server closes its end; called on the thread of the next one */
void vuf_forget_connection(void);

/** vuf_take_back() - the next server stops, this one gets the connection back; then vuf_serve() */
void vuf_take_back(void);

/** vuf_keep_connection() - the next device_close() is to pass it on. vuf_kept(): did it? */
void vuf_keep_connection(void);
bool vuf_kept(void);

/** vuf_set_hold() - the store holds what is submitted from now on, or passes it on again */
void vuf_set_hold(bool hold);

/** vuf_held() - how many operations the store holds; 0 also where it is closed */
unsigned int vuf_held(void);

/** vuf_cancelled() - how many operations were asked to end early since the store was opened */
unsigned int vuf_cancelled(void);

/** vuf_look() - what was asked for by the operation number @index of those held */
struct backend_io vuf_look(unsigned int index);

/** vuf_end_held() - all operations that are held end: @result as manual_finish() */
void vuf_end_held(int result);

/** vuf_end_first() - @count of them that came first end */
void vuf_end_first(unsigned int count, int result);

/** vuf_state() - the state of a queue */
enum queue_state vuf_state(uint32_t queue);

/** vuf_in_flight() - requests that the server has popped and not completed, of all queues */
uint32_t vuf_in_flight(void);

/* ---- the front end ---- */

/** vuf_connect() - connect; accept protocol features */
void vuf_connect(void);

/** vuf_disconnect() - close the connection, and wait until the server has forgotten it */
void vuf_disconnect(void);

/** vuf_accept_features() - those that the disk offers, without @refused and LOG_ALL */
void vuf_accept_features(void);

/** vuf_take_inflight() - ask for an inflight log for all queues, and pass it back */
void vuf_take_inflight(void);

/** vuf_pass_inflight() - pass the log that the front end has kept */
void vuf_pass_inflight(void);

/** vuf_start_rings() - all messages that start all rings, which are empty or go on */
void vuf_start_rings(void);

/** vuf_start() - features, memory, inflight log, rings: after vuf_connect() */
void vuf_start(void);

/** vuf_up() - vuf_serve(), vuf_connect(), vuf_start() */
void vuf_up(void);

/** vuf_tell_later() - a message with NEED_REPLY, whose acknowledgement is not waited for */
void vuf_tell_later(uint32_t request, const void *payload, size_t size);

/** vuf_acknowledged() - wait for it. Return: was the message accepted? */
bool vuf_acknowledged(uint32_t request);

/** vuf_allow_refusals() - log lines about refused messages may come */
void vuf_allow_refusals(void);

/** vuf_expect_refusal() - @tell sends a message, which is refused; a log line has @part */
#define vuf_expect_refusal(tell, part)                                                             \
	do {                                                                                       \
		vuf_allow_refusals();                                                              \
		ck_assert_int_eq((tell), -EREMOTEIO);                                              \
		vuf_check_refusal(part);                                                           \
	} while (0)
void vuf_check_refusal(const char *part);

/** vuf_offer() - make a request and kick; its data are bytes @fill */
struct vug_slot *vuf_offer(uint32_t queue, uint32_t type, uint64_t sector, uint32_t len,
			   uint8_t fill);

/** vuf_hold() - the store holds a new request; returns when it has it */
struct vug_slot *vuf_hold(uint32_t queue, uint32_t type, uint64_t sector, uint32_t len,
			  uint8_t fill);

/** vuf_finish() - wait for @slot, the next one of its queue. Return: its status */
uint8_t vuf_finish(uint32_t queue, struct vug_slot *slot);

/** vuf_finish_any() - wait for the next request of a queue */
struct vug_slot *vuf_finish_any(uint32_t queue);

/** vuf_do() - vuf_offer() and vuf_finish() */
uint8_t vuf_do(uint32_t queue, uint32_t type, uint64_t sector, uint32_t len, uint8_t fill);

/** vuf_check_data() - are all bytes of a read @fill? */
void vuf_check_data(const struct vug_slot *slot, uint8_t fill);

#endif
