// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_transcript.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "passed_fds.h"

#define RETRY_US 10000
#define RETRIES	 1000 /* 10 s */

#define HEADER sizeof(struct vhost_user_header)

struct said {
	struct list_node node;
	size_t size;						  /* of @bytes */
	uint8_t bytes[HEADER + sizeof(union vhost_user_payload)]; /* the header, then the payload */
	unsigned int fd_count;
	int fds[VHOST_USER_FDS_MAX];
};

void vhost_user_transcript_init(struct vhost_user_transcript *transcript)
{
	list_init(&transcript->messages);
}

void vhost_user_transcript_exit(struct vhost_user_transcript *transcript)
{
	struct list_node *node;

	while ((node = list_take(&transcript->messages)))
		free(container_of(node, struct said, node));
}

int vhost_user_transcript_add(struct vhost_user_transcript *transcript, uint32_t request,
			      const void *payload, uint32_t size, int fd)
{
	const struct vhost_user_header header = {
		.request = request,
		.flags = VHOST_USER_VERSION,
		.size = size,
	};
	struct said *said = calloc(1, sizeof(*said));

	if (!said)
		return -ENOMEM;
	said->size = HEADER + size;
	memcpy(said->bytes, &header, HEADER);
	if (size)
		memcpy(said->bytes + HEADER, payload, size);
	said->fds[0] = fd;
	said->fd_count = fd >= 0;
	list_add(&transcript->messages, &said->node);
	return 0;
}

/* With its descriptors. */
static int add_part(struct vhost_user_transcript *transcript, struct vhost_user_socket *socket)
{
	struct said *said = calloc(1, sizeof(*said));

	if (!said)
		return -ENOMEM;
	said->size = socket->got;
	memcpy(said->bytes, &socket->message.header, HEADER);
	memcpy(said->bytes + HEADER, &socket->message.payload, sizeof(socket->message.payload));
	while (said->fd_count < MIN(socket->message.fd_count, VHOST_USER_FDS_MAX)) {
		said->fds[said->fd_count] = vhost_user_take_fd(&socket->message, said->fd_count);
		said->fd_count++;
	}
	list_add(&transcript->messages, &said->node);
	return 0;
}

int vhost_user_transcript_end(struct vhost_user_transcript *transcript,
			      struct vhost_user_socket *socket)
{
	uint64_t rest = vhost_user_is_whole(socket) ? 0 : socket->got;
	int err = vhost_user_transcript_add(transcript, VHOST_USER_TRANSCRIPT_END, &rest,
					    sizeof(rest), -1);

	return err || !rest ? err : add_part(transcript, socket);
}

/*
 * The descriptors come with the first byte. -EAGAIN is the end of SO_SNDTIMEO; other shortages pass.
 *
 * Return: bytes; -errno
 */
static ssize_t send_some(int fd, const struct said *said, size_t from)
{
	const struct iovec iov = {
		.iov_base = (void *)(said->bytes + from),
		.iov_len = said->size - from,
	};
	unsigned int retries = RETRIES;
	ssize_t sent;

	do
		sent = passed_fds_send(fd, &iov, 1, said->fds, from ? 0 : said->fd_count, 0);
	while (sent != -EAGAIN && passed_fds_may_retry(sent) && retries-- && !usleep(RETRY_US));
	return sent;
}

int vhost_user_transcript_send(const struct vhost_user_transcript *transcript, int fd)
{
	ssize_t sent;

	list_for_each_entry (said, &transcript->messages, struct said, node) {
		for (size_t from = 0; from < said->size; from += (size_t)sent) {
			sent = send_some(fd, said, from);
			if (sent < 0)
				return (int)sent;
		}
	}
	return 0;
}

unsigned int vhost_user_transcript_fds(struct vhost_user_transcript *transcript, int *fds)
{
	unsigned int count = 0;

	list_for_each_entry (said, &transcript->messages, struct said, node) {
		for (unsigned int i = 0; fds && i < said->fd_count; i++)
			fds[count + i] = said->fds[i];
		count += said->fd_count;
		said->fd_count = fds ? 0 : said->fd_count;
	}
	return count;
}
