// SPDX-License-Identifier: GPL-2.0-or-later
/* Set-up with the wrong values, or in the wrong order. */
#include <errno.h>
#include <linux/virtio_config.h>

#include "hostile.h"

/* The server may refuse a driver, and the kernel then says so; the next one is welcome. */
static void refused(struct bench *bench, uint64_t features)
{
	struct driver *d = &bench->victim;
	uint64_t good = d->features;

	driver_reset(d);
	d->features = features;
	if (!driver_negotiate(d))
		fail("features 0x%llx are accepted", (unsigned long long)features);
	driver_set_queue(d, 0);
	if (!driver_ok(d))
		fail("DRIVER_OK with features 0x%llx", (unsigned long long)features);
	driver_good(&bench->other, 0);
	d->features = good;
}

static void features_not_offered(struct bench *bench, uint64_t unused)
{
	(void)unused;
	for (unsigned int bit = 0; bit < 64; bit++)
		if (!(bench->victim.offered >> bit & 1))
			refused(bench, bench->victim.features | 1ull << bit);
}

static void features_legacy(struct bench *bench, uint64_t unused)
{
	(void)unused;
	refused(bench, bench->victim.features & ~(1ull << VIRTIO_F_VERSION_1));
}

/* Features were never agreed on. */
static void driver_ok_at_once(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_reset(d);
	driver_set_queue(d, 0);
	if (!vhost_set_status(d->fd, VIRTIO_CONFIG_S_DRIVER_OK))
		fail("DRIVER_OK without features");
}

/* What is agreed on is not changed any more, in between or while it runs. */
static void features_late(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_reset(d);
	must(driver_negotiate(d), "FEATURES_OK");
	vhost_set_features(d->fd, UINT64_MAX);
	driver_set_queue(d, 0);
	driver_set_queue(d, 1);
	if (driver_ok(d))
		return;
	driver_good(d, 0);
	vhost_set_features(d->fd, 0);
	driver_good(d, 0);
}

/* Every status there is, in any state; whatever is answered, a reset ends it. */
static void status_garbage(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	for (unsigned int status = 0; status < 256; status++) {
		vhost_set_status(d->fd, (uint8_t)status);
		vhost_set_status(d->fd, (uint8_t)(status * 7));
	}
	driver_start(d);
	for (unsigned int status = 0x0f; status < 256; status += 16)
		vhost_set_status(d->fd, (uint8_t)status);
	driver_good(d, 0);
}

/* Where the ring parts are said to be: each time one of them cannot be served. */
static const struct {
	uint64_t desc, avail, used;
} places[] = {
	{ NOWHERE_IOVA, NOWHERE_IOVA + RING_AVAIL, NOWHERE_IOVA + RING_USED },
	{ MAIN_IOVA, NOWHERE_IOVA, MAIN_IOVA + RING_USED },
	{ MAIN_IOVA, MAIN_IOVA + RING_AVAIL, NOWHERE_IOVA },
	{ MAIN_IOVA, MAIN_IOVA + RING_AVAIL, RO_IOVA },
	{ MAIN_IOVA, WO_IOVA, MAIN_IOVA + RING_USED },
	{ WO_IOVA, MAIN_IOVA + RING_AVAIL, MAIN_IOVA + RING_USED },
	{ MAIN_IOVA + 8, MAIN_IOVA + RING_AVAIL, MAIN_IOVA + RING_USED },
	{ MAIN_IOVA + 1, MAIN_IOVA + RING_AVAIL, MAIN_IOVA + RING_USED },
	{ SPLIT_IOVA + SPLIT_BORDER - 64, MAIN_IOVA + RING_AVAIL, MAIN_IOVA + RING_USED },
	{ MAIN_IOVA, SPLIT_IOVA + SPLIT_BORDER - 4, MAIN_IOVA + RING_USED },
	{ MAIN_IOVA, MAIN_IOVA + RING_AVAIL, SPLIT_IOVA + SPLIT_BORDER - 4 },
	{ MAIN_IOVA + MAIN_BYTES - 16, MAIN_IOVA + RING_AVAIL, MAIN_IOVA + RING_USED },
	{ UINT64_MAX - 15, MAIN_IOVA + RING_AVAIL, MAIN_IOVA + RING_USED },
	{ MAIN_IOVA, UINT64_MAX - 1, MAIN_IOVA + RING_USED },
	{ MAIN_IOVA, MAIN_IOVA + RING_AVAIL, UINT64_MAX - 3 },
};

/* Queue 0 cannot be served as it was set up; all others can. */
static void expect_unserved(struct bench *bench)
{
	struct driver *d = &bench->victim;
	struct vring_used_elem elem;

	must(driver_ok(d), "DRIVER_OK");
	driver_offer_read(d, 0, 0);
	ring_publish(&d->ring[0]);
	driver_good(d, 1);
	driver_good(&bench->other, 0);
	if (ring_wait(&d->ring[0], &elem, SILENCE_MS))
		fail("the queue is served");
}

static void set_up_both(struct driver *d)
{
	driver_reset(d);
	must(driver_negotiate(d), "FEATURES_OK");
	driver_set_queue(d, 0);
	driver_set_queue(d, 1);
}

static void rings_elsewhere(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_map_quirks(d);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		set_up_both(d);
		must(vhost_set_addr(d->fd, 0, places[i].desc, places[i].avail, places[i].used),
		     "VHOST_SET_VRING_ADDR");
		expect_unserved(bench);
	}
}

static void ring_is_huge(struct bench *bench, uint64_t num)
{
	struct driver *d = &bench->victim;

	set_up_both(d);
	/* Later kernels check it; then there is nothing to see. */
	if (vhost_set_num(d->fd, 0, (uint32_t)num) == 0)
		expect_unserved(bench);
}

/* Ready, with neither size nor place. */
static void ring_is_unset(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_reset(d);
	must(driver_negotiate(d), "FEATURES_OK");
	must(vhost_set_kick(d->fd, 0, d->ring[0].kick_fd), "VHOST_SET_VRING_KICK");
	must(vhost_set_enable(d->fd, 0, 1), "VHOST_VDPA_SET_VRING_ENABLE");
	driver_set_queue(d, 1);
	must(driver_ok(d), "DRIVER_OK");
	ring_kick(&d->ring[0]);
	driver_good(d, 1);
}

/* Sizes below what the device offers are the driver's choice. */
static void ring_is_small(struct bench *bench, uint64_t num)
{
	struct driver *d = &bench->victim;

	driver_reset(d);
	d->ring[0].num = (uint16_t)num;
	must(driver_negotiate(d), "FEATURES_OK");
	driver_set_queue(d, 0);
	driver_set_queue(d, 1);
	must(driver_ok(d), "DRIVER_OK");
	for (unsigned int n = 0; n < 10; n++)
		driver_good(d, 0);
	d->ring[0].num = d->ring_max;
}

/* A queue that becomes ready after DRIVER_OK is found at its first kick. */
static void enabled_late(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_reset(d);
	must(driver_negotiate(d), "FEATURES_OK");
	driver_set_queue(d, 0);
	must(vhost_set_enable(d->fd, 0, 0), "VHOST_VDPA_SET_VRING_ENABLE");
	driver_set_queue(d, 1);
	must(driver_ok(d), "DRIVER_OK");
	ring_kick(&d->ring[0]);
	driver_good(d, 1);
	must(vhost_set_enable(d->fd, 0, 1), "VHOST_VDPA_SET_VRING_ENABLE");
	driver_good(d, 0);
}

/* Addresses, sizes and readiness change under a running queue, which goes on with what it had. */
static void set_up_while_running(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_start(d);
	for (unsigned int n = 0; n < 50; n++) {
		driver_good(d, 0);
		vhost_set_num(d->fd, 0, 1u << n % 16);
		vhost_set_base(d->fd, 0, n * 999);
		vhost_set_addr(d->fd, 0, NOWHERE_IOVA + n, n * 4, n * 64);
		vhost_set_enable(d->fd, 0, 0);
		driver_good(d, 1);
		vhost_set_enable(d->fd, 0, 1);
	}
	driver_good(d, 0);
}

const struct hostile_case setup_cases[] = {
	{ .name = "features-not-offered", .run = features_not_offered },
	{ .name = "features-all", .run = refused, .arg = UINT64_MAX },
	{ .name = "features-none", .run = refused, .arg = 0 },
	{ .name = "features-legacy", .run = features_legacy },
	{ .name = "features-late", .run = features_late },
	{ .name = "driver-ok-at-once", .run = driver_ok_at_once },
	{ .name = "status-garbage", .run = status_garbage },
	{ .name = "rings-elsewhere", .run = rings_elsewhere },
	{ .name = "ring-of-2048", .run = ring_is_huge, .arg = 2048 },
	{ .name = "ring-of-32768", .run = ring_is_huge, .arg = 32768 },
	{ .name = "ring-is-unset", .run = ring_is_unset },
	{ .name = "ring-of-8", .run = ring_is_small, .arg = 8 },
	{ .name = "ring-of-4", .run = ring_is_small, .arg = 4 },
	{ .name = "enabled-late", .run = enabled_late },
	{ .name = "set-up-while-running", .run = set_up_while_running },
	{ 0 },
};
