// SPDX-License-Identifier: GPL-2.0-or-later
/* Resets, closes and questions while requests are in flight. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile.h"

#define BURST  64u /* requests in flight when the worst happens */
#define ROUNDS 40u
#define PIECES 12u

static void offer_burst(struct driver *d)
{
	for (uint16_t n = 0; n < BURST; n++)
		driver_offer_read(d, 0, (uint16_t)(n * 3));
	ring_publish(&d->ring[0]);
}

/* A little later each time, so that every moment has its turn. */
static void let_pass(unsigned int round)
{
	if (round % 3)
		usleep(round * 50);
}

static void reset_in_flight(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	for (unsigned int n = 0; n < ROUNDS; n++) {
		driver_start(d);
		offer_burst(d);
		let_pass(n);
		must(vhost_set_status(d->fd, 0), "reset");
	}
}

/* The last descriptor of the node goes away, as when the client is killed. */
static void close_in_flight(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	for (unsigned int n = 0; n < ROUNDS / 4; n++) {
		driver_start(d);
		offer_burst(d);
		let_pass(n * 4);
		close(d->fd);
		area_free(&d->main);
		driver_open(d, d->path);
	}
}

/* Where the queue is: it pauses, says so and goes on; nothing is lost. */
static void base_in_flight(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	struct vring_used_elem elem;
	uint32_t index = 0;

	(void)unused;
	driver_start(d);
	for (unsigned int n = 0; n < ROUNDS; n++) {
		offer_burst(d);
		let_pass(n);
		must(vhost_get_base(d->fd, 0, &index), "VHOST_GET_VRING_BASE");
		for (unsigned int i = 0; i < BURST; i++)
			if (!ring_wait(&d->ring[0], &elem, ANSWER_MS))
				fail("round %u: %u requests are lost", n, BURST - i);
	}
}

/* A queue that is switched off and on under its requests; how it fares is its driver's affair. */
static void disable_in_flight(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	for (unsigned int n = 0; n < ROUNDS; n++) {
		driver_start(d);
		offer_burst(d);
		vhost_set_enable(d->fd, 0, 0);
		let_pass(n);
		vhost_set_call(d->fd, 0, -1);
		vhost_set_enable(d->fd, 0, 1);
		ring_kick(&d->ring[0]);
		driver_good(d, 1);
	}
}

/* A request in many pieces, which the server has to remember somewhere. */
static void offer_pieces(struct driver *d, uint32_t queue, uint16_t head)
{
	uint32_t at_table = AT_TABLE + head % 64u * (PIECES + 2) * 16;
	struct vring_desc *table = (struct vring_desc *)driver_mem(d, queue, at_table);

	table[0] = ring_desc(driver_iova(d, queue, AT_HEADER), 16, VRING_DESC_F_NEXT, 1);
	for (uint16_t i = 1; i <= PIECES; i++)
		table[i] = ring_desc(driver_iova(d, queue, AT_DATA) + i * 4096u, 512,
				     VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, i + 1);
	table[PIECES + 1] = ring_desc(driver_iova(d, queue, AT_STATUS), 1, VRING_DESC_F_WRITE, 0);
	d->ring[queue].desc[head] = ring_desc(driver_iova(d, queue, at_table), (PIECES + 2) * 16,
					      VRING_DESC_F_INDIRECT, 0);
	ring_offer(&d->ring[queue], head);
}

static bool all_replied(const struct driver *d)
{
	for (uint32_t queue = 0; queue < QUEUES; queue++)
		if (__atomic_load_n(&d->ring[queue].used->idx, __ATOMIC_ACQUIRE) != d->ring_max)
			return false;
	return true;
}

/*
 * As many of them as the rings hold, and where the store is slow they stay. Another device is
 * answered all the same, sooner than they are.
 */
static void hog(struct bench *bench, uint64_t slow_store)
{
	struct driver *d = &bench->victim;

	driver_start(d);
	for (uint32_t queue = 0; queue < QUEUES; queue++) {
		driver_header(d, queue, AT_HEADER, VIRTIO_BLK_T_IN, 0);
		for (uint16_t head = 0; head < d->ring_max; head++)
			offer_pieces(d, queue, head);
		ring_publish(&d->ring[queue]);
	}
	usleep(100000); /* the server has taken them */
	driver_good(&bench->other, 0);
	driver_good(&bench->other, 1);
	if (slow_store && all_replied(d))
		fail("another device was answered after them");
}

/* The client is killed at any moment, in the middle of a message too. */
static void killed(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	for (unsigned int n = 0; n < ROUNDS / 2; n++) {
		pid_t child;

		close(d->fd);
		child = fork();
		if (child < 0)
			fail("fork: %s", strerror(errno));
		if (!child) {
			driver_open(d, d->path);
			for (;;) {
				driver_start(d);
				offer_burst(d);
			}
		}
		usleep(20000 + n * 3000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		area_free(&d->main);
		driver_open(d, d->path);
	}
}

static void reset_storm(struct bench *bench, uint64_t unused)
{
	(void)unused;
	for (unsigned int n = 0; n < 200; n++)
		must(vhost_set_status(bench->victim.fd, 0), "reset");
}

static void start_storm(struct bench *bench, uint64_t unused)
{
	(void)unused;
	for (unsigned int n = 0; n < 50; n++)
		driver_start(&bench->victim);
}

const struct hostile_case reset_cases[] = {
	{ .name = "reset-in-flight", .run = reset_in_flight },
	{ .name = "close-in-flight", .run = close_in_flight },
	{ .name = "base-in-flight", .run = base_in_flight },
	{ .name = "disable-in-flight", .run = disable_in_flight },
	{ .name = "hog", .run = hog },
	{ .name = "hog-slow-store", .run = hog, .arg = 1, .on_request = true },
	{ .name = "killed", .run = killed },
	{ .name = "reset-storm", .run = reset_storm },
	{ .name = "start-storm", .run = start_storm },
	{ 0 },
};
