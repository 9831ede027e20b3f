// SPDX-License-Identifier: GPL-2.0-or-later
#include "driver.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostile.h"

#define SECTOR	   512u
#define GOOD_BYTES 4096u

/* Without the event index, which the cases that want it take. */
#define FEATURES                                                                                   \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM |                           \
	 1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_BLK_F_FLUSH |                        \
	 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES |                        \
	 1ull << VIRTIO_BLK_F_RO | 1ull << VIRTIO_BLK_F_MQ)

struct area area_new(size_t size)
{
	struct area area = { .size = size };

	area.fd = memfd_create("guest", MFD_CLOEXEC);
	if (area.fd < 0 || ftruncate(area.fd, (off_t)size))
		fail("memfd of %zu bytes: %s", size, strerror(errno));
	area.addr =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, area.fd, 0);
	if (area.addr == MAP_FAILED)
		fail("mmap of %zu bytes: %s", size, strerror(errno));
	return area;
}

void area_free(struct area *area)
{
	munmap(area->addr, area->size);
	close(area->fd);
}

uint64_t driver_iova(const struct driver *d, uint32_t queue, uint32_t at)
{
	(void)d;
	return MAIN_IOVA + queue * QUEUE_BYTES + at;
}

uint8_t *driver_mem(const struct driver *d, uint32_t queue, uint32_t at)
{
	return d->main.addr + queue * QUEUE_BYTES + at;
}

void driver_open(struct driver *d, const char *path)
{
	struct virtio_blk_config config;

	*d = (struct driver){ .path = path };
	d->fd = vhost_open(path);
	if (d->fd < 0)
		fail("%s: %s", path, strerror(-d->fd));
	must(vhost_get_features(d->fd, &d->offered), "VHOST_GET_FEATURES");
	must(vhost_get_ring_max(d->fd, &d->ring_max), "VHOST_VDPA_GET_VRING_NUM");
	must(vhost_get_config(d->fd, &config, sizeof(config)), "VHOST_VDPA_GET_CONFIG");
	d->sectors = le64toh(config.capacity);
	d->features = d->offered & FEATURES;
	if (d->ring_max > RING_AVAIL / sizeof(struct vring_desc))
		d->ring_max = RING_AVAIL / sizeof(struct vring_desc);

	d->main = area_new(MAIN_BYTES);
	for (uint32_t i = 0; i < QUEUES; i++)
		ring_init(&d->ring[i], driver_mem(d, i, 0), driver_iova(d, i, 0), d->ring_max);
	must(vhost_map(d->fd, MAIN_IOVA, d->main.size, d->main.addr, VHOST_ACCESS_RW),
	     "VHOST_IOTLB_UPDATE");
}

static void map_area(struct driver *d, uint64_t iova, size_t size, uint8_t perm)
{
	struct area area = area_new(size);

	memset(area.addr, POISON, size);
	must(vhost_map(d->fd, iova, size, area.addr, perm), "VHOST_IOTLB_UPDATE");
}

void driver_map_quirks(struct driver *d)
{
	must(vhost_batch_begin(d->fd), "VHOST_IOTLB_BATCH_BEGIN");
	map_area(d, RO_IOVA, AREA_BYTES, VHOST_ACCESS_RO);
	map_area(d, WO_IOVA, AREA_BYTES, VHOST_ACCESS_WO);
	map_area(d, SPLIT_IOVA, SPLIT_BORDER, VHOST_ACCESS_RW);
	map_area(d, SPLIT_IOVA + SPLIT_BORDER, AREA_BYTES - SPLIT_BORDER, VHOST_ACCESS_RW);
	map_area(d, TOP_IOVA, AREA_BYTES, VHOST_ACCESS_RW);
	must(vhost_batch_end(d->fd), "VHOST_IOTLB_BATCH_END");
}

void driver_reset(struct driver *d)
{
	must(vhost_set_status(d->fd, 0), "reset");
	for (uint32_t i = 0; i < QUEUES; i++)
		ring_clear(&d->ring[i], 0);
}

int driver_negotiate(struct driver *d)
{
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE;
	int err;

	must(vhost_set_status(d->fd, status), "ACKNOWLEDGE");
	status |= VIRTIO_CONFIG_S_DRIVER;
	must(vhost_set_status(d->fd, status), "DRIVER");
	err = vhost_set_features(d->fd, d->features);
	if (err)
		return err;
	return vhost_set_status(d->fd, status | VIRTIO_CONFIG_S_FEATURES_OK);
}

void driver_set_queue(struct driver *d, uint32_t queue)
{
	const struct ring *ring = &d->ring[queue];

	must(vhost_set_num(d->fd, queue, ring->num), "VHOST_SET_VRING_NUM");
	must(vhost_set_addr(d->fd, queue, ring->iova, ring->iova + RING_AVAIL,
			    ring->iova + RING_USED),
	     "VHOST_SET_VRING_ADDR");
	must(vhost_set_base(d->fd, queue, ring->next_avail), "VHOST_SET_VRING_BASE");
	must(vhost_set_call(d->fd, queue, ring->call_fd), "VHOST_SET_VRING_CALL");
	must(vhost_set_kick(d->fd, queue, ring->kick_fd), "VHOST_SET_VRING_KICK");
	must(vhost_set_enable(d->fd, queue, 1), "VHOST_VDPA_SET_VRING_ENABLE");
}

int driver_ok(struct driver *d)
{
	return vhost_set_status(d->fd, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
					       VIRTIO_CONFIG_S_FEATURES_OK |
					       VIRTIO_CONFIG_S_DRIVER_OK);
}

void driver_start(struct driver *d)
{
	driver_reset(d);
	must(driver_negotiate(d), "FEATURES_OK");
	for (uint32_t i = 0; i < QUEUES; i++)
		driver_set_queue(d, i);
	must(driver_ok(d), "DRIVER_OK");
}

void driver_header(struct driver *d, uint32_t queue, uint32_t at, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr header = { .type = htole32(type), .sector = htole64(sector) };

	memcpy(driver_mem(d, queue, at), &header, sizeof(header));
}

/* Header, data and status at the top of the descriptor table, where no case has its own. */
static void good(struct driver *d, uint32_t queue, uint32_t type, uint64_t sector)
{
	struct ring *ring = &d->ring[queue];
	uint16_t head = ring->num - 3, in = type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0;
	uint8_t *status = driver_mem(d, queue, AT_STATUS);
	uint32_t want = in ? GOOD_BYTES + 1 : 1;
	struct vring_used_elem elem;

	*status = POISON;
	driver_header(d, queue, AT_HEADER, type, sector);
	ring->desc[head] =
		ring_desc(driver_iova(d, queue, AT_HEADER), 16, VRING_DESC_F_NEXT, head + 1);
	ring->desc[head + 1] = ring_desc(driver_iova(d, queue, AT_DATA), GOOD_BYTES,
					 VRING_DESC_F_NEXT | in, head + 2);
	ring->desc[head + 2] =
		ring_desc(driver_iova(d, queue, AT_STATUS), 1, VRING_DESC_F_WRITE, 0);
	ring_offer(ring, head);
	ring_publish(ring);
	if (!ring_wait_irq(ring, &elem, ANSWER_MS))
		fail("%s: queue %u: a good request has no answer", d->path, queue);
	if (elem.id != head || elem.len != want || *status != VIRTIO_BLK_S_OK)
		fail("%s: queue %u: a good request has head %u, length %u, status %u", d->path,
		     queue, elem.id, elem.len, *status);
}

void driver_good(struct driver *d, uint32_t queue)
{
	uint8_t *data = driver_mem(d, queue, AT_DATA);
	uint64_t sector = d->sectors - (queue + 1) * GOOD_BYTES / SECTOR;
	bool writable = !(d->offered & 1ull << VIRTIO_BLK_F_RO);
	static uint8_t mark;

	mark++;
	if (writable) {
		memset(data, mark, GOOD_BYTES);
		good(d, queue, VIRTIO_BLK_T_OUT, sector);
	}
	memset(data, POISON, GOOD_BYTES);
	good(d, queue, VIRTIO_BLK_T_IN, sector);
	for (uint32_t i = 0; writable && i < GOOD_BYTES; i++)
		if (data[i] != mark)
			fail("%s: queue %u: byte %u reads 0x%02x, written was 0x%02x", d->path,
			     queue, i, data[i], mark);
}

void driver_offer_read(struct driver *d, uint32_t queue, uint16_t head)
{
	struct ring *ring = &d->ring[queue];
	uint32_t at_data = AT_DATA + head / 3u * SECTOR;

	driver_header(d, queue, AT_HEADER, VIRTIO_BLK_T_IN, 0);
	ring->desc[head] =
		ring_desc(driver_iova(d, queue, AT_HEADER), 16, VRING_DESC_F_NEXT, head + 1);
	ring->desc[head + 1] = ring_desc(driver_iova(d, queue, at_data), SECTOR,
					 VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, head + 2);
	ring->desc[head + 2] =
		ring_desc(driver_iova(d, queue, AT_STATUS + 1u + head), 1, VRING_DESC_F_WRITE, 0);
	ring_offer(ring, head);
}
