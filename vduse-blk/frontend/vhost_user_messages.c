// SPDX-License-Identifier: GPL-2.0-or-later
/* The effect of each message of the front end (vhost-user.rst, "Front-end message types"). */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_steps.h"

#define BIT(n) (1ull << (n))

#define PROTOCOL_FEATURES                                                                          \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |                    \
	 BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |           \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIG) | BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |           \
	 BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |                                                 \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | BIT(VHOST_USER_PROTOCOL_F_STATUS) |      \
	 BIT(VHOST_USER_PROTOCOL_F_DEVICE_STATE) |                                                 \
	 BIT(VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT))

/* The reply to SET_DEVICE_STATE_FD: this process uses the front end's descriptor. */
#define DEVICE_STATE_NO_FD 0x100

const char *vhost_user_unsent(int err)
{
	if (err == -EAGAIN)
		return "it does not read its socket";
	return err ? "it has disconnected before the reply" : NULL;
}

/* The front end has got the replies to the messages of a transcript already. */
const char *vhost_user_reply_with(struct vhost_user_device *vu, const void *payload, uint32_t size)
{
	if (vu->next_fd >= 0)
		return NULL;
	return vhost_user_unsent(vhost_user_reply(&vu->socket, payload, size, -1));
}

const char *vhost_user_reply_u64(struct vhost_user_device *vu, uint64_t value)
{
	return vhost_user_reply_with(vu, &value, sizeof(value));
}

static const char *nothing(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	(void)vu;
	(void)message;
	return NULL;
}

/* ---- features ---- */

uint64_t vhost_user_features(const struct vhost_user_device *vu)
{
	return virtio_blk_features(&vu->device->limits) | BIT(VHOST_USER_F_PROTOCOL_FEATURES) |
	       BIT(VHOST_F_LOG_ALL);
}

static const char *get_features(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	(void)message;
	return vhost_user_reply_u64(vu, vhost_user_features(vu));
}

/* Comes again in a live migration, while rings run, with LOG_ALL added or removed. */
static const char *set_features(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	uint64_t features = message->payload.u64;

	if (features & ~vhost_user_features(vu))
		return "it accepted features that were not offered";
	vu->features = features;
	vu->log_all = features & BIT(VHOST_F_LOG_ALL);
	return NULL;
}

static const char *get_protocol_features(struct vhost_user_device *vu,
					 struct vhost_user_message *message)
{
	(void)message;
	return vhost_user_reply_u64(vu, PROTOCOL_FEATURES);
}

static const char *set_protocol_features(struct vhost_user_device *vu,
					 struct vhost_user_message *message)
{
	if (message->payload.u64 & ~PROTOCOL_FEATURES)
		return "it accepted protocol features that were not offered";
	vu->protocol_features = message->payload.u64;
	return NULL;
}

static const char *get_queue_num(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	(void)message;
	return vhost_user_reply_u64(vu, vu->device->limits.queues);
}

/* ---- config space ---- */

static void read_config(const struct vhost_user_device *vu, uint8_t space[VHOST_USER_CONFIG_MAX])
{
	struct virtio_blk_config config;

	virtio_blk_config(&vu->device->limits, &config);
	config.wce = config.wce && !vu->device->queues.disk.writethrough;
	memset(space, 0, VHOST_USER_CONFIG_MAX);
	memcpy(space, &config, sizeof(config));
}

static bool config_range_is_valid(const struct vhost_user_message *message)
{
	const struct vhost_user_config *config = &message->payload.config;
	size_t header = offsetof(struct vhost_user_config, bytes);

	return config->size && config->size <= VHOST_USER_CONFIG_MAX &&
	       config->offset <= VHOST_USER_CONFIG_MAX - config->size &&
	       message->header.size <= header + config->size;
}

/* The reply has the offset and the size of the request; an empty one is an error. */
static const char *get_config(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	struct vhost_user_config *config = &message->payload.config;
	uint32_t header = offsetof(struct vhost_user_config, bytes);
	uint8_t space[VHOST_USER_CONFIG_MAX];

	if (!config_range_is_valid(message))
		return vhost_user_reply_with(vu, NULL, 0);
	vu->knows_config = true;
	read_config(vu, space);
	memcpy(config->bytes, space + config->offset, config->size);
	return vhost_user_reply_with(vu, config, header + config->size);
}

/* Only the write cache can be changed (virtio 1.3, 5.2.6.2). */
static const char *set_config(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	const struct vhost_user_config *config = &message->payload.config;
	const uint32_t wce = offsetof(struct virtio_blk_config, wce);

	if (!config_range_is_valid(message) ||
	    message->header.size != offsetof(struct vhost_user_config, bytes) + config->size)
		return "its range is not in the config space";
	if (!(vu->features & BIT(VIRTIO_BLK_F_CONFIG_WCE)) || config->offset > wce ||
	    wce >= config->offset + config->size)
		return NULL;
	vhost_user_set_writethrough(vu, !config->bytes[wce - config->offset]);
	return NULL;
}

/* The device has no state of its own: nothing is written, and nothing is read. */
static const char *set_device_state_fd(struct vhost_user_device *vu,
				       struct vhost_user_message *message)
{
	if (message->fd_count != 1)
		return "it has no descriptor";
	return vhost_user_reply_u64(vu, DEVICE_STATE_NO_FD);
}

static const char *check_device_state(struct vhost_user_device *vu,
				      struct vhost_user_message *message)
{
	(void)message;
	return vhost_user_reply_u64(vu, 0);
}

/* ---- reset ---- */

static const char *stop_all(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	(void)message;
	vhost_user_forget_requests(vu);
	vhost_user_reset_vrings(vu);
	vhost_user_set_writethrough(vu, false);
	return NULL;
}

static const char *reset_device(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	vu->status = 0;
	queues_clear_lost_writes(&vu->device->queues);
	return stop_all(vu, message);
}

static const char *set_status(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	vu->status = (uint8_t)message->payload.u64;
	return NULL;
}

static const char *get_status(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	(void)message;
	return vhost_user_reply_u64(vu, vu->status);
}

static const char *set_backend_req_fd(struct vhost_user_device *vu,
				      struct vhost_user_message *message)
{
	if (message->fd_count != 1)
		return "it has no descriptor";
	if (vu->backend_fd >= 0)
		close(vu->backend_fd);
	vu->backend_fd = vhost_user_take_fd(message, 0);
	return NULL;
}

/* Only a former server says it (lib/vhost_user_transcript.h). */
static const char *transcript_end(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	if (vu->next_fd < 0)
		return "it is unknown";
	vu->said_all = true;
	vu->rest = message->payload.u64;
	/* Without this feature the log was the former server's own, and its requests have begun again. */
	if (!(vu->protocol_features & 1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		vu->keeps_inflight = false;
	return NULL;
}

/* ---- the table ---- */

#define U64	 .size = sizeof(uint64_t)
#define STATE	 .size = sizeof(struct vhost_user_state), .names_vring = true
#define EVENTFD	 .size = sizeof(uint64_t), .names_vring8 = true, .fds = 1
#define CONFIG	 .size = offsetof(struct vhost_user_config, bytes), .longer = true
#define REGION	 .size = sizeof(struct vhost_user_one_region), .needs = NEEDS_PAUSE
#define INFLIGHT .size = sizeof(struct vhost_user_inflight)
#define REPLIES	 .replies = true

static const struct vhost_user_handler handlers[VHOST_USER_REQUESTS] = {
	[VHOST_USER_TRANSCRIPT_END] = { U64, .apply = transcript_end },
	[VHOST_USER_GET_FEATURES] = { REPLIES, .apply = get_features },
	[VHOST_USER_SET_FEATURES] = { U64, .needs = NEEDS_PAUSE, .apply = set_features },
	[VHOST_USER_SET_OWNER] = { .apply = nothing },
	[VHOST_USER_RESET_OWNER] = { .releases = true, .needs = NEEDS_ALL_STOP, .apply = stop_all },
	[VHOST_USER_SET_MEM_TABLE] = { .size = offsetof(struct vhost_user_table, regions),
				       .longer = true,
				       .fds = VHOST_USER_TABLE_MAX,
				       .needs = NEEDS_PAUSE,
				       .apply = vhost_user_set_mem_table },
	[VHOST_USER_SET_LOG_BASE] = { .size = sizeof(struct vhost_user_log),
				      .fds = 1,
				      REPLIES,
				      .needs = NEEDS_PAUSE,
				      .apply = vhost_user_set_log_base },
	[VHOST_USER_SET_LOG_FD] = { .fds = 1, .apply = nothing },
	[VHOST_USER_SET_VRING_NUM] = { STATE, .needs = NEEDS_RING_STOP,
				       .apply = vhost_user_set_vring_num },
	[VHOST_USER_SET_VRING_ADDR] = { .size = sizeof(struct vhost_user_addr),
					.names_vring = true,
					.needs = NEEDS_RING_STOP,
					.apply = vhost_user_set_vring_addr },
	[VHOST_USER_SET_VRING_BASE] = { STATE, .needs = NEEDS_RING_STOP,
					.apply = vhost_user_set_vring_base },
	[VHOST_USER_GET_VRING_BASE] = { STATE, .releases = true, REPLIES, .needs = NEEDS_RING_STOP,
					.suspends = true, .apply = vhost_user_get_vring_base },
	[VHOST_USER_SET_VRING_KICK] = { EVENTFD, .needs = NEEDS_RING_STOP,
					.apply = vhost_user_set_vring_kick },
	[VHOST_USER_SET_VRING_CALL] = { EVENTFD, .apply = vhost_user_set_vring_call },
	[VHOST_USER_SET_VRING_ERR] = { EVENTFD, .apply = vhost_user_set_vring_err },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { REPLIES, .apply = get_protocol_features },
	[VHOST_USER_SET_PROTOCOL_FEATURES] = { U64, .apply = set_protocol_features },
	[VHOST_USER_GET_QUEUE_NUM] = { REPLIES, .apply = get_queue_num },
	[VHOST_USER_SET_VRING_ENABLE] = { STATE, .needs = NEEDS_RING_STOP, .suspends = true,
					  .apply = vhost_user_set_vring_enable },
	[VHOST_USER_SET_BACKEND_REQ_FD] = { .fds = 1, .apply = set_backend_req_fd },
	[VHOST_USER_GET_CONFIG] = { CONFIG, REPLIES, .apply = get_config },
	[VHOST_USER_SET_CONFIG] = { CONFIG, .apply = set_config },
	[VHOST_USER_GET_INFLIGHT_FD] = { INFLIGHT, REPLIES, .apply = vhost_user_get_inflight_fd },
	[VHOST_USER_SET_INFLIGHT_FD] = { INFLIGHT, .fds = 1, .needs = NEEDS_ALL_STOP,
					 .apply = vhost_user_set_inflight_fd },
	[VHOST_USER_RESET_DEVICE] = { .releases = true,
				      .needs = NEEDS_RESET,
				      .apply = reset_device },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = { REPLIES, .apply = vhost_user_get_max_mem_slots },
	[VHOST_USER_ADD_MEM_REG] = { REGION, .fds = 1, .apply = vhost_user_add_mem_reg },
	[VHOST_USER_REM_MEM_REG] = { REGION, .fds = 1, .apply = vhost_user_rem_mem_reg },
	[VHOST_USER_SET_STATUS] = { U64, .apply = set_status },
	[VHOST_USER_GET_STATUS] = { REPLIES, .apply = get_status },
	[VHOST_USER_SET_DEVICE_STATE_FD] = { .size = sizeof(struct vhost_user_device_state),
					     .fds = 1,
					     REPLIES,
					     .apply = set_device_state_fd },
	[VHOST_USER_CHECK_DEVICE_STATE] = { REPLIES, .apply = check_device_state },
};

const struct vhost_user_handler *vhost_user_handler_of(uint32_t request)
{
	return request < VHOST_USER_REQUESTS && handlers[request].apply ? &handlers[request] : NULL;
}
