/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver that breaks the rules, on /dev/vhost-vdpa-N.
 *
 * A case runs in a process of its own, under an alarm: what it opens and maps goes away with it,
 * and where it hangs, the alarm says so. It damages queue 0 of one device, and then everything else
 * must still work: queue 1, the other device, and after a reset queue 0 as well.
 *
 * This program shares no code with tests/lib, on purpose: its ring (ring.h) is a second reading of the
 * specification, and an error in the ring of tests/lib cannot hide the same error here.
 */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "driver.h"

/* How long an answer may take; far above what a software-emulated machine with ASan needs. */
#define ANSWER_MS 20000u

/* How long to look at a queue that must stay silent. */
#define SILENCE_MS 100u

struct bench {
	struct driver victim;
	struct driver other;  /* another device of the same server */
	struct driver locked; /* a third one, which cannot be written */
};

struct hostile_case {
	const char *name;
	void (*run)(struct bench *bench, uint64_t arg);
	uint64_t arg;
	bool on_request; /* runs only when it is named */
};

/* One table per file; each ends with a row without a name. */
extern const struct hostile_case ring_cases[];
extern const struct hostile_case setup_cases[];
extern const struct hostile_case reset_cases[];
extern const struct hostile_case memory_cases[];
extern const struct hostile_case race_cases[];

/** fail() - say what is wrong, and where; ends the process */
void fail(const char *fmt, ...) __printf(1, 2) __attribute__((noreturn));

/** where() - what fail() says in front */
void where(const char *fmt, ...) __printf(1, 2);

/** must() - fail() unless a call returned 0 */
void must(int err, const char *what);

uint64_t now_ms(void);

struct random_job {
	uint64_t seed;
	uint64_t count;	 /* chains, about */
	uint64_t first;	 /* batch to begin with: to look at a failure again */
	uint64_t served; /* out: chains that came back with something in them */
};

/** random_run() - random chains; ends the process where something is wrong */
void random_run(struct bench *bench, struct random_job *job);

#endif
