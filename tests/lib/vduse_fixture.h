/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lib/vduse_dev.c on the kernel of tests/lib/fake_kern.c: one device, and a view of its memory. */
#ifndef TESTS_VDUSE_FIXTURE_H
#define TESTS_VDUSE_FIXTURE_H

#include <linux/virtio_config.h>
#include <stdbool.h>
#include <stdint.h>

#include "fake_kern.h"
#include "vduse_dev.h"

#define VD_NAME	    "disk0"
#define VD_QUEUES   3u
#define VD_MIB	    (1ull << 20)
#define VD_FEATURES (1ull << VIRTIO_F_ACCESS_PLATFORM | 1ull << VIRTIO_F_VERSION_1)

extern const uint8_t vd_config_space[96];
extern struct vduse_dev *vd_dev; /* a test that frees it sets it to NULL */
extern struct fake_dev *vd_kern;
extern struct iotlb_view vd_view;

/* Checked fixture. At the end, whatever a test did, no fd and no mapping stays behind. */
void vd_setup(void);
void vd_teardown(void);

/** vd_params() - of a device as most tests have it */
struct vduse_dev_params vd_params(void);
void vd_make_dev_of(const struct vduse_dev_params *p);
void vd_make_dev(void);

/** vd_make_running_dev() - on the bus, with a driver; umem wanted or not */
void vd_make_running_dev(bool umem);

/** vd_mapped_regions() - mappings of the fake kernel's memory, of those with permissions @perm */
unsigned int vd_mapped_regions(const char *perm);

/** vd_expect_map() - iotlb_map() of @want bytes gives @got. Return: where they are */
uint8_t *vd_expect_map(uint64_t iova, size_t want, int prot, size_t got);

/** vd_map_error() - what iotlb_map() of one byte returns */
int vd_map_error(uint64_t iova, int prot);

#endif
