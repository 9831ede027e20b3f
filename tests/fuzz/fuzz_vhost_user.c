// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A disk with driver = vhost-user, and a front end (vmm.h) that does what the input says.
 *
 * Production code runs as it is, but for its threads: the rounds of the worker are called by hand
 * (hand_worker.h), tasks run at once, and the input ends operations of the store (manual_backend.h).
 * In the end the device is closed, at any moment, and nothing is left behind. Where that never comes,
 * libFuzzer ends the input.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "disk/disk_device.h"
#include "fds.h"
#include "vmm.h"
#include "frontend/vhost_user_device.h"
#include "frontend/vhost_user_steps.h"
#include "hand_worker.h"
#include "manual_backend.h"
#include "mappings.h"
#include "sigbus.h"
#include "store/closed_store.h"
#include "task.h"

#define STEPS_MAX  400u
#define STORE_SIZE (1u << 20)

static struct ring main_ring;
static struct worker worker;
static struct device_config config;
static struct device device;
static struct backend *store; /* while it is open: holds every operation */
static const struct backend_ops *manual_ops;
static struct backend_ops store_ops;
static struct vmm vmm;
static char socket_name[32];
static int listening_fd;
static bool closed;

/* ---- tasks, without threads ---- */

static unsigned int tasks; /* that have not been completed by @done */

static void task_ended(struct ring_message *message)
{
	struct task *task = container_of(message, struct task, message);

	tasks--;
	task->done(task);
}

int task_start(struct task *task, struct ring *ring)
{
	tasks++;
	task->work(task);
	task->lost = false;
	task->message.run = task_ended;
	ring_post(ring, &task->message);
	return 0;
}

void task_give(struct task *task, int *fd)
{
	(void)task;
	(void)fd;
}

/* ---- the store ---- */

static void close_store(struct backend *backend)
{
	must(backend == store);
	store = NULL;
	manual_ops->close(backend);
}

/* No ring has started yet that uses the store. */
static void replace_store(void)
{
	struct vhost_user_device *vu = device.vhost_user;

	if (!vu || !vu->store || store)
		return;
	store = manual_backend_new(vu->store);
	manual_hold(store, true);
	manual_touch_memory(store);
	manual_ops = store->ops;
	store_ops = *store->ops;
	store_ops.close = close_store;
	store->ops = &store_ops;
	vu->store = store;
	queues_set_backend(&device.queues, store);
}

static void complete(unsigned int nth, bool good)
{
	unsigned int count = store ? manual_held(store) : 0;

	if (!count)
		return;
	nth %= count;
	manual_complete(store, nth,
			good				   ? 0
			: manual_io(store, nth)->cancelled ? -ECANCELED
							   : -EIO);
}

static void complete_all(void)
{
	while (store && manual_held(store))
		complete(0, !manual_io(store, 0)->cancelled);
}

/* ---- rounds ---- */

static void run_main(void)
{
	must(ring_run(&main_ring, false) == 0);
	replace_store();
	vmm_read(&vmm);
}

static void run_worker(void)
{
	hand_worker_round(&worker);
	for (uint32_t i = 0; device.queues.all && i < device.queues.count; i++) {
		const struct queue *queue = &device.queues.all[i];

		must(queue->requests.stats.popped ==
		     queue->requests.stats.pushed + queue->vq.in_flight);
	}
}

static bool is_closed(void)
{
	return closed;
}

static bool tasks_have_ended(void)
{
	return !tasks;
}

static void run_until(bool (*done)(void))
{
	while (!done()) {
		complete_all();
		run_worker();
		run_main();
	}
}

/* ---- life ---- */

static void set_up_once(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int len;

	if (listening_fd)
		return;
	must(sigbus_guard_install() == 0);
	sigbus_guard_thread();
	must(ring_init(&main_ring, 64) == 0);
	hand_worker_init(&worker);
	len = snprintf(socket_name, sizeof(socket_name), "fuzz-vhost-user-%d", getpid());
	listening_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(addr.sun_path + 1, socket_name, (size_t)len);
	must(bind(listening_fd, (struct sockaddr *)&addr,
		  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0);
	must(listen(listening_fd, 4) == 0);
}

static void set_closed(struct device *which)
{
	must(which == &device && !closed);
	closed = true;
}

static bool queues_exist(void)
{
	return device.vhost_user->begun;
}

static void start_device(uint8_t shape)
{
	unsigned int next_worker = 0;

	config = (struct device_config){
		.name = (char *)"fuzz",
		.path = (char *)"null:",
		.driver = DRIVER_VHOST_USER,
		.size = STORE_SIZE,
		.cache = shape & 1 ? CACHE_WRITEBACK : CACHE_NONE,
		.queues = VMM_QUEUES,
		.queue_size = 2 * VMM_RING_SIZE,
		.socket_fd = dup(listening_fd),
	};
	closed = false;
	must(config.socket_fd > 0);
	must(device_open_store(&device, &config, "/nonexistent") == 0);
	must(device_create(&device, "/nonexistent", &main_ring, &worker, 1, &next_worker) == 0);
	run_until(queues_exist);
	vhost_user_listening(&device);
	vmm.features = vhost_user_features(device.vhost_user);
}

static void stop_device(void)
{
	device_close(&device, set_closed);
	run_until(is_closed);
	run_until(tasks_have_ended); /* an opened store that nobody wants any more is closed */
	must(!store && hand_worker_is_idle(&worker));
	must(mappings_total() == 0);
	must(device_destroy(&device) == 0);
	device_close_store(&device);
}

/* A connection of this input that nobody has accepted. */
static void drop_connections(void)
{
	int fd;

	while ((fd = accept(listening_fd, NULL, NULL)) >= 0)
		close(fd);
}

static void front_end_step(struct input *in, uint8_t what)
{
	switch (what) {
	case 0:
		vmm_start(&vmm, false);
		break;
	case 1:
		vmm_start(&vmm, true);
		break;
	case 2:
		vmm_message(&vmm, in);
		break;
	case 3:
		vmm_bytes(&vmm, in);
		break;
	case 4:
		vmm_region(&vmm, in);
		break;
	case 5:
		vmm_ring_message(&vmm, in);
		break;
	case 6:
		vmm_pass_inflight(&vmm);
		break;
	case 7:
		vmm_disconnect(&vmm);
		break;
	case 8:
		vmm_connect(&vmm, socket_name);
		break;
	}
}

static void guest_step(struct input *in, uint8_t what)
{
	switch (what) {
	case 9:
		vmm_truncate(&vmm, in);
		break;
	case 10:
		vmm_scribble(&vmm, in);
		break;
	case 11:
		vmm_request(&vmm, in);
		break;
	case 12:
		vmm_kick(&vmm, input_u8(in));
		break;
	case 13:
		vmm_damage_call(&vmm, input_u8(in));
		break;
	}
}

static void server_step(struct input *in, uint8_t what)
{
	switch (what) {
	case 14:
		run_main();
		break;
	case 15:
		run_worker();
		break;
	case 16:
		complete(input_u8(in), true);
		break;
	case 17:
		complete(input_u8(in), false);
		break;
	case 18:
		for (unsigned int i = 0; i < 40; i++) {
			run_main();
			run_worker();
		}
		break;
	}
}

static void run_steps(struct input *in)
{
	for (unsigned int i = 0; i < STEPS_MAX && in->left; i++) {
		uint8_t what = input_u8(in) % 19;

		if (what < 9)
			front_end_step(in, what);
		else if (what < 14)
			guest_step(in, what);
		else
			server_step(in, what);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .data = data, .left = size };
	unsigned int fds_before;

	set_up_once();
	fds_before = fds_open();
	vmm_init(&vmm);
	start_device(input_u8(&in));
	vmm_connect(&vmm, socket_name);
	run_steps(&in);
	stop_device();
	vmm_exit(&vmm);
	drop_connections();
	must(fds_open() == fds_before);
	return 0;
}
