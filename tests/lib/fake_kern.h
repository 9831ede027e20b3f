/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's VDUSE for unit tests. fake_kern.c replaces lib/vduse_kern.o and keeps the rules that
 * a server depends on (drivers/vdpa/vdpa_user/, Linux 6.12); by way of fake_driver.c a test plays
 * the driver, the vdpa bus, other processes, and bad luck.
 *
 * Two system calls that touch kernel objects without a door of their own are taken over as well,
 * and pass everything else on: close(), because the last close of a device ends the registration
 * of its memory, and access() below /sys/class/vduse/.
 *
 * Misuse of this file, and what would corrupt a real kernel's view, abort the test. All functions
 * may be called from any thread.
 */
#ifndef TESTS_FAKE_KERN_H
#define TESTS_FAKE_KERN_H

#include <linux/vduse.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FAKE_VQS_MAX	  16
#define FAKE_REGIONS_MAX  16
#define FAKE_MESSAGES_MAX 256
#define FAKE_FOR_EVER	  (~0u)

enum fake_call {
	FAKE_OPEN_CONTROL,
	FAKE_CREATE,
	FAKE_DESTROY,
	FAKE_OPEN_DEV,
	FAKE_SET_ATTR,
	FAKE_READ_REQUEST,
	FAKE_WRITE_RESPONSE,
	FAKE_FEATURES,
	FAKE_SET_CONFIG,
	FAKE_CONFIG_IRQ,
	FAKE_VQ_SETUP,
	FAKE_VQ_INFO,
	FAKE_VQ_KICKFD,
	FAKE_VQ_IRQ,
	FAKE_VQ_CPUS,
	FAKE_VQ_SET_CPUS,
	FAKE_IOTLB_FD,
	FAKE_IOTLB_INFO,
	FAKE_REG_UMEM,
	FAKE_DEREG_UMEM,
	FAKE_CALLS
};

struct fake_vq {
	uint16_t max_size;	   /* 0: not set up */
	struct vduse_vq_info info; /* what the driver programmed; the test's to fill */
	int kickfd;		   /* the kernel's own reference, or -1 */
	unsigned int irqs;
	cpu_set_t cpus;	   /* (t) irq_cb_affinity; CPU 0 at first */
	cpu_set_t offline; /* (t) an interrupt would never return where all of @cpus are */
};

struct fake_region {
	uint64_t start, last;
	uint64_t offset; /* in @fd */
	uint8_t perm;	 /* VDUSE_ACCESS_* */
	bool bounce;
	int fd;
};

struct fake_message {
	struct vduse_dev_request request;
	struct vduse_dev_response response;
	enum { FAKE_QUEUED, FAKE_READ, FAKE_REPLIED, FAKE_GONE } state;
};

/* One device. A test may look at all of it, and change what is marked with (t). */
struct fake_dev {
	char name[VDUSE_NAME_MAX];
	uint32_t device_id, vq_num, config_size; /* of its creation */
	uint64_t offered;
	uint8_t config_space[4096];
	unsigned int open_elsewhere; /* (t) so many calls find it open in another process */
	bool on_bus;
	bool domain;	   /* IOVA domain exists: it was on the bus once */
	uint64_t bus_id;   /* one more each time it is put on the bus */
	bool new_domains;  /* (t) since Linux 7.0: each time it gets a new one */
	bool broken;	   /* (t) */
	bool driver_ok;	   /* (t) */
	uint64_t features; /* (t) what the driver accepted */
	/* (t) sees each answer before the kernel does */
	void (*on_reply)(const struct vduse_dev_request *request,
			 const struct vduse_dev_response *response);
	unsigned int config_irqs;
	uint64_t msg_timeout, bounce_size;
	struct fake_vq vqs[FAKE_VQS_MAX];

	int fd;	     /* the server's, or -1 */
	pid_t table; /* of descriptors, which @fd is a number in */
	int peer;    /* of the socket pair: one byte per queued message makes @fd readable */
	struct fake_region regions[FAKE_REGIONS_MAX];
	unsigned int region_count;
	int bounce_fd;	    /* pages, which outlive the region */
	uint8_t *umem;	    /* the server's memory, while registered */
	bool umem_is_stale; /* then: with a domain that is not the device's any more */
	uint64_t asked_start, asked_last; /* of the latest VDUSE_IOTLB_GET_FD */
	struct fake_message messages[FAKE_MESSAGES_MAX];
	unsigned int message_count;
};

/* NULL, or told of each close() before it is done. */
extern void (*fake_kern_watch_close)(int fd);

/* NULL, or asked by access() first. Return: 1: @path is there; 0: it is not; -1: as it would be */
extern int (*fake_kern_has_path)(const char *path);

/** fake_kern_reset() - no devices, no failures, no counts; what the fake held open is closed */
void fake_kern_reset(void);

/** fake_kern_fail() - the @nth call from now on (1: the next) fails with @err and has no effect */
void fake_kern_fail(enum fake_call call, unsigned int nth, int err);

/** fake_kern_calls() - how often it was called, failures included */
unsigned int fake_kern_calls(enum fake_call call);

/** fake_kern_dev() - look a device up by name. Return: NULL where there is none */
struct fake_dev *fake_kern_dev(const char *name);

/** fake_kern_orphan() - a device of @name that an earlier server left in the kernel */
struct fake_dev *fake_kern_orphan(const char *name);

/** fake_kern_bus_add() - "vdpa dev add". -EINVAL: a queue is not set up; -EEXIST */
int fake_kern_bus_add(struct fake_dev *dev);
void fake_kern_bus_del(struct fake_dev *dev);

/** fake_kern_map_bounce() - the driver's first DMA map: the bounce region [0, bounce_size) appears */
void fake_kern_map_bounce(struct fake_dev *dev);

/** fake_kern_map() - one more region with memory of its own, that begins at @offset of its file */
struct fake_region *fake_kern_map(struct fake_dev *dev, uint64_t start, uint64_t size, uint8_t perm,
				  uint64_t offset);

/** fake_kern_map_fd() - one more region: @size bytes of @fd from @offset on */
void fake_kern_map_fd(struct fake_dev *dev, uint64_t start, uint64_t size, int fd, uint64_t offset);

/** fake_kern_unmap() - all regions go, as with UPDATE_IOTLB; the server's mappings do not notice */
void fake_kern_unmap(struct fake_dev *dev);

/* For tests whose server has threads: */

/** fake_kern_set_vq() - the driver programs queue @index */
void fake_kern_set_vq(struct fake_dev *dev, uint32_t index, const struct vduse_vq_info *info);

/** fake_kern_driver_ok() - the kernel has stored DRIVER_OK, a moment after it was answered */
void fake_kern_driver_ok(struct fake_dev *dev);

/** fake_kern_cut_off() - from now on all that the server asks for fails: it is as good as dead */
void fake_kern_cut_off(struct fake_dev *dev, bool cut_off);

/** fake_kern_driver_reset() - what the kernel does once SET_STATUS(0) is answered */
void fake_kern_driver_reset(struct fake_dev *dev);

/* The driver's own access to a region; to the bounce region by way of the registered memory. */
void fake_kern_write(struct fake_dev *dev, uint64_t iova, const void *buf, size_t len);
void fake_kern_read(struct fake_dev *dev, uint64_t iova, void *buf, size_t len);

/** fake_kern_send() - queue a message to the server; its request_id is filled in. Return: that */
uint32_t fake_kern_send(struct fake_dev *dev, struct vduse_dev_request request);

/** fake_kern_kill_waiter() - the task that sent @request_id was killed */
void fake_kern_kill_waiter(struct fake_dev *dev, uint32_t request_id);

/** fake_kern_reply() - Return: the server's response to @request_id, NULL before there is one */
const struct vduse_dev_response *fake_kern_reply(const struct fake_dev *dev, uint32_t request_id);

/** fake_kern_kick() - the driver kicks. Return: false where no kick fd is set */
bool fake_kern_kick(struct fake_dev *dev, uint32_t index);

/** fake_kern_irqs() - interrupts that the driver got for queue @index */
unsigned int fake_kern_irqs(struct fake_dev *dev, uint32_t index);

#endif
