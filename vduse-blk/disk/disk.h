/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk, from its section in the configuration to its end: a state machine that owns a copy of the
 * section. It can be created, stopped, left or released at any time, independent of other disks. Main
 * thread.
 *
 *     opening -> created -> attaching -> attached -> detaching -> closing -> gone
 *
 *     waiting           before opening, until another server has released it (takeover)
 *     failed            after opening, or after closing if a later step failed; then opening
 *     unbound, removed  after attached, by another program; attached when a driver is bound again
 *     busy              after detaching, if it is in use; then detaching
 *     released          after closing, in a takeover; then gone, or opening if that is cancelled
 *
 * Opening a store, attaching and detaching are tasks (task.h). Each may last for ever without a
 * delay for other disks.
 */
#ifndef VDUSE_BLK_DISK_H
#define VDUSE_BLK_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "attach.h"
#include "compiler.h"
#include "config/config.h"
#include "control/control_request.h"
#include "disk_device.h"
#include "list.h"
#include "log.h"
#include "ring.h"
#include "task.h"
#include "queue/worker.h"

enum disk_state {
	DISK_WAITING,	/* another server has it, and has not released it yet */
	DISK_OPENING,	/* a task opens the store; this server has no device yet */
	DISK_FAILED,	/* see @why; a timer runs, and then it is opened again */
	DISK_CREATED,	/* it has a VDUSE device, and waits for its turn to be attached */
	DISK_ATTACHING, /* a task adds it to the vdpa bus and binds the driver */
	DISK_ATTACHED,	/* it can be used */
	DISK_UNBOUND,	/* another program unbound its driver */
	DISK_REMOVED,	/* another program removed it from the bus; has a new device, unattached */
	DISK_DETACHING, /* a task unbinds the driver and removes it from the bus */
	DISK_BUSY,	/* to be detached, but in use; a timer runs for the next attempt */
	DISK_CLOSING,	/* its queues stop, then the device and the store are closed */
	DISK_RELEASED,	/* closed in a takeover: the new server adopts it */
	DISK_GONE,	/* it has ended */
};

/* The goal of a disk. If the host and the disk have different goals, the later one in this list holds. */
enum disk_goal {
	DISK_SERVE,
	DISK_DETACH,	    /* detach it when it is not in use; serve it until then */
	DISK_DETACH_FORCED, /* detach it even if it is in use */
	DISK_LEAVE,	    /* stop serving it, and leave it in the kernel as it is */
};

struct disk;
struct disk_command;

/* Shared by all disks of a server. */
struct disk_host {
	/* Set by the caller, constant. */
	struct ring *ring;
	const struct config *config;
	struct worker *workers;
	unsigned int worker_count;
	bool rescue; /* disks have no store: they are detached as soon as they are adopted */

	/** @rival: an open disk that shares bytes with @disk, one of both writable; or NULL */
	const struct disk *(*rival)(struct disk_host *host, const struct disk *disk);
	/** @changed: the state of @disk has changed, to any state but GONE */
	void (*changed)(struct disk_host *host, struct disk *disk);
	/** @gone: @disk has ended; its memory stays until disk_is_unused() */
	void (*gone)(struct disk_host *host, struct disk *disk);

	enum disk_goal goal;	  /* of all disks */
	unsigned int next_worker; /* for the next queue */
	unsigned int tasks;	  /* of all disks: opening and closing stores */
	bool failed; /* the exit status is 1: the start, a takeover or the end failed */
};

struct disk {
	struct list_node node; /* the caller's */
	struct disk_host *host;
	struct device_config *config; /* its own */
	struct device device;
	struct attach_job job;
	struct task opening;
	struct task closing; /* of @closing_store */
	struct backend *closing_store;
	void (*store_closed)(struct disk *disk);
	struct ring_timer timer;      /* for the next attempt of the current state */
	uint64_t since_ns;	      /* the time when opening or attaching began */
	struct ring_timer slow_timer; /* until @slow */
	struct ring_timer watch;      /* after a driver's reset or start: see disk_watch.c */
	struct disk_command *command; /* the command under way; NULL: none */
	struct vhost_user_handover *handover; /* RELEASED, or taken back and not resumed; or NULL */
	struct device_connection connection;  /* for the next device */
	enum disk_state state;
	enum disk_goal goal;
	int detach_error;   /* why its device is left in the kernel; 0: it is not left */
	unsigned int tasks; /* tasks that open or close the store and use this struct */
	int result;	    /* of the task that opens the store */

	char why[LOG_CAPTURE_MAX];     /* the error text of the last failure; empty: none */
	char attempt[LOG_CAPTURE_MAX]; /* the error text of the attempt under way */
	unsigned int failures;	       /* since it was attached the last time */
	unsigned int busy_checks, node_checks;
	bool slow;     /* it takes too long to open or attach: the next disks are attached first */
	bool overdue;  /* it takes even longer: the start ends without it */
	bool resuming; /* ATTACHED, but its device still receives what a front end has said before */
	bool removal_logged;
	bool inherited;	 /* a former server attached it, and it had a driver when it was adopted */
	bool left;	 /* CLOSING: leave the device in the kernel */
	bool failing;	 /* CLOSING: because a step failed */
	bool recreate;	 /* CLOSING: then recreate the device: it was removed from the vdpa bus */
	bool unattached; /* CLOSING, with @recreate: do not attach the new device */
	bool taken_back; /* its release was cancelled, and it is not served again yet */
	bool reopen;	 /* CLOSING: then open it again, since its release was cancelled */
};

/**
 * disk_new() - create a disk; start it with disk_start()
 * @config: this function copies it
 *
 * Return: the disk; NULL: no memory
 */
struct disk *disk_new(struct disk_host *host, const struct device_config *config);

/** disk_free() - free a disk that was not started, or that disk_is_unused() */
void disk_free(struct disk *disk);

/** disk_is_unused() - is it GONE, and does no task and no timer use the struct? */
bool disk_is_unused(const struct disk *disk);

/** disk_start() - open it; with @held_by_other wait for disk_released() first */
void disk_start(struct disk *disk, bool held_by_other);

/** disk_released() - the other server has closed it: open it now */
void disk_released(struct disk *disk);

/** disk_wants_turn() - is it CREATED, and should it be attached now? */
bool disk_wants_turn(const struct disk *disk);

/** disk_attach() - attach it, or adopt what an earlier server attached */
void disk_attach(struct disk *disk);

/** disk_start_ended() - has its start succeeded or failed? */
bool disk_start_ended(const struct disk *disk);

/** disk_goal() - the goal that holds for this disk: its own, or that of all disks */
static inline enum disk_goal disk_goal(const struct disk *disk)
{
	return MAX(disk->goal, disk->host->goal);
}

/** disk_apply_goal() - @host->goal has changed: detach or leave the disk. Retries while it is in use */
void disk_apply_goal(struct disk *disk);

/** disk_has_store() - is its store open? */
static inline bool disk_has_store(const struct disk *disk)
{
	return disk->state != DISK_OPENING && disk->device.backend;
}

/** disk_owner() - does this server have the device of the disk? */
enum control_owner disk_owner(const struct disk *disk);

/** disk_state_name() - as "list" prints it */
const char *disk_state_name(const struct disk *disk);

#endif
