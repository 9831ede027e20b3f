// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A whole device: control messages, queues, requests, death and recovery, in any order. The input
 * is a list of steps; control_rig.h says what is real, and why it runs on one thread.
 */
#include <errno.h>
#include <linux/virtio_config.h>

#include "control_rig.h"

#define STEPS_MAX    300u
#define MESSAGES_MAX (FAKE_MESSAGES_MAX - 4)
#define STATUS_RUNNING                                                                             \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |      \
	 VIRTIO_CONFIG_S_DRIVER_OK)

static void post(struct vduse_dev_request request)
{
	if (rig.driver.kern->message_count < MESSAGES_MAX)
		fake_kern_send(rig.driver.kern, request);
}

static void send_status(uint8_t status)
{
	post((struct vduse_dev_request){ .type = VDUSE_SET_STATUS, .s.status = status });
}

static void bring_up(void)
{
	blk_driver_map(&rig.driver, 0);
	for (uint32_t i = 0; i < rig.config.queues; i++)
		blk_driver_program(&rig.driver, i);
	rig.driver.kern->features = rig.offered;
	send_status(STATUS_RUNNING);
}

/* The memory of a virtual machine changes: first the mapping does, then we are told. */
static void update_iotlb(struct input *in)
{
	uint8_t which = input_u8(in);
	struct vduse_dev_request request = { .type = VDUSE_UPDATE_IOTLB, .iova.last = UINT64_MAX };

	if (which & 0x80) {
		request.iova.start = (uint64_t)input_u16(in) << 8;
		request.iova.last = request.iova.start + ((uint64_t)input_u16(in) << 4);
	} else {
		fake_kern_unmap(rig.driver.kern);
		blk_driver_map(&rig.driver, which & 7);
		blk_driver_map(&rig.driver, which >> 3 & 7);
	}
	post(request);
}

/* The kernel goes on without an answer: a reset happens, any other status is not stored. */
static void kill_waiter(uint8_t which)
{
	struct fake_dev *kern = rig.driver.kern;
	const struct vduse_dev_request *request;

	if (!kern->message_count)
		return;
	which %= kern->message_count;
	if (kern->messages[which].state >= FAKE_REPLIED)
		return;
	request = &kern->messages[which].request;
	fake_kern_kill_waiter(kern, request->request_id);
	if (request->type == VDUSE_SET_STATUS && !request->s.status)
		rig_kernel_reset();
}

static void fail_call(uint8_t how)
{
	static const enum fake_call calls[] = { FAKE_FEATURES, FAKE_VQ_INFO, FAKE_VQ_KICKFD,
						FAKE_VQ_IRQ, FAKE_IOTLB_FD };
	static const int errors[] = { -EINVAL, -ENOMEM, -EPERM };

	fake_kern_fail(calls[how % ARRAY_SIZE(calls)], 1 + (how >> 6),
		       errors[(how >> 3) % ARRAY_SIZE(errors)]);
}

static void message_step(struct input *in, uint8_t what)
{
	switch (what) {
	case 0:
		bring_up();
		break;
	case 1:
		send_status(input_u8(in));
		break;
	case 2:
		update_iotlb(in);
		break;
	case 3:
		post((struct vduse_dev_request){ .type = VDUSE_GET_VQ_STATE,
						 .vq_state.index = input_u8(in) & 3 });
		break;
	case 4:
		post((struct vduse_dev_request){ .type = input_u8(in) | 4 });
		break;
	case 5:
		kill_waiter(input_u8(in));
		break;
	case 6:
		rig.driver.kern->features = rig.offered ^ (1ull << input_u8(in) % 64);
		break;
	case 7: /* a moment after the answer */
		rig.driver.kern->driver_ok = rig.status & VIRTIO_CONFIG_S_DRIVER_OK;
		break;
	}
}

static void driver_step(struct input *in, uint8_t what)
{
	uint32_t queue = input_u8(in) % rig.config.queues;

	switch (what) {
	case 8:
		blk_driver_program(&rig.driver, queue);
		break;
	case 9:
		blk_driver_program_oddly(&rig.driver, queue, in);
		break;
	case 10:
		blk_driver_request(&rig.driver, queue, in);
		break;
	case 11:
		blk_driver_scribble(&rig.driver, in);
		break;
	case 12:
		fake_kern_kick(rig.driver.kern, queue);
		break;
	case 13:
		blk_driver_map(&rig.driver, (uint8_t)queue);
		break;
	}
}

static void server_step(struct input *in, uint8_t what)
{
	switch (what) {
	case 14:
		rig_run_main();
		break;
	case 15:
		rig_run_worker();
		break;
	case 16:
		rig_complete(input_u8(in), true);
		break;
	case 17:
		rig_complete(input_u8(in), false);
		break;
	case 18:
		fail_call(input_u8(in));
		break;
	case 19:
		rig_restart(in);
		break;
	case 20:
		rig_let_time_pass();
		break;
	}
}

static void run_steps(struct input *in)
{
	for (unsigned int i = 0; i < STEPS_MAX && in->left; i++) {
		uint8_t what = input_u8(in) % 21;

		if (what < 8)
			message_step(in, what);
		else if (what < 14)
			driver_step(in, what);
		else
			server_step(in, what);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .data = data, .left = size };
	uint8_t shape = input_u8(&in);

	rig_init(shape % BLK_DRIVER_QUEUES_MAX + 1, 1u << (1 + (shape >> 2) % 4));
	run_steps(&in);
	rig_exit();
	return 0;
}
