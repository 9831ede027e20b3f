// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vduse_kern.h as the kernel has it. */
#include "fake_kern.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "compiler.h"
#include "fake_kern_state.h"
#include "vduse_kern.h"

#define BOUNCE_SIZE_MIN (1ull << 20)
#define BOUNCE_SIZE_MAX (1ull << 30)

/* ---- lib/vduse_kern.h: the control node and sysfs ---- */

int vduse_kern_open_control(void)
{
	int err = fake_enter(FAKE_OPEN_CONTROL);

	return fake_leave(err ? err : open("/dev/null", O_RDWR | O_CLOEXEC));
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
	if (c->vq_num > FAKE_VQS_MAX || c->vq_align < 4 || c->vq_align > FAKE_PAGE ||
	    c->vq_align & (c->vq_align - 1) || c->config_size > FAKE_PAGE)
		return -EINVAL;
	return 0;
}

int vduse_kern_create(int control_fd, const struct vduse_dev_config *config)
{
	int err = fake_enter(FAKE_CREATE);
	struct fake_dev *dev;

	(void)control_fd;
	if (!err)
		err = check_config(config);
	if (!err && fake_dev_by_name(config->name))
		err = -EEXIST;
	if (err)
		return fake_leave(err);
	dev = fake_dev_make(config->name);
	dev->device_id = config->device_id;
	dev->offered = config->features;
	dev->vq_num = config->vq_num;
	dev->config_size = config->config_size;
	memcpy(dev->config_space, config->config, config->config_size);
	return fake_leave(0);
}

int vduse_kern_destroy(int control_fd, const char *name)
{
	int err = fake_enter(FAKE_DESTROY);
	struct fake_dev *dev = fake_dev_by_name(name);

	(void)control_fd;
	if (!err && !dev)
		err = -EINVAL;
	if (!err && (dev->on_bus || fake_dev_is_open(dev)))
		err = -EBUSY;
	if (!err)
		fake_dev_destroy(dev);
	return fake_leave(err);
}

int vduse_kern_open_dev(const char *name)
{
	int err = fake_enter(FAKE_OPEN_DEV), pair[2];
	struct fake_dev *dev = fake_dev_by_name(name);

	if (!err && !dev)
		err = -ENOENT;
	if (!err && fake_dev_is_open(dev))
		err = -EBUSY;
	if (err)
		return fake_leave(err);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	dev->fd = pair[0];
	dev->table = fake_table();
	dev->peer = pair[1];
	for (unsigned int i = 0; i < dev->message_count; i++)
		if (dev->messages[i].state == FAKE_QUEUED)
			ck_assert_int_eq(write(dev->peer, "", 1), 1);
	return fake_leave(dev->fd);
}

int vduse_kern_set_attr(const char *name, const char *attr, uint64_t value)
{
	int err = fake_enter(FAKE_SET_ATTR);
	struct fake_dev *dev = fake_dev_by_name(name);

	if (err)
		return fake_leave(err);
	if (dev && !strcmp(attr, "msg_timeout")) {
		dev->msg_timeout = value;
		return fake_leave(0);
	}
	if (!dev || strcmp(attr, "bounce_size"))
		return fake_leave(-ENOENT);
	if (dev->domain)
		return fake_leave(-EPERM);
	if (value < BOUNCE_SIZE_MIN || value > BOUNCE_SIZE_MAX)
		return fake_leave(-EINVAL);
	dev->bounce_size = value & ~(uint64_t)(FAKE_PAGE - 1);
	return fake_leave(0);
}

/* ---- lib/vduse_kern.h: messages ---- */

int vduse_kern_read_request(int fd, struct vduse_dev_request *request)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_READ_REQUEST, fd, &dev);
	char byte;

	for (unsigned int i = 0; !err && i < dev->message_count; i++) {
		if (dev->messages[i].state != FAKE_QUEUED)
			continue;
		ck_assert_int_eq(recv(fd, &byte, 1, 0), 1);
		*request = dev->messages[i].request;
		dev->messages[i].state = FAKE_READ;
		return fake_leave(1);
	}
	return fake_leave(err);
}

/* Without the lock: who looks at the server may take locks of its own. */
static void show_answer(int fd, const struct vduse_dev_response *response)
{
	struct vduse_dev_request request = { .request_id = response->request_id };
	struct fake_dev *dev;
	bool owed = false;

	pthread_mutex_lock(&fake_lock);
	dev = fake_dev_by_fd(fd);
	for (unsigned int i = 0; dev && !dev->broken && i < dev->message_count; i++) {
		if (dev->messages[i].request.request_id != response->request_id)
			continue;
		request = dev->messages[i].request;
		owed = dev->messages[i].state == FAKE_READ;
	}
	pthread_mutex_unlock(&fake_lock);
	if (owed && dev->on_reply)
		dev->on_reply(&request, response);
}

int vduse_kern_write_response(int fd, const struct vduse_dev_response *response)
{
	struct fake_dev *dev;
	int err;

	show_answer(fd, response);
	err = fake_enter_dev(FAKE_WRITE_RESPONSE, fd, &dev);
	for (size_t i = 0; !err && i < ARRAY_SIZE(response->reserved); i++)
		if (response->reserved[i])
			err = -EINVAL;
	for (unsigned int i = 0; !err && i < dev->message_count; i++) {
		struct fake_message *m = &dev->messages[i];

		if (m->state != FAKE_READ || m->request.request_id != response->request_id)
			continue;
		m->response = *response;
		m->state = FAKE_REPLIED;
		return fake_leave(0);
	}
	return fake_leave(err ? err : -ENOENT);
}

/* ---- lib/vduse_kern.h: the device and its queues ---- */

int vduse_kern_features(int fd, uint64_t *features)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_FEATURES, fd, &dev);

	if (!err)
		*features = dev->features;
	return fake_leave(err);
}

int vduse_kern_set_config(int fd, uint32_t offset, const void *data, uint32_t len)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_SET_CONFIG, fd, &dev);

	if (!err && (!len || (uint64_t)offset + len > dev->config_size))
		err = -EINVAL;
	if (!err)
		memcpy(dev->config_space + offset, data, len);
	return fake_leave(err);
}

int vduse_kern_config_irq(int fd)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_CONFIG_IRQ, fd, &dev);

	if (!err && !dev->driver_ok)
		err = -EINVAL;
	if (!err)
		dev->config_irqs++;
	return fake_leave(err);
}

int vduse_kern_vq_setup(int fd, uint32_t index, uint16_t max_size)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_VQ_SETUP, fd, &dev);

	if (!err && index >= dev->vq_num)
		err = -EINVAL;
	if (!err)
		dev->vqs[index].max_size = max_size;
	return fake_leave(err);
}

int vduse_kern_vq_info(int fd, uint32_t index, struct vduse_vq_info *info)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_VQ_INFO, fd, &dev);

	if (!err && index >= dev->vq_num)
		err = -EINVAL;
	if (!err) {
		*info = dev->vqs[index].info;
		info->index = index;
	}
	return fake_leave(err);
}

int vduse_kern_vq_kickfd(int fd, uint32_t index, int eventfd)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_VQ_KICKFD, fd, &dev);

	if (!err && index >= dev->vq_num)
		err = -EINVAL;
	if (err)
		return fake_leave(err);
	fake_drop_kickfd(&dev->vqs[index]);
	if (eventfd >= 0)
		dev->vqs[index].kickfd = fcntl(eventfd, F_DUPFD_CLOEXEC, 0);
	return fake_leave(eventfd >= 0 && dev->vqs[index].kickfd < 0 ? -EBADF : 0);
}

static bool all_offline(const struct fake_vq *vq)
{
	cpu_set_t both;

	CPU_AND(&both, &vq->cpus, &vq->offline);
	return CPU_EQUAL(&both, &vq->cpus);
}

int vduse_kern_vq_irq(int fd, uint32_t index)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_VQ_IRQ, fd, &dev);

	if (!err && (index >= dev->vq_num || !dev->driver_ok))
		err = -EINVAL;
	if (!err) {
		ck_assert_msg(!all_offline(&dev->vqs[index]), "this would never return");
		dev->vqs[index].irqs++;
	}
	return fake_leave(err);
}

int vduse_kern_vq_cpus(const char *name, uint32_t index, cpu_set_t *cpus)
{
	int err = fake_enter(FAKE_VQ_CPUS);
	struct fake_dev *dev = fake_dev_by_name(name);

	if (!err && (!dev || index >= dev->vq_num))
		err = -ENOENT;
	if (!err)
		*cpus = dev->vqs[index].cpus;
	return fake_leave(err);
}

int vduse_kern_vq_set_cpus(const char *name, uint32_t index, const cpu_set_t *cpus)
{
	int err = fake_enter(FAKE_VQ_SET_CPUS);
	struct fake_dev *dev = fake_dev_by_name(name);
	struct fake_vq new_vq;

	if (!err && (!dev || index >= dev->vq_num))
		err = -ENOENT;
	if (err)
		return fake_leave(err);
	new_vq = dev->vqs[index];
	new_vq.cpus = *cpus;
	if (all_offline(&new_vq))
		return fake_leave(-EINVAL);
	dev->vqs[index] = new_vq;
	return fake_leave(0);
}

/* ---- lib/vduse_kern.h: memory ---- */

int vduse_kern_iotlb_fd(int fd, struct vduse_iotlb_entry *entry)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_IOTLB_FD, fd, &dev);
	const struct fake_region *r;

	if (err)
		return fake_leave(err);
	dev->asked_start = entry->start;
	dev->asked_last = entry->last;
	r = fake_first_overlap(dev, entry->start, entry->last);
	if (!r)
		return fake_leave(-EINVAL);
	entry->start = r->start;
	entry->last = r->last;
	entry->offset = r->offset;
	entry->perm = r->perm;
	return fake_leave(fcntl(r->fd, F_DUPFD_CLOEXEC, 0));
}

int vduse_kern_iotlb_info(int fd, struct vduse_iova_info *info)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_IOTLB_INFO, fd, &dev);
	const struct fake_region *r;

	if (err)
		return fake_leave(err);
	r = fake_first_overlap(dev, info->start, info->last);
	if (!r || info->reserved[0] || info->reserved[1] || info->reserved[2])
		return fake_leave(-EINVAL);
	info->start = r->start;
	info->last = r->last;
	info->capability = r->bounce ? VDUSE_IOVA_CAP_UMEM : 0;
	return fake_leave(0);
}

int vduse_kern_reg_umem(int fd, const struct vduse_iova_umem *umem)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_REG_UMEM, fd, &dev);
	const struct fake_region *bounce;

	if (err)
		return fake_leave(err);
	bounce = fake_first_overlap(dev, 0, 0);
	if (!bounce || !bounce->bounce || umem->iova || umem->size != dev->bounce_size ||
	    umem->uaddr % FAKE_PAGE || umem->reserved[0] || umem->reserved[1] || umem->reserved[2])
		return fake_leave(-EINVAL);
	if (dev->umem)
		return fake_leave(-EEXIST);
	/* in-use pages are copied; this also finds out whether the memory is there and writable */
	if (pread(dev->bounce_fd, (void *)(uintptr_t)umem->uaddr, umem->size, 0) !=
	    (ssize_t)umem->size)
		return fake_leave(-EFAULT);
	dev->umem = (void *)(uintptr_t)umem->uaddr;
	return fake_leave(0);
}

int vduse_kern_dereg_umem(int fd, const struct vduse_iova_umem *umem)
{
	struct fake_dev *dev;
	int err = fake_enter_dev(FAKE_DEREG_UMEM, fd, &dev);

	if (err)
		return fake_leave(err);
	if (!dev->umem)
		return fake_leave(-ENOENT);
	if (umem->iova || umem->size != dev->bounce_size)
		return fake_leave(-EINVAL);
	if (!dev->umem_is_stale &&
	    pwrite(dev->bounce_fd, dev->umem, dev->bounce_size, 0) != (ssize_t)dev->bounce_size)
		return fake_leave(-EFAULT);
	dev->umem = NULL;
	dev->umem_is_stale = false;
	return fake_leave(0);
}

uint64_t vduse_kern_bus_id(const char *name)
{
	const struct fake_dev *dev;
	uint64_t id;

	pthread_mutex_lock(&fake_lock);
	dev = fake_dev_by_name(name);
	id = dev && dev->on_bus ? dev->bus_id : 0;
	pthread_mutex_unlock(&fake_lock);
	return id;
}
