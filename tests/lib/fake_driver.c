// SPDX-License-Identifier: GPL-2.0-or-later
/* The test's side of tests/lib/fake_kern.h: the driver, the vdpa bus, other processes, bad luck. */
#include "fake_kern.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_kern_state.h"

void fake_kern_reset(void)
{
	pthread_mutex_lock(&fake_lock);
	for (int i = 0; i < FAKE_DEVS_MAX; i++)
		if (fake_devs[i])
			fake_dev_destroy(fake_devs[i]);
	memset(fake_calls, 0, sizeof(fake_calls));
	pthread_mutex_unlock(&fake_lock);
}

void fake_kern_fail(enum fake_call call, unsigned int nth, int err)
{
	pthread_mutex_lock(&fake_lock);
	fake_calls[call].fail_at = fake_calls[call].calls + nth;
	fake_calls[call].err = err;
	pthread_mutex_unlock(&fake_lock);
}

unsigned int fake_kern_calls(enum fake_call call)
{
	pthread_mutex_lock(&fake_lock);
	return (unsigned int)fake_leave((int)fake_calls[call].calls);
}

struct fake_dev *fake_kern_dev(const char *name)
{
	struct fake_dev *dev;

	pthread_mutex_lock(&fake_lock);
	dev = fake_dev_by_name(name);
	pthread_mutex_unlock(&fake_lock);
	return dev;
}

struct fake_dev *fake_kern_orphan(const char *name)
{
	struct fake_dev *dev;

	pthread_mutex_lock(&fake_lock);
	dev = fake_dev_make(name);
	pthread_mutex_unlock(&fake_lock);
	return dev;
}

int fake_kern_bus_add(struct fake_dev *dev)
{
	pthread_mutex_lock(&fake_lock);
	for (uint32_t i = 0; i < dev->vq_num; i++)
		if (!dev->vqs[i].max_size)
			return fake_leave(-EINVAL);
	if (dev->on_bus)
		return fake_leave(-EEXIST);
	/* Linux 7.0: the old domain is forgotten, and what is registered stays with it. */
	if (dev->domain && dev->new_domains)
		fake_forget_domain(dev);
	dev->on_bus = true;
	dev->domain = true;
	dev->bus_id++;
	return fake_leave(0);
}

void fake_kern_bus_del(struct fake_dev *dev)
{
	dev->on_bus = false;
}

static struct fake_region *region_add(struct fake_dev *dev)
{
	ck_assert_uint_lt(dev->region_count, FAKE_REGIONS_MAX);
	return &dev->regions[dev->region_count++];
}

static int new_memory(uint64_t size)
{
	int fd = memfd_create("fake-iova", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

void fake_kern_map_bounce(struct fake_dev *dev)
{
	pthread_mutex_lock(&fake_lock);
	ck_assert_msg(dev->domain, "fake kernel: no driver maps before the device is on the bus");
	if (dev->bounce_fd < 0)
		dev->bounce_fd = new_memory(dev->bounce_size);
	*region_add(dev) = (struct fake_region){
		.last = dev->bounce_size - 1,
		.perm = VDUSE_ACCESS_RW,
		.bounce = true,
		.fd = dev->bounce_fd,
	};
	pthread_mutex_unlock(&fake_lock);
}

struct fake_region *fake_kern_map(struct fake_dev *dev, uint64_t start, uint64_t size, uint8_t perm,
				  uint64_t offset)
{
	struct fake_region *r;

	pthread_mutex_lock(&fake_lock);
	r = region_add(dev);
	*r = (struct fake_region){
		.start = start,
		.last = start + size - 1,
		.offset = offset,
		.perm = perm,
		.fd = new_memory(offset + size),
	};
	pthread_mutex_unlock(&fake_lock);
	return r;
}

void fake_kern_map_fd(struct fake_dev *dev, uint64_t start, uint64_t size, int fd, uint64_t offset)
{
	pthread_mutex_lock(&fake_lock);
	*region_add(dev) = (struct fake_region){
		.start = start,
		.last = start + size - 1,
		.offset = offset,
		.perm = VDUSE_ACCESS_RW,
		.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0),
	};
	pthread_mutex_unlock(&fake_lock);
}

void fake_kern_unmap(struct fake_dev *dev)
{
	pthread_mutex_lock(&fake_lock);
	fake_drop_regions(dev);
	pthread_mutex_unlock(&fake_lock);
}

void fake_kern_set_vq(struct fake_dev *dev, uint32_t index, const struct vduse_vq_info *info)
{
	pthread_mutex_lock(&fake_lock);
	dev->vqs[index].info = *info;
	pthread_mutex_unlock(&fake_lock);
}

void fake_kern_driver_ok(struct fake_dev *dev)
{
	pthread_mutex_lock(&fake_lock);
	dev->driver_ok = true;
	pthread_mutex_unlock(&fake_lock);
}

void fake_kern_cut_off(struct fake_dev *dev, bool cut_off)
{
	pthread_mutex_lock(&fake_lock);
	dev->broken = cut_off;
	pthread_mutex_unlock(&fake_lock);
}

void fake_kern_driver_reset(struct fake_dev *dev)
{
	pthread_mutex_lock(&fake_lock);
	fake_drop_regions(dev);
	for (int i = 0; i < FAKE_VQS_MAX; i++) {
		fake_drop_kickfd(&dev->vqs[i]);
		memset(&dev->vqs[i].info, 0, sizeof(dev->vqs[i].info));
	}
	dev->features = 0;
	dev->driver_ok = false;
	pthread_mutex_unlock(&fake_lock);
}

static const struct fake_region *region_at(struct fake_dev *dev, uint64_t iova, size_t len)
{
	const struct fake_region *r = fake_first_overlap(dev, iova, iova);

	ck_assert_msg(r && len - 1 <= r->last - iova, "fake kernel: the driver has nothing there");
	return r;
}

void fake_kern_write(struct fake_dev *dev, uint64_t iova, const void *buf, size_t len)
{
	const struct fake_region *r = region_at(dev, iova, len);

	if (r->bounce && dev->umem && !dev->umem_is_stale)
		memcpy(dev->umem + iova, buf, len);
	else
		ck_assert_int_eq(pwrite(r->fd, buf, len, (off_t)(r->offset + iova - r->start)),
				 len);
}

void fake_kern_read(struct fake_dev *dev, uint64_t iova, void *buf, size_t len)
{
	const struct fake_region *r = region_at(dev, iova, len);

	if (r->bounce && dev->umem && !dev->umem_is_stale)
		memcpy(buf, dev->umem + iova, len);
	else
		ck_assert_int_eq(pread(r->fd, buf, len, (off_t)(r->offset + iova - r->start)), len);
}

uint32_t fake_kern_send(struct fake_dev *dev, struct vduse_dev_request request)
{
	pthread_mutex_lock(&fake_lock);
	ck_assert_uint_lt(dev->message_count, FAKE_MESSAGES_MAX);
	request.request_id = dev->message_count + 100;
	dev->messages[dev->message_count++] = (struct fake_message){ .request = request };
	if (dev->peer >= 0)
		ck_assert_int_eq(write(dev->peer, "", 1), 1);
	return (uint32_t)fake_leave((int)request.request_id);
}

void fake_kern_kill_waiter(struct fake_dev *dev, uint32_t request_id)
{
	struct fake_message *m = &dev->messages[request_id - 100];
	char byte;

	pthread_mutex_lock(&fake_lock);
	if (m->state == FAKE_QUEUED && dev->fd >= 0)
		ck_assert_int_eq(recv(dev->fd, &byte, 1, 0), 1);
	m->state = FAKE_GONE;
	pthread_mutex_unlock(&fake_lock);
}

const struct vduse_dev_response *fake_kern_reply(const struct fake_dev *dev, uint32_t request_id)
{
	const struct fake_message *m = &dev->messages[request_id - 100];

	return m->state == FAKE_REPLIED ? &m->response : NULL;
}

bool fake_kern_kick(struct fake_dev *dev, uint32_t index)
{
	bool kicked;

	pthread_mutex_lock(&fake_lock);
	kicked = dev->vqs[index].kickfd >= 0 && eventfd_write(dev->vqs[index].kickfd, 1) == 0;
	pthread_mutex_unlock(&fake_lock);
	return kicked;
}

unsigned int fake_kern_irqs(struct fake_dev *dev, uint32_t index)
{
	pthread_mutex_lock(&fake_lock);
	return (unsigned int)fake_leave((int)dev->vqs[index].irqs);
}
