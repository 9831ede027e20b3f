/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two sides of tests/lib/fake_kern.h share; for fake_*.c alone. */
#ifndef TESTS_FAKE_KERN_STATE_H
#define TESTS_FAKE_KERN_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <sys/types.h>

#include "fake_kern.h"

#define FAKE_DEVS_MAX	 4
#define FAKE_PAGE	 4096u
#define FAKE_BOUNCE_SIZE (64ull << 20)

struct fake_calls {
	unsigned int calls;
	unsigned int fail_at; /* value of @calls that fails, 0: none */
	int err;
};

extern pthread_mutex_t fake_lock; /* of all there is here */
extern struct fake_dev *fake_devs[FAKE_DEVS_MAX];
extern struct fake_calls fake_calls[FAKE_CALLS];

/** fake_enter() - begin a call: count it. Return: 0, or how it has to fail. Ends with fake_leave() */
int fake_enter(enum fake_call call);

/** fake_enter_dev() - begin a call on a device fd; an error ends it */
int fake_enter_dev(enum fake_call call, int fd, struct fake_dev **dev);

/** fake_leave() - release the lock. Return: @ret */
int fake_leave(int ret);

/* With the lock held: */
struct fake_dev *fake_dev_by_name(const char *name);
struct fake_dev *fake_dev_by_fd(int fd);
struct fake_dev *fake_dev_make(const char *name);
void fake_dev_destroy(struct fake_dev *dev);
bool fake_dev_is_open(struct fake_dev *dev);
void fake_drop_kickfd(struct fake_vq *vq);
pid_t fake_table(void);
void fake_drop_regions(struct fake_dev *dev);
void fake_forget_domain(struct fake_dev *dev);
struct fake_region *fake_first_overlap(struct fake_dev *dev, uint64_t start, uint64_t last);

#endif
