// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vduse_dev.c: a device is created, found, left and destroyed. */
#include <check.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "suite.h"
#include "test_log.h"
#include "vduse_fixture.h"

START_TEST(device_is_made_as_asked)
{
	vd_make_dev();
	ck_assert(!vduse_dev_adopted(vd_dev));
	ck_assert_int_eq(vduse_dev_fd(vd_dev), vd_kern->fd);
	ck_assert_uint_eq(vd_kern->device_id, VIRTIO_ID_BLOCK);
	ck_assert_uint_eq(vd_kern->offered, VD_FEATURES);
	ck_assert_uint_eq(vd_kern->vq_num, VD_QUEUES);
	ck_assert_uint_eq(vd_kern->config_size, sizeof(vd_config_space));
	ck_assert_mem_eq(vd_kern->config_space, vd_config_space, sizeof(vd_config_space));
	for (uint32_t i = 0; i < VD_QUEUES; i++)
		ck_assert_uint_eq(vd_kern->vqs[i].max_size, 256);
	ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_SETUP), VD_QUEUES);
	ck_assert_uint_eq(vd_kern->msg_timeout, 0);
	ck_assert_uint_eq(vd_kern->bounce_size, VD_MIB);

	iotlb_view_exit(&vd_view);
	ck_assert_int_eq(vduse_dev_free(vd_dev), 0);
	ck_assert_ptr_null(fake_kern_dev(VD_NAME));
	vd_dev = NULL;
}
END_TEST

START_TEST(bounce_size_is_the_kernels_unless_given)
{
	struct vduse_dev_params p = vd_params();

	p.bounce_size = 0;
	vd_make_dev_of(&p);
	ck_assert_uint_eq(vd_kern->bounce_size, 64 * VD_MIB);
}
END_TEST

START_TEST(bounce_size_is_the_kernels_where_it_cannot_be_given)
{
	struct vduse_dev_params p = vd_params();

	fake_kern_fail(FAKE_SET_ATTR, 2, -ENOENT);
	vd_make_dev_of(&p);
	ck_assert_uint_eq(vd_kern->bounce_size, 64 * VD_MIB);
	ck_assert_uint_eq(test_log_count("bounce_size is 64 MiB"), 1);
}
END_TEST

START_TEST(longest_name_is_kept_whole)
{
	struct vduse_dev_params p = vd_params();
	char name[VDUSE_NAME_MAX] = "";

	memset(name, 'x', VDUSE_NAME_MAX - 1);
	p.name = name;
	vd_make_dev_of(&p);
	ck_assert_str_eq(vd_kern->name, name);
}
END_TEST

/* clang-format off */
static const struct {
	enum fake_call call;
	unsigned int nth;
	int err;
	const char *line;
} steps[] = {
	{ FAKE_OPEN_CONTROL, 1, -ENOENT, "/dev/vduse/control: No such file" },
	{ FAKE_CREATE, 1, -EINVAL, VD_NAME ": cannot create the VDUSE device: Invalid argument" },
	{ FAKE_CREATE, 1, -ENOSPC, VD_NAME ": cannot create the VDUSE device: No space" },
	{ FAKE_OPEN_DEV, 1, -EACCES, VD_NAME ": cannot open /dev/vduse/" VD_NAME ": Permission denied" },
	{ FAKE_VQ_SETUP, 1, -EINVAL, VD_NAME ": cannot set up queue 0 of size 256" },
	{ FAKE_VQ_SETUP, VD_QUEUES, -EPERM, VD_NAME ": cannot set up queue 2 of size 256" },
	{ FAKE_SET_ATTR, 2, -EINVAL, VD_NAME ": the kernel refuses a bounce_size of 1048576 bytes" },
};
/* clang-format on */

START_TEST(each_failing_step_is_undone)
{
	struct vduse_dev *untouched = (void *)&steps, *out = untouched;
	struct vduse_dev_params p = vd_params();

	fake_kern_fail(steps[_i].call, steps[_i].nth, steps[_i].err);
	test_log_expect(LOG_LEVEL_ERROR, steps[_i].line);
	ck_assert_int_eq(vduse_dev_new(&p, &out), steps[_i].err);
	ck_assert_ptr_eq(out, untouched);
	ck_assert_ptr_null(fake_kern_dev(VD_NAME));

	vd_make_dev(); /* and the next attempt succeeds */
}
END_TEST

START_TEST(failed_undoing_is_logged)
{
	struct vduse_dev_params p = vd_params();
	struct vduse_dev *out;

	fake_kern_fail(FAKE_VQ_SETUP, 2, -EINVAL);
	fake_kern_fail(FAKE_DESTROY, 1, -EBUSY);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot set up queue 1");
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": the VDUSE device stays in the kernel");
	ck_assert_int_eq(vduse_dev_new(&p, &out), -EINVAL);
	ck_assert_int_eq(fake_kern_dev(VD_NAME)->fd, -1);
}
END_TEST

START_TEST(kernel_without_msg_timeout_is_served_with_a_warning)
{
	fake_kern_fail(FAKE_SET_ATTR, 1, -ENOENT);
	test_log_expect(LOG_LEVEL_WARNING, VD_NAME ": cannot switch off the message timeout");
	vd_make_dev();
}
END_TEST

START_TEST(device_on_the_bus_survives_its_server)
{
	vd_make_dev();
	ck_assert_int_eq(fake_kern_bus_add(vd_kern), 0);
	iotlb_view_exit(&vd_view);
	ck_assert_int_eq(vduse_dev_free(vd_dev), -EBUSY);
	vd_dev = NULL;
	ck_assert_ptr_eq(fake_kern_dev(VD_NAME), vd_kern);
	ck_assert_int_eq(vd_kern->fd, -1);
}
END_TEST

/* A vdpa device that has gone from sysfs, and that the kernel has not let go of yet. */
START_TEST(destroying_waits_a_moment)
{
	vd_make_dev();
	iotlb_view_exit(&vd_view);
	fake_kern_fail(FAKE_DESTROY, 1, -EBUSY);
	ck_assert_int_eq(vduse_dev_free(vd_dev), 0);
	vd_dev = NULL;
	ck_assert_ptr_null(fake_kern_dev(VD_NAME));
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 2);
}
END_TEST

/* A device that an earlier server made, and left. */
static struct fake_dev *leave_behind(bool on_bus)
{
	struct fake_dev *left = fake_kern_orphan(VD_NAME);

	left->vq_num = VD_QUEUES;
	left->config_size = sizeof(vd_config_space);
	for (uint32_t i = 0; i < VD_QUEUES && on_bus; i++)
		left->vqs[i].max_size = 64;
	if (on_bus)
		ck_assert_int_eq(fake_kern_bus_add(left), 0);
	return left;
}

START_TEST(device_off_the_bus_is_replaced)
{
	ck_assert(!vduse_dev_exists(VD_NAME));
	leave_behind(false)->vq_num = 9;
	ck_assert(vduse_dev_exists(VD_NAME));
	test_log_expect(LOG_LEVEL_INFO, VD_NAME ": replaced");
	vd_make_dev();
	ck_assert(!vduse_dev_adopted(vd_dev));
	ck_assert_uint_eq(vd_kern->vq_num, VD_QUEUES);
	ck_assert_uint_eq(vd_kern->vqs[VD_QUEUES - 1].max_size, 256);
	ck_assert_uint_eq(fake_kern_calls(FAKE_CREATE), 2);
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 1);
}
END_TEST

START_TEST(device_off_the_bus_whose_server_is_just_dying_is_replaced)
{
	leave_behind(false)->open_elsewhere = 3;
	test_log_expect(LOG_LEVEL_INFO, VD_NAME ": replaced");
	vd_make_dev();
	ck_assert(!vduse_dev_adopted(vd_dev));
	ck_assert_uint_eq(vd_kern->vqs[VD_QUEUES - 1].max_size, 256);
}
END_TEST

START_TEST(device_on_the_bus_is_adopted_as_it_is)
{
	struct fake_dev *left = leave_behind(true);

	left->open_elsewhere = _i ? 3 : 0; /* its server is just dying, or dead */
	vd_make_dev();
	ck_assert_ptr_eq(vd_kern, left);
	ck_assert(vduse_dev_adopted(vd_dev));
	ck_assert_int_eq(vduse_dev_fd(vd_dev), left->fd);
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 0);
	ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_SETUP), 0);
	ck_assert_uint_eq(fake_kern_calls(FAKE_SET_ATTR), 0);

	ck_assert(!vduse_dev_running(vd_dev));
	left->driver_ok = true;
	ck_assert(vduse_dev_running(vd_dev));
}
END_TEST

START_TEST(device_of_another_server_is_left_alone)
{
	struct fake_dev *other = leave_behind(true);
	struct vduse_dev_params p = vd_params();
	struct vduse_dev *out;

	other->open_elsewhere = FAKE_FOR_EVER; /* takes the seconds that we wait for a dying one */
	test_log_expect(LOG_LEVEL_ERROR, "another process serves a device of that name");
	ck_assert_int_eq(vduse_dev_new(&p, &out), -EBUSY);
	ck_assert_ptr_eq(fake_kern_dev(VD_NAME), other);
	ck_assert_uint_gt(other->vq_num, 0);
}
END_TEST

START_TEST(adopting_that_fails_leaves_the_device)
{
	struct fake_dev *left = leave_behind(true);
	struct vduse_dev_params p = vd_params();
	struct vduse_dev *out;

	fake_kern_fail(FAKE_OPEN_DEV, 1, -EACCES);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot open /dev/vduse/" VD_NAME);
	ck_assert_int_eq(vduse_dev_new(&p, &out), -EACCES);
	ck_assert_ptr_eq(fake_kern_dev(VD_NAME), left);
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 0);
}
END_TEST

START_TEST(device_that_the_kernel_gave_up_is_logged)
{
	struct fake_dev *left = leave_behind(true);
	struct vduse_dev_params p = vd_params();
	struct vduse_dev *out;

	left->broken = true;
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": the kernel has marked the device broken");
	ck_assert_int_eq(vduse_dev_new(&p, &out), -EPERM);
	ck_assert_ptr_eq(fake_kern_dev(VD_NAME), left);
	ck_assert_int_eq(left->fd, -1);
}
END_TEST

START_TEST(abandoned_device_waits_for_the_next_server)
{
	vd_make_running_dev(false);
	iotlb_view_exit(&vd_view);
	vduse_dev_abandon(vd_dev);
	ck_assert_ptr_eq(fake_kern_dev(VD_NAME), vd_kern);
	ck_assert_int_eq(vd_kern->fd, -1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 0);
	vd_make_dev();
	ck_assert(vduse_dev_adopted(vd_dev));
	ck_assert(vduse_dev_running(vd_dev));
}
END_TEST

START_TEST(replacing_that_fails_half_way_leaves_nothing)
{
	struct vduse_dev_params p = vd_params();
	struct vduse_dev *out;

	leave_behind(false);
	fake_kern_fail(FAKE_CREATE, 2, -ENOMEM);
	test_log_expect(LOG_LEVEL_INFO, VD_NAME ": replaced");
	test_log_expect(LOG_LEVEL_ERROR,
			VD_NAME ": cannot create the VDUSE device: Cannot allocate");
	ck_assert_int_eq(vduse_dev_new(&p, &out), -ENOMEM);
	ck_assert_ptr_null(fake_kern_dev(VD_NAME));
}
END_TEST

START_TEST(names_are_checked)
{
	static const char *const good[] = { "a",    "disk0", "a.b-c_d",	 "v",  "vq",
					    "vq1x", "xvq1",  "controls", "Z9", "0",
					    "-",    "_",     "vq-1" };
	static const char *const bad[] = { "",	   "control",  ".",   "..",  ".a",
					   "a/b",  "/",	       "a b", "a\n", "vq0",
					   "vq12", "\xc3\xa4", "a:b", "a%s", "a\x7f" };
	char name[VDUSE_NAME_MAX + 1] = "";

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		ck_assert_msg(!vduse_dev_name_check(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(vduse_dev_name_check(bad[i]) != NULL, "%s", bad[i]);

	memset(name, 'x', VDUSE_NAME_MAX);
	ck_assert_ptr_nonnull(vduse_dev_name_check(name));
	name[VDUSE_NAME_MAX - 1] = '\0';
	ck_assert_ptr_null(vduse_dev_name_check(name));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vduse_dev");
	TCase *tc = suite_case(suite, "life", vd_setup, vd_teardown);

	tcase_add_test(tc, device_is_made_as_asked);
	tcase_add_test(tc, bounce_size_is_the_kernels_unless_given);
	tcase_add_test(tc, bounce_size_is_the_kernels_where_it_cannot_be_given);
	tcase_add_test(tc, longest_name_is_kept_whole);
	tcase_add_loop_test(tc, each_failing_step_is_undone, 0, ARRAY_SIZE(steps));
	tcase_add_test(tc, failed_undoing_is_logged);
	tcase_add_test(tc, kernel_without_msg_timeout_is_served_with_a_warning);
	tcase_add_test(tc, device_on_the_bus_survives_its_server);
	tcase_add_test(tc, destroying_waits_a_moment);
	tcase_add_test(tc, device_off_the_bus_is_replaced);
	tcase_add_test(tc, device_off_the_bus_whose_server_is_just_dying_is_replaced);
	tcase_add_loop_test(tc, device_on_the_bus_is_adopted_as_it_is, 0, 2);
	tcase_add_test(tc, device_of_another_server_is_left_alone);
	tcase_add_test(tc, adopting_that_fails_leaves_the_device);
	tcase_add_test(tc, device_that_the_kernel_gave_up_is_logged);
	tcase_add_test(tc, abandoned_device_waits_for_the_next_server);
	tcase_add_test(tc, replacing_that_fails_half_way_leaves_nothing);
	tcase_add_test(tc, names_are_checked);
	return suite_run(suite);
}
