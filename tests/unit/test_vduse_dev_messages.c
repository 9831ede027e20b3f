// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vduse_dev.c: control messages, config space, queues. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "suite.h"
#include "test_log.h"
#include "vduse_fixture.h"

/* ---- messages ---- */

static bool readable(void)
{
	struct pollfd p = { .fd = vduse_dev_fd(vd_dev), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static uint32_t send_status(uint8_t status)
{
	struct vduse_dev_request request = { .type = VDUSE_SET_STATUS };

	request.s.status = status;
	return fake_kern_send(vd_kern, request);
}

START_TEST(messages_come_in_order_and_wake_poll)
{
	struct vduse_dev_request request;

	vd_make_dev();
	ck_assert(!readable());
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &request), 0);
	for (uint8_t i = 0; i < 3; i++)
		send_status(i);
	for (uint8_t i = 0; i < 3; i++) {
		ck_assert(readable());
		ck_assert_int_eq(vduse_dev_recv(vd_dev, &request), 1);
		ck_assert_uint_eq(request.type, VDUSE_SET_STATUS);
		ck_assert_uint_eq(request.s.status, i);
	}
	ck_assert(!readable());
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &request), 0);
	vd_kern->broken = true;
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &request), -EPERM);
}
END_TEST

START_TEST(reply_carries_the_verdict_in_any_order)
{
	struct vduse_dev_request first, second;
	uint32_t yes, no;

	vd_make_dev();
	yes = send_status(1);
	no = send_status(2);
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &first), 1);
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &second), 1);
	ck_assert_int_eq(vduse_dev_reply(vd_dev, &second, false), 0);
	ck_assert_ptr_null(fake_kern_reply(vd_kern, yes));
	ck_assert_int_eq(vduse_dev_reply(vd_dev, &first, true), 0);
	ck_assert_uint_eq(fake_kern_reply(vd_kern, yes)->result, VDUSE_REQ_RESULT_OK);
	ck_assert_uint_eq(fake_kern_reply(vd_kern, no)->result, VDUSE_REQ_RESULT_FAILED);
}
END_TEST

START_TEST(queue_state_is_reported)
{
	struct vduse_dev_request request = { .type = VDUSE_GET_VQ_STATE };
	const struct vduse_dev_response *response;
	uint32_t id;

	vd_make_dev();
	request.vq_state.index = 2;
	id = fake_kern_send(vd_kern, request);
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &request), 1);
	ck_assert_int_eq(vduse_dev_reply_vq_state(vd_dev, &request, 65535), 0);
	response = fake_kern_reply(vd_kern, id);
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

	vd_make_dev();
	id = send_status(1);
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &request), 1);
	fake_kern_kill_waiter(vd_kern, id);
	ck_assert_int_eq(vduse_dev_reply(vd_dev, &request, true), 0);
	ck_assert_int_eq(vduse_dev_reply_vq_state(vd_dev, &request, 1), 0);
	ck_assert_ptr_null(fake_kern_reply(vd_kern, id));

	fake_kern_fail(FAKE_WRITE_RESPONSE, 1, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot reply to a control message");
	ck_assert_int_eq(vduse_dev_reply(vd_dev, &request, true), -EIO);
}
END_TEST

START_TEST(message_without_a_reply_comes_again_to_the_next_server)
{
	struct vduse_dev_request request;
	uint32_t id;

	vd_make_running_dev(false);
	id = send_status(7);
	send_status(8);
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &request), 1);
	iotlb_view_exit(&vd_view);
	vduse_dev_abandon(vd_dev);
	vd_make_dev();
	ck_assert(readable());
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &request), 1);
	ck_assert_uint_eq(request.s.status, 7);
	ck_assert_int_eq(vduse_dev_reply(vd_dev, &request, true), 0);
	ck_assert_ptr_nonnull(fake_kern_reply(vd_kern, id));
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &request), 1);
	ck_assert_uint_eq(request.s.status, 8);
	ck_assert_int_eq(vduse_dev_recv(vd_dev, &request), 0);
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

	vd_make_dev();
	/* no driver: stored, and nobody to tell */
	ck_assert_int_eq(vduse_dev_update_config(vd_dev, 8, &capacity, 8), 0);
	ck_assert_mem_eq(vd_kern->config_space + 8, &capacity, 8);
	ck_assert_mem_eq(vd_kern->config_space, vd_config_space, 8);
	ck_assert_uint_eq(vd_kern->config_irqs, 0);

	vd_kern->driver_ok = true;
	capacity++;
	ck_assert_int_eq(vduse_dev_update_config(vd_dev, 0, &capacity, 8), 0);
	ck_assert_mem_eq(vd_kern->config_space, &capacity, 8);
	ck_assert_uint_eq(vd_kern->config_irqs, 1);
}
END_TEST

START_TEST(failed_config_update_is_passed_up)
{
	uint64_t capacity = 1;

	vd_make_dev();
	vd_kern->driver_ok = true;
	ck_assert_int_eq(vduse_dev_update_config(vd_dev, 92, &capacity, 8), -EINVAL);
	ck_assert_uint_eq(fake_kern_calls(FAKE_CONFIG_IRQ), 0);
	fake_kern_fail(FAKE_CONFIG_IRQ, 1, -EPERM);
	ck_assert_int_eq(vduse_dev_update_config(vd_dev, 0, &capacity, 8), -EPERM);
}
END_TEST

START_TEST(queues_reach_the_kernel)
{
	struct vduse_vq_info info;
	eventfd_t kicks = 0;
	uint64_t features;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	vd_make_dev();
	vd_kern->vqs[1].info =
		(struct vduse_vq_info){ .num = 128, .desc_addr = 0x4000, .ready = 1 };
	ck_assert_int_eq(vduse_dev_vq_info(vd_dev, 1, &info), 0);
	ck_assert_uint_eq(info.num, 128);
	ck_assert_uint_eq(info.desc_addr, 0x4000);
	ck_assert_int_eq(vduse_dev_vq_info(vd_dev, VD_QUEUES, &info), -EINVAL);

	ck_assert_int_eq(vduse_dev_vq_kickfd(vd_dev, 1, fd), 0);
	ck_assert(fake_kern_kick(vd_kern, 1));
	ck_assert(!fake_kern_kick(vd_kern, 0));
	ck_assert_int_eq(eventfd_read(fd, &kicks), 0);
	ck_assert_int_eq(vduse_dev_vq_kickfd(vd_dev, 1, -1), 0);
	ck_assert(!fake_kern_kick(vd_kern, 1));
	close(fd);

	ck_assert_int_eq(vduse_dev_vq_irq(vd_dev, 2), -EINVAL); /* before DRIVER_OK */
	vd_kern->driver_ok = true;
	ck_assert_int_eq(vduse_dev_vq_irq(vd_dev, 2), 0);
	ck_assert_uint_eq(vd_kern->vqs[2].irqs, 1);
	ck_assert_uint_eq(vd_kern->vqs[1].irqs, 0);

	vd_kern->features = VD_FEATURES;
	ck_assert_int_eq(vduse_dev_features(vd_dev, &features), 0);
	ck_assert_uint_eq(features, VD_FEATURES);
	vd_kern->broken = true;
	ck_assert_int_eq(vduse_dev_features(vd_dev, &features), -EPERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vduse_dev_messages");
	TCase *tc = suite_case(suite, "messages", vd_setup, vd_teardown);

	tcase_add_test(tc, messages_come_in_order_and_wake_poll);
	tcase_add_test(tc, reply_carries_the_verdict_in_any_order);
	tcase_add_test(tc, queue_state_is_reported);
	tcase_add_test(tc, reply_to_nobody_is_harmless);
	tcase_add_test(tc, message_without_a_reply_comes_again_to_the_next_server);
	tcase_add_test(tc, message_types_have_names);
	tcase_add_test(tc, config_update_interrupts_a_running_driver);
	tcase_add_test(tc, failed_config_update_is_passed_up);
	tcase_add_test(tc, queues_reach_the_kernel);
	return suite_run(suite);
}
