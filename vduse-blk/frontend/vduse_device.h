/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The front end VDUSE: a VDUSE device, and the replies to the kernel's control messages. */
#ifndef VDUSE_BLK_VDUSE_DEVICE_H
#define VDUSE_BLK_VDUSE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "log.h"
#include "ring.h"
#include "vduse_dev.h"
#include "vduse_transport.h"

struct device_ops;

/* The part of struct device that belongs to VDUSE. Main thread. */
struct vduse_device {
	struct vduse_dev *dev;
	struct vduse_transport transport;
	struct ring_poll messages;

	uint8_t status;	      /* bits that the driver set since its reset, and we accepted */
	bool message_pending; /* a message is being processed: the next one is not read yet */
	struct vduse_dev_request request;
	uint64_t received_ns; /* when it was read */
	bool reply_stalled;   /* its reply is late, and that was logged */
	struct ring_timer stall;
	uint64_t messages_replied;
	uint64_t slowest_reply_ns;

	bool receive_stopped; /* the device is closing, and receives no more control messages */
	bool queues_gone;     /* device_close() has removed the queues */
	struct log_limit refusals;
};

/*
 * The reply to a control message is sent when the message has taken effect. While the queues quiesce,
 * the thread does other work.
 */
extern const struct device_ops vduse_device_ops;

#endif
