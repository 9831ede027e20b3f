// SPDX-License-Identifier: GPL-2.0-or-later
#include "vduse_dev_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vduse_kern.h"

bool vduse_dev_adopted(const struct vduse_dev *dev)
{
	return dev->adopted;
}

bool vduse_dev_running(const struct vduse_dev *dev)
{
	return vduse_kern_config_irq(dev->fd) == 0;
}

static void dev_close(struct vduse_dev *dev)
{
	vduse_memory_unmap(&dev->memory);
	close(dev->fd);
	vduse_memory_free(&dev->memory);
}

void vduse_dev_abandon(struct vduse_dev *dev)
{
	dev_close(dev);
	close(dev->control_fd);
	free(dev);
}

int vduse_dev_free(struct vduse_dev *dev)
{
	int err;

	dev_close(dev);
	err = vduse_dev_destroy_wait(dev->control_fd, dev->name);
	if (err && err != -EBUSY)
		log_err("%s: the VDUSE device stays in the kernel: %s", dev->name, strerror(-err));
	close(dev->control_fd);
	free(dev);
	return err;
}

int vduse_dev_fd(const struct vduse_dev *dev)
{
	return dev->fd;
}

struct iotlb *vduse_dev_iotlb(struct vduse_dev *dev)
{
	return &dev->memory.tlb;
}

int vduse_dev_umem(struct vduse_dev *dev, void **addr, size_t *size)
{
	return vduse_memory_umem(&dev->memory, addr, size);
}

int vduse_dev_recv(struct vduse_dev *dev, struct vduse_dev_request *request)
{
	return vduse_kern_read_request(dev->fd, request);
}

static int dev_respond(struct vduse_dev *dev, const struct vduse_dev_response *response)
{
	int err = vduse_kern_write_response(dev->fd, response);

	if (err == -ENOENT)
		return 0;
	if (err)
		log_err("%s: cannot reply to a control message: %s", dev->name, strerror(-err));
	return err;
}

int vduse_dev_reply(struct vduse_dev *dev, const struct vduse_dev_request *request, bool ok)
{
	struct vduse_dev_response response = {
		.request_id = request->request_id,
		.result = ok ? VDUSE_REQ_RESULT_OK : VDUSE_REQ_RESULT_FAILED,
	};

	return dev_respond(dev, &response);
}

int vduse_dev_reply_vq_state(struct vduse_dev *dev, const struct vduse_dev_request *request,
			     uint16_t avail_index)
{
	struct vduse_dev_response response = {
		.request_id = request->request_id,
		.result = VDUSE_REQ_RESULT_OK,
	};

	response.vq_state.index = request->vq_state.index;
	response.vq_state.split.avail_index = avail_index;
	return dev_respond(dev, &response);
}

const char *vduse_dev_request_name(uint32_t type)
{
	switch (type) {
	case VDUSE_GET_VQ_STATE:
		return "GET_VQ_STATE";
	case VDUSE_SET_STATUS:
		return "SET_STATUS";
	case VDUSE_UPDATE_IOTLB:
		return "UPDATE_IOTLB";
	}
	return "unknown message";
}

void vduse_dev_new_driver(struct vduse_dev *dev)
{
	uint64_t bus_id = vduse_kern_bus_id(dev->name);

	if (dev->bus_id && dev->bus_id != bus_id) {
		log_info("%s: another program removed it from the vdpa bus and added it again",
			 dev->name);
		vduse_memory_renew(&dev->memory);
	}
	dev->bus_id = bus_id;
}

int vduse_dev_features(struct vduse_dev *dev, uint64_t *features)
{
	return vduse_kern_features(dev->fd, features);
}

int vduse_dev_update_config(struct vduse_dev *dev, uint32_t offset, const void *data, uint32_t len)
{
	int err = vduse_kern_set_config(dev->fd, offset, data, len);

	if (err)
		return err;
	err = vduse_kern_config_irq(dev->fd);
	return err == -EINVAL ? 0 : err; /* before DRIVER_OK: the driver will read the new value */
}

int vduse_dev_vq_info(struct vduse_dev *dev, uint32_t index, struct vduse_vq_info *info)
{
	return vduse_kern_vq_info(dev->fd, index, info);
}

int vduse_dev_vq_kickfd(struct vduse_dev *dev, uint32_t index, int eventfd)
{
	return vduse_kern_vq_kickfd(dev->fd, index, eventfd);
}

int vduse_dev_vq_irq(struct vduse_dev *dev, uint32_t index)
{
	return vduse_kern_vq_irq(dev->fd, index);
}

/* The kernel refuses its own set of CPUs if none of them is online. Our current CPU is online. */
static void keep_cpu_online(const char *name, uint32_t index)
{
	int cpu = sched_getcpu();
	cpu_set_t cpus;

	if (vduse_kern_vq_cpus(name, index, &cpus) || cpu < 0 ||
	    vduse_kern_vq_set_cpus(name, index, &cpus) != -EINVAL)
		return;
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (vduse_kern_vq_set_cpus(name, index, &cpus))
		log_debug("%s: queue %u: cannot set a CPU for its interrupts", name, index);
}

int vduse_dev_vq_irq_checked(struct vduse_dev *dev, uint32_t index)
{
	keep_cpu_online(dev->name, index);
	return vduse_dev_vq_irq(dev, index);
}

int vduse_dev_vq_cpus(struct vduse_dev *dev, uint32_t index, cpu_set_t *cpus)
{
	return vduse_kern_vq_cpus(dev->name, index, cpus);
}

int vduse_dev_vq_set_cpus(struct vduse_dev *dev, uint32_t index, const cpu_set_t *cpus)
{
	return vduse_kern_vq_set_cpus(dev->name, index, cpus);
}
