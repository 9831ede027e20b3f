// SPDX-License-Identifier: GPL-2.0-or-later
#include "control_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <unistd.h>

#include "hand_worker.h"

#define NAME	    "fuzz"
#define LOG_FILE    "/" NAME ".inflight"
#define STORE_SIZE  (1u << 20)
#define STORE_BLOCK 512u
#define TIMER_US    1100 /* a little more than IRQ_RETRY_US of queue.c */

struct rig rig;
static struct ring main_ring;
static struct worker worker;
static char dir[] = "/dev/shm/fuzz_control.XXXXXX";
static char log_file[sizeof(dir) + sizeof(LOG_FILE)];

/* ---- judgement ---- */

static void check_queue(const struct queue *queue)
{
	must(queue->requests.stats.popped == queue->requests.stats.pushed + queue->vq.in_flight);
	must(queue->vq.in_flight <= queue->requests.slot_count);
}

/* Nothing that lies in [@start, @last] may be in use. */
static void check_idle(uint64_t start, uint64_t last)
{
	const struct iotlb_table *table = &vduse_dev_iotlb(rig.device.vduse.dev)->table;

	for (size_t i = 0; i < table->count; i++)
		must(table->regions[i].start > last || table->regions[i].last < start);
	for (uint32_t i = 0; i < rig.device.limits.queues; i++) {
		must(rig.device.queues.all[i].held);
		must(rig.device.queues.all[i].vq.in_flight == 0);
	}
	must(manual_held(rig.store) == 0);
}

void rig_kernel_reset(void)
{
	fake_kern_driver_reset(rig.driver.kern);
	rig.status = 0;
}

static void judge_status(uint8_t status, bool ok)
{
	if (!status) {
		check_idle(0, UINT64_MAX);
		for (uint32_t i = 0; i < rig.device.limits.queues; i++)
			must(rig.device.queues.all[i].state == QUEUE_STOPPED);
		rig_kernel_reset();
	} else if (ok) {
		for (uint32_t i = 0; i < rig.device.limits.queues; i++)
			must(!(status & VIRTIO_CONFIG_S_DRIVER_OK) ||
			     rig.device.queues.all[i].state != QUEUE_STOPPED);
		rig.status = status;
	}
}

static void judge_state(uint32_t index, bool ok, const struct vduse_dev_response *response)
{
	const struct queue *queue;
	uint16_t next;

	if (index >= rig.device.limits.queues) {
		must(!ok);
		return;
	}
	check_idle(1, 0);
	queue = &rig.device.queues.all[index];
	must(ok == !(virtq_replays_left(&queue->vq) || queue->recovering));
	if (!ok)
		return;
	/* One that the driver has not set up yet is where it will begin. */
	next = queue->state == QUEUE_WAITING ? queue->first_avail : queue->vq.last_avail;
	must(response->vq_state.index == index);
	must(response->vq_state.split.avail_index == next);
}

static void judge(const struct fake_message *m)
{
	const struct vduse_dev_request *request = &m->request;
	bool ok = m->response.result == VDUSE_REQ_RESULT_OK;

	switch (request->type) {
	case VDUSE_SET_STATUS:
		judge_status(request->s.status, ok);
		break;
	case VDUSE_UPDATE_IOTLB:
		must(ok);
		check_idle(request->iova.start, request->iova.last);
		break;
	case VDUSE_GET_VQ_STATE:
		judge_state(request->vq_state.index, ok, &m->response);
		break;
	default:
		must(!ok);
	}
}

static void judge_replies(void)
{
	for (unsigned int i = 0; i < rig.driver.kern->message_count; i++) {
		const struct fake_message *m = &rig.driver.kern->messages[i];

		if (m->state != FAKE_REPLIED || rig.replied[i])
			continue;
		rig.replied[i] = true;
		judge(m);
	}
}

static bool all_replied(void)
{
	for (unsigned int i = 0; i < rig.driver.kern->message_count; i++)
		if (rig.driver.kern->messages[i].state < FAKE_REPLIED)
			return false;
	return !rig.device.vduse.message_pending;
}

/* ---- rounds ---- */

void rig_run_main(void)
{
	must(ring_run(&main_ring, false) == 0);
	judge_replies();
}

/* Some timer of a queue may run: the only thing here that needs real time. */
void rig_let_time_pass(void)
{
	bool wait = false;

	for (uint32_t i = 0; i < rig.device.limits.queues; i++)
		wait |= rig.device.queues.all[i].irq_retry.active;
	if (wait)
		usleep(TIMER_US);
}

void rig_run_worker(void)
{
	uint64_t popped[BLK_DRIVER_QUEUES_MAX];
	bool held[BLK_DRIVER_QUEUES_MAX];
	const struct queue *queues = rig.device.queues.all;

	for (uint32_t i = 0; queues && i < rig.device.limits.queues; i++) {
		held[i] = queues[i].held;
		popped[i] = queues[i].requests.stats.popped;
	}
	hand_worker_round(&worker);
	for (uint32_t i = 0; queues && i < rig.device.limits.queues; i++) {
		check_queue(&queues[i]);
		must(!held[i] || !queues[i].held || queues[i].requests.stats.popped <= popped[i]);
	}
}

void rig_complete(unsigned int nth, bool good)
{
	unsigned int count = manual_held(rig.store);

	if (!count)
		return;
	nth %= count;
	manual_complete(rig.store, nth,
			good				       ? 0
			: manual_io(rig.store, nth)->cancelled ? -ECANCELED
							       : -EIO);
}

static void complete_all(void)
{
	while (manual_held(rig.store))
		rig_complete(0, !manual_io(rig.store, 0)->cancelled);
}

/* Runs everybody, and ends all I/O, until @done. Where that never comes, libFuzzer ends the input. */
static void run_until(bool (*done)(void))
{
	while (!done()) {
		complete_all();
		rig_run_worker();
		rig_run_main();
	}
}

/* ---- life ---- */

static int create(void)
{
	unsigned int next_worker = 0;
	int err = device_create(&rig.device, dir, &main_ring, &worker, 1, &next_worker);

	rig.driver.kern = fake_kern_dev(NAME);
	must(rig.driver.kern);
	return err;
}

static void set_closed(struct device *device)
{
	(void)device;
	rig.closed = true;
}

static bool is_closed(void)
{
	return rig.closed;
}

static void close_device(void)
{
	rig.closed = false;
	device_close(&rig.device, set_closed);
	run_until(is_closed);
	must(manual_held(rig.store) == 0 && hand_worker_is_idle(&worker));
	must(vduse_dev_iotlb(rig.device.vduse.dev)->table.count == 0);
}

static void close_zeroes(struct backend *backend)
{
	(void)backend;
}

/* All operations are held: none reaches the inner store. */
static void open_zeroes(void)
{
	static const struct backend_ops ops = { .close = close_zeroes };
	static struct backend zeroes;

	zeroes = (struct backend){
		.ops = &ops,
		.limits = {
			.size = STORE_SIZE,
			.logical_block = STORE_BLOCK,
			.physical_block = STORE_BLOCK,
			.volatile_cache = true,
		},
		.identity = "zeroes",
	};
	rig.store = manual_backend_new(&zeroes);
	manual_hold(rig.store, true);
	manual_touch_memory(rig.store);
}

/* What device_open_store() would have left, of a store that needs no file. */
static void open_store(void)
{
	struct device *device = &rig.device;

	*device = (struct device){
		.config = &rig.config,
		.backend = rig.store,
		.limits = {
			.size = STORE_SIZE,
			.logical_block = STORE_BLOCK,
			.physical_block = STORE_BLOCK,
			.queues = (uint16_t)rig.config.queues,
			.queue_size = (uint16_t)rig.config.queue_size,
			.flush = true,
			.discard = true,
			.discard_max = STORE_SIZE,
			.write_zeroes = true,
			.zeroes_max = STORE_SIZE,
		},
	};
	rig.offered = virtio_blk_features(&device->limits);
}

static void damage_log(struct input *in)
{
	for (uint8_t count = input_u8(in) % 8; count; count--) {
		uint16_t at = input_u16(in) % 1024;
		uint8_t byte = input_u8(in);
		int fd = open(log_file, O_WRONLY | O_CLOEXEC);

		must(fd >= 0 && pwrite(fd, &byte, 1, at) == 1);
		close(fd);
	}
}

void rig_restart(struct input *in)
{
	close_device();
	device_abandon(&rig.device);
	damage_log(in);
	open_store();
	if (create()) {
		rig.driver.kern->on_bus = false;
		must(create() == 0);
	}
	if (!vduse_dev_adopted(rig.device.vduse.dev)) {
		rig.status = 0;
		memset(rig.replied, 0, sizeof(rig.replied));
		must(fake_kern_bus_add(rig.driver.kern) == 0);
	}
}

static void clean_up(void)
{
	unlink(log_file);
	rmdir(dir);
}

static void set_up_once(void)
{
	if (log_file[0])
		return;
	must(mkdtemp(dir));
	snprintf(log_file, sizeof(log_file), "%s" LOG_FILE, dir);
	atexit(clean_up);
	must(ring_init(&main_ring, 64) == 0);
	hand_worker_init(&worker);
}

void rig_init(uint32_t queues, uint32_t queue_size)
{
	set_up_once();
	rig = (struct rig){
		.config = {
			.name = (char *)NAME,
			.path = (char *)"/dev/null",
			.queues = queues,
			.queue_size = queue_size,
		},
	};
	blk_driver_init(&rig.driver, (uint16_t)queue_size);
	open_zeroes();
	open_store();
	must(create() == 0);
	must(fake_kern_bus_add(rig.driver.kern) == 0);
}

void rig_exit(void)
{
	run_until(all_replied);
	close_device();
	rig.driver.kern->on_bus = false;
	must(device_destroy(&rig.device) == 0);
	backend_close(rig.store);
	fake_kern_reset();
}
