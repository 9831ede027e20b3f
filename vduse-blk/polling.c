// SPDX-License-Identifier: GPL-2.0-or-later
#include "polling.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "compiler.h"
#include "log.h"
#include "time_ns.h"

/* Wake-ups that are measured. The best of them counts: others had to wait for a CPU. */
#define TRIALS 16

/* Spin only where work comes sooner than so many wake-ups take: there is one on either side. */
#define GAP_WAKEUPS 4

/* A gap that was longer than so many of those is one of that: a pause is soon forgotten. */
#define GAP_MAX 8

struct echo {
	int there, back; /* eventfds */
};

static void signal_fd(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return; /* its counter is full: it is signalled */
}

static void wait_fd(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0)
		; /* a signal */
}

static void *echo_main(void *arg)
{
	const struct echo *echo = arg;

	for (int i = 0; i < TRIALS; i++) {
		wait_fd(echo->there);
		signal_fd(echo->back);
	}
	return NULL;
}

/* Return: half of the fastest way there and back */
static uint64_t measure(const struct echo *echo)
{
	uint64_t best = UINT64_MAX, began;

	for (int i = 0; i < TRIALS; i++) {
		began = time_now_ns();
		signal_fd(echo->there);
		wait_fd(echo->back);
		best = MIN(best, time_now_ns() - began);
	}
	return best / 2;
}

static uint64_t measure_wakeup_ns(void)
{
	struct echo echo = {
		.there = eventfd(0, EFD_CLOEXEC),
		.back = eventfd(0, EFD_CLOEXEC),
	};
	uint64_t ns = 0;
	pthread_t thread;

	if (echo.there >= 0 && echo.back >= 0 && !pthread_create(&thread, NULL, echo_main, &echo)) {
		ns = measure(&echo);
		pthread_join(thread, NULL);
	}
	if (echo.there >= 0)
		close(echo.there);
	if (echo.back >= 0)
		close(echo.back);
	return ns;
}

void polling_place_init(struct polling_place *place)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	place->cpus = cpus > 0 ? (uint32_t)cpus : 1;
	place->wakeup_us = (uint32_t)(measure_wakeup_ns() / 1000);
	place->awake = 0;
	log_debug("to wake a thread takes %u us", place->wakeup_us);
}

static uint32_t short_gap_us(const struct polling *polling)
{
	return GAP_WAKEUPS * polling->place->wakeup_us;
}

void polling_init(struct polling *polling, struct polling_place *place)
{
	polling->place = place;
	polling->mean_gap_us = GAP_MAX * short_gap_us(polling);
	polling->idle_since_ns = 0;
}

/* Relaxed: nothing else is read or written in the faith of this number. */
void polling_sleeps(struct polling *polling)
{
	__atomic_fetch_sub(&polling->place->awake, 1, __ATOMIC_RELAXED);
}

void polling_wakes(struct polling *polling)
{
	__atomic_fetch_add(&polling->place->awake, 1, __ATOMIC_RELAXED);
}

/* Is there a CPU for whoever makes the work, should this worker spin? */
static bool has_cpu(const struct polling *polling)
{
	return load_relaxed(&polling->place->awake) < polling->place->cpus;
}

void polling_idle(struct polling *polling)
{
	if (!polling->idle_since_ns)
		polling->idle_since_ns = time_now_ns();
}

void polling_work(struct polling *polling)
{
	uint64_t gap_us;

	if (!polling->idle_since_ns)
		return;
	gap_us = (time_now_ns() - polling->idle_since_ns) / 1000;
	gap_us = MIN(gap_us, GAP_MAX * short_gap_us(polling));
	polling->mean_gap_us = (uint32_t)((7ull * polling->mean_gap_us + gap_us) / 8);
	polling->idle_since_ns = 0;
}

uint32_t polling_auto_us(const struct polling *polling)
{
	if (polling->mean_gap_us >= short_gap_us(polling) || !has_cpu(polling))
		return 0;
	return 2 * polling->mean_gap_us + 1;
}
