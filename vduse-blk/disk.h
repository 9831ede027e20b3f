/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk, from its section in the configuration to its end. Main thread.
 *
 *     opening -> created -> attaching -> attached -> detaching -> closing -> gone
 *        |          |           |
 *        +-------- failed <-----+  tried again; other disks do not notice
 *
 * No state waits on the main thread: opening a store, attaching and detaching are tasks, and each may
 * last for ever without holding up another disk.
 */
#ifndef VDUSE_BLK_DISK_H
#define VDUSE_BLK_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "attach.h"
#include "compiler.h"
#include "config.h"
#include "device.h"
#include "log.h"
#include "ring.h"
#include "task.h"
#include "worker.h"

enum disk_state {
	DISK_WAITING,	/* another server has it, and has not released it yet */
	DISK_OPENING,	/* a task opens the store; nothing of ours is in the kernel */
	DISK_FAILED,	/* see @why; a timer runs, and then it is opened again */
	DISK_CREATED,	/* a VDUSE device; its turn to be attached comes */
	DISK_ATTACHING, /* a task is adding it to the vdpa bus and binding it */
	DISK_ATTACHED,
	DISK_UNBOUND, /* another program unbound its driver */
	DISK_REMOVED, /* another program took it off the bus; a new VDUSE device, not attached */
	DISK_DETACHING,
	DISK_BUSY, /* should go, but somebody uses it; a timer runs */
	DISK_CLOSING,
	DISK_RELEASED, /* handed over: another server is to adopt it */
	DISK_GONE,
};

struct disk;
struct handover;

/* What all disks of a server share. */
struct disk_host {
	/* Set by the caller, constant. */
	struct ring *ring;
	const struct config *config;
	struct worker *workers;
	unsigned int worker_count;

	/** @rival: Return: another disk that is open and has bytes of @disk, and one of both writes; NULL */
	const struct disk *(*rival)(struct disk_host *host, const struct disk *disk);
	/** @changed: the state of @disk has changed, to any but GONE */
	void (*changed)(struct disk_host *host, struct disk *disk);
	/** @gone: @disk has ended; nothing of it is left but a task that may still be opening a store */
	void (*gone)(struct disk_host *host, struct disk *disk);

	unsigned int next_worker; /* for the next queue */
	unsigned int tasks;	  /* opening stores: their disks' memory must stay */
	bool stopping;
	bool forced;  /* disks in use are taken away too */
	bool leaving; /* not detached: another server goes on with what there is */
	bool failed;  /* something went wrong at the end that was logged */
};

/* Another server takes a disk over. */
struct handover {
	/** @done: 0: the device and the store are closed; -errno: it stays here */
	void (*done)(struct handover *handover, int err);
	struct disk *disk; /* NULL: none */
};

struct disk {
	struct disk_host *host;
	const struct device_config *config;
	struct device device;
	struct attach_job job;
	struct task opening;
	struct ring_timer timer;      /* of the state: retry, look again */
	uint64_t since_ns;	      /* when it began to be opened, or attached */
	struct ring_timer slow_timer; /* until @slow */
	struct ring_timer watch;      /* what did the driver's reset, or its start, come from? */
	struct handover *handover;
	enum disk_state state;
	int result; /* of the task that opened the store */

	char why[LOG_CAPTURE_MAX];     /* of the last failure, for people; empty: none */
	char attempt[LOG_CAPTURE_MAX]; /* the same of the attempt under way */
	unsigned int failures;	       /* one after the other, until it is attached */
	unsigned int busy_checks, node_checks;
	bool slow;    /* takes long to come: others do not wait for their turn */
	bool overdue; /* so long that the server is ready without it */
	bool removal_logged;
	bool inherited;	 /* an earlier server attached it, and a driver had it when this one came */
	bool left;	 /* it stays in the kernel when we close it */
	bool failing;	 /* being closed since it failed */
	bool anew;	 /* to be made again when it is closed: it left the vdpa bus */
	bool unattached; /* then: not to be attached again */
	bool taken_back; /* its handover was called off, and it is not served again yet */
	bool retake;	 /* then: its handover was called off */
};

/** disk_start() - begin to open it; or, where another server has it, when disk_released() is called */
void disk_start(struct disk *disk, bool held_by_other);

/** disk_released() - the server that had it has closed it */
void disk_released(struct disk *disk);

/** disk_wants_turn() - is it ready to be attached to the bus for the first time? */
bool disk_wants_turn(const struct disk *disk);

/** disk_attach() - attach it, or adopt what an earlier server attached */
void disk_attach(struct disk *disk);

/** disk_is_settled() - has its start come to an end, good or bad? */
bool disk_is_settled(const struct disk *disk);

/** disk_stop() - detach it as @host->forced says; a disk that is in use is tried again by and by */
void disk_stop(struct disk *disk);

/** disk_leave() - stop serving it, and leave it in the kernel as it is */
void disk_leave(struct disk *disk);

/**
 * disk_hand_over() - quiesce it, close its device and its store, and keep the rest
 *
 * @handover->done is called when that is done, which takes as long as its slowest request; where
 * nothing has to be done, by this function.
 */
void disk_hand_over(struct disk *disk, struct handover *handover);

/** disk_take_back() - call a handover off: serve it on, or adopt it again; @done is not called */
void disk_take_back(struct disk *disk);

/** disk_forget() - the other server serves it now. Only after @handover->done() with 0 */
void disk_forget(struct disk *disk);

/** disk_has_store() - is its store open? */
static inline bool disk_has_store(const struct disk *disk)
{
	return disk->state != DISK_OPENING && disk->device.backend;
}

/** disk_state_name() - as "list" prints it */
const char *disk_state_name(const struct disk *disk);

#endif
