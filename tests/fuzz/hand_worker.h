/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker without its thread: each round of its loop is called by hand. */
#ifndef TESTS_FUZZ_HAND_WORKER_H
#define TESTS_FUZZ_HAND_WORKER_H

#include "queue/worker.h"

/** hand_worker_init() - @worker, zeroed, and its ring belong to the calling thread */
void hand_worker_init(struct worker *worker);

/** hand_worker_round() - what worker_loop() does between two sleeps; never sleeps */
void hand_worker_round(struct worker *worker);

/** hand_worker_is_idle() - no queue is on any of its lists, every large buffer is back */
bool hand_worker_is_idle(const struct worker *worker);

#endif
