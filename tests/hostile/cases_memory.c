// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory that moves, goes away, is cut into pieces, or is not what it seems. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostile.h"

#define PAGE	    4096u
#define BURST	    64u
#define ROUNDS	    20u
#define REGIONS	    2000u /* below the kernel's limit of 2048 */
#define LOST_PIECES 1008u /* 63 ranges; a chain may have 1024 descriptors */
#define HUGE_SIZE   (4ull << 40)
#define HUGE_MAPS   16u
#define HUGE_NEEDED 3u /* 12 TiB are a virtual machine that exists */

static void map(struct driver *d, uint64_t iova, uint64_t size, void *addr)
{
	must(vhost_map(d->fd, iova, size, addr, VHOST_ACCESS_RW), "VHOST_IOTLB_UPDATE");
}

static void unmap(struct driver *d, uint64_t iova, uint64_t size)
{
	must(vhost_unmap(d->fd, iova, size), "VHOST_IOTLB_INVALIDATE");
}

/* One read of @len bytes into @iova, header and status in the main area. */
static void offer_read(struct driver *d, uint64_t iova, uint32_t len)
{
	struct ring *ring = &d->ring[0];

	*driver_mem(d, 0, AT_STATUS) = POISON;
	driver_header(d, 0, AT_HEADER, VIRTIO_BLK_T_IN, 0);
	ring->desc[0] = ring_desc(driver_iova(d, 0, AT_HEADER), 16, VRING_DESC_F_NEXT, 1);
	ring->desc[1] = ring_desc(iova, len, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
	ring->desc[2] = ring_desc(driver_iova(d, 0, AT_STATUS), 1, VRING_DESC_F_WRITE, 0);
	ring_offer(ring, 0);
	ring_publish(ring);
}

static void expect_status(struct driver *d, uint8_t want)
{
	uint8_t *status = driver_mem(d, 0, AT_STATUS);
	struct vring_used_elem elem;

	if (!ring_wait(&d->ring[0], &elem, ANSWER_MS))
		fail("no answer");
	if (*status != want)
		fail("the status is 0x%02x, not 0x%02x", *status, want);
}

/* All memory moves while requests are in flight: none is lost, none ends in the old memory. */
static void move_in_flight(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	struct ring *ring = &d->ring[0];
	struct vring_used_elem elem;

	(void)unused;
	driver_start(d);
	for (unsigned int n = 0; n < ROUNDS; n++) {
		struct area old = d->main, new = area_new(MAIN_BYTES);

		for (uint16_t i = 0; i < BURST; i++)
			driver_offer_read(d, 0, (uint16_t)(i * 3));
		ring_publish(ring);
		usleep(n % 2 * n * 100);
		unmap(d, MAIN_IOVA, MAIN_BYTES);
		memcpy(new.addr, old.addr, MAIN_BYTES);
		memset(old.addr, POISON, MAIN_BYTES);
		d->main = new;
		for (uint32_t i = 0; i < QUEUES; i++)
			ring_move(&d->ring[i], driver_mem(d, i, 0));
		map(d, MAIN_IOVA, MAIN_BYTES, new.addr);
		ring_kick(ring);
		for (uint16_t i = 0; i < BURST; i++)
			if (!ring_wait(ring, &elem, ANSWER_MS))
				fail("round %u: %u requests are lost", n, BURST - i);
		for (size_t i = 0; i < MAIN_BYTES; i++)
			if (old.addr[i] != POISON)
				fail("round %u: old memory is written at 0x%zx", n, i);
		area_free(&old);
		driver_good(d, 1);
	}
}

/* The rings come back empty: to the server, avail->idx has jumped. */
static void rings_replaced(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_start(d);
	for (unsigned int n = 0; n < 20; n++)
		driver_good(d, 0);
	unmap(d, MAIN_IOVA, MAIN_BYTES);
	ring_kick(&d->ring[0]);
	memset(d->ring[0].avail, 0, 4);
	map(d, MAIN_IOVA, MAIN_BYTES, d->main.addr);
	ring_kick(&d->ring[0]);
	driver_good(d, 1);
	driver_good(&bench->other, 0);
}

/* Rings without memory, kicked, reset, and never given any again. */
static void rings_unmapped(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	for (unsigned int n = 0; n < 5; n++) {
		driver_start(d);
		driver_offer_read(d, 0, 0);
		ring_publish(&d->ring[0]);
		unmap(d, MAIN_IOVA, MAIN_BYTES);
		ring_kick(&d->ring[0]);
		driver_good(&bench->other, 0);
		driver_reset(d);
		must(driver_negotiate(d), "FEATURES_OK");
		driver_set_queue(d, 0);
		must(driver_ok(d), "DRIVER_OK");
		ring_kick(&d->ring[0]);
		map(d, MAIN_IOVA, MAIN_BYTES, d->main.addr);
	}
}

/* With pin_guest_memory the first read pins pages, which then outlive their place in the file. */
static uint8_t truncated_status(void)
{
	const char *pin = getenv("HOSTILE_PIN");

	return pin && !strcmp(pin, "yes") ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

/* A file that shrinks under its mapping: pages at and behind @keep are gone. */
static void truncated(struct bench *bench, uint64_t keep)
{
	struct driver *d = &bench->victim;
	struct area lost = area_new(AREA_BYTES);

	map(d, SPARE_IOVA, AREA_BYTES, lost.addr);
	driver_start(d);
	offer_read(d, SPARE_IOVA, AREA_BYTES);
	expect_status(d, VIRTIO_BLK_S_OK);
	if (ftruncate(lost.fd, (off_t)keep))
		fail("ftruncate: %s", strerror(errno));
	offer_read(d, SPARE_IOVA, AREA_BYTES);
	expect_status(d, truncated_status());
	driver_good(d, 0);
	unmap(d, SPARE_IOVA, AREA_BYTES);
}

/* Rings, headers and status bytes are what the server touches by itself; @burst: in flight. */
static void rings_truncated(struct bench *bench, uint64_t burst)
{
	struct driver *d = &bench->victim;

	driver_start(d);
	driver_good(d, 0);
	for (uint16_t i = 0; i < burst; i++)
		driver_offer_read(d, 0, (uint16_t)(i * 3));
	ring_publish(&d->ring[0]);
	if (ftruncate(d->main.fd, 0))
		fail("ftruncate: %s", strerror(errno));
	ring_kick(&d->ring[0]);
	ring_kick(&d->ring[1]);
	driver_good(&bench->other, 0);
	driver_good(&bench->other, 1);
	must(vhost_set_status(d->fd, 0), "reset");
	/* With the old size it is memory again, all zeroes. */
	if (ftruncate(d->main.fd, MAIN_BYTES))
		fail("ftruncate: %s", strerror(errno));
}

/*
 * One chain, and for each of its pieces the server touches another page that is gone: ranges of a
 * discard, a byte in every second page. What it does about one page must not add up.
 */
static void pages_truncated(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	struct area lost = area_new(2 * PAGE * LOST_PIECES);
	struct vring_desc *table = (struct vring_desc *)driver_mem(d, 0, AT_TABLE);

	(void)unused;
	map(d, SPARE_IOVA, lost.size, lost.addr);
	driver_start(d);
	driver_header(d, 0, AT_HEADER, VIRTIO_BLK_T_DISCARD, 0);
	table[0] = ring_desc(driver_iova(d, 0, AT_HEADER), 16, VRING_DESC_F_NEXT, 1);
	for (uint16_t i = 0; i < LOST_PIECES; i++)
		table[1 + i] = ring_desc(SPARE_IOVA + i * 2 * PAGE, 1, VRING_DESC_F_NEXT, i + 2);
	table[1 + LOST_PIECES] = ring_desc(driver_iova(d, 0, AT_STATUS), 1, VRING_DESC_F_WRITE, 0);
	d->ring[0].desc[0] = ring_desc(driver_iova(d, 0, AT_TABLE), (LOST_PIECES + 2) * 16,
				       VRING_DESC_F_INDIRECT, 0);
	if (ftruncate(lost.fd, 0))
		fail("ftruncate: %s", strerror(errno));
	ring_offer(&d->ring[0], 0);
	ring_publish(&d->ring[0]);
	driver_good(&bench->other, 0);
	must(vhost_set_status(d->fd, 0), "reset");
	unmap(d, SPARE_IOVA, lost.size);
}

/* Neighbours for the device, in the file each page lies before the one that follows it. */
static void map_pages(struct driver *d, const struct area *area, unsigned int count)
{
	must(vhost_batch_begin(d->fd), "VHOST_IOTLB_BATCH_BEGIN");
	for (unsigned int i = 0; i < count; i++)
		map(d, SPARE_IOVA + i * PAGE, PAGE, area->addr + (count - 1 - i) * PAGE);
	must(vhost_batch_end(d->fd), "VHOST_IOTLB_BATCH_END");
}

/* A request over @count regions; then chains in which every descriptor is over all of them. */
static void tiny_regions(struct bench *bench, uint64_t count)
{
	struct driver *d = &bench->victim;
	struct area area = area_new(count * PAGE);
	struct ring *ring = &d->ring[0];

	map_pages(d, &area, (unsigned int)count);
	driver_start(d);
	offer_read(d, SPARE_IOVA, (uint32_t)count * PAGE);
	expect_status(d, VIRTIO_BLK_S_OK);

	driver_header(d, 0, AT_HEADER, VIRTIO_BLK_T_IN, 0);
	*driver_mem(d, 0, AT_STATUS) = POISON;
	for (uint16_t i = 0; i < ring->num; i++)
		ring->desc[i] = ring_desc(SPARE_IOVA, (uint32_t)count * PAGE,
					  VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, i + 1);
	ring->desc[0] = ring_desc(driver_iova(d, 0, AT_HEADER), 16, VRING_DESC_F_NEXT, 1);
	ring->desc[ring->num - 1] =
		ring_desc(driver_iova(d, 0, AT_STATUS), 1, VRING_DESC_F_WRITE, 0);
	ring_offer(ring, 0);
	ring_publish(ring);
	expect_status(d, VIRTIO_BLK_S_IOERR);
}

/* Regions that begin and end at any byte cannot be mapped: they are no memory. */
static void odd_regions(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	struct area area = area_new(AREA_BYTES);

	(void)unused;
	for (unsigned int i = 0; i < 8; i++)
		map(d, SPARE_IOVA + i * 7, 7, area.addr + i * 1001 + 1);
	driver_start(d);
	offer_read(d, SPARE_IOVA, 56);
	expect_status(d, VIRTIO_BLK_S_IOERR);
	driver_good(d, 0);
}

/* A file opened for reading, offered as if it could be written. */
static void file_read_only(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	struct area area = area_new(AREA_BYTES);
	char path[64];
	void *addr;
	int fd;

	(void)unused;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", area.fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	addr = mmap(NULL, AREA_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (fd < 0 || addr == MAP_FAILED)
		fail("%s: %s", path, strerror(errno));
	map(d, SPARE_IOVA, AREA_BYTES, addr);
	driver_start(d);
	offer_read(d, SPARE_IOVA, 512);
	expect_status(d, VIRTIO_BLK_S_IOERR);
	driver_good(d, 0);
}

/* The kernel hands on mappings of files only: this one the server never sees. */
static void private_memory(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	void *addr =
		mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	if (addr == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	map(d, SPARE_IOVA, AREA_BYTES, addr);
	driver_start(d);
	offer_read(d, SPARE_IOVA, 512);
	expect_status(d, VIRTIO_BLK_S_IOERR);
	driver_good(d, 0);
}

/* More memory than one device may take: the rest is not there, and others find theirs. */
static void huge_memory(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	struct area area = area_new(HUGE_SIZE);
	uint8_t *status = driver_mem(d, 0, AT_STATUS);
	struct vring_used_elem elem;
	uint8_t want = VIRTIO_BLK_S_OK;
	unsigned int needed = getenv("HOSTILE_FEW_ADDRESSES") ? 0 : HUGE_NEEDED;

	(void)unused;
	for (unsigned int i = 0; i < HUGE_MAPS; i++)
		map(d, SPARE_IOVA + i * HUGE_SIZE, HUGE_SIZE, area.addr);
	driver_start(d);
	for (unsigned int i = 0; i < HUGE_MAPS; i++) {
		offer_read(d, SPARE_IOVA + i * HUGE_SIZE, 512);
		if (!ring_wait(&d->ring[0], &elem, ANSWER_MS))
			fail("no answer");
		if (*status != VIRTIO_BLK_S_OK && i >= needed)
			want = VIRTIO_BLK_S_IOERR;
		if (*status != want)
			fail("region %u: the status is 0x%02x", i, *status);
	}
	if (want == VIRTIO_BLK_S_OK)
		fail("%llu TiB are mapped", (HUGE_SIZE >> 40) * HUGE_MAPS);
	driver_good(d, 0);
	driver_start(&bench->other);
	driver_good(&bench->other, 0);
}

/* Maps and unmaps without end, beside requests that must not suffer. */
static void map_storm(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	struct area area = area_new(AREA_BYTES);

	(void)unused;
	driver_start(d);
	for (unsigned int n = 0; n < 100; n++) {
		map(d, SPARE_IOVA + n * AREA_BYTES, AREA_BYTES, area.addr);
		driver_good(d, n % QUEUES);
		if (n % 4 == 3)
			unmap(d, SPARE_IOVA, 64 * AREA_BYTES);
	}
}

const struct hostile_case memory_cases[] = {
	{ .name = "move-in-flight", .run = move_in_flight },
	{ .name = "rings-replaced", .run = rings_replaced },
	{ .name = "rings-unmapped", .run = rings_unmapped },
	{ .name = "data-truncated", .run = truncated, .arg = 0 },
	{ .name = "rings-truncated", .run = rings_truncated, .arg = 0 },
	{ .name = "all-truncated-in-flight", .run = rings_truncated, .arg = BURST },
	{ .name = "pages-truncated", .run = pages_truncated },
	{ .name = "tiny-regions", .run = tiny_regions, .arg = REGIONS },
	{ .name = "odd-regions", .run = odd_regions },
	{ .name = "file-read-only", .run = file_read_only },
	{ .name = "private-memory", .run = private_memory },
	{ .name = "huge-memory", .run = huge_memory },
	{ .name = "map-storm", .run = map_storm },
	{ 0 },
};
