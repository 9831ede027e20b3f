// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "time_ns.h"

#define RETRY_MS 10

static uint64_t deadline_of(const struct vuc *c)
{
	return time_now_ns() + c->deadline_ms * 1000000ull;
}

/* Return: milliseconds until @deadline_ns, rounded up */
static int ms_until(uint64_t deadline_ns)
{
	uint64_t now_ns = time_now_ns();

	return now_ns >= deadline_ns ? 0 : (int)((deadline_ns - now_ns + 999999) / 1000000);
}

static int connect_once(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err = 0;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int vuc_connect(struct vuc *c, const char *path, unsigned int deadline_ms)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000 };
	uint64_t deadline_ns;
	int fd;

	*c = (struct vuc){ .fd = -1, .deadline_ms = deadline_ms, .backend_fd = -1 };
	deadline_ns = deadline_of(c);
	while ((fd = connect_once(path)) == -ENOENT || fd == -ECONNREFUSED || fd == -EAGAIN) {
		if (!ms_until(deadline_ns))
			return fd;
		nanosleep(&pause, NULL);
	}
	if (fd < 0)
		return fd;
	c->fd = fd;
	return 0;
}

void vuc_close(struct vuc *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->backend_fd >= 0)
		close(c->backend_fd);
	c->fd = -1;
	c->backend_fd = -1;
	c->protocol = 0;
}

bool vuc_has(const struct vuc *c, enum vuc_protocol bit)
{
	return c->protocol >> bit & 1;
}

static int closed_or(int err)
{
	return err == EPIPE ? -ECONNRESET : -err;
}

/* A socket whose peer reads nothing is full some time: the deadline holds for that too. */
static int wait_until_writable(struct vuc *c)
{
	struct pollfd poll_fd = { .fd = c->fd, .events = POLLOUT };
	int n = poll(&poll_fd, 1, (int)c->deadline_ms);

	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

static void add_fds(struct msghdr *msg, const int *fds, unsigned int count)
{
	struct cmsghdr *cmsg;

	msg->msg_controllen = CMSG_SPACE(count * sizeof(int));
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
}

int vuc_send_bytes(struct vuc *c, const void *bytes, size_t size, const int *fds,
		   unsigned int fd_count)
{
	union {
		char bytes[CMSG_SPACE(VUC_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	ssize_t n;
	int err;

	if (fd_count)
		add_fds(&msg, fds, fd_count);
	else
		msg.msg_control = NULL;
	while (iov.iov_len) {
		err = wait_until_writable(c);
		if (err)
			return err;
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			return closed_or(errno);
		if (n <= 0)
			continue;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	return 0;
}

int vuc_send(struct vuc *c, uint32_t request, const struct vuc_send *what)
{
	static const struct vuc_send nothing;
	struct {
		struct vuc_header header;
		uint8_t payload[VUC_PAYLOAD_MAX];
	} message;

	if (!what)
		what = &nothing;
	if (what->size > VUC_PAYLOAD_MAX)
		return -EMSGSIZE;
	message.header = (struct vuc_header){
		.request = request,
		.flags = VUC_VERSION | what->flags | (c->need_reply_all ? VUC_NEED_REPLY : 0),
		.size = (uint32_t)what->size,
	};
	if (what->size)
		memcpy(message.payload, what->payload, what->size);
	return vuc_send_bytes(c, &message, sizeof(message.header) + what->size, what->fds,
			      what->fd_count);
}

static void take_fds(struct msghdr *msg, struct vuc_message *message)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	size_t bytes;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
		return;
	bytes = MIN(cmsg->cmsg_len - CMSG_LEN(0), sizeof(message->fds));
	memcpy(message->fds, CMSG_DATA(cmsg), bytes);
	message->fd_count = (unsigned int)(bytes / sizeof(int));
}

/* All of @size bytes; descriptors come with the first ones. */
static int receive_bytes(int fd, void *bytes, size_t size, uint64_t deadline_ns,
			 struct vuc_message *message)
{
	union {
		char bytes[CMSG_SPACE(VUC_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	struct iovec iov = { .iov_base = bytes, .iov_len = size };
	ssize_t n;

	while (iov.iov_len) {
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = &control,
				      .msg_controllen = sizeof(control) };

		if (poll(&poll_fd, 1, ms_until(deadline_ns)) == 0)
			return -ETIMEDOUT;
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n < 0)
			return closed_or(errno);
		if (!n)
			return -ECONNRESET;
		if (message)
			take_fds(&msg, message);
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
	}
	return 0;
}

static void close_fds(struct vuc_message *message)
{
	for (unsigned int i = 0; i < message->fd_count; i++)
		close(message->fds[i]);
	message->fd_count = 0;
}

int vuc_receive(struct vuc *c, struct vuc_message *message)
{
	uint64_t deadline_ns = deadline_of(c);
	int err;

	message->fd_count = 0;
	err = receive_bytes(c->fd, &message->header, sizeof(message->header), deadline_ns, message);
	if (!err && message->header.size > VUC_PAYLOAD_MAX)
		err = -EPROTO;
	if (!err)
		err = receive_bytes(c->fd, message->bytes, message->header.size, deadline_ns, NULL);
	if (err)
		close_fds(message);
	return err;
}

int vuc_ask(struct vuc *c, uint32_t request, const struct vuc_send *what, struct vuc_message *reply)
{
	int err = vuc_send(c, request, what);

	if (!err)
		err = vuc_receive(c, reply);
	if (err)
		return err;
	if (reply->header.request == request &&
	    (reply->header.flags & ~VUC_NEED_REPLY) == (VUC_VERSION | VUC_REPLY))
		return 0;
	close_fds(reply);
	return -EPROTO;
}

/* A reply that has no descriptors, of a known size. */
static int ask_plain(struct vuc *c, uint32_t request, const struct vuc_send *what, size_t size,
		     struct vuc_message *reply)
{
	int err = vuc_ask(c, request, what, reply);

	if (err)
		return err;
	if (reply->fd_count || reply->header.size != size)
		err = -EPROTO;
	close_fds(reply);
	return err;
}

int vuc_tell(struct vuc *c, uint32_t request, const struct vuc_send *what)
{
	struct vuc_send acked = what ? *what : (struct vuc_send){ 0 };
	struct vuc_message reply;
	int err;

	if (!vuc_has(c, VUC_P_REPLY_ACK))
		return vuc_send(c, request, what);
	acked.flags |= VUC_NEED_REPLY;
	err = ask_plain(c, request, &acked, sizeof(uint64_t), &reply);
	if (err)
		return err;
	return reply.u64 ? -EREMOTEIO : 0;
}

int vuc_tell_fast(struct vuc *c, uint32_t request, const struct vuc_send *what)
{
	return vuc_send(c, request, what);
}

bool vuc_closed(struct vuc *c)
{
	struct vuc_message message;
	int err;

	while ((err = vuc_receive(c, &message)) == 0)
		close_fds(&message);
	return err == -ECONNRESET;
}

int vuc_get_u64(struct vuc *c, uint32_t request, uint64_t *value)
{
	struct vuc_message reply;
	int err = ask_plain(c, request, NULL, sizeof(*value), &reply);

	if (!err)
		*value = reply.u64;
	return err;
}

int vuc_set_u64(struct vuc *c, uint32_t request, uint64_t value)
{
	return vuc_tell(c, request, &(struct vuc_send){ .payload = &value, .size = sizeof(value) });
}

int vuc_set_empty(struct vuc *c, uint32_t request)
{
	return vuc_tell(c, request, NULL);
}

int vuc_set_protocol_features(struct vuc *c, uint64_t features)
{
	int err = vuc_set_u64(c, VUC_SET_PROTOCOL_FEATURES, features);

	if (!err)
		c->protocol = features;
	return err;
}

int vuc_set_state(struct vuc *c, uint32_t request, uint32_t index, uint32_t num)
{
	struct vuc_vring_state state = { .index = index, .num = num };

	return vuc_tell(c, request, &(struct vuc_send){ .payload = &state, .size = sizeof(state) });
}

int vuc_set_vring_fd(struct vuc *c, uint32_t request, uint32_t index, int fd)
{
	uint64_t value = index | (fd < 0 ? VUC_NO_FD : 0);
	struct vuc_send what = { .payload = &value, .size = sizeof(value) };

	if (fd >= 0) {
		what.fds = &fd;
		what.fd_count = 1;
	}
	return vuc_tell(c, request, &what);
}

int vuc_get_vring_base(struct vuc *c, uint32_t index, uint32_t *base)
{
	struct vuc_vring_state state = { .index = index };
	struct vuc_message reply;
	int err = ask_plain(c, VUC_GET_VRING_BASE,
			    &(struct vuc_send){ .payload = &state, .size = sizeof(state) },
			    sizeof(state), &reply);

	if (!err && reply.state.index != index)
		err = -EPROTO;
	if (!err)
		*base = reply.state.num;
	return err;
}

int vuc_set_memory(struct vuc *c, const struct vuc_region *regions, const int *fds,
		   unsigned int count)
{
	struct vuc_memory memory = { .count = count };

	if (count > VUC_TABLE_REGIONS)
		return -E2BIG;
	memcpy(memory.regions, regions, count * sizeof(*regions));
	return vuc_tell(c, VUC_SET_MEM_TABLE,
			&(struct vuc_send){ .payload = &memory,
					    .size = offsetof(struct vuc_memory, regions) +
						    count * sizeof(*regions),
					    .fds = fds,
					    .fd_count = count });
}

static int change_memory(struct vuc *c, uint32_t request, const struct vuc_region *region, int fd)
{
	struct vuc_memory_slot slot = { .region = *region };

	return vuc_tell(
		c, request,
		&(struct vuc_send){
			.payload = &slot, .size = sizeof(slot), .fds = &fd, .fd_count = fd >= 0 });
}

int vuc_add_memory(struct vuc *c, const struct vuc_region *region, int fd)
{
	return change_memory(c, VUC_ADD_MEM_REG, region, fd);
}

int vuc_remove_memory(struct vuc *c, const struct vuc_region *region)
{
	return change_memory(c, VUC_REM_MEM_REG, region, -1);
}

int vuc_get_config(struct vuc *c, uint32_t offset, uint32_t size, uint32_t flags, uint8_t *bytes)
{
	struct vuc_config config = { .offset = offset, .size = size, .flags = flags };
	struct vuc_message reply;
	int err;

	if (size > VUC_CONFIG_MAX)
		return -E2BIG;
	err = vuc_ask(c, VUC_GET_CONFIG,
		      &(struct vuc_send){ .payload = &config, .size = VUC_CONFIG_HEADER + size },
		      &reply);
	if (err)
		return err;
	close_fds(&reply);
	if (!reply.header.size)
		return -EREMOTEIO;
	if (reply.header.size != VUC_CONFIG_HEADER + size || reply.config.offset != offset ||
	    reply.config.size != size)
		return -EPROTO;
	memcpy(bytes, reply.config.bytes, size);
	return 0;
}

int vuc_set_config(struct vuc *c, uint32_t offset, const void *bytes, uint32_t size)
{
	struct vuc_config config = { .offset = offset, .size = size };

	if (size > VUC_CONFIG_MAX)
		return -E2BIG;
	memcpy(config.bytes, bytes, size);
	return vuc_tell(c, VUC_SET_CONFIG,
			&(struct vuc_send){ .payload = &config, .size = VUC_CONFIG_HEADER + size });
}

int vuc_get_inflight(struct vuc *c, struct vuc_inflight *inflight, int *fd)
{
	struct vuc_message reply;
	int err = vuc_ask(c, VUC_GET_INFLIGHT_FD,
			  &(struct vuc_send){ .payload = inflight, .size = sizeof(*inflight) },
			  &reply);

	if (err)
		return err;
	if (reply.header.size != sizeof(*inflight))
		err = -EPROTO;
	else if (!reply.inflight.mmap_size)
		err = reply.fd_count ? -EPROTO : -EOPNOTSUPP;
	else if (reply.fd_count != 1)
		err = -EPROTO;
	if (err) {
		close_fds(&reply);
		return err;
	}
	*inflight = reply.inflight;
	*fd = reply.fds[0];
	return 0;
}

int vuc_set_inflight(struct vuc *c, const struct vuc_inflight *inflight, int fd)
{
	return vuc_tell(c, VUC_SET_INFLIGHT_FD,
			&(struct vuc_send){ .payload = inflight,
					    .size = sizeof(*inflight),
					    .fds = &fd,
					    .fd_count = 1 });
}

/* The reply is required with LOG_SHMFD; some servers send a u64, some nothing in it. */
int vuc_set_log_base(struct vuc *c, uint64_t size, int fd)
{
	struct vuc_log log = { .mmap_size = size };
	struct vuc_message reply;
	int err = vuc_ask(c, VUC_SET_LOG_BASE,
			  &(struct vuc_send){
				  .payload = &log, .size = sizeof(log), .fds = &fd, .fd_count = 1 },
			  &reply);

	if (err)
		return err;
	close_fds(&reply);
	return reply.header.size == 0 || reply.header.size == sizeof(uint64_t) ? 0 : -EPROTO;
}

int vuc_set_backend_fd(struct vuc *c)
{
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	err = vuc_tell(c, VUC_SET_BACKEND_REQ_FD,
		       &(struct vuc_send){ .fds = &pair[1], .fd_count = 1 });
	close(pair[1]);
	if (err) {
		close(pair[0]);
		return err;
	}
	if (c->backend_fd >= 0)
		close(c->backend_fd);
	c->backend_fd = pair[0];
	return 0;
}

int vuc_next_backend_request(struct vuc *c, struct vuc_header *header)
{
	uint8_t payload[VUC_PAYLOAD_MAX];
	uint64_t deadline_ns = deadline_of(c);
	struct {
		struct vuc_header header;
		uint64_t result;
	} ack;
	int err = receive_bytes(c->backend_fd, header, sizeof(*header), deadline_ns, NULL);

	if (!err && header->size > sizeof(payload))
		err = -EPROTO;
	if (!err)
		err = receive_bytes(c->backend_fd, payload, header->size, deadline_ns, NULL);
	if (err || !(header->flags & VUC_NEED_REPLY))
		return err;
	ack.header = *header;
	ack.header.flags = VUC_VERSION | VUC_REPLY;
	ack.header.size = sizeof(ack.result);
	ack.result = 0;
	if (send(c->backend_fd, &ack, sizeof(ack.header) + sizeof(ack.result), MSG_NOSIGNAL) < 0)
		return closed_or(errno);
	return 0;
}

int vuc_device_state(struct vuc *c, uint32_t direction, int fd)
{
	struct vuc_device_state state = { .direction = direction };
	struct vuc_message reply;
	int err = vuc_ask(
		c, VUC_SET_DEVICE_STATE_FD,
		&(struct vuc_send){
			.payload = &state, .size = sizeof(state), .fds = &fd, .fd_count = 1 },
		&reply);

	if (err)
		return err;
	if (reply.header.size != sizeof(uint64_t))
		err = -EPROTO;
	else if (reply.u64 & 0xff)
		err = -EREMOTEIO;
	else if (!(reply.u64 & VUC_NO_FD) != (reply.fd_count == 1))
		err = -EPROTO;
	close_fds(&reply);
	return err;
}
