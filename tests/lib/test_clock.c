// SPDX-License-Identifier: GPL-2.0-or-later
#include "test_clock.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "ring.h"

#define TIMERS_MAX 64
#define NS_PER_S   1000000000ull
#define NEVER_US   (1000ull * 365 * 24 * 3600 * 1000000)

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __real_usleep(useconds_t us);
int __real_nanosleep(const struct timespec *time, struct timespec *left);
void __real_ring_timer_start(struct ring *ring, struct ring_timer *timer, uint64_t us,
			     void (*expired)(struct ring_timer *timer));
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_usleep(useconds_t us);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
void __wrap_ring_timer_start(struct ring *ring, struct ring_timer *timer, uint64_t us,
			     void (*expired)(struct ring_timer *timer));

struct test_clock test_clock;

static bool stopped;
static uint64_t now_ns;
static pthread_t owner;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* with @moved: for threads that sleep */
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static __thread uint64_t seen_ns; /* when this thread looked at the clock */

/* Active timers of the owner's rings; its thread only. */
static struct test_timer {
	struct ring *ring;
	struct ring_timer *timer;
	uint64_t due_ns;
	void (*expired)(struct ring_timer *timer);
} timers[TIMERS_MAX];
static unsigned int timer_count;

static bool is_stopped(void)
{
	return __atomic_load_n(&stopped, __ATOMIC_ACQUIRE);
}

static uint64_t now(void)
{
	return __atomic_load_n(&now_ns, __ATOMIC_RELAXED);
}

static void move(uint64_t ns)
{
	pthread_mutex_lock(&lock);
	__atomic_fetch_add(&now_ns, ns, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&lock);
}

static bool is_owner(void)
{
	return pthread_equal(owner, pthread_self());
}

void test_clock_stop(void)
{
	struct timespec real;

	__real_clock_gettime(CLOCK_MONOTONIC, &real);
	now_ns = (uint64_t)real.tv_sec * NS_PER_S + (uint64_t)real.tv_nsec;
	owner = pthread_self();
	timer_count = 0;
	test_clock = (struct test_clock){ 0 };
	__atomic_store_n(&stopped, true, __ATOMIC_RELEASE);
}

void test_clock_run(void)
{
	__atomic_store_n(&stopped, false, __ATOMIC_RELEASE);
	move(0);
}

/* ---- timers ---- */

static void expire(struct ring_timer *timer)
{
	unsigned int i = 0;
	struct test_timer expired;

	while (timers[i].timer != timer)
		i++;
	expired = timers[i];
	for (timer_count--; i < timer_count; i++)
		timers[i] = timers[i + 1];
	expired.expired(timer);
}

void __wrap_ring_timer_start(struct ring *ring, struct ring_timer *timer, uint64_t us,
			     void (*expired)(struct ring_timer *timer))
{
	unsigned int i = timer_count;
	uint64_t due_ns = now() + us * 1000;

	if (!is_stopped() || !is_owner()) {
		__real_ring_timer_start(ring, timer, us, expired);
		return;
	}
	if (timer->active)
		return;
	ck_assert_uint_lt(timer_count, TIMERS_MAX);
	/* The first that is due is the first in the array. */
	for (; i && timers[i - 1].due_ns > due_ns; i--)
		timers[i] = timers[i - 1];
	timers[i] = (struct test_timer){ ring, timer, due_ns, expired };
	timer_count++;
	__real_ring_timer_start(ring, timer, NEVER_US, expire);
}

void test_clock_advance(uint64_t us)
{
	ck_assert(is_stopped() && is_owner());
	move(us * 1000);
	for (unsigned int i = 0; i < test_clock_due(); i++)
		ring_timer_expire_now(timers[i].ring, timers[i].timer);
}

unsigned int test_clock_due(void)
{
	unsigned int count = 0;

	while (count < timer_count && timers[count].due_ns <= now())
		count++;
	return count;
}

/* ---- the clock ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock != CLOCK_MONOTONIC || !is_stopped())
		return __real_clock_gettime(clock, ts);
	seen_ns = now();
	*ts = (struct timespec){
		.tv_sec = (time_t)(seen_ns / NS_PER_S),
		.tv_nsec = (long)(seen_ns % NS_PER_S),
	};
	return 0;
}

static void sleep_for(uint64_t ns)
{
	if (!is_owner()) {
		pthread_mutex_lock(&lock);
		while (is_stopped() && now() < seen_ns + ns)
			pthread_cond_wait(&moved, &lock);
		pthread_mutex_unlock(&lock);
		return;
	}
	move(ns);
	test_clock.sleeps++;
	test_clock.slept_us += ns / 1000;
	if (test_clock.slept)
		test_clock.slept();
}

int __wrap_usleep(useconds_t us)
{
	if (!is_stopped())
		return __real_usleep(us);
	sleep_for(us * 1000ull);
	return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
	if (!is_stopped())
		return __real_nanosleep(time, left);
	sleep_for((uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec);
	return 0;
}
