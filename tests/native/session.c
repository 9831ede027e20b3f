// SPDX-License-Identifier: GPL-2.0-or-later
#include "session.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <unistd.h>

#include "native.h"
#include "vmm.h"

static void make_memory(struct session *s, bool border)
{
	uint64_t first = border ? VUG_RING_BYTES + 2 * VUG_SLOT_BYTES + 9 * VUG_PAGE
				: VUG_QUEUE_BYTES;

	must(vug_memory_init(&s->memory), "address space");
	want(vug_memory_add(&s->memory, MEM_LOW, first) >= 0, "first region");
	want(vug_memory_add(&s->memory, MEM_LOW + first, 2 * VUG_QUEUE_BYTES - first) >= 0,
	     "second region");
	want(vug_memory_add(&s->memory, MEM_HIGH, MEM_HIGH_BYTES) >= 0, "third region");
}

static uint64_t queue_addr(unsigned int index)
{
	if (index < 2)
		return MEM_LOW + index * VUG_QUEUE_BYTES;
	return MEM_HIGH + (index - 2) * VUG_QUEUE_BYTES;
}

static void make_queues(struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++)
		must(vug_queue_init(&s->queues[i], &s->memory, i, s->queue_size, queue_addr(i)),
		     "queue");
}

/* What the driver chose decides what its rings look like. */
static void adopt_features(struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++) {
		s->queues[i].event_idx = session_has(s, VIRTIO_RING_F_EVENT_IDX);
		s->queues[i].indirect = session_has(s, VIRTIO_RING_F_INDIRECT_DESC);
		/* Without SEG_MAX a request has one segment. */
		s->queues[i].segment_max = session_has(s, VIRTIO_BLK_F_SEG_MAX) ? 5 * VUG_PAGE + 512
										: VUG_DATA_MAX;
	}
}

static int connect_and_greet(struct session *s)
{
	int err = vuc_connect(&s->c, s->path, PATIENCE_MS);

	if (!err)
		err = vmm_play(s, s->vmm->connect);
	return err;
}

void session_open(struct session *s, const char *path, const struct vmm *vmm,
		  unsigned int queue_count, bool border)
{
	*s = (struct session){ .path = path,
			       .vmm = vmm,
			       .queue_count = MIN(queue_count, vmm->queues_max),
			       .queue_size = vmm->queue_size,
			       .inflight_fd = -1 };
	make_memory(s, border);
	make_queues(s);
	must(connect_and_greet(s), "connect");
	want(s->config.capacity, "the disk has no capacity");
}

static int play_start(struct session *s)
{
	int err = vmm_play(s, s->vmm->start);

	if (!err && vuc_has(&s->c, VUC_P_MQ))
		want(s->queues_offered >= s->queue_count, "%llu queues offered",
		     (unsigned long long)s->queues_offered);
	adopt_features(s);
	/* A ring that is started anew: what avail_event asked for is of another time. */
	for (unsigned int i = 0; !err && i < s->queue_count; i++)
		vug_kick(&s->queues[i]);
	return err;
}

void session_start(struct session *s)
{
	must(play_start(s), "start");
}

void session_stop(struct session *s)
{
	must(vmm_play(s, s->vmm->stop), "stop");
}

bool session_can_stop(const struct session *s)
{
	return s->vmm->stop[0] != STEPS_END;
}

void session_reset(struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++)
		vug_queue_reset(&s->queues[i]);
	if (s->inflight_fd >= 0)
		close(s->inflight_fd);
	s->inflight_fd = -1;
}

void session_close(struct session *s)
{
	vuc_close(&s->c);
}

void session_exit(struct session *s)
{
	session_close(s);
	for (unsigned int i = 0; i < s->queue_count; i++)
		vug_queue_exit(&s->queues[i]);
	if (s->inflight_fd >= 0)
		close(s->inflight_fd);
	vug_memory_exit(&s->memory);
}

int session_reconnect(struct session *s)
{
	int err;

	vuc_close(&s->c);
	s->again = true;
	s->memory_sent = false;
	err = connect_and_greet(s);
	return err ? err : play_start(s);
}

bool session_has(const struct session *s, unsigned int bit)
{
	return s->features >> bit & 1;
}

bool session_protocol(const struct session *s, enum vuc_protocol bit)
{
	return s->protocol_offered >> bit & 1;
}
