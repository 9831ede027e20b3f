// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* One opener at a time, and the one before may still be on its way out. */
#define OPEN_TRIES   500
#define OPEN_WAIT_US 10000

static int call(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int vhost_open(const char *path)
{
	uint64_t backend = 1ull << VHOST_BACKEND_F_IOTLB_MSG_V2 |
			   1ull << VHOST_BACKEND_F_IOTLB_BATCH;
	int fd = -1, err;

	for (int i = 0; i < OPEN_TRIES; i++) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 || errno != EBUSY)
			break;
		usleep(OPEN_WAIT_US);
	}
	if (fd < 0)
		return -errno;
	err = call(fd, VHOST_SET_OWNER, NULL);
	if (!err)
		err = call(fd, VHOST_SET_BACKEND_FEATURES, &backend);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int vhost_get_features(int fd, uint64_t *features)
{
	return call(fd, VHOST_GET_FEATURES, features);
}

int vhost_set_features(int fd, uint64_t features)
{
	return call(fd, VHOST_SET_FEATURES, &features);
}

int vhost_set_status(int fd, uint8_t status)
{
	uint8_t now = 0;
	int err = call(fd, VHOST_VDPA_SET_STATUS, &status);

	if (!err)
		err = call(fd, VHOST_VDPA_GET_STATUS, &now);
	if (!err && now != status)
		err = -EIO;
	return err;
}

int vhost_get_config(int fd, void *config, size_t len)
{
	struct vhost_vdpa_config *request = calloc(1, sizeof(*request) + len);
	int err;

	if (!request)
		return -ENOMEM;
	request->len = (uint32_t)len;
	err = call(fd, VHOST_VDPA_GET_CONFIG, request);
	if (!err)
		memcpy(config, request->buf, len);
	free(request);
	return err;
}

int vhost_get_ring_max(int fd, uint16_t *max)
{
	return call(fd, VHOST_VDPA_GET_VRING_NUM, max);
}

int vhost_get_queues(int fd, uint32_t *queues)
{
	return call(fd, VHOST_VDPA_GET_VQS_COUNT, queues);
}

static int iotlb_message(int fd, const struct vhost_iotlb_msg *iotlb)
{
	struct vhost_msg_v2 message = { .type = VHOST_IOTLB_MSG_V2, .iotlb = *iotlb };
	ssize_t n = write(fd, &message, sizeof(message));

	if (n < 0)
		return -errno;
	return n == sizeof(message) ? 0 : -EIO;
}

int vhost_map(int fd, uint64_t iova, uint64_t size, void *addr, uint8_t perm)
{
	return iotlb_message(fd, &(struct vhost_iotlb_msg){
					 .type = VHOST_IOTLB_UPDATE,
					 .iova = iova,
					 .size = size,
					 .uaddr = (uintptr_t)addr,
					 .perm = perm,
				 });
}

int vhost_unmap(int fd, uint64_t iova, uint64_t size)
{
	return iotlb_message(fd, &(struct vhost_iotlb_msg){
					 .type = VHOST_IOTLB_INVALIDATE,
					 .iova = iova,
					 .size = size,
				 });
}

int vhost_batch_begin(int fd)
{
	return iotlb_message(fd, &(struct vhost_iotlb_msg){ .type = VHOST_IOTLB_BATCH_BEGIN });
}

int vhost_batch_end(int fd)
{
	return iotlb_message(fd, &(struct vhost_iotlb_msg){ .type = VHOST_IOTLB_BATCH_END });
}

int vhost_set_num(int fd, uint32_t queue, uint32_t num)
{
	return call(fd, VHOST_SET_VRING_NUM,
		    &(struct vhost_vring_state){ .index = queue, .num = num });
}

int vhost_set_base(int fd, uint32_t queue, uint32_t index)
{
	return call(fd, VHOST_SET_VRING_BASE,
		    &(struct vhost_vring_state){ .index = queue, .num = index });
}

int vhost_get_base(int fd, uint32_t queue, uint32_t *index)
{
	struct vhost_vring_state state = { .index = queue };
	int err = call(fd, VHOST_GET_VRING_BASE, &state);

	if (!err)
		*index = state.num;
	return err;
}

int vhost_set_addr(int fd, uint32_t queue, uint64_t desc, uint64_t avail, uint64_t used)
{
	return call(fd, VHOST_SET_VRING_ADDR,
		    &(struct vhost_vring_addr){
			    .index = queue,
			    .desc_user_addr = desc,
			    .avail_user_addr = avail,
			    .used_user_addr = used,
		    });
}

int vhost_set_kick(int fd, uint32_t queue, int eventfd)
{
	return call(fd, VHOST_SET_VRING_KICK,
		    &(struct vhost_vring_file){ .index = queue, .fd = eventfd });
}

int vhost_set_call(int fd, uint32_t queue, int eventfd)
{
	return call(fd, VHOST_SET_VRING_CALL,
		    &(struct vhost_vring_file){ .index = queue, .fd = eventfd });
}

int vhost_set_enable(int fd, uint32_t queue, uint32_t enable)
{
	return call(fd, VHOST_VDPA_SET_VRING_ENABLE,
		    &(struct vhost_vring_state){ .index = queue, .num = enable });
}
