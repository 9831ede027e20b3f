// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "native.h"
#include "session.h"

#define BIT(n) (1ull << (n))

#define RING_FEATURES (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX))
#define BLK_FEATURES                                                                               \
	(BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |     \
	 BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_MQ) | BIT(VIRTIO_BLK_F_RO) |                \
	 BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE) | BIT(VIRTIO_BLK_F_DISCARD) |      \
	 BIT(VIRTIO_BLK_F_WRITE_ZEROES))
#define ALL_FEATURES (RING_FEATURES | BIT(VIRTIO_RING_F_INDIRECT_DESC) | BLK_FEATURES)
#define LOG_ALL	     BIT(VUC_F_LOG_ALL)

#define PROTOCOL_QEMU                                                                              \
	(BIT(VUC_P_MQ) | BIT(VUC_P_LOG_SHMFD) | BIT(VUC_P_REPLY_ACK) | BIT(VUC_P_BACKEND_REQ) |    \
	 BIT(VUC_P_CONFIG) | BIT(VUC_P_INFLIGHT_SHMFD) | BIT(VUC_P_RESET_DEVICE) |                 \
	 BIT(VUC_P_CONFIGURE_MEM_SLOTS) | BIT(VUC_P_STATUS))
#define PROTOCOL_CLOUD_HYPERVISOR                                                                  \
	(BIT(VUC_P_MQ) | BIT(VUC_P_LOG_SHMFD) | BIT(VUC_P_REPLY_ACK) | BIT(VUC_P_CONFIG) |         \
	 BIT(VUC_P_INFLIGHT_SHMFD) | BIT(VUC_P_CONFIGURE_MEM_SLOTS) | BIT(VUC_P_DEVICE_STATE))
#define PROTOCOL_CROSVM                                                                            \
	(BIT(VUC_P_MQ) | BIT(VUC_P_REPLY_ACK) | BIT(VUC_P_BACKEND_REQ) | BIT(VUC_P_CONFIG) |       \
	 BIT(VUC_P_DEVICE_STATE))
#define PROTOCOL_DRAGONBALL                                                                        \
	(BIT(VUC_P_MQ) | BIT(VUC_P_REPLY_ACK) | BIT(VUC_P_CONFIG) | BIT(VUC_P_CONFIGURE_MEM_SLOTS))

/* hw/virtio/vhost.c: calls and errors of all queues come before the features. */
#define QEMU                                                                                       \
	.features = ALL_FEATURES | LOG_ALL, .queues_max = QUEUES_MAX, .queue_size = 1024,          \
	.inflight_size = 128, /* its property; the guest's rings are larger */                     \
		.reconnects = true,                                                                \
	.connect = { GET_FEATURES, GET_PROTOCOL, SET_PROTOCOL, QUEUE_NUM,  MEM_SLOTS,              \
		     BACKEND_FD,   OWNER,	 GET_FEATURES, EACH_QUEUE, MASK,                   \
		     ERR,	   NEXT_QUEUE,	 CONFIG },                                         \
	.start = { SET_FEATURES, INFLIGHT,   SET_FEATURES, MEMORY_SLOTS, EACH_QUEUE,               \
		   NUM,		 BASE,	     ADDR,	   KICK,	 MASK,                     \
		   NEXT_QUEUE,	 EACH_QUEUE, ENABLE,	   NEXT_QUEUE,	 STATUS_DRIVER_OK,         \
		   EACH_QUEUE,	 CALL,	     NEXT_QUEUE },                                         \
	.stop = { EACH_QUEUE, DISABLE,	  NEXT_QUEUE,	EACH_QUEUE,                                \
		  GET_BASE,   NEXT_QUEUE, STATUS_RESET, RESET_DEVICE }

const struct vmm vmms[] = {
	{
		.name = "qemu",
		.protocol = PROTOCOL_QEMU,
		QEMU,
	},
	{
		/* With inflight-migration=on: QEMU 11. */
		.name = "qemu-11",
		.protocol = PROTOCOL_QEMU | BIT(VUC_P_GET_VRING_BASE_INFLIGHT),
		QEMU,
	},
	{
		/* The same with a guest of one region table, and no slots: QEMU 5. */
		.name = "qemu-table",
		.features = ALL_FEATURES | LOG_ALL,
		.protocol = PROTOCOL_QEMU & ~(BIT(VUC_P_CONFIGURE_MEM_SLOTS) | BIT(VUC_P_STATUS) |
					      BIT(VUC_P_REPLY_ACK)),
		.queues_max = QUEUES_MAX,
		.queue_size = 256,
		.reconnects = true,
		.connect = { GET_FEATURES, GET_PROTOCOL, SET_PROTOCOL, QUEUE_NUM, BACKEND_FD, OWNER,
			     GET_FEATURES, EACH_QUEUE, MASK, NEXT_QUEUE, CONFIG },
		.start = { SET_FEATURES, INFLIGHT, SET_FEATURES, MEMORY, EACH_QUEUE, NUM, BASE,
			   ADDR, KICK, CALL, NEXT_QUEUE, EACH_QUEUE, ENABLE, NEXT_QUEUE,
			   GET_FEATURES },
		.stop = { EACH_QUEUE, DISABLE, NEXT_QUEUE, EACH_QUEUE, GET_BASE, NEXT_QUEUE },
	},
	{
		/* vu_common_ctrl.rs: NEED_REPLY everywhere; the back end's socket comes last. */
		.name = "cloud-hypervisor",
		.features = ALL_FEATURES | LOG_ALL,
		.protocol = PROTOCOL_CLOUD_HYPERVISOR,
		.queues_max = QUEUES_MAX,
		.queue_size = 128,
		.need_reply_all = true,
		.reconnects = true,
		.connect = { OWNER, GET_FEATURES, GET_PROTOCOL, SET_PROTOCOL, QUEUE_NUM,
			     CONFIG_WRITABLE },
		.start = { SET_FEATURES, MEMORY, EACH_QUEUE, NUM, NEXT_QUEUE, INFLIGHT, EACH_QUEUE,
			   ADDR, BASE, CALL, KICK, NEXT_QUEUE, EACH_QUEUE, ENABLE, NEXT_QUEUE,
			   BACKEND_FD },
		.stop = { EACH_QUEUE, DISABLE, NEXT_QUEUE, EACH_QUEUE, GET_BASE, NEXT_QUEUE,
			  RESET_OWNER },
	},
	{
		/* vhost_user_frontend/mod.rs: vring by vring; the driver reads the configuration. */
		.name = "crosvm",
		.features = ALL_FEATURES,
		.protocol = PROTOCOL_CROSVM,
		.queues_max = QUEUES_MAX,
		.queue_size = 256,
		.connect = { OWNER, GET_FEATURES, GET_PROTOCOL, SET_PROTOCOL, BACKEND_FD, QUEUE_NUM,
			     CONFIG_PIECES },
		.start = { SET_FEATURES, MEMORY, EACH_QUEUE, NUM, ADDR, BASE, CALL, KICK, ENABLE,
			   NEXT_QUEUE },
		.stop = { EACH_QUEUE, DISABLE, GET_BASE, NEXT_QUEUE },
	},
	{
		/* vhost_user.rs: one queue of 256, hardly a feature: every write is durable. */
		.name = "firecracker",
		.features = RING_FEATURES | BIT(VIRTIO_BLK_F_RO),
		.protocol = BIT(VUC_P_CONFIG),
		.queues_max = 1,
		.queue_size = 256,
		.connect = { OWNER, GET_FEATURES, GET_PROTOCOL, SET_PROTOCOL, CONFIG_WRITABLE },
		.start = { SET_FEATURES, MEMORY, EACH_QUEUE, NUM, NEXT_QUEUE, EACH_QUEUE, ADDR,
			   BASE, CALL, KICK, ENABLE, NEXT_QUEUE },
	},
	{
		/*
		 * block.rs, connection.rs: features are set before the owner, and all protocol
		 * features that are offered; then it begins again on the same connection.
		 */
		.name = "dragonball",
		.features = ALL_FEATURES,
		.protocol = PROTOCOL_DRAGONBALL,
		.queues_max = QUEUES_MAX,
		.queue_size = 128,
		.reconnects = true,
		.connect = { GET_FEATURES, SET_OFFERED_FEATURES, GET_PROTOCOL, SET_OFFERED_PROTOCOL,
			     CONFIG_WRITABLE },
		.start = { OWNER, GET_FEATURES, SET_FEATURES, GET_PROTOCOL, SET_PROTOCOL, QUEUE_NUM,
			   EACH_QUEUE, CALL, NEXT_QUEUE, MEMORY, EACH_QUEUE, NUM, NEXT_QUEUE,
			   EACH_QUEUE, BASE_AT_FIRST, ADDR, KICK, ENABLE, NEXT_QUEUE },
		.stop = { EACH_QUEUE, DISABLE, GET_BASE, NEXT_QUEUE },
	},
};
const unsigned int vmm_count = ARRAY_SIZE(vmms);

const struct vmm *vmm_find(const char *name)
{
	for (unsigned int i = 0; i < vmm_count; i++)
		if (!strcmp(vmms[i].name, name))
			return &vmms[i];
	fail("there is no VMM '%s'", name);
}

static int play_owner(struct session *s)
{
	return vuc_set_empty(&s->c, VUC_SET_OWNER);
}

static int play_get_features(struct session *s)
{
	return vuc_get_u64(&s->c, VUC_GET_FEATURES, &s->offered);
}

static int play_set_features(struct session *s)
{
	s->features = s->offered & (s->vmm->features | BIT(VUC_F_PROTOCOL));
	if (!s->log_all)
		s->features &= ~LOG_ALL;
	return vuc_set_u64(&s->c, VUC_SET_FEATURES, s->features);
}

static int play_set_offered_features(struct session *s)
{
	return vuc_set_u64(&s->c, VUC_SET_FEATURES, s->offered);
}

static int play_get_protocol(struct session *s)
{
	return vuc_get_u64(&s->c, VUC_GET_PROTOCOL_FEATURES, &s->protocol_offered);
}

static int play_set_protocol(struct session *s)
{
	int err = vuc_set_protocol_features(&s->c, s->protocol_offered & s->vmm->protocol);

	s->c.need_reply_all = s->vmm->need_reply_all && vuc_has(&s->c, VUC_P_REPLY_ACK);
	return err;
}

static int play_set_offered_protocol(struct session *s)
{
	return vuc_set_protocol_features(&s->c, s->protocol_offered);
}

static int play_queue_num(struct session *s)
{
	return vuc_get_u64(&s->c, VUC_GET_QUEUE_NUM, &s->queues_offered);
}

static int play_mem_slots(struct session *s)
{
	return vuc_get_u64(&s->c, VUC_GET_MAX_MEM_SLOTS, &s->slots_offered);
}

static int play_backend_fd(struct session *s)
{
	return vuc_set_backend_fd(&s->c);
}

static int get_config(struct session *s, uint32_t flags)
{
	return vuc_get_config(&s->c, 0, sizeof(s->config), flags, (uint8_t *)&s->config);
}

static int play_config(struct session *s)
{
	return get_config(s, 0);
}

static int play_config_writable(struct session *s)
{
	return get_config(s, 1);
}

static int play_config_pieces(struct session *s)
{
	static const uint8_t sizes[] = { 8, 4, 4, 2, 1, 1, 4, 1, 1, 2, 4, 1, 1, 2, 4, 4, 4, 4, 4 };
	uint32_t offset = 0;
	int err = 0;

	for (unsigned int i = 0; !err && i < ARRAY_SIZE(sizes); i++) {
		err = vuc_get_config(&s->c, offset, sizes[i], 0, (uint8_t *)&s->config + offset);
		offset += sizes[i];
	}
	return err;
}

static int play_memory(struct session *s)
{
	return vug_memory_send(&s->memory, &s->c);
}

/* The back end keeps the regions when rings stop, so QEMU sends those that are new, and only those. */
static int play_memory_slots(struct session *s)
{
	if (!vuc_has(&s->c, VUC_P_CONFIGURE_MEM_SLOTS))
		return vug_memory_send(&s->memory, &s->c);
	if (s->memory_sent)
		return 0;
	s->memory_sent = true;
	return vug_memory_send_slots(&s->memory, &s->c);
}

static int play_inflight(struct session *s)
{
	int err = 0;

	if (s->inflight_fd < 0) {
		s->inflight = (struct vuc_inflight){ .num_queues = (uint16_t)s->queue_count,
						     .queue_size = s->vmm->inflight_size
									   ? s->vmm->inflight_size
									   : s->queue_size };
		err = vuc_get_inflight(&s->c, &s->inflight, &s->inflight_fd);
	}
	return err ? err : vuc_set_inflight(&s->c, &s->inflight, s->inflight_fd);
}

static int play_status(struct session *s, uint64_t status)
{
	uint64_t now;
	int err = vuc_set_u64(&s->c, VUC_SET_STATUS, status);

	if (!err)
		err = vuc_get_u64(&s->c, VUC_GET_STATUS, &now);
	if (!err && now != status)
		fail("the status is %#llx, not %#llx", (unsigned long long)now,
		     (unsigned long long)status);
	return err;
}

static int play_status_driver_ok(struct session *s)
{
	return play_status(s, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				      VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

static int play_status_reset(struct session *s)
{
	return play_status(s, 0);
}

/* Old, and not to be relied on: the specification lets a back end ignore it. */
static int play_reset_owner(struct session *s)
{
	int err = vuc_set_empty(&s->c, VUC_RESET_OWNER);

	return err == -EREMOTEIO ? 0 : err;
}

static int play_reset_device(struct session *s)
{
	return vuc_set_empty(&s->c, VUC_RESET_DEVICE);
}

static int play_num(struct session *s, struct vug_queue *q)
{
	return vug_send_num(q, &s->c);
}

static int play_addr(struct session *s, struct vug_queue *q)
{
	return vug_send_addr(q, &s->c, s->log_all);
}

static int play_base(struct session *s, struct vug_queue *q)
{
	return vug_send_base(q, &s->c);
}

static int play_base_at_first(struct session *s, struct vug_queue *q)
{
	return s->again ? 0 : vug_send_base(q, &s->c);
}

static int play_call(struct session *s, struct vug_queue *q)
{
	return vug_send_call(q, &s->c);
}

static int play_mask(struct session *s, struct vug_queue *q)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), err;

	if (fd < 0)
		return -errno;
	err = vuc_set_vring_fd(&s->c, VUC_SET_VRING_CALL, q->index, fd);
	close(fd);
	return err;
}

static int play_kick(struct session *s, struct vug_queue *q)
{
	return vug_send_kick(q, &s->c);
}

static int play_err(struct session *s, struct vug_queue *q)
{
	return vug_send_err(q, &s->c);
}

static int play_enable(struct session *s, struct vug_queue *q)
{
	return vug_send_enable(q, &s->c, true);
}

static int play_disable(struct session *s, struct vug_queue *q)
{
	return vug_send_enable(q, &s->c, false);
}

/* All that the driver published must have been served before the reply. */
static int play_get_base(struct session *s, struct vug_queue *q)
{
	uint32_t base;
	int err = vuc_get_vring_base(&s->c, q->index, &base);

	if (!err && base != vug_used_idx(q))
		fail("queue %u: the base is %u, with %u chains used", q->index, base,
		     vug_used_idx(q));
	return err;
}

#define NO_NEED -1

static const struct step_row {
	const char *name;
	int protocol; /* that must have been accepted, or NO_NEED */
	int (*play)(struct session *s);
	int (*play_queue)(struct session *s, struct vug_queue *q);
} rows[] = {
	[OWNER] = { "SET_OWNER", NO_NEED, play_owner, NULL },
	[GET_FEATURES] = { "GET_FEATURES", NO_NEED, play_get_features, NULL },
	[SET_FEATURES] = { "SET_FEATURES", NO_NEED, play_set_features, NULL },
	[SET_OFFERED_FEATURES] = { "SET_FEATURES", NO_NEED, play_set_offered_features, NULL },
	[GET_PROTOCOL] = { "GET_PROTOCOL_FEATURES", NO_NEED, play_get_protocol, NULL },
	[SET_PROTOCOL] = { "SET_PROTOCOL_FEATURES", NO_NEED, play_set_protocol, NULL },
	[SET_OFFERED_PROTOCOL] = { "SET_PROTOCOL_FEATURES", NO_NEED, play_set_offered_protocol,
				   NULL },
	[QUEUE_NUM] = { "GET_QUEUE_NUM", VUC_P_MQ, play_queue_num, NULL },
	[MEM_SLOTS] = { "GET_MAX_MEM_SLOTS", VUC_P_CONFIGURE_MEM_SLOTS, play_mem_slots, NULL },
	[BACKEND_FD] = { "SET_BACKEND_REQ_FD", VUC_P_BACKEND_REQ, play_backend_fd, NULL },
	[CONFIG] = { "GET_CONFIG", VUC_P_CONFIG, play_config, NULL },
	[CONFIG_WRITABLE] = { "GET_CONFIG", VUC_P_CONFIG, play_config_writable, NULL },
	[CONFIG_PIECES] = { "GET_CONFIG", VUC_P_CONFIG, play_config_pieces, NULL },
	[MEMORY] = { "SET_MEM_TABLE", NO_NEED, play_memory, NULL },
	[MEMORY_SLOTS] = { "ADD_MEM_REG", NO_NEED, play_memory_slots, NULL },
	[INFLIGHT] = { "SET_INFLIGHT_FD", VUC_P_INFLIGHT_SHMFD, play_inflight, NULL },
	[NUM] = { "SET_VRING_NUM", NO_NEED, NULL, play_num },
	[ADDR] = { "SET_VRING_ADDR", NO_NEED, NULL, play_addr },
	[BASE] = { "SET_VRING_BASE", NO_NEED, NULL, play_base },
	[BASE_AT_FIRST] = { "SET_VRING_BASE", NO_NEED, NULL, play_base_at_first },
	[CALL] = { "SET_VRING_CALL", NO_NEED, NULL, play_call },
	[MASK] = { "SET_VRING_CALL", NO_NEED, NULL, play_mask },
	[KICK] = { "SET_VRING_KICK", NO_NEED, NULL, play_kick },
	[ERR] = { "SET_VRING_ERR", NO_NEED, NULL, play_err },
	[ENABLE] = { "SET_VRING_ENABLE", NO_NEED, NULL, play_enable },
	[DISABLE] = { "SET_VRING_ENABLE", NO_NEED, NULL, play_disable },
	[GET_BASE] = { "GET_VRING_BASE", NO_NEED, NULL, play_get_base },
	[STATUS_DRIVER_OK] = { "SET_STATUS", VUC_P_STATUS, play_status_driver_ok, NULL },
	[STATUS_RESET] = { "SET_STATUS", VUC_P_STATUS, play_status_reset, NULL },
	[RESET_OWNER] = { "RESET_OWNER", NO_NEED, play_reset_owner, NULL },
	[RESET_DEVICE] = { "RESET_DEVICE", VUC_P_RESET_DEVICE, play_reset_device, NULL },
};

static int play_step(struct session *s, enum step step, struct vug_queue *q)
{
	const struct step_row *row = &rows[step];
	int err;

	if (row->protocol != NO_NEED && !vuc_has(&s->c, (enum vuc_protocol)row->protocol))
		return 0;
	err = row->play ? row->play(s) : row->play_queue(s, q);
	if (err && err != -ECONNRESET && !(s->hostile && err == -EREMOTEIO))
		fail("%s of %s: %s", row->name, s->vmm->name, strerror(-err));
	return err;
}

/* Return: the step behind NEXT_QUEUE */
static const enum step *play_queues(struct session *s, const enum step *steps, int *err)
{
	const enum step *step = steps;

	for (unsigned int i = 0; i < s->queue_count; i++)
		for (step = steps; *step != NEXT_QUEUE; step++)
			if (!*err)
				*err = play_step(s, *step, &s->queues[i]);
	return step + 1;
}

int vmm_play(struct session *s, const enum step *steps)
{
	int err = 0;

	while (!err && *steps != STEPS_END) {
		if (*steps == EACH_QUEUE)
			steps = play_queues(s, steps + 1, &err);
		else
			err = play_step(s, *steps++, NULL);
	}
	return err;
}
