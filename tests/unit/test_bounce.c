// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/frontend/bounce.c: how much bounce memory a disk has, and whose it is. */
#include <check.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "frontend/bounce.h"
#include "fake_kern.h"
#include "suite.h"
#include "test_log.h"
#include "umem.h"
#include "vduse_dev.h"

#define MIB  (1u << 20)
#define PAGE 4096ul

/* The third one is not part of the configuration: bounce.c must not read it. */
static struct device_config devices[3];
static const struct config config = { .devices = devices, .device_count = 2 };
static uint64_t share; /* a sixteenth of the machine's memory */

static void setup(void)
{
	test_log_begin();
	fake_kern_reset();
	share = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 16;
	for (unsigned int i = 0; i < ARRAY_SIZE(devices); i++)
		devices[i] = (struct device_config){
			.name = (char *[]){ (char *)"a", (char *)"b", (char *)"c" }[i],
			.driver = DRIVER_VIRTIO_VDPA,
			.queues = 1,
			.bounce_size = MIB,
		};
}

static void teardown(void)
{
	fake_kern_reset();
	umem_unreserve();
	test_log_end();
}

/* ---- the size ---- */

START_TEST(size_is_what_all_descriptors_may_need)
{
	devices[0].bounce_size = 0;
	devices[0].queues = 16;
	devices[0].queue_size = 1024;
	ck_assert_uint_eq(bounce_size(&devices[0]), 16 * 1024 * 8192);
}
END_TEST

START_TEST(size_has_a_least_and_a_largest_value)
{
	devices[0].bounce_size = 0;
	devices[0].queue_size = 2;
	ck_assert_uint_eq(bounce_size(&devices[0]), VDUSE_BOUNCE_DEFAULT);
	devices[0].queues = 256;
	devices[0].queue_size = 1024;
	ck_assert_uint_eq(bounce_size(&devices[0]), VDUSE_BOUNCE_MAX);
}
END_TEST

START_TEST(size_may_be_configured)
{
	ck_assert_uint_eq(bounce_size(&devices[0]), MIB);
}
END_TEST

START_TEST(virtual_machine_has_no_bounce_memory)
{
	devices[0].driver = DRIVER_VHOST_VDPA;
	ck_assert_uint_eq(bounce_size(&devices[0]), 0);
	devices[0].umem = SWITCH_YES;
	ck_assert(!bounce_wants_umem(&config, &devices[0]));
}
END_TEST

/* ---- whose it is ---- */

START_TEST(memory_is_ours_while_that_of_all_disks_is_a_small_share)
{
	devices[0].bounce_size = share - MIB;
	for (unsigned int i = 0; i < 2; i++)
		ck_assert(bounce_wants_umem(&config, &devices[i]));
	devices[1].bounce_size++;
	for (unsigned int i = 0; i < 2; i++)
		ck_assert(!bounce_wants_umem(&config, &devices[i]));
}
END_TEST

START_TEST(disk_whose_memory_is_never_ours_does_not_count)
{
	devices[0].bounce_size = share + 1;
	if (_i == 0)
		devices[0].umem = SWITCH_NO;
	else if (_i == 1)
		devices[0].rescue = true;
	else
		devices[0].driver = DRIVER_VHOST_VDPA;
	ck_assert(!bounce_wants_umem(&config, &devices[0]));
	ck_assert(bounce_wants_umem(&config, &devices[1]));
}
END_TEST

START_TEST(configuration_may_demand_more_than_that_share)
{
	devices[0].bounce_size = share + 1;
	devices[0].umem = SWITCH_YES;
	ck_assert(bounce_wants_umem(&config, &devices[0]));
	ck_assert(!bounce_wants_umem(&config, &devices[1]));
}
END_TEST

/* ---- the reserve ---- */

/* Is the next memory of @size resident already? */
static bool is_reserved(size_t size)
{
	void *addr = umem_alloc(size);
	unsigned char state;

	ck_assert_ptr_nonnull(addr);
	ck_assert_int_eq(mincore(addr, PAGE, &state), 0);
	umem_free(addr, size);
	return state & 1;
}

START_TEST(memory_is_reserved_for_disks_that_are_adopted)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(devices); i++) {
		devices[i].bounce_size = (i + 1) * MIB;
		if (i != (unsigned int)_i)
			fake_kern_orphan(devices[i].name);
	}
	bounce_reserve(&config);
	for (unsigned int i = 0; i < ARRAY_SIZE(devices); i++)
		ck_assert_int_eq(is_reserved((i + 1) * MIB), i < 2 && i != (unsigned int)_i);
}
END_TEST

START_TEST(no_memory_is_reserved_that_will_not_be_ours)
{
	devices[0].umem = SWITCH_NO;
	fake_kern_orphan(devices[0].name);
	bounce_reserve(&config);
	ck_assert(!is_reserved(MIB));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bounce");
	TCase *tc = suite_case(suite, "bounce", setup, teardown);

	tcase_add_test(tc, size_is_what_all_descriptors_may_need);
	tcase_add_test(tc, size_has_a_least_and_a_largest_value);
	tcase_add_test(tc, size_may_be_configured);
	tcase_add_test(tc, virtual_machine_has_no_bounce_memory);
	tcase_add_test(tc, memory_is_ours_while_that_of_all_disks_is_a_small_share);
	tcase_add_loop_test(tc, disk_whose_memory_is_never_ours_does_not_count, 0, 3);
	tcase_add_test(tc, configuration_may_demand_more_than_that_share);
	tcase_add_loop_test(tc, memory_is_reserved_for_disks_that_are_adopted, 0, 2);
	tcase_add_test(tc, no_memory_is_reserved_that_will_not_be_ours);
	return suite_run(suite);
}
