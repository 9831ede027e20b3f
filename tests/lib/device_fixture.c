// SPDX-License-Identifier: GPL-2.0-or-later
#include "device_fixture.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fds.h"
#include "store_fixture.h"
#include "temp_dir.h"
#include "test_log.h"
#include "threads.h"

/* How far the queues' guests lie apart. */
#define GUEST_STRIDE (1ull << 32)

/* Round trips to a worker after which it has seen everything and done it: see rig_settle(). */
#define SETTLE_TRIPS 4

struct rig rig;
static char disk_name[] = "disk0";
static char *image, *runtime_dir;
static unsigned int fds_before;

void rig_setup(void)
{
	test_log_begin();
	fds_before = fds_open();
	image = temp_path("image-%d", getpid());
	runtime_dir = temp_path("run-%d", getpid());
	temp_image(image, RIG_DISK_SIZE);
	rig = (struct rig){
		.config = {
			.name = disk_name,
			.path = image,
			.cache = CACHE_WRITEBACK,
			.queues = 2,
			.queue_size = 64,
		},
		.worker_count = 1,
		.num = 64,
	};
}

void rig_teardown(void)
{
	if (rig.store)
		rig_stop();
	ck_assert_uint_eq(fds_open(), fds_before);
	test_log_end();
}

void rig_turn(void)
{
	ck_assert_int_eq(ring_run(&rig.ring, false), 0);
	other_threads_run();
}

/* ---- settling: messages there and back ---- */

struct trip {
	struct ring_message to_worker, to_main;
	bool back;
};

static void trip_back(struct ring_message *message)
{
	container_of(message, struct trip, to_main)->back = true;
}

static void trip_there(struct ring_message *message)
{
	struct trip *trip = container_of(message, struct trip, to_worker);

	ring_post(&rig.ring, &trip->to_main);
}

/*
 * A message comes after kicks that were sent before it; what they start is done before the next
 * message. Two trips end a round, and the rest is for what one worker tells the other through us.
 */
void rig_settle(void)
{
	for (unsigned int i = 0; i < SETTLE_TRIPS * rig.worker_count; i++) {
		struct trip trip = {
			.to_worker.run = trip_there,
			.to_main.run = trip_back,
		};

		ring_post(&rig.workers[i % rig.worker_count].ring, &trip.to_worker);
		rig_wait(trip.back);
	}
}

/*
 * Time passes on a worker: longer than any of its timers that run already. The worker's own ring
 * measures it, and hands out timers in the order in which they expire, on a slow machine too.
 */
#define LONGER_THAN_A_RETRY_US 5000

struct pause {
	struct ring_message to_worker, to_main;
	struct ring_timer timer;
	bool over;
};

static void pause_is_over(struct ring_message *message)
{
	container_of(message, struct pause, to_main)->over = true;
}

static void pause_expired(struct ring_timer *timer)
{
	ring_post(&rig.ring, &container_of(timer, struct pause, timer)->to_main);
}

static void pause_begin(struct ring_message *message)
{
	struct pause *pause = container_of(message, struct pause, to_worker);

	ring_timer_start(&rig.workers[0].ring, &pause->timer, LONGER_THAN_A_RETRY_US,
			 pause_expired);
}

void rig_let_time_pass(void)
{
	struct pause pause = {
		.to_worker.run = pause_begin,
		.to_main.run = pause_is_over,
	};

	ring_post(&rig.workers[0].ring, &pause.to_worker);
	rig_wait(pause.over);
	rig_settle();
}

static const char *log_path(void)
{
	return temp_path("%s/%s.inflight", strrchr(runtime_dir, '/') + 1, rig.config.name);
}

/* ---- the server ---- */

static void end_server(void)
{
	device_close_store(&rig.device);
	for (unsigned int i = 0; i < rig.worker_count; i++)
		worker_stop(&rig.workers[i]);
	ring_exit(&rig.ring);
	memset(&rig.device, 0, sizeof(rig.device));
	memset(rig.workers, 0, sizeof(rig.workers));
	rig.store = NULL;
	rig.closed = false;
}

unsigned int rig_mapped_regions(void)
{
	struct iotlb *tlb = vduse_dev_iotlb(rig.device.vduse.dev);
	unsigned int count;

	pthread_mutex_lock(&tlb->lock);
	count = (unsigned int)tlb->table.count;
	pthread_mutex_unlock(&tlb->lock);
	return count;
}

/* What an answer promises holds, whatever the test is about. */
static void check_reply(const struct vduse_dev_request *request,
			const struct vduse_dev_response *response)
{
	bool status = request->type == VDUSE_SET_STATUS;

	if (response->result != VDUSE_REQ_RESULT_OK || (status && request->s.status))
		return;
	rig_check_stopped();
	if (status)
		ck_assert_uint_eq(rig_mapped_regions(), 0);
}

int rig_try_open(void)
{
	unsigned int next_worker = 0;
	int err;

	ck_assert_int_eq(ring_init(&rig.ring, 64), 0);
	polling_shared_init(&rig.polling_shared);
	for (unsigned int i = 0; i < rig.worker_count; i++)
		ck_assert_int_eq(worker_start(&rig.workers[i], i, &rig.polling_shared), 0);
	err = device_open_store(&rig.device, &rig.config, runtime_dir);
	if (err) {
		end_server();
		return err;
	}
	rig.device.umem = rig.bounce;
	rig.store = manual_backend_new(rig.device.backend);
	rig.device.backend = rig.store;
	if (rig.scarce)
		st_limit_fds(st_limit_for(rig.descriptors));
	err = device_create(&rig.device, runtime_dir, &rig.ring, rig.workers, rig.worker_count,
			    &next_worker);
	st_limit_fds(RLIM_INFINITY);
	if (err) {
		ck_assert_ptr_null(rig.device.vduse.dev);
		ck_assert_ptr_null(rig.device.inflight);
		end_server();
		return err;
	}
	rig.kern = fake_kern_dev(rig.config.name);
	rig.kern->on_reply = check_reply;
	return 0;
}

void rig_open(void)
{
	ck_assert_int_eq(rig_try_open(), 0);
}

void rig_start(void)
{
	rig_restart();
	ck_assert_int_eq(fake_kern_bus_add(rig.kern), 0);
	for (uint32_t i = 0; i < rig.config.queues; i++)
		rig.guests[i] =
			guest_new_at(rig.num, GUEST_ONE_REGION, (i + rig.bounce) * GUEST_STRIDE);
}

void rig_restart(void)
{
	rig_open();
	rig_wait(rig.device.vduse.messages.ring);
}

static void device_is_closed(struct device *device)
{
	ck_assert_ptr_eq(device, &rig.device);
	rig.closed = true;
}

static void finish_held(int result)
{
	if (manual_held(rig.store))
		manual_finish(rig.store, 0, manual_held(rig.store), result);
}

/* Lets a device go; what the store holds ends with @result. */
static void close_device(int result)
{
	device_close(&rig.device, device_is_closed);
	manual_hold(rig.store, false);
	rig_settle();
	finish_held(result);
	rig_wait(rig.closed);
}

void rig_close(void)
{
	close_device(MANUAL_DO);
}

void rig_destroy(int err)
{
	ck_assert_int_eq(device_destroy(&rig.device), err);
	ck_assert_ptr_null(rig.device.vduse.dev);
	ck_assert_ptr_null(rig.device.inflight);
	ck_assert_int_eq(access(log_path(), F_OK), err ? 0 : -1);
}

void rig_stop(void)
{
	if (!rig.closed)
		rig_close();
	if (rig.device.vduse.dev) {
		fake_kern_bus_del(rig.kern);
		rig_destroy(0);
		ck_assert_ptr_null(fake_kern_dev(rig.config.name));
	}
	end_server();
	for (uint32_t i = 0; i < RIG_QUEUES_MAX; i++)
		if (rig.guests[i])
			guest_free(rig.guests[i]);
	memset(rig.guests, 0, sizeof(rig.guests));
}

/* What outlives a server in its memory and files. */
struct remains {
	void *memory[RIG_QUEUES_MAX];
	void *log;
	ssize_t log_size;
};

static void save_remains(struct remains *remains)
{
	int fd = open(log_path(), O_RDONLY | O_CLOEXEC);

	for (uint32_t i = 0; i < rig.config.queues; i++)
		remains->memory[i] = guest_save(rig.guests[i]);
	ck_assert_int_ge(fd, 0);
	remains->log_size = lseek(fd, 0, SEEK_END);
	remains->log = malloc((size_t)remains->log_size);
	ck_assert_int_eq(pread(fd, remains->log, (size_t)remains->log_size, 0), remains->log_size);
	close(fd);
}

static void restore_remains(struct remains *remains)
{
	int fd = open(log_path(), O_WRONLY | O_CLOEXEC);

	for (uint32_t i = 0; i < rig.config.queues; i++)
		guest_restore(rig.guests[i], remains->memory[i]);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, remains->log, (size_t)remains->log_size, 0), remains->log_size);
	close(fd);
	free(remains->log);
}

void rig_crash(void)
{
	struct remains remains;

	rig_settle();
	save_remains(&remains);
	/* From here on its end is orderly, and leaves no trace. */
	test_log_mute(true);
	fake_kern_cut_off(rig.kern, true);
	close_device(-EIO);
	device_abandon(&rig.device);
	ck_assert_ptr_null(rig.device.vduse.dev);
	ck_assert_ptr_null(rig.device.inflight);
	end_server();
	fake_kern_cut_off(rig.kern, false);
	test_log_mute(false);
	restore_remains(&remains);
}

/* ---- the driver and the kernel ---- */

void rig_map(void)
{
	for (uint32_t i = 0; i < rig.config.queues; i++) {
		const struct guest_area *a = &rig.guests[i]->areas[0];

		fake_kern_map_fd(rig.kern, a->start, a->size, rig.guests[i]->memfd, a->offset);
	}
	if (rig.bounce)
		fake_kern_map_bounce(rig.kern);
}

void rig_unmap(void)
{
	fake_kern_unmap(rig.kern);
}

uint32_t rig_send_status(uint8_t status)
{
	return fake_kern_send(rig.kern, (struct vduse_dev_request){ .type = VDUSE_SET_STATUS,
								    .s.status = status });
}

uint32_t rig_send_iotlb(uint64_t start, uint64_t last)
{
	return fake_kern_send(rig.kern, (struct vduse_dev_request){ .type = VDUSE_UPDATE_IOTLB,
								    .iova.start = start,
								    .iova.last = last });
}

uint32_t rig_send_vq_state(uint32_t index)
{
	return fake_kern_send(rig.kern, (struct vduse_dev_request){ .type = VDUSE_GET_VQ_STATE,
								    .vq_state.index = index });
}

bool rig_has_reply(uint32_t request_id)
{
	return fake_kern_reply(rig.kern, request_id) != NULL;
}

bool rig_reply_is_ok(uint32_t request_id)
{
	rig_wait(rig_has_reply(request_id));
	return fake_kern_reply(rig.kern, request_id)->result == VDUSE_REQ_RESULT_OK;
}

void rig_status(uint8_t status)
{
	ck_assert_msg(rig_reply_is_ok(rig_send_status(status)), "status 0x%x is refused", status);
	if (status & VIRTIO_CONFIG_S_DRIVER_OK)
		fake_kern_driver_ok(rig.kern);
	if (status)
		return;
	rig_check_stopped();
	fake_kern_driver_reset(rig.kern);
	for (uint32_t i = 0; i < rig.config.queues; i++)
		guest_reset(rig.guests[i], 0);
}

void rig_program_vq(uint32_t index, bool ready)
{
	const struct guest *g = rig.guests[index];
	struct vduse_vq_info info = {
		.index = index,
		.num = g->num,
		.desc_addr = g->desc_addr,
		.driver_addr = g->avail_addr,
		.device_addr = g->used_addr,
		.ready = ready,
	};

	fake_kern_set_vq(rig.kern, index, &info);
}

void rig_program(void)
{
	uint64_t without = rig.refused | (rig.event_idx ? 0 : 1ull << VIRTIO_RING_F_EVENT_IDX) |
			   (rig.indirect ? 0 : 1ull << VIRTIO_RING_F_INDIRECT_DESC);

	rig_map();
	rig.kern->features = rig.kern->offered & ~without;
	for (uint32_t i = 0; i < rig.config.queues; i++) {
		rig.guests[i]->event_idx = rig.event_idx;
		rig.guests[i]->indirect = rig.indirect;
		rig_program_vq(i, true);
	}
}

void rig_driver_start(void)
{
	rig_status(RIG_ACKNOWLEDGE);
	rig_status(RIG_DRIVER);
	rig_program();
	rig_status(RIG_FEATURES_OK);
	rig_status(RIG_DRIVER_OK);
}

/* ---- requests ---- */

static struct rig_req finish_adding(uint32_t queue, uint32_t type, uint64_t sector, int head)
{
	struct virtio_blk_outhdr header = { .type = htole32(type), .sector = htole64(sector) };
	struct guest *g = rig.guests[queue];
	const struct guest_chain *chain = &g->chains[head];
	const uint8_t not_set = 0xff;
	struct rig_req req = {
		.queue = queue,
		.head = head,
		.data = chain->segs[1].addr,
		.status = chain->last_in,
		.len = chain->segs[1].len,
	};

	ck_assert_int_ge(head, 0);
	guest_write(g, chain->segs[0].addr, &header, sizeof(header));
	guest_write(g, req.status, &not_set, 1);
	return req;
}

struct rig_req rig_add(uint32_t queue, uint32_t type, uint64_t sector, uint32_t len)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct chain_part data = { .in = in, .len = len };

	return finish_adding(queue, type, sector,
			     guest_add(rig.guests[queue], G_OUT(sizeof(struct virtio_blk_outhdr)),
				       data, G_IN(1)));
}

struct rig_req rig_add_in_pieces(uint32_t queue, uint64_t sector, uint32_t pieces)
{
	struct chain_part segs[SLOT_IOVS + 3] = { G_OUT(sizeof(struct virtio_blk_outhdr)) };
	uint32_t i;

	ck_assert_uint_le(pieces, SLOT_IOVS + 1);
	/* All of them in one page that nothing else uses, since many shall be out. */
	for (i = 1; i <= pieces; i++)
		segs[i] = (struct chain_part){
			.in = true,
			.len = i < pieces ? 8 : SECTOR_SIZE - 8 * (pieces - 1),
			.addr = rig.guests[queue]->base + GUEST_DATA - GUEST_PAGE + 16 * i,
		};
	segs[i] = G_IN(1);
	return finish_adding(queue, VIRTIO_BLK_T_IN, sector,
			     guest_add_segs(rig.guests[queue], segs, pieces + 2));
}

struct rig_req rig_add_pieces(uint32_t queue, uint64_t sector)
{
	return rig_add_in_pieces(queue, sector, SLOT_IOVS + 1);
}

struct rig_req rig_add_at(uint32_t queue, uint64_t sector, uint64_t addr, uint32_t len)
{
	struct chain_part data = { .in = true, .len = len, .addr = addr };

	return finish_adding(queue, VIRTIO_BLK_T_IN, sector,
			     guest_add(rig.guests[queue], G_OUT(sizeof(struct virtio_blk_outhdr)),
				       data, G_IN(1)));
}

void rig_fill(const struct rig_req *req, const void *data, uint32_t len)
{
	guest_write(rig.guests[req->queue], req->data, data, len);
}

void rig_go(uint32_t queue)
{
	if (guest_publish(rig.guests[queue]))
		ck_assert(fake_kern_kick(rig.kern, queue));
}

bool rig_has_next(uint32_t queue)
{
	const struct guest *g = rig.guests[queue];

	return le16toh(load_acquire(&g->used->idx)) != g->last_used;
}

int rig_next(uint32_t queue)
{
	rig_wait(rig_has_next(queue));
	return guest_reap(rig.guests[queue], &rig.used_len);
}

uint8_t rig_finish(const struct rig_req *req)
{
	uint8_t status;

	ck_assert_int_eq(rig_next(req->queue), req->head);
	guest_read(rig.guests[req->queue], req->status, &status, 1);
	return status;
}

uint8_t rig_do(uint32_t queue, uint32_t type, uint64_t sector, uint32_t len)
{
	struct rig_req req = rig_add(queue, type, sector, len);

	rig_go(queue);
	return rig_finish(&req);
}

void rig_check_stopped(void)
{
	for (uint32_t i = 0; i < rig.config.queues; i++) {
		const struct queue *queue = &rig.device.queues.all[i];

		ck_assert_uint_eq(queue->vq.in_flight, 0);
		ck_assert_uint_eq(queue->requests.stats.popped, queue->requests.stats.pushed);
	}
}
