// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vdpa_bus.c: attach, adopt and detach, with a failure at each step; states read from sysfs. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fake_bus.h"
#include "fds.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_clock.h"
#include "test_log.h"

#define VIRTIO VDPA_DRIVER_VIRTIO
#define VHOST  VDPA_DRIVER_VHOST

static char node[VDPA_NODE_MAX];

/* Nodes have types here that only root could give them; where there is none, what is left in @st. */
int stat(const char *path, struct stat *st)
{
	int ret = fake_bus_stat(path, st);

	if (ret) {
		st->st_mode = S_IFBLK;
		st->st_rdev = makedev(253, 16); /* vdb */
	}
	return ret;
}

static unsigned int fds_before;

static void setup(void)
{
	fds_before = fds_open();
	test_clock_stop();
	test_log_begin();
	temp_dir_make();
	fake_bus_make();
	fake_bus_vduse("disk0");
	strcpy(node, "untouched");
}

static void teardown(void)
{
	ck_assert_uint_eq(fds_open(), fds_before);
	ck_assert(access(fake_bus_path("run/vduse-blk.autoprobe"), F_OK));
	fake_bus_drop();
	temp_dir_remove();
	test_log_end();
}

static void on_bus(void)
{
	fake_bus_write(fake_bus_path("sys/bus/vdpa/drivers_autoprobe"), "0");
	ck_assert_int_eq(vdpa_nl_add("disk0"), 0);
	fake_bus_write(fake_bus_path("sys/bus/vdpa/drivers_autoprobe"), "1");
	memset(fake_bus.calls, 0, sizeof(fake_bus.calls));
}

static void bound(enum vdpa_driver driver)
{
	on_bus();
	fake_bus_bind("disk0", driver);
}

/* Makes a foreign driver have it. */
static void bound_to_foreign(void)
{
	on_bus();
	ck_assert_int_eq(
		symlink("drivers/foreign", fake_bus_path("sys/class/vduse/disk0/disk0/driver")), 0);
}

static bool autoprobe_is(const char *text)
{
	return fake_bus_is(fake_bus_path("sys/bus/vdpa/drivers_autoprobe"), text);
}

static void check_calls(unsigned int add, unsigned int override, unsigned int probe,
			unsigned int unbind, unsigned int del)
{
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_ADD], add);
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_OVERRIDE], override);
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_PROBE], probe);
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_UNBIND], unbind);
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_DEL], del);
}

static void check_node(enum vdpa_driver driver)
{
	ck_assert_str_eq(node, fake_bus_path("dev/%s", driver == VIRTIO ? "vdb" : "vhost-vdpa-0"));
}

/* ---- attach ---- */

START_TEST(attach_binds_the_driver_that_is_wanted_and_no_other)
{
	enum vdpa_driver driver = _i ? VHOST : VIRTIO, got;

	ck_assert_int_eq(vdpa_bus_attach("disk0", driver, node), 0);
	check_node(driver);
	check_calls(1, 1, 1, 0, 0);
	ck_assert(!fake_bus.autoprobe_at_add);
	ck_assert(autoprobe_is("1"));
	ck_assert_int_eq(vdpa_bus_driver("disk0", &got), 0);
	ck_assert_int_eq(got, driver);
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_BOUND);
}
END_TEST

START_TEST(attach_without_the_driver_adds_nothing)
{
	enum vdpa_driver driver = _i ? VHOST : VIRTIO;

	ck_assert(vdpa_driver_present(driver));
	rmdir(fake_bus_path("sys/bus/vdpa/drivers/%s", vdpa_driver_name(driver)));
	ck_assert(!vdpa_driver_present(driver));
	test_log_expect(LOG_LEVEL_ERROR, _i ? "disk0: kernel module vhost_vdpa is not loaded"
					    : "disk0: kernel module virtio_vdpa is not loaded");
	ck_assert_int_eq(vdpa_bus_attach("disk0", driver, node), -ENODEV);
	check_calls(0, 0, 0, 0, 0);
	ck_assert_str_eq(node, "untouched");
}
END_TEST

START_TEST(attach_that_netlink_refuses_leaves_all_as_it_was)
{
	fake_bus_fail(FAKE_BUS_ADD, 1, -EEXIST);
	ck_assert_int_eq(vdpa_bus_attach("disk0", VIRTIO, node), -EEXIST);
	check_calls(1, 0, 0, 0, 0);
	ck_assert(autoprobe_is("1"));
}
END_TEST

START_TEST(attach_that_cannot_stop_autoprobe_adds_nothing)
{
	fake_bus_fail(FAKE_BUS_AUTOPROBE, 1, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: cannot switch off autoprobe");
	ck_assert_int_eq(vdpa_bus_attach("disk0", VIRTIO, node), -EIO);
	check_calls(0, 0, 0, 0, 0);
}
END_TEST

static const int del_errors[] = { 0, -ENODEV, -EPERM };

START_TEST(attach_whose_driver_cannot_be_chosen_takes_the_device_off_again)
{
	fake_bus_fail(FAKE_BUS_OVERRIDE, 1, -EINVAL);
	fake_bus_fail(FAKE_BUS_DEL, 1, del_errors[_i]);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: cannot choose driver virtio_vdpa: Invalid");
	if (del_errors[_i] == -EPERM)
		test_log_expect(LOG_LEVEL_WARNING, "disk0: cannot remove it from the vdpa bus");
	ck_assert_int_eq(vdpa_bus_attach("disk0", VIRTIO, node), -EINVAL);
	check_calls(1, 1, 0, 0, 1);
	ck_assert(autoprobe_is("1"));
}
END_TEST

START_TEST(attach_whose_probe_fails_takes_the_device_off_again)
{
	fake_bus_fail(FAKE_BUS_PROBE, 1, -ENOMEM);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: cannot bind driver vhost_vdpa: Cannot allocate");
	ck_assert_int_eq(vdpa_bus_attach("disk0", VHOST, node), -ENOMEM);
	check_calls(1, 1, 1, 1, 1);
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_ABSENT);
}
END_TEST

START_TEST(attach_whose_driver_refuses_takes_the_device_off_again)
{
	fake_bus.refuses = true;
	test_log_expect(LOG_LEVEL_ERROR, "disk0: driver virtio_vdpa refused the device (bound "
					 "to: none); see the kernel log");
	ck_assert_int_eq(vdpa_bus_attach("disk0", VIRTIO, node), -ENODEV);
	check_calls(1, 1, 1, 1, 1);
	ck_assert_str_eq(node, "untouched");
}
END_TEST

static void other_driver_is_first(enum fake_bus_call call, const char *text)
{
	if (call == FAKE_BUS_PROBE)
		fake_bus_bind(text, VHOST);
}

START_TEST(attach_that_another_driver_gets_takes_the_device_off_again)
{
	fake_bus.on_call = other_driver_is_first;
	test_log_expect(LOG_LEVEL_ERROR, "disk0: driver virtio_vdpa refused the device (bound "
					 "to: vhost_vdpa)");
	ck_assert_int_eq(vdpa_bus_attach("disk0", VIRTIO, node), -ENODEV);
	check_calls(1, 1, 1, 1, 1);
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_ABSENT);
}
END_TEST

START_TEST(attach_without_a_disk_takes_the_device_off_again)
{
	fake_bus.no_child = true;
	test_log_expect(LOG_LEVEL_ERROR, "disk0: the driver created no disk");
	ck_assert_int_eq(vdpa_bus_attach("disk0", VIRTIO, node), -ENODEV);
	ck_assert_uint_eq(test_clock.slept_us, 2 * 1000000);
	check_calls(1, 1, 1, 1, 1);
	ck_assert_str_eq(node, "untouched");
}
END_TEST

static void stale_node(enum fake_bus_call call, const char *text)
{
	if (call == FAKE_BUS_PROBE) {
		fake_bus_bind(text, VIRTIO);
		fake_bus_node(text, false);
	}
}

static void node_that_was(enum fake_bus_call call, const char *text)
{
	if (call == FAKE_BUS_PROBE) {
		fake_bus_bind(text, VIRTIO);
		fake_bus_node(text, true);
		unlink(fake_bus_path("dev/vdb"));
	}
}

static void file_as_node(enum fake_bus_call call, const char *text)
{
	(void)text;
	if (call == FAKE_BUS_PROBE)
		ck_assert_int_eq(mkdir(fake_bus_path("dev/vdb"), 0755), 0);
}

/* None, one of a disk that is gone, and something that is no node. */
START_TEST(attach_without_the_right_node_takes_the_device_off_again)
{
	static void (*const play[])(enum fake_bus_call, const char *) = { NULL, stale_node,
									  node_that_was,
									  file_as_node };

	fake_bus.on_call = play[_i];
	fake_bus.no_node = true;
	test_log_expect(LOG_LEVEL_ERROR, "disk0: the kernel created ");
	test_log_allow(LOG_LEVEL_ERROR, "has no such node after 10 s");
	ck_assert_int_eq(vdpa_bus_attach("disk0", VIRTIO, node), -ENODEV);
	check_calls(1, 1, 1, 1, 1);
	ck_assert_str_eq(node, "untouched");
	ck_assert_uint_eq(test_log_count("dev/vdb, but "), 1);
	ck_assert_uint_eq(test_clock.slept_us, 10 * 1000000);
}
END_TEST

START_TEST(attach_that_cannot_be_undone_leaves_the_device)
{
	fake_bus.refuses = true;
	fake_bus_fail(FAKE_BUS_UNBIND, 1, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, "refused the device");
	test_log_expect(LOG_LEVEL_ERROR, "disk0: cannot unbind from its driver: Input/output");
	ck_assert_int_eq(vdpa_bus_attach("disk0", VIRTIO, node), -ENODEV);
	check_calls(1, 1, 1, 1, 0);
}
END_TEST

/* What is late: udev's node, and, where virtio_blk is just being loaded, the disk. */
static void after_probe(enum fake_bus_call call, const char *text)
{
	if (call != FAKE_BUS_PROBE)
		return;
	fake_bus.no_node = true;
	fake_bus_bind(text, VIRTIO);
}

static void node_comes(void)
{
	if (test_clock.sleeps == 3)
		fake_bus_node("disk0", true);
}

static void disk_and_node_come(void)
{
	if (test_clock.sleeps == 2) {
		mkdir(fake_bus_path("sys/class/vduse/disk0/disk0/virtio0"), 0755);
		mkdir(fake_bus_path("sys/class/vduse/disk0/disk0/virtio0/block"), 0755);
		mkdir(fake_bus_path("sys/class/vduse/disk0/disk0/virtio0/block/vdb"), 0755);
	}
	if (test_clock.sleeps == 5)
		fake_bus_node("disk0", true);
}

START_TEST(attach_waits_for_the_disk_and_its_node)
{
	fake_bus.on_call = after_probe;
	fake_bus.no_child = _i;
	test_clock.slept = _i ? disk_and_node_come : node_comes;
	ck_assert_int_eq(vdpa_bus_attach("disk0", VIRTIO, node), 0);
	ck_assert_uint_eq(test_clock.sleeps, _i ? 5 : 3);
	check_node(VIRTIO);
}
END_TEST

/* ---- adopt ---- */

START_TEST(adopt_finds_the_node_and_changes_nothing)
{
	enum vdpa_driver driver = _i ? VHOST : VIRTIO;

	bound(driver);
	ck_assert_int_eq(vdpa_bus_adopt("disk0", driver, node), 0);
	check_node(driver);
	check_calls(0, 0, 0, 0, 0);
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_AUTOPROBE], 0);
}
END_TEST

START_TEST(adopt_switches_autoprobe_on_that_a_dead_server_left_off)
{
	bound(VIRTIO);
	fake_bus_write(fake_bus_path("sys/bus/vdpa/drivers_autoprobe"), "0");
	fake_bus_write(fake_bus_path("run/vduse-blk.autoprobe"), "");
	ck_assert_int_eq(vdpa_bus_adopt("disk0", VIRTIO, node), 0);
	ck_assert(autoprobe_is("1"));
}
END_TEST

START_TEST(adopt_refuses_another_driver)
{
	bound(VHOST);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: is bound to driver vhost_vdpa, not virtio_vdpa");
	ck_assert_int_eq(vdpa_bus_adopt("disk0", VIRTIO, node), -EBUSY);
	check_calls(0, 0, 0, 0, 0);
	ck_assert_str_eq(node, "untouched");
}
END_TEST

START_TEST(adopt_binds_what_a_dead_server_had_not_bound)
{
	enum vdpa_driver driver = _i ? VHOST : VIRTIO;

	on_bus();
	ck_assert_int_eq(vdpa_bus_adopt("disk0", driver, node), 0);
	check_node(driver);
	check_calls(0, 1, 1, 0, 0);
}
END_TEST

START_TEST(adopt_that_fails_leaves_the_device)
{
	on_bus();
	if (_i == 0) {
		fake_bus_fail(FAKE_BUS_OVERRIDE, 1, -EIO);
		test_log_expect(LOG_LEVEL_ERROR, "disk0: cannot choose driver");
		ck_assert_int_eq(vdpa_bus_adopt("disk0", VIRTIO, node), -EIO);
		check_calls(0, 1, 0, 0, 0);
	} else if (_i == 1) {
		fake_bus_fail(FAKE_BUS_PROBE, 1, -EIO);
		test_log_expect(LOG_LEVEL_ERROR, "disk0: cannot bind driver");
		ck_assert_int_eq(vdpa_bus_adopt("disk0", VIRTIO, node), -EIO);
		check_calls(0, 1, 1, 0, 0);
	} else {
		fake_bus.no_child = true;
		test_log_expect(LOG_LEVEL_ERROR, "disk0: the driver created no disk");
		ck_assert_int_eq(vdpa_bus_adopt("disk0", VIRTIO, node), -ENODEV);
		check_calls(0, 1, 1, 0, 0);
	}
	ck_assert_str_eq(node, "untouched");
}
END_TEST

/* ---- detach ---- */

static void unbind_is_first(enum fake_bus_call call, const char *text)
{
	ck_assert_str_eq(text, "disk0");
	if (call == FAKE_BUS_DEL)
		ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_UNBIND], 1);
}

START_TEST(detach_unbinds_and_takes_the_device_off)
{
	if (_i == 2)
		on_bus();
	else
		bound(_i ? VHOST : VIRTIO);
	fake_bus.on_call = unbind_is_first;
	ck_assert_int_eq(vdpa_bus_detach("disk0"), 0);
	check_calls(0, 0, 0, 1, 1);
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_ABSENT);
	ck_assert_int_eq(vdpa_bus_detach("disk0"), 0);
	check_calls(0, 0, 0, 1, 1);
}
END_TEST

START_TEST(detach_whose_unbind_fails_goes_no_further)
{
	bound(VIRTIO);
	fake_bus_fail(FAKE_BUS_UNBIND, 1, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: cannot unbind from its driver: Input/output");
	ck_assert_int_eq(vdpa_bus_detach("disk0"), -EIO);
	check_calls(0, 0, 0, 1, 0);
}
END_TEST

/* Somebody else has unbound it, or is just removing it. */
START_TEST(detach_that_somebody_else_was_quicker_with_succeeds)
{
	bound(VIRTIO);
	if (_i == 0)
		fake_bus_fail(FAKE_BUS_UNBIND, 1, -ENODEV);
	else if (_i == 1)
		fake_bus_fail(FAKE_BUS_UNBIND, 1, -ENOENT);
	else
		fake_bus_fail(FAKE_BUS_DEL, 1, -ENODEV);
	ck_assert_int_eq(vdpa_bus_detach("disk0"), 0);
	check_calls(0, 0, 0, 1, 1);
}
END_TEST

START_TEST(detach_that_netlink_refuses_fails)
{
	bound(VIRTIO);
	fake_bus_fail(FAKE_BUS_DEL, 1, -EPERM);
	ck_assert_int_eq(vdpa_bus_detach("disk0"), -EPERM);
}
END_TEST

START_TEST(detach_keeps_out_of_a_removal)
{
	bound(_i & 1 ? VHOST : VIRTIO);
	if (_i & 2)
		fake_bus_unlist("disk0");
	else
		fake_bus_unlink_driver("disk0");
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_REMOVING);
	ck_assert_int_eq(vdpa_bus_detach("disk0"), -EINPROGRESS);
	check_calls(0, 0, 0, 0, 0);
}
END_TEST

/* ---- what sysfs says ---- */

START_TEST(state_is_read_off_sysfs)
{
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_ABSENT);
	ck_assert_int_eq(vdpa_bus_state("disk1"), VDPA_ABSENT);
	on_bus();
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_UNBOUND);
	fake_bus_bind("disk0", VIRTIO);
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_BOUND);
	fake_bus_unlist("disk0");
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_REMOVING);
	fake_bus_unlink_driver("disk0");
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_REMOVING);
}
END_TEST

START_TEST(removal_of_a_device_without_a_driver_is_one)
{
	on_bus();
	fake_bus_unlist("disk0");
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_REMOVING);
}
END_TEST

/* Some hardware's device on the bus has the name of a VDUSE device. */
START_TEST(device_of_another_kind_is_not_ours)
{
	fake_bus_write(fake_bus_path("sys/bus/vdpa/devices/disk0"), "");
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_ABSENT);
}
END_TEST

START_TEST(driver_is_read_off_sysfs)
{
	enum vdpa_driver driver;

	on_bus();
	ck_assert_int_eq(vdpa_bus_driver("disk0", &driver), -ENOENT);
	fake_bus_bind("disk0", _i ? VHOST : VIRTIO);
	ck_assert_int_eq(vdpa_bus_driver("disk0", &driver), 0);
	ck_assert_int_eq(driver, _i ? VHOST : VIRTIO);
}
END_TEST

START_TEST(foreign_driver_is_told_apart)
{
	enum vdpa_driver driver;

	bound_to_foreign();
	ck_assert_int_eq(vdpa_bus_driver("disk0", &driver), -EINVAL);
	ck_assert_int_eq(vdpa_bus_state("disk0"), VDPA_BOUND);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: is bound to driver foreign, not virtio_vdpa");
	ck_assert_int_eq(vdpa_bus_adopt("disk0", VIRTIO, node), -EBUSY);
}
END_TEST

START_TEST(node_is_read_off_sysfs)
{
	enum vdpa_driver driver = _i ? VHOST : VIRTIO;

	ck_assert_int_eq(vdpa_bus_node("disk0", node), -ENOENT);
	on_bus();
	ck_assert_int_eq(vdpa_bus_node("disk0", node), -ENOENT);
	ck_assert_str_eq(node, "untouched");
	fake_bus_bind("disk0", driver);
	ck_assert_int_eq(vdpa_bus_node("disk0", node), 0);
	check_node(driver);
}
END_TEST

START_TEST(virtio_device_without_a_disk_has_no_node)
{
	on_bus();
	mkdir(fake_bus_path("sys/class/vduse/disk0/disk0/virtio0"), 0755);
	ck_assert_int_eq(vdpa_bus_node("disk0", node), -ENOENT);
	mkdir(fake_bus_path("sys/class/vduse/disk0/disk0/virtio0/block"), 0755);
	ck_assert_int_eq(vdpa_bus_node("disk0", node), -ENOENT);
}
END_TEST

/* VDPA_NODE_MAX bytes, with the NUL, and one more. */
START_TEST(node_whose_name_is_too_long_is_none)
{
	size_t room = VDPA_NODE_MAX - 1 - strlen(fake_bus_path("dev/"));
	char disk[VDPA_NODE_MAX];

	on_bus();
	memset(disk, 'x', sizeof(disk));
	disk[room + _i] = '\0';
	mkdir(fake_bus_path("sys/class/vduse/disk0/disk0/virtio0"), 0755);
	mkdir(fake_bus_path("sys/class/vduse/disk0/disk0/virtio0/block"), 0755);
	mkdir(fake_bus_path("sys/class/vduse/disk0/disk0/virtio0/block/%s", disk), 0755);
	ck_assert_int_eq(vdpa_bus_node("disk0", node), _i ? -ENOENT : 0);
	ck_assert_str_eq(node, _i ? "untouched" : fake_bus_path("dev/%s", disk));
}
END_TEST

START_TEST(drivers_have_the_kernels_names)
{
	ck_assert_str_eq(vdpa_driver_name(VIRTIO), "virtio_vdpa");
	ck_assert_str_eq(vdpa_driver_name(VHOST), "vhost_vdpa");
	ck_assert_str_eq(vdpa_driver_name((enum vdpa_driver)7), "?");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vdpa_bus");
	TCase *tc = suite_case(suite, "attach", setup, teardown);

	tcase_add_loop_test(tc, attach_binds_the_driver_that_is_wanted_and_no_other, 0, 2);
	tcase_add_loop_test(tc, attach_without_the_driver_adds_nothing, 0, 2);
	tcase_add_test(tc, attach_that_netlink_refuses_leaves_all_as_it_was);
	tcase_add_test(tc, attach_that_cannot_stop_autoprobe_adds_nothing);
	tcase_add_loop_test(tc, attach_whose_driver_cannot_be_chosen_takes_the_device_off_again, 0,
			    ARRAY_SIZE(del_errors));
	tcase_add_test(tc, attach_whose_probe_fails_takes_the_device_off_again);
	tcase_add_test(tc, attach_whose_driver_refuses_takes_the_device_off_again);
	tcase_add_test(tc, attach_that_another_driver_gets_takes_the_device_off_again);
	tcase_add_test(tc, attach_without_a_disk_takes_the_device_off_again);
	tcase_add_loop_test(tc, attach_without_the_right_node_takes_the_device_off_again, 0, 4);
	tcase_add_test(tc, attach_that_cannot_be_undone_leaves_the_device);
	tcase_add_loop_test(tc, attach_waits_for_the_disk_and_its_node, 0, 2);
	tc = suite_case(suite, "adopt", setup, teardown);
	tcase_add_loop_test(tc, adopt_finds_the_node_and_changes_nothing, 0, 2);
	tcase_add_test(tc, adopt_switches_autoprobe_on_that_a_dead_server_left_off);
	tcase_add_test(tc, adopt_refuses_another_driver);
	tcase_add_loop_test(tc, adopt_binds_what_a_dead_server_had_not_bound, 0, 2);
	tcase_add_loop_test(tc, adopt_that_fails_leaves_the_device, 0, 3);
	tc = suite_case(suite, "detach", setup, teardown);
	tcase_add_loop_test(tc, detach_unbinds_and_takes_the_device_off, 0, 3);
	tcase_add_test(tc, detach_whose_unbind_fails_goes_no_further);
	tcase_add_loop_test(tc, detach_that_somebody_else_was_quicker_with_succeeds, 0, 3);
	tcase_add_test(tc, detach_that_netlink_refuses_fails);
	tcase_add_loop_test(tc, detach_keeps_out_of_a_removal, 0, 4);
	tc = suite_case(suite, "sysfs", setup, teardown);
	tcase_add_test(tc, state_is_read_off_sysfs);
	tcase_add_test(tc, removal_of_a_device_without_a_driver_is_one);
	tcase_add_test(tc, device_of_another_kind_is_not_ours);
	tcase_add_loop_test(tc, driver_is_read_off_sysfs, 0, 2);
	tcase_add_test(tc, foreign_driver_is_told_apart);
	tcase_add_loop_test(tc, node_is_read_off_sysfs, 0, 2);
	tcase_add_test(tc, virtio_device_without_a_disk_has_no_node);
	tcase_add_loop_test(tc, node_whose_name_is_too_long_is_none, 0, 2);
	tcase_add_test(tc, drivers_have_the_kernels_names);
	return suite_run(suite);
}
