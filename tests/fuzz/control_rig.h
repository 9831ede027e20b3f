/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device between a kernel, a driver and a store of the tests, all on one thread.
 *
 * Production code runs as it is, with two exceptions: the kernel is tests/lib/fake_kern.c, and the
 * worker has no thread, its rounds are called by hand (hand_worker.h). So an input does the same
 * each time, and it is the input that says who goes on when: threads would find the same orders by
 * luck only. Both rings are real io_urings, and live from input to input.
 *
 * An answer is judged at once, before the worker can do anything: what the message asked for must
 * hold. In the end every message is answered, every request given back, and nothing left behind.
 */
#ifndef TESTS_FUZZ_CONTROL_RIG_H
#define TESTS_FUZZ_CONTROL_RIG_H

#include "disk/disk_device.h"
#include "blk_driver.h"
#include "manual_backend.h"

struct rig {
	struct device_config config;
	struct device device;
	struct backend *store; /* holds every operation (manual_backend.h) */
	struct blk_driver driver;
	uint64_t offered;		 /* features */
	uint8_t status;			 /* as the kernel has it */
	bool replied[FAKE_MESSAGES_MAX]; /* messages whose answers were judged, by number */
	bool closed;
};

/* There is one: io_uring is too slow to set up for each input. */
extern struct rig rig;

/** rig_init() - a new device on the vdpa bus */
void rig_init(uint32_t queues, uint32_t queue_size);

/** rig_exit() - ends what is under way, then takes it all away */
void rig_exit(void);

/** rig_run_main() - one round of the main thread, and judgement of what it answered */
void rig_run_main(void);

/** rig_run_worker() - one round of the worker */
void rig_run_worker(void);

/** rig_complete() - end one operation of the store, the @nth as far as there are so many, well or not */
void rig_complete(unsigned int nth, bool good);

/** rig_let_time_pass() - until timers of queues have run out, if there are any */
void rig_let_time_pass(void);

/** rig_kernel_reset() - what the kernel does once a reset has its answer, or will have none */
void rig_kernel_reset(void);

/**
 * rig_restart() - the server ends, and the next one comes
 *
 * It adopts the device; where the inflight log, which @in may damage, speaks against it, it makes it
 * again.
 */
void rig_restart(struct input *in);

#endif
