// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/virtq.c: driver and device at the same time. */
#include <endian.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "suite.h"
#include "virtq_fixture.h"

#define RACE_CHAINS 30000

static int kick_fd, call_fd;

/* A kick or an interrupt that is lost ends the test by its time limit. */
static bool wait_for(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	eventfd_t ignored;

	return poll(&p, 1, -1) == 1 && eventfd_read(fd, &ignored) == 0;
}

static void *device_thread(void *arg)
{
	uintptr_t trouble = 0;

	(void)arg;
	for (uint32_t done = 0; done < RACE_CHAINS && !trouble;) {
		virtq_suppress_kicks(&vq);
		while (virtq_pop(&vq, &chain) == 1) {
			trouble += chain.fault || chain.out_bytes != 2 || chain.in_bytes != 1;
			virtq_push(&vq, chain.head, 1);
			done++;
		}
		if (virtq_publish(&vq))
			eventfd_write(call_fd, 1);
		if (!virtq_want_kick(&vq) && done < RACE_CHAINS)
			trouble += !wait_for(kick_fd);
	}
	return (void *)trouble;
}

START_TEST(no_kick_and_no_interrupt_is_lost)
{
	uint32_t added = 0, reaped = 0, len;
	bool lost = false;
	pthread_t device;
	void *trouble;

	vq_start(_i * GUEST_SHAPES, 8, 65000);
	kick_fd = eventfd(0, EFD_CLOEXEC);
	call_fd = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq(pthread_create(&device, NULL, device_thread, NULL), 0);
	while (reaped < RACE_CHAINS && !lost) {
		g->avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
		for (int i = 1 + added % 3; i && added < RACE_CHAINS; i--)
			added += guest_add(g, (struct chain_part){ .len = 2, .addr = OUT },
					   (struct chain_part){ true, 1, STATUS }) >= 0;
		if (guest_publish(g))
			eventfd_write(kick_fd, 1);
		while (guest_reap(g, &len) >= 0)
			reaped++;
		if (reaped < added && !guest_want_interrupt(g))
			lost = !wait_for(call_fd);
	}
	ck_assert_int_eq(pthread_join(device, &trouble), 0);
	ck_assert_ptr_null(trouble);
	ck_assert(!lost);
	close(kick_fd);
	close(call_fd);
}
END_TEST

/*
 * The two moments at which both sides write first and then look at what the other one wrote. They
 * come together as closely as two CPUs allow: at least one must see the other's write.
 */
#define MOMENTS_MS 400

static atomic_uint moment, moment_done;
static bool moment_device_saw;

static void wait_for_moment(atomic_uint *counter, unsigned int value)
{
	for (unsigned int spins = 1; atomic_load(counter) < value; spins++)
		if (spins % 4096 == 0)
			sched_yield(); /* there may be but one CPU */
}

static void *device_looks(void *arg)
{
	bool (*look)(struct virtq *) = *(bool (**)(struct virtq *))arg;

	for (unsigned int i = 1;; i++) {
		wait_for_moment(&moment, i);
		if (atomic_load(&moment) == UINT_MAX)
			return NULL;
		moment_device_saw = look(&vq);
		atomic_store(&moment_done, i);
	}
}

/* Now, or a little later. */
static void begin_moment(unsigned int i)
{
	atomic_store(&moment, i);
	for (volatile unsigned int delay = i * 7919 % 1024; delay; delay--)
		;
}

/* Has the time come to stop? Looks at the clock now and then. */
static bool enough_moments(unsigned int i)
{
	static struct timespec begin;
	struct timespec now;

	if (i % 256 != 1)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (i == 1)
		begin = now;
	return (now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 >
	       MOMENTS_MS;
}

static pthread_t start_moments(bool (*look)(struct virtq *))
{
	static bool (*function)(struct virtq *);
	pthread_t device;

	function = look;
	ck_assert_int_eq(pthread_create(&device, NULL, device_looks, &function), 0);
	return device;
}

static void stop_moments(pthread_t device)
{
	atomic_store(&moment, UINT_MAX);
	ck_assert_int_eq(pthread_join(device, NULL), 0);
}

START_TEST(kick_is_not_lost_at_the_moment_the_device_asks_for_it)
{
	pthread_t device;
	uint32_t len;

	vq_start(_i * GUEST_SHAPES * 2, 8, 65000);
	device = start_moments(virtq_want_kick);
	for (unsigned int i = 1; !enough_moments(i); i++) {
		bool kicked;

		virtq_suppress_kicks(&vq);
		guest_add(g, (struct chain_part){ .len = 2, .addr = OUT });
		begin_moment(i);
		kicked = guest_publish(g);
		wait_for_moment(&moment_done, i);
		must(kicked || moment_device_saw, "chain %u was noticed by nobody", i);
		must(virtq_pop(&vq, &chain) == 1, "no chain");
		virtq_push(&vq, chain.head, 0);
		vq_publish_all();
		must(guest_reap(g, &len) >= 0, "not used");
	}
	stop_moments(device);
}
END_TEST

START_TEST(interrupt_is_not_lost_at_the_moment_the_driver_asks_for_it)
{
	pthread_t device;
	uint32_t len;

	vq_start(_i * GUEST_SHAPES * 2, 8, 65000);
	device = start_moments(virtq_publish);
	for (unsigned int i = 1; !enough_moments(i); i++) {
		bool driver_saw;

		g->avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
		guest_add(g, (struct chain_part){ .len = 2, .addr = OUT });
		guest_publish(g);
		must(virtq_pop(&vq, &chain) == 1, "no chain");
		virtq_push(&vq, chain.head, 0);
		begin_moment(i);
		driver_saw = guest_want_interrupt(g);
		wait_for_moment(&moment_done, i);
		must(driver_saw || moment_device_saw, "chain %u was noticed by nobody", i);
		must(guest_reap(g, &len) >= 0, "not used");
	}
	stop_moments(device);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq_race");
	TCase *tc = suite_case(suite, "race", test_log_begin, vq_teardown);

	tcase_add_loop_test(tc, no_kick_and_no_interrupt_is_lost, 0, 4);
	tcase_add_loop_test(tc, kick_is_not_lost_at_the_moment_the_device_asks_for_it, 0, 2);
	tcase_add_loop_test(tc, interrupt_is_not_lost_at_the_moment_the_driver_asks_for_it, 0, 2);
	return suite_run(suite);
}
