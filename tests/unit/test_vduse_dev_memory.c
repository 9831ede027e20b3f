// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vduse_dev.c: IOTLB misses, and bounce memory of our own. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fds.h"
#include "mappings.h"
#include "suite.h"
#include "test_log.h"
#include "vduse_fixture.h"

/* It has its own use for most of the address space: 16 TiB cannot be had. */
#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZER true
#else
#define THREAD_SANITIZER false
#endif

/* ---- memory ---- */

#define RW (PROT_READ | PROT_WRITE)

START_TEST(miss_maps_exactly_the_region_of_the_byte)
{
	uint8_t *low, *high, byte = 0x5a;

	vd_make_running_dev(false);
	fake_kern_map(vd_kern, 0x10000, 0x3000, VDUSE_ACCESS_RW, 0);
	fake_kern_map(vd_kern, 0x13000, 0x2000, VDUSE_ACCESS_RW,
		      0x5000); /* in the middle of a file */

	high = vd_expect_map(0x14fff, 1, RW, 1);
	ck_assert_uint_eq(vd_kern->asked_start, 0x14fff);
	ck_assert_uint_eq(vd_kern->asked_last, 0x14fff);
	low = vd_expect_map(0x12fff, 8, RW, 1); /* ends at the border */
	ck_assert_uint_eq(vd_kern->asked_start, 0x12fff);
	ck_assert_uint_eq(vd_kern->asked_last, 0x12fff);
	ck_assert_uint_eq(fake_kern_calls(FAKE_IOTLB_FD), 2);
	ck_assert_ptr_eq(vd_expect_map(0x10000, 0x8000, RW, 0x3000), low - 0x2fff);
	ck_assert_ptr_eq(vd_expect_map(0x13000, 0x8000, RW, 0x2000), high - 0x1fff);
	ck_assert_uint_eq(fake_kern_calls(FAKE_IOTLB_FD), 2);
	ck_assert_uint_eq(vd_mapped_regions("rw-s"), 2);

	/* the very bytes, both ways */
	fake_kern_write(vd_kern, 0x14fff, &byte, 1);
	ck_assert_uint_eq(*high, 0x5a);
	*low = 0xa5;
	fake_kern_read(vd_kern, 0x12fff, &byte, 1);
	ck_assert_uint_eq(byte, 0xa5);
}
END_TEST

/* The kernel's regions of rings end where the ring ends, and not at a page. */
START_TEST(region_is_mapped_to_its_last_byte)
{
	vd_make_running_dev(false);
	fake_kern_map(vd_kern, 0x10000, 0x2001, VDUSE_ACCESS_RW, 0);
	fake_kern_map(vd_kern, 0x20000, 1, VDUSE_ACCESS_RW, 0);
	*vd_expect_map(0x12000, 8, RW, 1) = 1;
	*vd_expect_map(0x20000, 8, RW, 1) = 1;
	ck_assert_int_eq(vd_map_error(0x12001, PROT_READ), -EFAULT);
	iotlb_drop(vduse_dev_iotlb(vd_dev), 0, UINT64_MAX);
	ck_assert_uint_eq(vd_mapped_regions(""), 0);
}
END_TEST

START_TEST(hole_is_the_drivers_fault_and_not_logged)
{
	vd_make_running_dev(false);
	fake_kern_map(vd_kern, 0x10000, 0x1000, VDUSE_ACCESS_RW, 0);
	ck_assert_int_eq(vd_map_error(0xffff, PROT_READ), -EFAULT); /* its neighbour is mapped */
	ck_assert_int_eq(vd_map_error(0x11000, PROT_READ), -EFAULT);
	ck_assert_int_eq(vd_map_error(UINT64_MAX, PROT_READ), -EFAULT);
	ck_assert_uint_eq(vd_mapped_regions(""), 0);
}
END_TEST

START_TEST(region_keeps_its_permission)
{
	static const struct {
		uint8_t perm;
		int read, write;
		const char *maps;
	} rows[] = {
		{ VDUSE_ACCESS_RO, 0, -EFAULT, "r--s" },
		{ VDUSE_ACCESS_WO, -EFAULT, 0, "-w-s" },
		{ VDUSE_ACCESS_RW, 0, 0, "rw-s" },
		{ 0, -EFAULT, -EFAULT, "---s" },
	};

	vd_make_running_dev(false);
	fake_kern_map(vd_kern, 0x10000, 0x1000, rows[_i].perm, 0);
	ck_assert_int_eq(vd_map_error(0x10000, PROT_READ), rows[_i].read);
	ck_assert_int_eq(vd_map_error(0x10000, PROT_WRITE), rows[_i].write);
	ck_assert_uint_eq(vd_mapped_regions(rows[_i].maps), 1);
}
END_TEST

START_TEST(drop_unmaps_and_the_next_look_maps_what_is_there_then)
{
	vd_make_running_dev(false);
	fake_kern_map(vd_kern, 0x10000, 0x2000, VDUSE_ACCESS_RW, 0);
	vd_expect_map(0x11000, 1, RW, 1);
	fake_kern_unmap(vd_kern);
	fake_kern_map(vd_kern, 0x11000, 0x2000, VDUSE_ACCESS_RO, 0);

	/* not dropped yet: what overlaps the old mapping is refused, and not kept */
	ck_assert_int_eq(vd_map_error(0x12000, PROT_READ), -EFAULT);
	ck_assert_uint_eq(vd_mapped_regions(""), 1);
	iotlb_drop(vduse_dev_iotlb(vd_dev), 0x11fff, 0x11fff);
	ck_assert_uint_eq(vd_mapped_regions(""), 0);
	vd_expect_map(0x12000, 1, PROT_READ, 1);
	ck_assert_int_eq(vd_map_error(0x10000, PROT_READ), -EFAULT);
}
END_TEST

START_TEST(our_own_failure_is_logged_and_passed_up)
{
	vd_make_running_dev(false);
	fake_kern_map(vd_kern, 0x10000, 0x1000, VDUSE_ACCESS_RW, 0);
	fake_kern_fail(FAKE_IOTLB_FD, 1, -EMFILE);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": no mapping for IOVA 0x10000");
	ck_assert_int_eq(vd_map_error(0x10000, PROT_READ), -EMFILE);
	vd_expect_map(0x10000, 1, RW, 1);
}
END_TEST

/* A virtual machine monitor can hand in a file that does not allow what its region claims. */
static void map_unmappable(uint64_t iova)
{
	struct fake_region *r = fake_kern_map(vd_kern, iova, 0x1000, VDUSE_ACCESS_RW, 0);

	close(r->fd);
	r->fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(r->fd, 0);
}

START_TEST(failed_mmap_is_logged_and_leaks_nothing)
{
	unsigned int fds;

	vd_make_running_dev(false);
	map_unmappable(0x10000);
	fds = fds_open();
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot map IOVA 0x10000 to 0x10fff");
	ck_assert_int_eq(vd_map_error(0x10800, PROT_READ), -EACCES);
	ck_assert_uint_eq(fds_open(), fds);
}
END_TEST

START_TEST(driver_has_a_share_of_the_address_space)
{
	const uint64_t half = 8ull << 40;

	vd_make_running_dev(false);
	for (uint64_t i = 0; i < 3; i++)
		fake_kern_map(vd_kern, i * half, half, VDUSE_ACCESS_RW, 0);
	vd_expect_map(0, 1, RW, 1);
	vd_expect_map(half, 1, RW, 1);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot map IOVA 0x100000000000");
	ck_assert_int_eq(vd_map_error(2 * half, PROT_READ), -EFBIG);
	iotlb_drop(vduse_dev_iotlb(vd_dev), 0, 0);
	vd_expect_map(2 * half, 1, RW, 1);
}
END_TEST

/* A virtual machine with more memory regions than the process has mappings for. */
START_TEST(driver_has_a_share_of_the_mappings)
{
	char limit[] = "/tmp/vduse-blk-limit-XXXXXX";
	const char *real = mappings_limit_path;
	int fd = mkstemp(limit);

	ck_assert_int_eq(dprintf(fd, "8\n"), 2);
	close(fd);
	vd_make_running_dev(false);
	mappings_limit_path = limit;
	for (uint64_t i = 0; i < 4; i++)
		fake_kern_map(vd_kern, i << 16, 0x1000, VDUSE_ACCESS_RW, 0);
	for (uint64_t i = 0; i < 3; i++)
		vd_expect_map(i << 16, 1, RW, 1);
	test_log_expect(LOG_LEVEL_ERROR,
			VD_NAME ": cannot map IOVA 0x30000 to 0x30fff: the driver's memory has too "
				"many regions: this device has 3 mappings, all have 3, and "
				"vm.max_map_count is 8");
	ck_assert_int_eq(vd_map_error(0x30000, PROT_READ), -ENOSPC);
	ck_assert_uint_eq(vd_mapped_regions(""), 3);
	iotlb_drop(vduse_dev_iotlb(vd_dev), 0, 0); /* what is given back can be had again */
	vd_expect_map(0x30000, 1, RW, 1);
	iotlb_drop(vduse_dev_iotlb(vd_dev), 0, UINT64_MAX);
	ck_assert_uint_eq(mappings_total(), 0);
	mappings_limit_path = real;
	unlink(limit);
}
END_TEST

/* What fails takes nothing of the share. */
START_TEST(failed_mmap_holds_no_mapping)
{
	vd_make_running_dev(false);
	map_unmappable(0x10000);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot map IOVA 0x10000 to 0x10fff");
	ck_assert_int_eq(vd_map_error(0x10800, PROT_READ), -EACCES);
	ck_assert_uint_eq(mappings_total(), 0);
}
END_TEST

START_TEST(failures_that_a_driver_provokes_do_not_flood_the_log)
{
	vd_make_running_dev(false);
	map_unmappable(0x10000);
	test_log_allow(LOG_LEVEL_ERROR, VD_NAME ": cannot map IOVA");
	test_log_allow(LOG_LEVEL_ERROR, VD_NAME ": no mapping for IOVA");
	test_log_allow(LOG_LEVEL_WARNING, "suppressed");
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(vd_map_error(0x10800, PROT_READ), -EACCES);
	vd_kern->broken = true;
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(vd_map_error(0x10800, PROT_READ), -EPERM);
	ck_assert_uint_le(test_log_count("IOVA"), 40);
}
END_TEST

/* ---- our own bounce memory ---- */

START_TEST(bounce_memory_is_registered_at_the_first_look)
{
	uint8_t byte = 0x77, *addr;

	vd_make_running_dev(true);
	ck_assert_int_eq(vd_map_error(0x1000, PROT_READ),
			 -EFAULT); /* the driver mapped nothing yet */
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 0);

	fake_kern_map_bounce(vd_kern);
	fake_kern_write(vd_kern, 0x1234, &byte, 1); /* is there before we look */
	addr = vd_expect_map(0x1234, 2 * VD_MIB, RW, VD_MIB - 0x1234);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 1);
	ck_assert_ptr_eq(addr - 0x1234, vd_kern->umem);
	ck_assert_uint_eq((uintptr_t)vd_kern->umem % (2 * VD_MIB), 0); /* fit for huge pages */
	ck_assert_uint_eq(*addr, 0x77);
	ck_assert_uint_eq(vd_mapped_regions(""), 0); /* not also the kernel's pages */
	ck_assert_uint_eq(vd_kern->umem[VD_MIB - 1], 0);

	vd_expect_map(0, 1, RW, 1);
	vd_expect_map(VD_MIB - 1, 100, RW, 1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 1);
}
END_TEST

START_TEST(rings_stay_the_kernels)
{
	vd_make_running_dev(true);
	fake_kern_map_bounce(vd_kern);
	fake_kern_map(vd_kern, VD_MIB, 0x1000, VDUSE_ACCESS_RW, 0);
	vd_expect_map(VD_MIB, 0x1000, RW, 0x1000); /* the first look is not at the bounce region */
	ck_assert_ptr_null(vd_kern->umem);
	ck_assert_uint_eq(vd_mapped_regions("rw-s"), 1);
	vd_expect_map(VD_MIB - 1, 2, RW, 1);
	ck_assert_ptr_nonnull(vd_kern->umem);
	ck_assert_uint_eq(vd_mapped_regions(""), 1);
}
END_TEST

START_TEST(bounce_memory_outlives_resets)
{
	uint8_t *addr;

	vd_make_running_dev(true);
	for (int i = 0; i < 3; i++) {
		fake_kern_map_bounce(vd_kern);
		addr = vd_expect_map(0x5000, 1, RW, 1);
		ck_assert_ptr_eq(addr, vd_kern->umem + 0x5000);
		ck_assert_uint_eq(*addr, i);
		*addr = (uint8_t)(i + 1); /* still there, and the same, next time */
		iotlb_drop(vduse_dev_iotlb(vd_dev), 0, UINT64_MAX);
		fake_kern_driver_reset(vd_kern);
		ck_assert_int_eq(vd_map_error(0x5000, PROT_READ), -EFAULT);
	}
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 1);
}
END_TEST

/* "vdpa dev del" and "vdpa dev add" under a running server; _i: what the kernel does, Linux 7.0 or before */
START_TEST(memory_is_registered_anew_when_the_device_came_back_to_the_bus)
{
	uint8_t *addr, byte = 0x77;

	vd_make_running_dev(true);
	vd_kern->new_domains = _i;
	vduse_dev_new_driver(vd_dev);
	fake_kern_map_bounce(vd_kern);
	*vd_expect_map(0x5000, 1, RW, 1) = 1;
	iotlb_drop(vduse_dev_iotlb(vd_dev), 0, UINT64_MAX);
	fake_kern_driver_reset(vd_kern);
	vduse_dev_new_driver(vd_dev); /* the same device: nothing has changed */
	ck_assert_uint_eq(fake_kern_calls(FAKE_DEREG_UMEM), 0);
	fake_kern_driver_reset(vd_kern);

	fake_kern_bus_del(vd_kern);
	ck_assert_int_eq(fake_kern_bus_add(vd_kern), 0);
	test_log_expect(LOG_LEVEL_INFO, VD_NAME ": another program removed it from the vdpa bus");
	vduse_dev_new_driver(vd_dev);
	ck_assert_uint_eq(fake_kern_calls(FAKE_DEREG_UMEM), 1);
	fake_kern_map_bounce(vd_kern);
	fake_kern_write(vd_kern, 0x5000, &byte, 1);
	addr = vd_expect_map(0x5000, 1, RW, 1);
	ck_assert_uint_eq(*addr, 0x77);
	*addr = 0x78;
	fake_kern_read(vd_kern, 0x5000, &byte, 1);
	ck_assert_uint_eq(byte, 0x78);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 2);
}
END_TEST

START_TEST(refused_registration_falls_back_with_one_warning)
{
	static const int errs[] = { -ENOMEM, -EINVAL, -EEXIST, -ENOTTY };
	uint8_t byte = 0x12;

	vd_make_running_dev(true);
	fake_kern_map_bounce(vd_kern);
	fake_kern_write(vd_kern, 0x2000, &byte, 1);
	fake_kern_fail(FAKE_REG_UMEM, 1, errs[_i]);
	test_log_expect(LOG_LEVEL_WARNING, VD_NAME ": cannot register UMEM");
	ck_assert_uint_eq(*vd_expect_map(0x2000, 2 * VD_MIB, RW, VD_MIB - 0x2000), 0x12);
	ck_assert_uint_eq(vd_mapped_regions("rw-s"), 1);

	iotlb_drop(vduse_dev_iotlb(vd_dev), 0, UINT64_MAX);
	vd_expect_map(0x2000, 1, RW, 1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 1); /* not tried again */
	ck_assert_ptr_null(vd_kern->umem);
}
END_TEST

START_TEST(kernel_without_umem_is_served_from_its_own_pages)
{
	vd_make_running_dev(true);
	fake_kern_map_bounce(vd_kern);
	fake_kern_fail(FAKE_IOTLB_INFO, 1, -ENOTTY);
	vd_expect_map(0x2000, 1, RW, 1);
	ck_assert_uint_eq(vd_mapped_regions("rw-s"), 1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 0);
}
END_TEST

START_TEST(umem_is_not_tried_unless_wanted)
{
	vd_make_running_dev(false);
	fake_kern_map_bounce(vd_kern);
	vd_expect_map(0x2000, 1, RW, 1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_IOTLB_INFO), 0);
	ck_assert_ptr_null(vd_kern->umem);
}
END_TEST

/* A guest's memory at IOVA 0 looks like a bounce region, but the kernel does not say it is one. */
START_TEST(guest_memory_is_not_replaced)
{
	vd_make_running_dev(true);
	fake_kern_map(vd_kern, 0, VD_MIB, VDUSE_ACCESS_RW, 0);
	vd_expect_map(0x2000, 1, RW, 1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 0);
	ck_assert_uint_eq(vd_mapped_regions("rw-s"), 1);
}
END_TEST

START_TEST(data_in_flight_go_back_to_the_kernel_at_close)
{
	uint8_t byte = 0, *umem;
	unsigned char resident;

	vd_make_running_dev(true);
	fake_kern_map_bounce(vd_kern);
	*vd_expect_map(0x3000, 1, RW, 1) = 0x99;
	umem = vd_kern->umem;
	iotlb_view_exit(&vd_view);
	vduse_dev_abandon(vd_dev);
	vd_dev = NULL;
	ck_assert_ptr_null(vd_kern->umem);
	fake_kern_read(vd_kern, 0x3000, &byte, 1);
	ck_assert_uint_eq(byte, 0x99);
	ck_assert_int_eq(mincore(umem, 4096, &resident), -1); /* and our copy is gone */
	ck_assert_int_eq(mincore(umem + VD_MIB - 4096, 4096, &resident), -1);
}
END_TEST

static unsigned long address_space_pages(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	ck_assert_ptr_nonnull(statm);
	ck_assert_int_eq(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	return pages;
}

START_TEST(bounce_memory_leaves_no_address_space_behind)
{
	unsigned long before = 0;

	for (int i = 0; i < 40; i++) {
		if (i == 8)
			before = address_space_pages();
		vd_make_running_dev(true);
		fake_kern_map_bounce(vd_kern);
		if (i % 2)
			fake_kern_fail(FAKE_REG_UMEM, 1, -ENOMEM);
		if (i == 1)
			test_log_allow(LOG_LEVEL_WARNING, VD_NAME ": cannot register UMEM");
		vd_expect_map(0x3000, 1, RW, 1);
		iotlb_view_exit(&vd_view);
		fake_kern_bus_del(vd_kern);
		ck_assert_int_eq(vduse_dev_free(vd_dev), 0);
	}
	vd_dev = NULL;
	ck_assert_uint_lt(address_space_pages(), before + 16 * VD_MIB / 4096);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vduse_dev_memory");
	TCase *tc = suite_case(suite, "memory", vd_setup, vd_teardown);

	tcase_add_test(tc, miss_maps_exactly_the_region_of_the_byte);
	tcase_add_test(tc, region_is_mapped_to_its_last_byte);
	tcase_add_test(tc, hole_is_the_drivers_fault_and_not_logged);
	tcase_add_loop_test(tc, region_keeps_its_permission, 0, 4);
	tcase_add_test(tc, drop_unmaps_and_the_next_look_maps_what_is_there_then);
	tcase_add_test(tc, our_own_failure_is_logged_and_passed_up);
	tcase_add_test(tc, failed_mmap_is_logged_and_leaks_nothing);
	if (!THREAD_SANITIZER)
		tcase_add_test(tc, driver_has_a_share_of_the_address_space);
	tcase_add_test(tc, driver_has_a_share_of_the_mappings);
	tcase_add_test(tc, failed_mmap_holds_no_mapping);
	tcase_add_test(tc, failures_that_a_driver_provokes_do_not_flood_the_log);
	tcase_add_test(tc, bounce_memory_is_registered_at_the_first_look);
	tcase_add_test(tc, rings_stay_the_kernels);
	tcase_add_test(tc, bounce_memory_outlives_resets);
	tcase_add_loop_test(tc, memory_is_registered_anew_when_the_device_came_back_to_the_bus, 0,
			    2);
	tcase_add_loop_test(tc, refused_registration_falls_back_with_one_warning, 0, 4);
	tcase_add_test(tc, kernel_without_umem_is_served_from_its_own_pages);
	tcase_add_test(tc, umem_is_not_tried_unless_wanted);
	tcase_add_test(tc, guest_memory_is_not_replaced);
	tcase_add_test(tc, data_in_flight_go_back_to_the_kernel_at_close);
	tcase_add_test(tc, bounce_memory_leaves_no_address_space_behind);
	return suite_run(suite);
}
