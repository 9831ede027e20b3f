// SPDX-License-Identifier: GPL-2.0-or-later
#include "vduse_kern.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int kern_ioctl(int fd, unsigned long request, const void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

int vduse_kern_open_control(void)
{
	uint64_t version = VDUSE_API_VERSION;
	int fd, err;

	fd = open("/dev/vduse/control", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	err = kern_ioctl(fd, VDUSE_SET_API_VERSION, &version);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int vduse_kern_create(int control_fd, const struct vduse_dev_config *config)
{
	return kern_ioctl(control_fd, VDUSE_CREATE_DEV, config);
}

int vduse_kern_destroy(int control_fd, const char *name)
{
	char arg[VDUSE_NAME_MAX] = "";

	strncpy(arg, name, sizeof(arg) - 1);
	return kern_ioctl(control_fd, VDUSE_DESTROY_DEV, arg);
}

int vduse_kern_open_dev(const char *name)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "/dev/vduse/%s", name);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int vduse_kern_set_attr(const char *name, const char *attr, uint64_t value)
{
	char path[PATH_MAX];
	int fd, err = 0;

	snprintf(path, sizeof(path), "/sys/class/vduse/%s/%s", name, attr);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%" PRIu64, value) < 0)
		err = -errno;
	close(fd);
	return err;
}

int vduse_kern_read_request(int fd, struct vduse_dev_request *request)
{
	ssize_t got = read(fd, request, sizeof(*request));

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return got == sizeof(*request) ? 1 : -EIO;
}

int vduse_kern_write_response(int fd, const struct vduse_dev_response *response)
{
	ssize_t put = write(fd, response, sizeof(*response));

	if (put < 0)
		return -errno;
	return put == sizeof(*response) ? 0 : -EIO;
}

int vduse_kern_features(int fd, uint64_t *features)
{
	return kern_ioctl(fd, VDUSE_DEV_GET_FEATURES, features);
}

int vduse_kern_set_config(int fd, uint32_t offset, const void *data, uint32_t len)
{
	struct vduse_config_data *arg;
	int err;

	arg = malloc(sizeof(*arg) + len);
	if (!arg)
		return -ENOMEM;
	arg->offset = offset;
	arg->length = len;
	memcpy(arg->buffer, data, len);
	err = kern_ioctl(fd, VDUSE_DEV_SET_CONFIG, arg);
	free(arg);
	return err;
}

int vduse_kern_config_irq(int fd)
{
	return kern_ioctl(fd, VDUSE_DEV_INJECT_CONFIG_IRQ, NULL);
}

int vduse_kern_vq_setup(int fd, uint32_t index, uint16_t max_size)
{
	struct vduse_vq_config arg = { .index = index, .max_size = max_size };

	return kern_ioctl(fd, VDUSE_VQ_SETUP, &arg);
}

int vduse_kern_vq_info(int fd, uint32_t index, struct vduse_vq_info *info)
{
	memset(info, 0, sizeof(*info));
	info->index = index;
	return kern_ioctl(fd, VDUSE_VQ_GET_INFO, info);
}

int vduse_kern_vq_kickfd(int fd, uint32_t index, int eventfd)
{
	struct vduse_vq_eventfd arg = { .index = index, .fd = eventfd };

	return kern_ioctl(fd, VDUSE_VQ_SETUP_KICKFD, &arg);
}

int vduse_kern_vq_irq(int fd, uint32_t index)
{
	return kern_ioctl(fd, VDUSE_VQ_INJECT_IRQ, &index);
}

#define CPUS_PER_WORD 32

static int open_cpus(const char *name, uint32_t index, int flags)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "/sys/class/vduse/%s/vq%u/irq_cb_affinity", name, index);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The text is a list of hexadecimal words, beginning with the highest CPUs. */
int vduse_kern_vq_cpus(const char *name, uint32_t index, cpu_set_t *cpus)
{
	int fd = open_cpus(name, index, O_RDONLY), cpu = 0;
	char text[4096], *word = text;
	ssize_t len;

	if (fd < 0)
		return fd;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	CPU_ZERO(cpus);
	while (word) {
		unsigned long bits;

		word = strrchr(text, ',');
		bits = strtoul(word ? word + 1 : text, NULL, 16);
		for (int i = 0; i < CPUS_PER_WORD; i++, cpu++) {
			if (bits >> i & 1 && cpu >= CPU_SETSIZE)
				return -E2BIG;
			if (bits >> i & 1)
				CPU_SET(cpu, cpus);
		}
		if (word)
			*word = '\0';
	}
	return 0;
}

int vduse_kern_vq_set_cpus(const char *name, uint32_t index, const cpu_set_t *cpus)
{
	char text[CPU_SETSIZE / CPUS_PER_WORD * 9 + 1];
	int fd = open_cpus(name, index, O_WRONLY), len = 0, err;
	int word = CPU_SETSIZE / CPUS_PER_WORD;

	if (fd < 0)
		return fd;
	/* Begin at the highest word that is not 0: the kernel refuses words beyond its last CPU. */
	while (word--) {
		unsigned int bits = 0;

		for (int i = 0; i < CPUS_PER_WORD; i++)
			if (CPU_ISSET(word * CPUS_PER_WORD + i, cpus))
				bits |= 1u << i;
		if (bits || len || !word)
			len += sprintf(text + len, "%08x%s", bits, word ? "," : "");
	}
	err = write(fd, text, (size_t)len) < 0 ? -errno : 0;
	close(fd);
	return err;
}

int vduse_kern_iotlb_fd(int fd, struct vduse_iotlb_entry *entry)
{
	int region_fd = kern_ioctl(fd, VDUSE_IOTLB_GET_FD, entry);

	/* The kernel does not set it, and a child process must not keep guest memory. */
	if (region_fd >= 0)
		fcntl(region_fd, F_SETFD, FD_CLOEXEC);
	return region_fd;
}

int vduse_kern_iotlb_info(int fd, struct vduse_iova_info *info)
{
	return kern_ioctl(fd, VDUSE_IOTLB_GET_INFO, info);
}

int vduse_kern_reg_umem(int fd, const struct vduse_iova_umem *umem)
{
	return kern_ioctl(fd, VDUSE_IOTLB_REG_UMEM, umem);
}

int vduse_kern_dereg_umem(int fd, const struct vduse_iova_umem *umem)
{
	return kern_ioctl(fd, VDUSE_IOTLB_DEREG_UMEM, umem);
}

uint64_t vduse_kern_bus_id(const char *name)
{
	char path[64 + 2 * VDUSE_NAME_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/class/vduse/%s/%s", name, name);
	return stat(path, &st) ? 0 : st.st_ino;
}
