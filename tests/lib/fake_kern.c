// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_kern.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compiler.h"
#include "vduse_kern.h"

#define DEVS_MAX	    4
#define PAGE		    4096u
#define BOUNCE_SIZE_DEFAULT (64ull << 20)
#define BOUNCE_SIZE_MIN	    (1ull << 20)
#define BOUNCE_SIZE_MAX	    (1ull << 30)
#define VDPA_DEVICES	    "/sys/bus/vdpa/devices/"
#define VDUSE_DEVICES	    "/sys/class/vduse/"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_dev *devs[DEVS_MAX];
static struct {
	unsigned int calls;
	unsigned int fail_at; /* value of @calls that fails, 0: none */
	int err;
} calls[FAKE_CALLS];

static int raw_close(int fd)
{
	return (int)syscall(SYS_close, fd);
}

/* Begins a call: counts it, and says whether it has to fail. Ends with leave(). */
static int enter(enum fake_call call)
{
	pthread_mutex_lock(&lock);
	return ++calls[call].calls == calls[call].fail_at ? calls[call].err : 0;
}

static int leave(int ret)
{
	pthread_mutex_unlock(&lock);
	return ret;
}

static struct fake_dev *dev_by_name(const char *name)
{
	for (int i = 0; i < DEVS_MAX; i++)
		if (devs[i] && !strcmp(devs[i]->name, name))
			return devs[i];
	return NULL;
}

static struct fake_dev *dev_by_fd(int fd)
{
	for (int i = 0; i < DEVS_MAX; i++)
		if (devs[i] && devs[i]->fd == fd)
			return devs[i];
	return NULL;
}

/* Begins a call on a device fd; an error ends it. */
static int enter_dev(enum fake_call call, int fd, struct fake_dev **dev)
{
	int err = enter(call);

	*dev = dev_by_fd(fd);
	ck_assert_msg(*dev != NULL, "fake kernel: fd %d is not a device", fd);
	return err ? err : (*dev)->broken ? -EPERM : 0;
}

/* ---- life of a device ---- */

static struct fake_dev *dev_make(const char *name)
{
	struct fake_dev *dev = calloc(1, sizeof(*dev));
	int i = 0;

	while (i < DEVS_MAX && devs[i])
		i++;
	ck_assert_msg(dev && i < DEVS_MAX, "fake kernel: too many devices");
	devs[i] = dev;
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	dev->msg_timeout = 30;
	dev->bounce_size = BOUNCE_SIZE_DEFAULT;
	dev->fd = dev->peer = dev->bounce_fd = -1;
	for (i = 0; i < FAKE_VQS_MAX; i++)
		dev->vqs[i].kickfd = -1;
	return dev;
}

static void drop_kickfd(struct fake_vq *vq)
{
	if (vq->kickfd >= 0)
		raw_close(vq->kickfd);
	vq->kickfd = -1;
}

static void drop_regions(struct fake_dev *dev)
{
	for (unsigned int i = 0; i < dev->region_count; i++)
		if (!dev->regions[i].bounce)
			raw_close(dev->regions[i].fd);
	dev->region_count = 0;
}

/* The last close: memory goes back to the kernel's pages, messages to the head of the queue. */
static void dev_released(struct fake_dev *dev)
{
	dev->fd = -1;
	raw_close(dev->peer);
	dev->peer = -1;
	if (dev->umem) {
		ssize_t put = pwrite(dev->bounce_fd, dev->umem, dev->bounce_size, 0);

		ck_assert_msg(put == (ssize_t)dev->bounce_size,
			      "fake kernel: registered memory is gone before the device is closed");
		dev->umem = NULL;
	}
	for (unsigned int i = 0; i < dev->message_count; i++)
		if (dev->messages[i].state == FAKE_READ)
			dev->messages[i].state = FAKE_QUEUED;
}

static void dev_destroy(struct fake_dev *dev)
{
	for (int i = 0; i < FAKE_VQS_MAX; i++)
		drop_kickfd(&dev->vqs[i]);
	drop_regions(dev);
	if (dev->bounce_fd >= 0)
		raw_close(dev->bounce_fd);
	if (dev->peer >= 0)
		raw_close(dev->peer);
	for (int i = 0; i < DEVS_MAX; i++)
		if (devs[i] == dev)
			devs[i] = NULL;
	free(dev);
}

static bool dev_is_open(struct fake_dev *dev)
{
	if (dev->open_elsewhere && dev->open_elsewhere != FAKE_FOR_EVER)
		return dev->open_elsewhere--;
	return dev->open_elsewhere || dev->fd >= 0;
}

int close(int fd)
{
	struct fake_dev *dev;

	pthread_mutex_lock(&lock);
	dev = fd >= 0 ? dev_by_fd(fd) : NULL;
	if (dev)
		dev_released(dev);
	pthread_mutex_unlock(&lock);
	return raw_close(fd);
}

/* The device that @path in sysfs is about, if it begins with @dir. */
static const struct fake_dev *dev_by_path(const char *path, const char *dir)
{
	return strncmp(path, dir, strlen(dir)) ? NULL : dev_by_name(path + strlen(dir));
}

int access(const char *path, int mode)
{
	const struct fake_dev *dev;
	bool there;

	if (strncmp(path, VDPA_DEVICES, strlen(VDPA_DEVICES)) &&
	    strncmp(path, VDUSE_DEVICES, strlen(VDUSE_DEVICES)))
		return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
	pthread_mutex_lock(&lock);
	dev = dev_by_path(path, VDPA_DEVICES);
	there = dev ? dev->on_bus : dev_by_path(path, VDUSE_DEVICES) != NULL;
	pthread_mutex_unlock(&lock);
	errno = there ? 0 : ENOENT;
	return there ? 0 : -1;
}

/* ---- lib/vduse_kern.h: the control node and sysfs ---- */

int vduse_kern_open_control(void)
{
	int err = enter(FAKE_OPEN_CONTROL);

	return leave(err ? err : open("/dev/null", O_RDWR | O_CLOEXEC));
}

/* As vduse_validate_config() and features_is_valid() have it. */
static int check_config(const struct vduse_dev_config *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->reserved); i++)
		if (c->reserved[i])
			return -EINVAL;
	if (!c->name[0] || c->name[VDUSE_NAME_MAX - 1] || strchr(c->name, '/'))
		return -EINVAL;
	if (c->device_id != VIRTIO_ID_BLOCK || !(c->features >> VIRTIO_F_ACCESS_PLATFORM & 1) ||
	    c->features >> VIRTIO_BLK_F_CONFIG_WCE & 1)
		return -EINVAL;
	if (c->vq_num > FAKE_VQS_MAX || c->vq_align < 4 || c->vq_align > PAGE ||
	    c->vq_align & (c->vq_align - 1) || c->config_size > PAGE)
		return -EINVAL;
	return 0;
}

int vduse_kern_create(int control_fd, const struct vduse_dev_config *config)
{
	int err = enter(FAKE_CREATE);
	struct fake_dev *dev;

	(void)control_fd;
	if (!err)
		err = check_config(config);
	if (!err && dev_by_name(config->name))
		err = -EEXIST;
	if (err)
		return leave(err);
	dev = dev_make(config->name);
	dev->device_id = config->device_id;
	dev->offered = config->features;
	dev->vq_num = config->vq_num;
	dev->config_size = config->config_size;
	memcpy(dev->config_space, config->config, config->config_size);
	return leave(0);
}

int vduse_kern_destroy(int control_fd, const char *name)
{
	int err = enter(FAKE_DESTROY);
	struct fake_dev *dev = dev_by_name(name);

	(void)control_fd;
	if (!err && !dev)
		err = -EINVAL;
	if (!err && (dev->on_bus || dev_is_open(dev)))
		err = -EBUSY;
	if (!err)
		dev_destroy(dev);
	return leave(err);
}

int vduse_kern_open_dev(const char *name)
{
	int err = enter(FAKE_OPEN_DEV), pair[2];
	struct fake_dev *dev = dev_by_name(name);

	if (!err && !dev)
		err = -ENOENT;
	if (!err && dev_is_open(dev))
		err = -EBUSY;
	if (err)
		return leave(err);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	dev->fd = pair[0];
	dev->peer = pair[1];
	for (unsigned int i = 0; i < dev->message_count; i++)
		if (dev->messages[i].state == FAKE_QUEUED)
			ck_assert_int_eq(write(dev->peer, "", 1), 1);
	return leave(dev->fd);
}

int vduse_kern_set_attr(const char *name, const char *attr, uint64_t value)
{
	int err = enter(FAKE_SET_ATTR);
	struct fake_dev *dev = dev_by_name(name);

	if (err)
		return leave(err);
	if (dev && !strcmp(attr, "msg_timeout")) {
		dev->msg_timeout = value;
		return leave(0);
	}
	if (!dev || strcmp(attr, "bounce_size"))
		return leave(-ENOENT);
	if (dev->domain)
		return leave(-EPERM);
	if (value < BOUNCE_SIZE_MIN || value > BOUNCE_SIZE_MAX)
		return leave(-EINVAL);
	dev->bounce_size = value & ~(uint64_t)(PAGE - 1);
	return leave(0);
}

/* ---- lib/vduse_kern.h: messages ---- */

int vduse_kern_read_request(int fd, struct vduse_dev_request *request)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_READ_REQUEST, fd, &dev);
	char byte;

	for (unsigned int i = 0; !err && i < dev->message_count; i++) {
		if (dev->messages[i].state != FAKE_QUEUED)
			continue;
		ck_assert_int_eq(recv(fd, &byte, 1, 0), 1);
		*request = dev->messages[i].request;
		dev->messages[i].state = FAKE_READ;
		return leave(1);
	}
	return leave(err);
}

int vduse_kern_write_response(int fd, const struct vduse_dev_response *response)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_WRITE_RESPONSE, fd, &dev);

	for (size_t i = 0; !err && i < ARRAY_SIZE(response->reserved); i++)
		if (response->reserved[i])
			err = -EINVAL;
	for (unsigned int i = 0; !err && i < dev->message_count; i++) {
		struct fake_message *m = &dev->messages[i];

		if (m->state != FAKE_READ || m->request.request_id != response->request_id)
			continue;
		if (dev->on_answer)
			dev->on_answer(&m->request, response);
		m->response = *response;
		m->state = FAKE_ANSWERED;
		return leave(0);
	}
	return leave(err ? err : -ENOENT);
}

/* ---- lib/vduse_kern.h: the device and its queues ---- */

int vduse_kern_features(int fd, uint64_t *features)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_FEATURES, fd, &dev);

	if (!err)
		*features = dev->features;
	return leave(err);
}

int vduse_kern_set_config(int fd, uint32_t offset, const void *data, uint32_t len)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_SET_CONFIG, fd, &dev);

	if (!err && (!len || (uint64_t)offset + len > dev->config_size))
		err = -EINVAL;
	if (!err)
		memcpy(dev->config_space + offset, data, len);
	return leave(err);
}

int vduse_kern_config_irq(int fd)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_CONFIG_IRQ, fd, &dev);

	if (!err && !dev->driver_ok)
		err = -EINVAL;
	if (!err)
		dev->config_irqs++;
	return leave(err);
}

int vduse_kern_vq_setup(int fd, uint32_t index, uint16_t max_size)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_VQ_SETUP, fd, &dev);

	if (!err && index >= dev->vq_num)
		err = -EINVAL;
	if (!err)
		dev->vqs[index].max_size = max_size;
	return leave(err);
}

int vduse_kern_vq_info(int fd, uint32_t index, struct vduse_vq_info *info)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_VQ_INFO, fd, &dev);

	if (!err && index >= dev->vq_num)
		err = -EINVAL;
	if (!err) {
		*info = dev->vqs[index].info;
		info->index = index;
	}
	return leave(err);
}

int vduse_kern_vq_kickfd(int fd, uint32_t index, int eventfd)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_VQ_KICKFD, fd, &dev);

	if (!err && index >= dev->vq_num)
		err = -EINVAL;
	if (err)
		return leave(err);
	drop_kickfd(&dev->vqs[index]);
	if (eventfd >= 0)
		dev->vqs[index].kickfd = fcntl(eventfd, F_DUPFD_CLOEXEC, 0);
	return leave(eventfd >= 0 && dev->vqs[index].kickfd < 0 ? -EBADF : 0);
}

int vduse_kern_vq_irq(int fd, uint32_t index)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_VQ_IRQ, fd, &dev);

	if (!err && (index >= dev->vq_num || !dev->driver_ok))
		err = -EINVAL;
	if (!err)
		dev->vqs[index].irqs++;
	return leave(err);
}

/* ---- lib/vduse_kern.h: memory ---- */

static struct fake_region *first_overlap(struct fake_dev *dev, uint64_t start, uint64_t last)
{
	struct fake_region *first = NULL;

	for (unsigned int i = 0; i < dev->region_count; i++) {
		struct fake_region *r = &dev->regions[i];

		if (r->start <= last && r->last >= start && (!first || r->start < first->start))
			first = r;
	}
	return start <= last ? first : NULL;
}

int vduse_kern_iotlb_fd(int fd, struct vduse_iotlb_entry *entry)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_IOTLB_FD, fd, &dev);
	const struct fake_region *r;

	if (err)
		return leave(err);
	dev->asked_start = entry->start;
	dev->asked_last = entry->last;
	r = first_overlap(dev, entry->start, entry->last);
	if (!r)
		return leave(-EINVAL);
	entry->start = r->start;
	entry->last = r->last;
	entry->offset = r->offset;
	entry->perm = r->perm;
	return leave(fcntl(r->fd, F_DUPFD_CLOEXEC, 0));
}

int vduse_kern_iotlb_info(int fd, struct vduse_iova_info *info)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_IOTLB_INFO, fd, &dev);
	const struct fake_region *r;

	if (err)
		return leave(err);
	r = first_overlap(dev, info->start, info->last);
	if (!r || info->reserved[0] || info->reserved[1] || info->reserved[2])
		return leave(-EINVAL);
	info->start = r->start;
	info->last = r->last;
	info->capability = r->bounce ? VDUSE_IOVA_CAP_UMEM : 0;
	return leave(0);
}

int vduse_kern_reg_umem(int fd, const struct vduse_iova_umem *umem)
{
	struct fake_dev *dev;
	int err = enter_dev(FAKE_REG_UMEM, fd, &dev);
	const struct fake_region *bounce;

	if (err)
		return leave(err);
	bounce = first_overlap(dev, 0, 0);
	if (!bounce || !bounce->bounce || umem->iova || umem->size != dev->bounce_size ||
	    umem->uaddr % PAGE || umem->reserved[0] || umem->reserved[1] || umem->reserved[2])
		return leave(-EINVAL);
	if (dev->umem)
		return leave(-EEXIST);
	/* in-use pages are copied; this also finds out whether the memory is there and writable */
	if (pread(dev->bounce_fd, (void *)(uintptr_t)umem->uaddr, umem->size, 0) !=
	    (ssize_t)umem->size)
		return leave(-EFAULT);
	dev->umem = (void *)(uintptr_t)umem->uaddr;
	return leave(0);
}

/* ---- the test's side ---- */

void fake_kern_reset(void)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < DEVS_MAX; i++)
		if (devs[i])
			dev_destroy(devs[i]);
	memset(calls, 0, sizeof(calls));
	pthread_mutex_unlock(&lock);
}

void fake_kern_fail(enum fake_call call, unsigned int nth, int err)
{
	pthread_mutex_lock(&lock);
	calls[call].fail_at = calls[call].calls + nth;
	calls[call].err = err;
	pthread_mutex_unlock(&lock);
}

unsigned int fake_kern_calls(enum fake_call call)
{
	pthread_mutex_lock(&lock);
	return (unsigned int)leave((int)calls[call].calls);
}

struct fake_dev *fake_kern_dev(const char *name)
{
	struct fake_dev *dev;

	pthread_mutex_lock(&lock);
	dev = dev_by_name(name);
	pthread_mutex_unlock(&lock);
	return dev;
}

struct fake_dev *fake_kern_orphan(const char *name)
{
	struct fake_dev *dev;

	pthread_mutex_lock(&lock);
	dev = dev_make(name);
	pthread_mutex_unlock(&lock);
	return dev;
}

int fake_kern_bus_add(struct fake_dev *dev)
{
	pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < dev->vq_num; i++)
		if (!dev->vqs[i].max_size)
			return leave(-EINVAL);
	if (dev->on_bus)
		return leave(-EEXIST);
	dev->on_bus = true;
	dev->domain = true;
	return leave(0);
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
	pthread_mutex_lock(&lock);
	ck_assert_msg(dev->domain, "fake kernel: no driver maps before the device is on the bus");
	if (dev->bounce_fd < 0)
		dev->bounce_fd = new_memory(dev->bounce_size);
	*region_add(dev) = (struct fake_region){
		.last = dev->bounce_size - 1,
		.perm = VDUSE_ACCESS_RW,
		.bounce = true,
		.fd = dev->bounce_fd,
	};
	pthread_mutex_unlock(&lock);
}

struct fake_region *fake_kern_map(struct fake_dev *dev, uint64_t start, uint64_t size, uint8_t perm,
				  uint64_t offset)
{
	struct fake_region *r;

	pthread_mutex_lock(&lock);
	r = region_add(dev);
	*r = (struct fake_region){
		.start = start,
		.last = start + size - 1,
		.offset = offset,
		.perm = perm,
		.fd = new_memory(offset + size),
	};
	pthread_mutex_unlock(&lock);
	return r;
}

void fake_kern_map_fd(struct fake_dev *dev, uint64_t start, uint64_t size, int fd, uint64_t offset)
{
	pthread_mutex_lock(&lock);
	*region_add(dev) = (struct fake_region){
		.start = start,
		.last = start + size - 1,
		.offset = offset,
		.perm = VDUSE_ACCESS_RW,
		.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0),
	};
	pthread_mutex_unlock(&lock);
}

void fake_kern_unmap(struct fake_dev *dev)
{
	pthread_mutex_lock(&lock);
	drop_regions(dev);
	pthread_mutex_unlock(&lock);
}

void fake_kern_set_vq(struct fake_dev *dev, uint32_t index, const struct vduse_vq_info *info)
{
	pthread_mutex_lock(&lock);
	dev->vqs[index].info = *info;
	pthread_mutex_unlock(&lock);
}

void fake_kern_driver_ok(struct fake_dev *dev)
{
	pthread_mutex_lock(&lock);
	dev->driver_ok = true;
	pthread_mutex_unlock(&lock);
}

void fake_kern_cut_off(struct fake_dev *dev, bool cut_off)
{
	pthread_mutex_lock(&lock);
	dev->broken = cut_off;
	pthread_mutex_unlock(&lock);
}

void fake_kern_driver_reset(struct fake_dev *dev)
{
	pthread_mutex_lock(&lock);
	drop_regions(dev);
	for (int i = 0; i < FAKE_VQS_MAX; i++) {
		drop_kickfd(&dev->vqs[i]);
		memset(&dev->vqs[i].info, 0, sizeof(dev->vqs[i].info));
	}
	dev->features = 0;
	dev->driver_ok = false;
	pthread_mutex_unlock(&lock);
}

static const struct fake_region *region_at(struct fake_dev *dev, uint64_t iova, size_t len)
{
	const struct fake_region *r = first_overlap(dev, iova, iova);

	ck_assert_msg(r && len - 1 <= r->last - iova, "fake kernel: the driver has nothing there");
	return r;
}

void fake_kern_write(struct fake_dev *dev, uint64_t iova, const void *buf, size_t len)
{
	const struct fake_region *r = region_at(dev, iova, len);

	if (r->bounce && dev->umem)
		memcpy(dev->umem + iova, buf, len);
	else
		ck_assert_int_eq(pwrite(r->fd, buf, len, (off_t)(r->offset + iova - r->start)),
				 len);
}

void fake_kern_read(struct fake_dev *dev, uint64_t iova, void *buf, size_t len)
{
	const struct fake_region *r = region_at(dev, iova, len);

	if (r->bounce && dev->umem)
		memcpy(buf, dev->umem + iova, len);
	else
		ck_assert_int_eq(pread(r->fd, buf, len, (off_t)(r->offset + iova - r->start)), len);
}

uint32_t fake_kern_send(struct fake_dev *dev, struct vduse_dev_request request)
{
	pthread_mutex_lock(&lock);
	ck_assert_uint_lt(dev->message_count, FAKE_MESSAGES_MAX);
	request.request_id = dev->message_count + 100;
	dev->messages[dev->message_count++] = (struct fake_message){ .request = request };
	if (dev->peer >= 0)
		ck_assert_int_eq(write(dev->peer, "", 1), 1);
	return (uint32_t)leave((int)request.request_id);
}

void fake_kern_kill_waiter(struct fake_dev *dev, uint32_t request_id)
{
	struct fake_message *m = &dev->messages[request_id - 100];
	char byte;

	pthread_mutex_lock(&lock);
	if (m->state == FAKE_QUEUED && dev->fd >= 0)
		ck_assert_int_eq(recv(dev->fd, &byte, 1, 0), 1);
	m->state = FAKE_GONE;
	pthread_mutex_unlock(&lock);
}

const struct vduse_dev_response *fake_kern_answer(const struct fake_dev *dev, uint32_t request_id)
{
	const struct fake_message *m = &dev->messages[request_id - 100];

	return m->state == FAKE_ANSWERED ? &m->response : NULL;
}

bool fake_kern_kick(struct fake_dev *dev, uint32_t index)
{
	bool kicked;

	pthread_mutex_lock(&lock);
	kicked = dev->vqs[index].kickfd >= 0 && eventfd_write(dev->vqs[index].kickfd, 1) == 0;
	pthread_mutex_unlock(&lock);
	return kicked;
}

unsigned int fake_kern_irqs(struct fake_dev *dev, uint32_t index)
{
	pthread_mutex_lock(&lock);
	return (unsigned int)leave((int)dev->vqs[index].irqs);
}
