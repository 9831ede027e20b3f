// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vduse_dev.c on the kernel of tests/lib/fake_kern.c. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_kern.h"
#include "test_log.h"
#include "vduse_dev.h"

#define NAME	 "disk0"
#define VQS	 3u
#define MIB	 (1ull << 20)
#define FEATURES (1ull << VIRTIO_F_ACCESS_PLATFORM | 1ull << VIRTIO_F_VERSION_1)

static const uint8_t config_space[96] = { 1, 2, 3, [95] = 96 };
static struct vduse_dev *dev;
static struct fake_dev *kern;
static struct iotlb_view view;
static unsigned int fds_before;

static struct vduse_dev_params params(void)
{
	return (struct vduse_dev_params){
		.name = NAME,
		.device_id = VIRTIO_ID_BLOCK,
		.features = FEATURES,
		.vq_num = VQS,
		.vq_size = 256,
		.config = config_space,
		.config_size = sizeof(config_space),
		.bounce_size = MIB,
	};
}

static unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Mappings of the fake kernel's memory, of those with permissions @perm. */
static unsigned int mapped_regions(const char *perm)
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

static void setup(void)
{
	test_log_begin();
	fake_kern_reset();
	fds_before = open_fds();
}

/* Whatever a test did: no fd and no mapping stays behind. */
static void teardown(void)
{
	if (dev) {
		iotlb_view_exit(&view);
		kern->on_bus = false;
		ck_assert_int_eq(vduse_dev_free(dev), 0);
	}
	fake_kern_reset();
	ck_assert_uint_eq(open_fds(), fds_before);
	ck_assert_uint_eq(mapped_regions(""), 0);
	test_log_end();
}

static void make_dev_of(const struct vduse_dev_params *p)
{
	ck_assert_int_eq(vduse_dev_new(p, &dev), 0);
	kern = fake_kern_dev(p->name);
	ck_assert_ptr_nonnull(kern);
	iotlb_view_init(&view, vduse_dev_iotlb(dev));
}

static void make_dev(void)
{
	struct vduse_dev_params p = params();

	make_dev_of(&p);
}

/* On the bus, with @umem wanted or not. */
static void make_running_dev(bool umem)
{
	struct vduse_dev_params p = params();

	p.umem = umem;
	make_dev_of(&p);
	ck_assert_int_eq(fake_kern_bus_add(kern), 0);
	kern->driver_ok = true;
}

static uint8_t *expect_map(uint64_t iova, size_t want, int prot, size_t got)
{
	void *addr = NULL;

	ck_assert_int_eq(iotlb_map(&view, iova, &want, prot, &addr), 0);
	ck_assert_uint_eq(want, got);
	return addr;
}

static int map_error(uint64_t iova, int prot)
{
	size_t len = 1;
	void *addr;

	return iotlb_map(&view, iova, &len, prot, &addr);
}

/* ---- create, free ---- */

START_TEST(device_is_made_as_asked)
{
	make_dev();
	ck_assert(!vduse_dev_adopted(dev));
	ck_assert_str_eq(vduse_dev_name(dev), NAME);
	ck_assert_int_eq(vduse_dev_fd(dev), kern->fd);
	ck_assert_uint_eq(kern->device_id, VIRTIO_ID_BLOCK);
	ck_assert_uint_eq(kern->offered, FEATURES);
	ck_assert_uint_eq(kern->vq_num, VQS);
	ck_assert_uint_eq(kern->config_size, sizeof(config_space));
	ck_assert_mem_eq(kern->config_space, config_space, sizeof(config_space));
	for (uint32_t i = 0; i < VQS; i++)
		ck_assert_uint_eq(kern->vqs[i].max_size, 256);
	ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_SETUP), VQS);
	ck_assert_uint_eq(kern->msg_timeout, 0);
	ck_assert_uint_eq(kern->bounce_size, MIB);

	iotlb_view_exit(&view);
	ck_assert_int_eq(vduse_dev_free(dev), 0);
	ck_assert_ptr_null(fake_kern_dev(NAME));
	dev = NULL;
}
END_TEST

START_TEST(bounce_size_is_the_kernels_unless_given)
{
	struct vduse_dev_params p = params();

	p.bounce_size = 0;
	make_dev_of(&p);
	ck_assert_uint_eq(kern->bounce_size, 64 * MIB);
}
END_TEST

START_TEST(longest_name_is_kept_whole)
{
	struct vduse_dev_params p = params();
	char name[VDUSE_NAME_MAX] = "";

	memset(name, 'x', VDUSE_NAME_MAX - 1);
	p.name = name;
	make_dev_of(&p);
	ck_assert_str_eq(vduse_dev_name(dev), name);
	ck_assert_str_eq(kern->name, name);
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
	{ FAKE_CREATE, 1, -EINVAL, NAME ": cannot create the VDUSE device: Invalid argument" },
	{ FAKE_CREATE, 1, -ENOSPC, NAME ": cannot create the VDUSE device: No space" },
	{ FAKE_OPEN_DEV, 1, -EACCES, NAME ": cannot open /dev/vduse/" NAME ": Permission denied" },
	{ FAKE_VQ_SETUP, 1, -EINVAL, NAME ": cannot set up queue 0 of size 256" },
	{ FAKE_VQ_SETUP, VQS, -EPERM, NAME ": cannot set up queue 2 of size 256" },
	{ FAKE_SET_ATTR, 2, -EINVAL, NAME ": the kernel refuses a bounce_size of 1048576 bytes" },
};
/* clang-format on */

START_TEST(each_failing_step_is_undone)
{
	struct vduse_dev *untouched = (void *)&steps, *out = untouched;
	struct vduse_dev_params p = params();

	fake_kern_fail(steps[_i].call, steps[_i].nth, steps[_i].err);
	test_log_expect(LOG_LEVEL_ERROR, steps[_i].line);
	ck_assert_int_eq(vduse_dev_new(&p, &out), steps[_i].err);
	ck_assert_ptr_eq(out, untouched);
	ck_assert_ptr_null(fake_kern_dev(NAME));

	make_dev(); /* and the next attempt succeeds */
}
END_TEST

START_TEST(failed_undoing_is_told)
{
	struct vduse_dev_params p = params();
	struct vduse_dev *out;

	fake_kern_fail(FAKE_VQ_SETUP, 2, -EINVAL);
	fake_kern_fail(FAKE_DESTROY, 1, -EBUSY);
	test_log_expect(LOG_LEVEL_ERROR, NAME ": cannot set up queue 1");
	test_log_expect(LOG_LEVEL_ERROR, NAME ": the VDUSE device stays in the kernel");
	ck_assert_int_eq(vduse_dev_new(&p, &out), -EINVAL);
	ck_assert_int_eq(fake_kern_dev(NAME)->fd, -1);
}
END_TEST

START_TEST(kernel_without_msg_timeout_is_served_with_a_warning)
{
	fake_kern_fail(FAKE_SET_ATTR, 1, -ENOENT);
	test_log_expect(LOG_LEVEL_WARNING, NAME ": cannot switch off the message timeout");
	make_dev();
}
END_TEST

START_TEST(device_on_the_bus_survives_its_server)
{
	make_dev();
	ck_assert_int_eq(fake_kern_bus_add(kern), 0);
	iotlb_view_exit(&view);
	test_log_expect(LOG_LEVEL_ERROR, NAME ": the VDUSE device stays in the kernel");
	ck_assert_int_eq(vduse_dev_free(dev), -EBUSY);
	dev = NULL;
	ck_assert_ptr_eq(fake_kern_dev(NAME), kern);
	ck_assert_int_eq(kern->fd, -1);
}
END_TEST

/* A device that an earlier server made, and left. */
static struct fake_dev *leave_behind(bool on_bus)
{
	struct fake_dev *left = fake_kern_orphan(NAME);

	left->vq_num = VQS;
	left->config_size = sizeof(config_space);
	for (uint32_t i = 0; i < VQS && on_bus; i++)
		left->vqs[i].max_size = 64;
	if (on_bus)
		ck_assert_int_eq(fake_kern_bus_add(left), 0);
	return left;
}

START_TEST(device_off_the_bus_is_replaced)
{
	ck_assert(!vduse_dev_exists(NAME));
	leave_behind(false)->vq_num = 9;
	ck_assert(vduse_dev_exists(NAME));
	test_log_expect(LOG_LEVEL_INFO, NAME ": replaced");
	make_dev();
	ck_assert(!vduse_dev_adopted(dev));
	ck_assert_uint_eq(kern->vq_num, VQS);
	ck_assert_uint_eq(kern->vqs[VQS - 1].max_size, 256);
	ck_assert_uint_eq(fake_kern_calls(FAKE_CREATE), 2);
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 1);
}
END_TEST

START_TEST(device_off_the_bus_whose_server_is_just_dying_is_replaced)
{
	leave_behind(false)->open_elsewhere = 3;
	test_log_expect(LOG_LEVEL_INFO, NAME ": replaced");
	make_dev();
	ck_assert(!vduse_dev_adopted(dev));
	ck_assert_uint_eq(kern->vqs[VQS - 1].max_size, 256);
}
END_TEST

START_TEST(device_on_the_bus_is_adopted_as_it_is)
{
	struct fake_dev *left = leave_behind(true);

	left->open_elsewhere = _i ? 3 : 0; /* its server is just dying, or dead */
	make_dev();
	ck_assert_ptr_eq(kern, left);
	ck_assert(vduse_dev_adopted(dev));
	ck_assert_int_eq(vduse_dev_fd(dev), left->fd);
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 0);
	ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_SETUP), 0);
	ck_assert_uint_eq(fake_kern_calls(FAKE_SET_ATTR), 0);

	ck_assert(!vduse_dev_running(dev));
	left->driver_ok = true;
	ck_assert(vduse_dev_running(dev));
}
END_TEST

START_TEST(device_of_another_server_is_left_alone)
{
	struct fake_dev *other = leave_behind(true);
	struct vduse_dev_params p = params();
	struct vduse_dev *out;

	other->open_elsewhere = FAKE_FOR_EVER; /* takes the seconds that we wait for a dying one */
	test_log_expect(LOG_LEVEL_ERROR, "another process serves a device of that name");
	ck_assert_int_eq(vduse_dev_new(&p, &out), -EBUSY);
	ck_assert_ptr_eq(fake_kern_dev(NAME), other);
	ck_assert_uint_gt(other->vq_num, 0);
}
END_TEST

START_TEST(adopting_that_fails_leaves_the_device)
{
	struct fake_dev *left = leave_behind(true);
	struct vduse_dev_params p = params();
	struct vduse_dev *out;

	fake_kern_fail(FAKE_OPEN_DEV, 1, -EACCES);
	test_log_expect(LOG_LEVEL_ERROR, NAME ": cannot open /dev/vduse/" NAME);
	ck_assert_int_eq(vduse_dev_new(&p, &out), -EACCES);
	ck_assert_ptr_eq(fake_kern_dev(NAME), left);
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 0);
}
END_TEST

START_TEST(abandoned_device_waits_for_the_next_server)
{
	make_running_dev(false);
	iotlb_view_exit(&view);
	vduse_dev_abandon(dev);
	ck_assert_ptr_eq(fake_kern_dev(NAME), kern);
	ck_assert_int_eq(kern->fd, -1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 0);
	make_dev();
	ck_assert(vduse_dev_adopted(dev));
	ck_assert(vduse_dev_running(dev));
}
END_TEST

START_TEST(replacing_that_fails_half_way_leaves_nothing)
{
	struct vduse_dev_params p = params();
	struct vduse_dev *out;

	leave_behind(false);
	fake_kern_fail(FAKE_CREATE, 2, -ENOMEM);
	test_log_expect(LOG_LEVEL_INFO, NAME ": replaced");
	test_log_expect(LOG_LEVEL_ERROR, NAME ": cannot create the VDUSE device: Cannot allocate");
	ck_assert_int_eq(vduse_dev_new(&p, &out), -ENOMEM);
	ck_assert_ptr_null(fake_kern_dev(NAME));
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

/* ---- messages ---- */

static bool readable(void)
{
	struct pollfd p = { .fd = vduse_dev_fd(dev), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static uint32_t send_status(uint8_t status)
{
	struct vduse_dev_request request = { .type = VDUSE_SET_STATUS };

	request.s.status = status;
	return fake_kern_send(kern, request);
}

START_TEST(messages_come_in_order_and_wake_poll)
{
	struct vduse_dev_request request;

	make_dev();
	ck_assert(!readable());
	ck_assert_int_eq(vduse_dev_recv(dev, &request), 0);
	for (uint8_t i = 0; i < 3; i++)
		send_status(i);
	for (uint8_t i = 0; i < 3; i++) {
		ck_assert(readable());
		ck_assert_int_eq(vduse_dev_recv(dev, &request), 1);
		ck_assert_uint_eq(request.type, VDUSE_SET_STATUS);
		ck_assert_uint_eq(request.s.status, i);
	}
	ck_assert(!readable());
	ck_assert_int_eq(vduse_dev_recv(dev, &request), 0);
	kern->broken = true;
	ck_assert_int_eq(vduse_dev_recv(dev, &request), -EPERM);
}
END_TEST

START_TEST(reply_carries_the_verdict_in_any_order)
{
	struct vduse_dev_request first, second;
	uint32_t yes, no;

	make_dev();
	yes = send_status(1);
	no = send_status(2);
	ck_assert_int_eq(vduse_dev_recv(dev, &first), 1);
	ck_assert_int_eq(vduse_dev_recv(dev, &second), 1);
	ck_assert_int_eq(vduse_dev_reply(dev, &second, false), 0);
	ck_assert_ptr_null(fake_kern_answer(kern, yes));
	ck_assert_int_eq(vduse_dev_reply(dev, &first, true), 0);
	ck_assert_uint_eq(fake_kern_answer(kern, yes)->result, VDUSE_REQ_RESULT_OK);
	ck_assert_uint_eq(fake_kern_answer(kern, no)->result, VDUSE_REQ_RESULT_FAILED);
}
END_TEST

START_TEST(queue_state_is_answered)
{
	struct vduse_dev_request request = { .type = VDUSE_GET_VQ_STATE };
	const struct vduse_dev_response *response;
	uint32_t id;

	make_dev();
	request.vq_state.index = 2;
	id = fake_kern_send(kern, request);
	ck_assert_int_eq(vduse_dev_recv(dev, &request), 1);
	ck_assert_int_eq(vduse_dev_reply_vq_state(dev, &request, 65535), 0);
	response = fake_kern_answer(kern, id);
	ck_assert_ptr_nonnull(response);
	ck_assert_uint_eq(response->result, VDUSE_REQ_RESULT_OK);
	ck_assert_uint_eq(response->vq_state.index, 2);
	ck_assert_uint_eq(response->vq_state.split.avail_index, 65535);
}
END_TEST

START_TEST(reply_to_nobody_is_harmless)
{
	struct vduse_dev_request request;
	uint32_t id;

	make_dev();
	id = send_status(1);
	ck_assert_int_eq(vduse_dev_recv(dev, &request), 1);
	fake_kern_kill_waiter(kern, id);
	ck_assert_int_eq(vduse_dev_reply(dev, &request, true), 0);
	ck_assert_int_eq(vduse_dev_reply_vq_state(dev, &request, 1), 0);
	ck_assert_ptr_null(fake_kern_answer(kern, id));

	fake_kern_fail(FAKE_WRITE_RESPONSE, 1, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, NAME ": cannot answer a control message");
	ck_assert_int_eq(vduse_dev_reply(dev, &request, true), -EIO);
}
END_TEST

START_TEST(unanswered_message_comes_again_to_the_next_server)
{
	struct vduse_dev_request request;
	uint32_t id;

	make_running_dev(false);
	id = send_status(7);
	send_status(8);
	ck_assert_int_eq(vduse_dev_recv(dev, &request), 1);
	iotlb_view_exit(&view);
	vduse_dev_abandon(dev);
	make_dev();
	ck_assert(readable());
	ck_assert_int_eq(vduse_dev_recv(dev, &request), 1);
	ck_assert_uint_eq(request.s.status, 7);
	ck_assert_int_eq(vduse_dev_reply(dev, &request, true), 0);
	ck_assert_ptr_nonnull(fake_kern_answer(kern, id));
	ck_assert_int_eq(vduse_dev_recv(dev, &request), 1);
	ck_assert_uint_eq(request.s.status, 8);
	ck_assert_int_eq(vduse_dev_recv(dev, &request), 0);
}
END_TEST

START_TEST(message_types_have_names)
{
	ck_assert_str_eq(vduse_dev_request_name(VDUSE_GET_VQ_STATE), "GET_VQ_STATE");
	ck_assert_str_eq(vduse_dev_request_name(VDUSE_SET_STATUS), "SET_STATUS");
	ck_assert_str_eq(vduse_dev_request_name(VDUSE_UPDATE_IOTLB), "UPDATE_IOTLB");
	ck_assert_str_eq(vduse_dev_request_name(77), "unknown message");
}
END_TEST

/* ---- configuration, queues ---- */

START_TEST(config_update_interrupts_a_running_driver)
{
	uint64_t capacity = 0x1122334455667788;

	make_dev();
	/* no driver: stored, and nobody to tell */
	ck_assert_int_eq(vduse_dev_update_config(dev, 8, &capacity, 8), 0);
	ck_assert_mem_eq(kern->config_space + 8, &capacity, 8);
	ck_assert_mem_eq(kern->config_space, config_space, 8);
	ck_assert_uint_eq(kern->config_irqs, 0);

	kern->driver_ok = true;
	capacity++;
	ck_assert_int_eq(vduse_dev_update_config(dev, 0, &capacity, 8), 0);
	ck_assert_mem_eq(kern->config_space, &capacity, 8);
	ck_assert_uint_eq(kern->config_irqs, 1);
}
END_TEST

START_TEST(failed_config_update_is_passed_up)
{
	uint64_t capacity = 1;

	make_dev();
	kern->driver_ok = true;
	ck_assert_int_eq(vduse_dev_update_config(dev, 92, &capacity, 8), -EINVAL);
	ck_assert_uint_eq(fake_kern_calls(FAKE_CONFIG_IRQ), 0);
	fake_kern_fail(FAKE_CONFIG_IRQ, 1, -EPERM);
	ck_assert_int_eq(vduse_dev_update_config(dev, 0, &capacity, 8), -EPERM);
}
END_TEST

START_TEST(queues_reach_the_kernel)
{
	struct vduse_vq_info info;
	eventfd_t kicks = 0;
	uint64_t features;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	make_dev();
	kern->vqs[1].info = (struct vduse_vq_info){ .num = 128, .desc_addr = 0x4000, .ready = 1 };
	ck_assert_int_eq(vduse_dev_vq_info(dev, 1, &info), 0);
	ck_assert_uint_eq(info.num, 128);
	ck_assert_uint_eq(info.desc_addr, 0x4000);
	ck_assert_int_eq(vduse_dev_vq_info(dev, VQS, &info), -EINVAL);

	ck_assert_int_eq(vduse_dev_vq_kickfd(dev, 1, fd), 0);
	ck_assert(fake_kern_kick(kern, 1));
	ck_assert(!fake_kern_kick(kern, 0));
	ck_assert_int_eq(eventfd_read(fd, &kicks), 0);
	ck_assert_int_eq(vduse_dev_vq_kickfd(dev, 1, -1), 0);
	ck_assert(!fake_kern_kick(kern, 1));
	close(fd);

	ck_assert_int_eq(vduse_dev_vq_irq(dev, 2), -EINVAL); /* before DRIVER_OK */
	kern->driver_ok = true;
	ck_assert_int_eq(vduse_dev_vq_irq(dev, 2), 0);
	ck_assert_uint_eq(kern->vqs[2].irqs, 1);
	ck_assert_uint_eq(kern->vqs[1].irqs, 0);

	kern->features = FEATURES;
	ck_assert_int_eq(vduse_dev_features(dev, &features), 0);
	ck_assert_uint_eq(features, FEATURES);
	kern->broken = true;
	ck_assert_int_eq(vduse_dev_features(dev, &features), -EPERM);
}
END_TEST

/* ---- memory ---- */

#define RW (PROT_READ | PROT_WRITE)

START_TEST(miss_maps_exactly_the_region_of_the_byte)
{
	uint8_t *low, *high, byte = 0x5a;

	make_running_dev(false);
	fake_kern_map(kern, 0x10000, 0x3000, VDUSE_ACCESS_RW, 0);
	fake_kern_map(kern, 0x13000, 0x2000, VDUSE_ACCESS_RW, 0x5000); /* in the middle of a file */

	high = expect_map(0x14fff, 1, RW, 1);
	ck_assert_uint_eq(kern->asked_start, 0x14fff);
	ck_assert_uint_eq(kern->asked_last, 0x14fff);
	low = expect_map(0x12fff, 8, RW, 1); /* ends at the border */
	ck_assert_uint_eq(kern->asked_start, 0x12fff);
	ck_assert_uint_eq(kern->asked_last, 0x12fff);
	ck_assert_uint_eq(fake_kern_calls(FAKE_IOTLB_FD), 2);
	ck_assert_ptr_eq(expect_map(0x10000, 0x8000, RW, 0x3000), low - 0x2fff);
	ck_assert_ptr_eq(expect_map(0x13000, 0x8000, RW, 0x2000), high - 0x1fff);
	ck_assert_uint_eq(fake_kern_calls(FAKE_IOTLB_FD), 2);
	ck_assert_uint_eq(mapped_regions("rw-s"), 2);

	/* the very bytes, both ways */
	fake_kern_write(kern, 0x14fff, &byte, 1);
	ck_assert_uint_eq(*high, 0x5a);
	*low = 0xa5;
	fake_kern_read(kern, 0x12fff, &byte, 1);
	ck_assert_uint_eq(byte, 0xa5);
}
END_TEST

/* The kernel's regions of rings end where the ring ends, and not at a page. */
START_TEST(region_is_mapped_to_its_last_byte)
{
	make_running_dev(false);
	fake_kern_map(kern, 0x10000, 0x2001, VDUSE_ACCESS_RW, 0);
	fake_kern_map(kern, 0x20000, 1, VDUSE_ACCESS_RW, 0);
	*expect_map(0x12000, 8, RW, 1) = 1;
	*expect_map(0x20000, 8, RW, 1) = 1;
	ck_assert_int_eq(map_error(0x12001, PROT_READ), -EFAULT);
	iotlb_drop(vduse_dev_iotlb(dev), 0, UINT64_MAX);
	ck_assert_uint_eq(mapped_regions(""), 0);
}
END_TEST

START_TEST(hole_is_the_drivers_fault_and_not_logged)
{
	make_running_dev(false);
	fake_kern_map(kern, 0x10000, 0x1000, VDUSE_ACCESS_RW, 0);
	ck_assert_int_eq(map_error(0xffff, PROT_READ), -EFAULT); /* its neighbour is mapped */
	ck_assert_int_eq(map_error(0x11000, PROT_READ), -EFAULT);
	ck_assert_int_eq(map_error(UINT64_MAX, PROT_READ), -EFAULT);
	ck_assert_uint_eq(mapped_regions(""), 0);
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

	make_running_dev(false);
	fake_kern_map(kern, 0x10000, 0x1000, rows[_i].perm, 0);
	ck_assert_int_eq(map_error(0x10000, PROT_READ), rows[_i].read);
	ck_assert_int_eq(map_error(0x10000, PROT_WRITE), rows[_i].write);
	ck_assert_uint_eq(mapped_regions(rows[_i].maps), 1);
}
END_TEST

START_TEST(drop_unmaps_and_the_next_look_maps_what_is_there_then)
{
	make_running_dev(false);
	fake_kern_map(kern, 0x10000, 0x2000, VDUSE_ACCESS_RW, 0);
	expect_map(0x11000, 1, RW, 1);
	fake_kern_unmap(kern);
	fake_kern_map(kern, 0x11000, 0x2000, VDUSE_ACCESS_RO, 0);

	/* not dropped yet: what overlaps the old mapping is refused, and not kept */
	ck_assert_int_eq(map_error(0x12000, PROT_READ), -EFAULT);
	ck_assert_uint_eq(mapped_regions(""), 1);
	iotlb_drop(vduse_dev_iotlb(dev), 0x11fff, 0x11fff);
	ck_assert_uint_eq(mapped_regions(""), 0);
	expect_map(0x12000, 1, PROT_READ, 1);
	ck_assert_int_eq(map_error(0x10000, PROT_READ), -EFAULT);
}
END_TEST

START_TEST(our_own_failure_is_told_and_passed_up)
{
	make_running_dev(false);
	fake_kern_map(kern, 0x10000, 0x1000, VDUSE_ACCESS_RW, 0);
	fake_kern_fail(FAKE_IOTLB_FD, 1, -EMFILE);
	test_log_expect(LOG_LEVEL_ERROR, NAME ": no mapping for IOVA 0x10000");
	ck_assert_int_eq(map_error(0x10000, PROT_READ), -EMFILE);
	expect_map(0x10000, 1, RW, 1);
}
END_TEST

/* A virtual machine monitor can hand in a file that does not allow what its region claims. */
static void map_unmappable(uint64_t iova)
{
	struct fake_region *r = fake_kern_map(kern, iova, 0x1000, VDUSE_ACCESS_RW, 0);

	close(r->fd);
	r->fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(r->fd, 0);
}

START_TEST(failed_mmap_is_told_and_leaks_nothing)
{
	unsigned int fds;

	make_running_dev(false);
	map_unmappable(0x10000);
	fds = open_fds();
	test_log_expect(LOG_LEVEL_ERROR, NAME ": cannot map IOVA 0x10000 to 0x10fff");
	ck_assert_int_eq(map_error(0x10800, PROT_READ), -EACCES);
	ck_assert_uint_eq(open_fds(), fds);
}
END_TEST

START_TEST(driver_has_a_share_of_the_address_space)
{
	const uint64_t half = 8ull << 40;

	make_running_dev(false);
	for (uint64_t i = 0; i < 3; i++)
		fake_kern_map(kern, i * half, half, VDUSE_ACCESS_RW, 0);
	expect_map(0, 1, RW, 1);
	expect_map(half, 1, RW, 1);
	test_log_expect(LOG_LEVEL_ERROR, NAME ": cannot map IOVA 0x100000000000");
	ck_assert_int_eq(map_error(2 * half, PROT_READ), -ENOSPC);
	iotlb_drop(vduse_dev_iotlb(dev), 0, 0);
	expect_map(2 * half, 1, RW, 1);
}
END_TEST

START_TEST(failures_that_a_driver_provokes_do_not_flood_the_log)
{
	make_running_dev(false);
	map_unmappable(0x10000);
	test_log_allow(LOG_LEVEL_ERROR, NAME ": cannot map IOVA");
	test_log_allow(LOG_LEVEL_ERROR, NAME ": no mapping for IOVA");
	test_log_allow(LOG_LEVEL_WARNING, "held back");
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(map_error(0x10800, PROT_READ), -EACCES);
	kern->broken = true;
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(map_error(0x10800, PROT_READ), -EPERM);
	ck_assert_uint_le(test_log_count("IOVA"), 40);
}
END_TEST

/* ---- our own bounce memory ---- */

START_TEST(bounce_memory_is_registered_at_the_first_look)
{
	uint8_t byte = 0x77, *addr;

	make_running_dev(true);
	ck_assert_int_eq(map_error(0x1000, PROT_READ), -EFAULT); /* the driver mapped nothing yet */
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 0);

	fake_kern_map_bounce(kern);
	fake_kern_write(kern, 0x1234, &byte, 1); /* is there before we look */
	addr = expect_map(0x1234, 2 * MIB, RW, MIB - 0x1234);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 1);
	ck_assert_ptr_eq(addr - 0x1234, kern->umem);
	ck_assert_uint_eq((uintptr_t)kern->umem % (2 * MIB), 0); /* fit for huge pages */
	ck_assert_uint_eq(*addr, 0x77);
	ck_assert_uint_eq(mapped_regions(""), 0); /* not also the kernel's pages */
	ck_assert_uint_eq(kern->umem[MIB - 1], 0);

	expect_map(0, 1, RW, 1);
	expect_map(MIB - 1, 100, RW, 1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 1);
}
END_TEST

START_TEST(rings_stay_the_kernels)
{
	make_running_dev(true);
	fake_kern_map_bounce(kern);
	fake_kern_map(kern, MIB, 0x1000, VDUSE_ACCESS_RW, 0);
	expect_map(MIB, 0x1000, RW, 0x1000); /* the first look is not at the bounce region */
	ck_assert_ptr_null(kern->umem);
	ck_assert_uint_eq(mapped_regions("rw-s"), 1);
	expect_map(MIB - 1, 2, RW, 1);
	ck_assert_ptr_nonnull(kern->umem);
	ck_assert_uint_eq(mapped_regions(""), 1);
}
END_TEST

START_TEST(bounce_memory_outlives_resets)
{
	uint8_t *addr;

	make_running_dev(true);
	for (int i = 0; i < 3; i++) {
		fake_kern_map_bounce(kern);
		addr = expect_map(0x5000, 1, RW, 1);
		ck_assert_ptr_eq(addr, kern->umem + 0x5000);
		ck_assert_uint_eq(*addr, i);
		*addr = (uint8_t)(i + 1); /* still there, and the same, next time */
		iotlb_drop(vduse_dev_iotlb(dev), 0, UINT64_MAX);
		fake_kern_driver_reset(kern);
		ck_assert_int_eq(map_error(0x5000, PROT_READ), -EFAULT);
	}
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 1);
}
END_TEST

START_TEST(refused_registration_falls_back_with_one_warning)
{
	static const int errs[] = { -ENOMEM, -EINVAL, -EEXIST, -ENOTTY };
	uint8_t byte = 0x12;

	make_running_dev(true);
	fake_kern_map_bounce(kern);
	fake_kern_write(kern, 0x2000, &byte, 1);
	fake_kern_fail(FAKE_REG_UMEM, 1, errs[_i]);
	test_log_expect(LOG_LEVEL_WARNING, NAME ": bounce memory stays the kernel's");
	ck_assert_uint_eq(*expect_map(0x2000, 2 * MIB, RW, MIB - 0x2000), 0x12);
	ck_assert_uint_eq(mapped_regions("rw-s"), 1);

	iotlb_drop(vduse_dev_iotlb(dev), 0, UINT64_MAX);
	expect_map(0x2000, 1, RW, 1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 1); /* not tried again */
	ck_assert_ptr_null(kern->umem);
}
END_TEST

START_TEST(kernel_without_umem_is_served_from_its_own_pages)
{
	make_running_dev(true);
	fake_kern_map_bounce(kern);
	fake_kern_fail(FAKE_IOTLB_INFO, 1, -ENOTTY);
	expect_map(0x2000, 1, RW, 1);
	ck_assert_uint_eq(mapped_regions("rw-s"), 1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 0);
}
END_TEST

START_TEST(umem_is_not_tried_unless_wanted)
{
	make_running_dev(false);
	fake_kern_map_bounce(kern);
	expect_map(0x2000, 1, RW, 1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_IOTLB_INFO), 0);
	ck_assert_ptr_null(kern->umem);
}
END_TEST

/* A guest's memory at IOVA 0 looks like a bounce region, but the kernel does not say it is one. */
START_TEST(guest_memory_is_not_replaced)
{
	make_running_dev(true);
	fake_kern_map(kern, 0, MIB, VDUSE_ACCESS_RW, 0);
	expect_map(0x2000, 1, RW, 1);
	ck_assert_uint_eq(fake_kern_calls(FAKE_REG_UMEM), 0);
	ck_assert_uint_eq(mapped_regions("rw-s"), 1);
}
END_TEST

START_TEST(data_in_flight_go_back_to_the_kernel_at_close)
{
	uint8_t byte = 0, *umem;
	unsigned char resident;

	make_running_dev(true);
	fake_kern_map_bounce(kern);
	*expect_map(0x3000, 1, RW, 1) = 0x99;
	umem = kern->umem;
	iotlb_view_exit(&view);
	vduse_dev_abandon(dev);
	dev = NULL;
	ck_assert_ptr_null(kern->umem);
	fake_kern_read(kern, 0x3000, &byte, 1);
	ck_assert_uint_eq(byte, 0x99);
	ck_assert_int_eq(mincore(umem, 4096, &resident), -1); /* and our copy is gone */
	ck_assert_int_eq(mincore(umem + MIB - 4096, 4096, &resident), -1);
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
		make_running_dev(true);
		fake_kern_map_bounce(kern);
		if (i % 2)
			fake_kern_fail(FAKE_REG_UMEM, 1, -ENOMEM);
		if (i == 1)
			test_log_allow(LOG_LEVEL_WARNING, NAME ": bounce memory stays");
		expect_map(0x3000, 1, RW, 1);
		iotlb_view_exit(&view);
		fake_kern_bus_del(kern);
		ck_assert_int_eq(vduse_dev_free(dev), 0);
	}
	dev = NULL;
	ck_assert_uint_lt(address_space_pages(), before + 16 * MIB / 4096);
}
END_TEST

static void add_life_tests(TCase *tc)
{
	tcase_add_test(tc, device_is_made_as_asked);
	tcase_add_test(tc, bounce_size_is_the_kernels_unless_given);
	tcase_add_test(tc, longest_name_is_kept_whole);
	tcase_add_loop_test(tc, each_failing_step_is_undone, 0, ARRAY_SIZE(steps));
	tcase_add_test(tc, failed_undoing_is_told);
	tcase_add_test(tc, kernel_without_msg_timeout_is_served_with_a_warning);
	tcase_add_test(tc, device_on_the_bus_survives_its_server);
	tcase_add_test(tc, device_off_the_bus_is_replaced);
	tcase_add_test(tc, device_off_the_bus_whose_server_is_just_dying_is_replaced);
	tcase_add_loop_test(tc, device_on_the_bus_is_adopted_as_it_is, 0, 2);
	tcase_add_test(tc, device_of_another_server_is_left_alone);
	tcase_add_test(tc, adopting_that_fails_leaves_the_device);
	tcase_add_test(tc, abandoned_device_waits_for_the_next_server);
	tcase_add_test(tc, replacing_that_fails_half_way_leaves_nothing);
	tcase_add_test(tc, names_are_checked);
	tcase_add_test(tc, messages_come_in_order_and_wake_poll);
	tcase_add_test(tc, reply_carries_the_verdict_in_any_order);
	tcase_add_test(tc, queue_state_is_answered);
	tcase_add_test(tc, reply_to_nobody_is_harmless);
	tcase_add_test(tc, unanswered_message_comes_again_to_the_next_server);
	tcase_add_test(tc, message_types_have_names);
	tcase_add_test(tc, config_update_interrupts_a_running_driver);
	tcase_add_test(tc, failed_config_update_is_passed_up);
	tcase_add_test(tc, queues_reach_the_kernel);
}

static void add_memory_tests(TCase *tc)
{
	tcase_add_test(tc, miss_maps_exactly_the_region_of_the_byte);
	tcase_add_test(tc, region_is_mapped_to_its_last_byte);
	tcase_add_test(tc, hole_is_the_drivers_fault_and_not_logged);
	tcase_add_loop_test(tc, region_keeps_its_permission, 0, 4);
	tcase_add_test(tc, drop_unmaps_and_the_next_look_maps_what_is_there_then);
	tcase_add_test(tc, our_own_failure_is_told_and_passed_up);
	tcase_add_test(tc, failed_mmap_is_told_and_leaks_nothing);
	tcase_add_test(tc, driver_has_a_share_of_the_address_space);
	tcase_add_test(tc, failures_that_a_driver_provokes_do_not_flood_the_log);
	tcase_add_test(tc, bounce_memory_is_registered_at_the_first_look);
	tcase_add_test(tc, rings_stay_the_kernels);
	tcase_add_test(tc, bounce_memory_outlives_resets);
	tcase_add_loop_test(tc, refused_registration_falls_back_with_one_warning, 0, 4);
	tcase_add_test(tc, kernel_without_umem_is_served_from_its_own_pages);
	tcase_add_test(tc, umem_is_not_tried_unless_wanted);
	tcase_add_test(tc, guest_memory_is_not_replaced);
	tcase_add_test(tc, data_in_flight_go_back_to_the_kernel_at_close);
	tcase_add_test(tc, bounce_memory_leaves_no_address_space_behind);
}

int main(void)
{
	Suite *suite = suite_create("vduse_dev");
	TCase *tc = tcase_create("vduse_dev");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	add_life_tests(tc);
	add_memory_tests(tc);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
