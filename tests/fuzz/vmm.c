// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Where the first memfd is for the guest and for the front end. */
#define GUEST_ADDR 0x100000ull
#define USER_ADDR  0x700000000000ull

/* The parts of a queue in it. */
#define QUEUE_ROOM 0x4000u
#define AVAIL_AT   0x400u
#define USED_AT	   0x800u
#define TABLE_AT   0x1000u
#define DATA_AT	   0x2000u

static uint64_t at(uint32_t queue, uint32_t part)
{
	return queue * QUEUE_ROOM + part;
}

void vmm_init(struct vmm *vmm)
{
	*vmm = (struct vmm){ .fd = -1, .inflight_fd = -1 };
	for (unsigned int i = 0; i < VMM_MEMFDS; i++) {
		vmm->memfds[i] = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		must(vmm->memfds[i] >= 0 && ftruncate(vmm->memfds[i], VMM_MEMORY) == 0);
	}
	vmm->memory = mmap(NULL, VMM_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, vmm->memfds[0], 0);
	must(vmm->memory != MAP_FAILED);
	for (unsigned int i = 0; i < VMM_QUEUES; i++) {
		vmm->kicks[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vmm->calls[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		must(vmm->kicks[i] >= 0 && vmm->calls[i] >= 0);
	}
	vmm->log_fd = memfd_create("log", MFD_CLOEXEC);
	vmm->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	must(vmm->log_fd >= 0 && vmm->null_fd >= 0 && ftruncate(vmm->log_fd, 4096) == 0);
}

void vmm_exit(struct vmm *vmm)
{
	vmm_disconnect(vmm);
	for (unsigned int i = 0; i < VMM_MEMFDS; i++)
		close(vmm->memfds[i]);
	munmap(vmm->memory, VMM_MEMORY);
	for (unsigned int i = 0; i < VMM_QUEUES; i++) {
		close(vmm->kicks[i]);
		close(vmm->calls[i]);
	}
	close(vmm->log_fd);
	close(vmm->null_fd);
	if (vmm->inflight_fd >= 0)
		close(vmm->inflight_fd);
}

void vmm_connect(struct vmm *vmm, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));

	if (vmm->fd >= 0)
		return;
	memcpy(addr.sun_path + 1, name, strlen(name));
	vmm->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(vmm->fd >= 0);
	if (!connect(vmm->fd, (struct sockaddr *)&addr, len))
		return;
	close(vmm->fd); /* too many connections wait */
	vmm->fd = -1;
}

void vmm_disconnect(struct vmm *vmm)
{
	if (vmm->fd >= 0)
		close(vmm->fd);
	vmm->fd = -1;
}

static void send_some(struct vmm *vmm, const void *bytes, size_t size, const int *fds,
		      unsigned int count)
{
	union {
		char bytes[CMSG_SPACE(16 * sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (vmm->fd < 0)
		return;
	if (count) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		*cmsg = (struct cmsghdr){ .cmsg_len = CMSG_LEN(count * sizeof(int)),
					  .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
	}
	if (sendmsg(vmm->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return; /* the server has ended the connection, or does not read it now */
}

static void send_message(struct vmm *vmm, uint32_t request, uint32_t flags, const void *payload,
			 uint32_t size, const int *fds, unsigned int count)
{
	struct {
		struct vhost_user_header header;
		uint8_t payload[512];
	} __attribute__((packed)) message = {
		.header = { request, VHOST_USER_VERSION | flags, size },
	};

	if (size)
		memcpy(message.payload, payload, size);
	send_some(vmm, &message, sizeof(message.header) + size, fds, count);
}

/* The only replies that matter: what to pass back later. */
static void keep_reply(struct vmm *vmm, const struct vhost_user_header *header, const void *payload,
		       int fd)
{
	if (header->request == VHOST_USER_GET_INFLIGHT_FD && fd >= 0) {
		if (vmm->inflight_fd >= 0)
			close(vmm->inflight_fd);
		vmm->inflight_fd = fd;
		memcpy(&vmm->inflight, payload, sizeof(vmm->inflight));
		return;
	}
	must(fd < 0);
}

/* One reply. Return: there was one */
static bool read_reply(struct vmm *vmm)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct vhost_user_header header;
	uint8_t payload[512];
	struct iovec iov = { .iov_base = &header, .iov_len = sizeof(header) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t got = recvmsg(vmm->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd = -1;

	if (got <= 0)
		return false;
	must(got == sizeof(header) && header.size <= sizeof(payload));
	must(header.flags == (VHOST_USER_VERSION | VHOST_USER_REPLY));
	if (CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	must(!header.size ||
	     recv(vmm->fd, payload, header.size, MSG_DONTWAIT) == (ssize_t)header.size);
	keep_reply(vmm, &header, payload, fd);
	return true;
}

void vmm_read(struct vmm *vmm)
{
	while (vmm->fd >= 0 && read_reply(vmm))
		;
}

static int pick_fd(const struct vmm *vmm, uint8_t which)
{
	const int fds[] = { vmm->memfds[0], vmm->memfds[1], vmm->memfds[2],  vmm->kicks[0],
			    vmm->kicks[1],  vmm->calls[0],  vmm->calls[1],   vmm->log_fd,
			    vmm->null_fd,   vmm->fd,	    vmm->inflight_fd };
	int fd = fds[which % ARRAY_SIZE(fds)];

	return fd < 0 ? vmm->null_fd : fd;
}

/* Any message: request, flags, size, payload and descriptors. */
void vmm_message(struct vmm *vmm, struct input *in)
{
	uint32_t request = input_u8(in) % 48, flags = input_u8(in) & ~VHOST_USER_VERSION_MASK;
	uint32_t size = input_u16(in) % 300;
	unsigned int count = input_u8(in) % 12;
	uint8_t payload[300];
	int fds[12];

	input_bytes(in, payload, size);
	for (unsigned int i = 0; i < count; i++)
		fds[i] = pick_fd(vmm, input_u8(in));
	send_message(vmm, request, flags & 0x80 ? flags : flags & VHOST_USER_NEED_REPLY, payload,
		     size, fds, count);
}

/* Bytes that need not be a message. */
void vmm_bytes(struct vmm *vmm, struct input *in)
{
	uint8_t bytes[64], size = input_u8(in) % sizeof(bytes) + 1, which = input_u8(in);
	int fd = pick_fd(vmm, which);

	input_bytes(in, bytes, size);
	send_some(vmm, bytes, size, &fd, which >> 7);
}

/* SET_MEM_TABLE, ADD_MEM_REG or REM_MEM_REG with a region that is nearly right. */
void vmm_region(struct vmm *vmm, struct input *in)
{
	uint8_t how = input_u8(in);
	uint64_t page = input_u8(in);
	struct vhost_user_one_region one = {
		.region = { .guest_addr = GUEST_ADDR + page * 4096,
			    .size = (input_u8(in) % 17u) * 4096ull + (how & 1),
			    .user_addr = USER_ADDR + page * 4096,
			    .mmap_offset = (input_u8(in) % 17u) * 4096ull },
	};
	struct vhost_user_table table = { .count = 1, .regions = { one.region } };
	int fd = vmm->memfds[how >> 6 & 1];

	switch (how >> 1 & 3) {
	case 0:
		send_message(vmm, VHOST_USER_SET_MEM_TABLE, how & VHOST_USER_NEED_REPLY, &table, 40,
			     &fd, 1);
		break;
	case 1:
		send_message(vmm, VHOST_USER_ADD_MEM_REG, how & VHOST_USER_NEED_REPLY, &one,
			     sizeof(one), &fd, 1);
		break;
	default:
		send_message(vmm, VHOST_USER_REM_MEM_REG, how & VHOST_USER_NEED_REPLY, &one,
			     sizeof(one), &fd, how >> 5 & 1);
	}
}

static void send_state(struct vmm *vmm, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_state state = { index, num };

	send_message(vmm, request, 0, &state, sizeof(state), NULL, 0);
}

static void send_eventfd(struct vmm *vmm, uint32_t request, uint32_t index, int fd)
{
	uint64_t value = index | (fd < 0 ? VHOST_USER_VRING_NO_FD : 0);

	send_message(vmm, request, 0, &value, sizeof(value), &fd, fd >= 0);
}

static void send_addr(struct vmm *vmm, uint32_t index, bool log)
{
	struct vhost_user_addr addr = {
		.index = index,
		.flags = log ? VHOST_USER_VRING_F_LOG : 0,
		.desc = USER_ADDR + at(index, 0),
		.avail = USER_ADDR + at(index, AVAIL_AT),
		.used = USER_ADDR + at(index, USED_AT),
		.log = GUEST_ADDR + at(index, USED_AT),
	};

	send_message(vmm, VHOST_USER_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0);
}

/* One message about one ring, with values that are right or nearly so. */
void vmm_ring_message(struct vmm *vmm, struct input *in)
{
	uint8_t how = input_u8(in), value = input_u8(in);
	uint32_t index = how & 1;

	switch (how >> 1 & 7) {
	case 0:
		send_state(vmm, VHOST_USER_SET_VRING_NUM, index, value);
		break;
	case 1:
		send_addr(vmm, index, value & 1);
		break;
	case 2:
		send_state(vmm, VHOST_USER_SET_VRING_BASE, index, value);
		break;
	case 3:
		send_state(vmm, VHOST_USER_GET_VRING_BASE, index, 0);
		break;
	case 4:
		send_eventfd(vmm, VHOST_USER_SET_VRING_KICK, index, vmm->kicks[value & 1]);
		break;
	case 5:
		send_eventfd(vmm, VHOST_USER_SET_VRING_CALL, index,
			     value & 1 ? vmm->calls[index] : -1);
		break;
	case 6:
		send_state(vmm, VHOST_USER_SET_VRING_ENABLE, index, value & 1);
		break;
	default:
		send_message(vmm, value & 1 ? VHOST_USER_RESET_DEVICE : VHOST_USER_RESET_OWNER, 0,
			     NULL, 0, NULL, 0);
	}
}

void vmm_pass_inflight(struct vmm *vmm)
{
	if (vmm->inflight_fd >= 0)
		send_message(vmm, VHOST_USER_SET_INFLIGHT_FD, 0, &vmm->inflight,
			     sizeof(vmm->inflight), &vmm->inflight_fd, 1);
}

/* The rings are in the first memfd: what this process maps of it must stay. */
void vmm_truncate(struct vmm *vmm, struct input *in)
{
	uint8_t how = input_u8(in);
	int fd = how & 1 ? vmm->log_fd : vmm->memfds[1 + (how >> 1 & 1)];

	must(ftruncate(fd, (how >> 2) * 1024) == 0);
}

void vmm_scribble(struct vmm *vmm, struct input *in)
{
	uint32_t from = input_u16(in);
	uint8_t len = input_u8(in) % 32;

	for (; len; len--, from++)
		vmm->memory[from % VMM_MEMORY] = input_u8(in);
}

static void write_desc(struct vmm *vmm, uint64_t where, uint64_t addr, uint32_t len, uint16_t flags,
		       uint16_t next)
{
	struct vring_desc desc = { htole64(addr), htole32(len), htole16(flags), htole16(next) };

	memcpy(vmm->memory + where, &desc, sizeof(desc));
}

/* A request of a block or some, which is published and not kicked. */
void vmm_request(struct vmm *vmm, struct input *in)
{
	uint8_t how = input_u8(in), head = input_u8(in) % VMM_RING_SIZE;
	uint32_t queue = how & 1, len = (input_u8(in) % 9u) * 512;
	bool indirect = how & 2, in_data = how & 4;
	struct virtio_blk_outhdr header = { .type = htole32(how >> 3), .sector = input_u8(in) };
	uint64_t table = at(queue, indirect ? TABLE_AT + head * 64 : 0);
	uint64_t data = GUEST_ADDR + at(queue, DATA_AT);
	struct vring_avail *avail = (void *)(vmm->memory + at(queue, AVAIL_AT));
	uint16_t first = indirect ? 0 : head, idx = le16toh(avail->idx);

	memcpy(vmm->memory + at(queue, DATA_AT), &header, sizeof(header));
	write_desc(vmm, table + first * 16, data, 16, VRING_DESC_F_NEXT,
		   (first + 1) % VMM_RING_SIZE);
	write_desc(vmm, table + (first + 1) % VMM_RING_SIZE * 16, data + 512, len,
		   VRING_DESC_F_NEXT | (in_data ? VRING_DESC_F_WRITE : 0),
		   (first + 2) % VMM_RING_SIZE);
	write_desc(vmm, table + (first + 2) % VMM_RING_SIZE * 16, data + 256, 1, VRING_DESC_F_WRITE,
		   0);
	if (indirect)
		write_desc(vmm, at(queue, head * 16u), GUEST_ADDR + table, 48,
			   VRING_DESC_F_INDIRECT, 0);
	avail->ring[idx % VMM_RING_SIZE] = htole16(head);
	store_release(&avail->idx, htole16((uint16_t)(idx + 1)));
}

void vmm_kick(struct vmm *vmm, uint8_t which)
{
	eventfd_write(vmm->kicks[which & 1], 1);
}

/* The eventfd for interrupts is full, and blocks; or it is as it should be. */
void vmm_damage_call(struct vmm *vmm, uint8_t which)
{
	int fd = vmm->calls[which & 1];
	eventfd_t value;

	if (which & 2) {
		fcntl(fd, F_SETFL, O_NONBLOCK);
		eventfd_read(fd, &value);
	} else {
		fcntl(fd, F_SETFL, O_NONBLOCK);
		eventfd_write(fd, UINT64_MAX - 1);
		fcntl(fd, F_SETFL, 0);
	}
}

void vmm_start(struct vmm *vmm, bool log)
{
	uint64_t protocol = 1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK;
	struct vhost_user_table table = {
		.count = 1,
		.regions = { { GUEST_ADDR, VMM_MEMORY, USER_ADDR, 0 } },
	};
	struct vhost_user_inflight inflight = { .num_queues = VMM_QUEUES,
						.queue_size = VMM_RING_SIZE };
	struct vhost_user_log dirty = { .mmap_size = 4096 };
	uint64_t features = vmm->features & ~(log ? 0 : 1ull << VHOST_F_LOG_ALL);

	send_message(vmm, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0);
	if (log)
		send_message(vmm, VHOST_USER_SET_LOG_BASE, 0, &dirty, sizeof(dirty), &vmm->log_fd,
			     1);
	send_message(vmm, VHOST_USER_SET_FEATURES, 0, &features, 8, NULL, 0);
	send_message(vmm, VHOST_USER_SET_MEM_TABLE, 0, &table, 40, vmm->memfds, 1);
	if (vmm->inflight_fd >= 0)
		vmm_pass_inflight(vmm);
	else
		send_message(vmm, VHOST_USER_GET_INFLIGHT_FD, 0, &inflight, sizeof(inflight), NULL,
			     0);
	for (uint32_t i = 0; i < VMM_QUEUES; i++) {
		send_state(vmm, VHOST_USER_SET_VRING_NUM, i, VMM_RING_SIZE);
		send_state(vmm, VHOST_USER_SET_VRING_BASE, i, 0);
		send_addr(vmm, i, log);
		send_eventfd(vmm, VHOST_USER_SET_VRING_CALL, i, vmm->calls[i]);
		send_eventfd(vmm, VHOST_USER_SET_VRING_KICK, i, vmm->kicks[i]);
		send_state(vmm, VHOST_USER_SET_VRING_ENABLE, i, 1);
	}
}
