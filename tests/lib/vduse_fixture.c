// SPDX-License-Identifier: GPL-2.0-or-later
#include "vduse_fixture.h"

#include <check.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>

#include "fds.h"
#include "test_log.h"

const uint8_t vd_config_space[96] = { 1, 2, 3, [95] = 96 };
struct vduse_dev *vd_dev;
struct fake_dev *vd_kern;
struct iotlb_view vd_view;
static unsigned int fds_before;

struct vduse_dev_params vd_params(void)
{
	return (struct vduse_dev_params){
		.name = VD_NAME,
		.device_id = VIRTIO_ID_BLOCK,
		.features = VD_FEATURES,
		.vq_num = VD_QUEUES,
		.vq_size = 256,
		.config = vd_config_space,
		.config_size = sizeof(vd_config_space),
		.bounce_size = VD_MIB,
	};
}

/* Mappings of the fake kernel's memory, of those with permissions @perm. */
unsigned int vd_mapped_regions(const char *perm)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[512];

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "memfd:fake-iova") && strstr(line, perm);
	fclose(maps);
	return count;
}

void vd_setup(void)
{
	test_log_begin();
	fake_kern_reset();
	fds_before = fds_open();
}

/* Whatever a test did: no fd and no mapping stays behind. */
void vd_teardown(void)
{
	if (vd_dev) {
		iotlb_view_exit(&vd_view);
		vd_kern->on_bus = false;
		ck_assert_int_eq(vduse_dev_free(vd_dev), 0);
	}
	fake_kern_reset();
	ck_assert_uint_eq(fds_open(), fds_before);
	ck_assert_uint_eq(vd_mapped_regions(""), 0);
	test_log_end();
}

void vd_make_dev_of(const struct vduse_dev_params *p)
{
	ck_assert_int_eq(vduse_dev_new(p, &vd_dev), 0);
	vd_kern = fake_kern_dev(p->name);
	ck_assert_ptr_nonnull(vd_kern);
	iotlb_view_init(&vd_view, vduse_dev_iotlb(vd_dev));
}

void vd_make_dev(void)
{
	struct vduse_dev_params p = vd_params();

	vd_make_dev_of(&p);
}

/* On the bus, with @umem wanted or not. */
void vd_make_running_dev(bool umem)
{
	struct vduse_dev_params p = vd_params();

	p.umem = umem;
	vd_make_dev_of(&p);
	ck_assert_int_eq(fake_kern_bus_add(vd_kern), 0);
	vd_kern->driver_ok = true;
}

uint8_t *vd_expect_map(uint64_t iova, size_t want, int prot, size_t got)
{
	void *addr = NULL;

	ck_assert_int_eq(iotlb_map(&vd_view, iova, &want, prot, &addr), 0);
	ck_assert_uint_eq(want, got);
	return addr;
}

int vd_map_error(uint64_t iova, int prot)
{
	size_t len = 1;
	void *addr;

	return iotlb_map(&vd_view, iova, &len, prot, &addr);
}
