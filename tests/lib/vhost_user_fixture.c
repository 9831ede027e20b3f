// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_fixture.h"

#include <errno.h>
#include <limits.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fds.h"
#include "frontend/vhost_user_handover.h"
#include "mappings.h"
#include "sigbus.h"
#include "task.h"
#include "temp_dir.h"
#include "test_log.h"

#define BIT(n)	     (1ull << (n))
#define SETTLE_TRIPS 4

struct vuf vuf;
static char disk_name[] = VUF_NAME;
static char *image, *runtime_dir;
static unsigned int fds_before;

static void make_guest(void)
{
	ck_assert_int_eq(vug_memory_init(&vuf.memory), 0);
	for (uint32_t i = 0; i < VUF_QUEUES; i++) {
		ck_assert_int_eq(vug_memory_add(&vuf.memory, VUF_GUEST_ADDR(i), VUG_QUEUE_BYTES),
				 i);
		ck_assert_int_eq(vug_queue_init(&vuf.queues[i], &vuf.memory, i, VUF_RING_SIZE,
						VUF_GUEST_ADDR(i)),
				 0);
	}
}

void vuf_setup(void)
{
	test_log_begin();
	ck_assert_int_eq(sigbus_guard_install(), 0);
	fds_before = fds_open();
	image = temp_path("image-%d", getpid());
	runtime_dir = temp_path("run-%d", getpid());
	temp_image(image, VUF_DISK_SIZE);
	vuf = (struct vuf){
		.config = {
			.name = disk_name,
			.path = image,
			.driver = DRIVER_VHOST_USER,
			.cache = CACHE_WRITEBACK,
			.queues = VUF_QUEUES,
			.queue_size = VUF_RING_SIZE,
			.socket_mode = 0660,
		},
		.worker_count = 1,
		.protocol = BIT(VUC_P_MQ) | BIT(VUC_P_LOG_SHMFD) | BIT(VUC_P_REPLY_ACK) |
			    BIT(VUC_P_BACKEND_REQ) | BIT(VUC_P_CONFIG) | BIT(VUC_P_INFLIGHT_SHMFD) |
			    BIT(VUC_P_RESET_DEVICE) | BIT(VUC_P_CONFIGURE_MEM_SLOTS) |
			    BIT(VUC_P_STATUS) | BIT(VUC_P_DEVICE_STATE),
		.c = { .fd = -1, .backend_fd = -1 },
		.connection = { .fds = { -1, -1 } },
		.inflight_fd = -1,
	};
	snprintf(vuf.config.socket, sizeof(vuf.config.socket), "%s", temp_path("s-%d", getpid()));
	make_guest();
}

void vuf_teardown(void)
{
	vuc_close(&vuf.c);
	if (vuf.serving)
		vuf_stop();
	for (uint32_t i = 0; i < VUF_QUEUES; i++)
		vug_queue_exit(&vuf.queues[i]);
	vug_memory_exit(&vuf.memory);
	if (vuf.inflight_fd >= 0)
		close(vuf.inflight_fd);
	for (unsigned int i = 0; i < DEVICE_CONNECTION_FDS; i++)
		if (vuf.connection.fds[i] >= 0) /* the server ended before it began with it */
			close(vuf.connection.fds[i]);
	ck_assert_uint_eq(mappings_total(), 0);
	vuf_wait(fds_open() == fds_before);
	test_log_end();
}

/* ---- the server's thread ---- */

static void resumed(struct device *device, int err)
{
	(void)device;
	store_release(&vuf.resumed, err);
}

static void open_device(void)
{
	unsigned int next_worker = 0;

	vuf.device.connection = &vuf.connection;
	must(!device_open_store(&vuf.device, &vuf.config, runtime_dir), "the store");
	must(!device_create(&vuf.device, runtime_dir, &vuf.ring, vuf.workers, vuf.worker_count,
			    &next_worker),
	     "the device");
	vuf.device.resumed = resumed;
	vuf.resumed = 1;
}

static void *run_server(void *arg)
{
	(void)arg;
	must(!ring_init(&vuf.ring, 64), "the main ring");
	manual_sync_ring = &vuf.ring;
	polling_shared_init(&vuf.polling_shared);
	for (unsigned int i = 0; i < vuf.worker_count; i++)
		must(!worker_start(&vuf.workers[i], i, &vuf.polling_shared), "a worker");
	open_device();
	sem_post(&vuf.ready);
	while (!vuf.ended || tasks_running())
		must(!ring_run(&vuf.ring, true), "the main ring");
	for (unsigned int i = 0; i < vuf.worker_count; i++)
		worker_stop(&vuf.workers[i]);
	ring_exit(&vuf.ring);
	return NULL;
}

static void listen_now(void)
{
	must(!vhost_user_listen(VUF_NAME, vhost_user_listener_of(&vuf.device)), "the socket");
	vhost_user_listening(&vuf.device);
}

void vuf_serve(void)
{
	ck_assert(!vuf.serving);
	memset(&vuf.device, 0, sizeof(vuf.device));
	memset(vuf.workers, 0, sizeof(vuf.workers));
	vuf.ended = vuf.awaited = false;
	sem_init(&vuf.ready, 0, 0);
	sem_init(&vuf.closed, 0, 0);
	ck_assert_int_eq(pthread_create(&vuf.thread, NULL, run_server, NULL), 0);
	vuf.serving = true;
	sem_wait(&vuf.ready);
	vuf_call(listen_now);
}

struct call {
	struct ring_message message;
	void (*function)(void);
	sem_t done;
};

static void run_call(struct ring_message *message)
{
	struct call *call = container_of(message, struct call, message);

	if (call->function)
		call->function();
	sem_post(&call->done);
}

static void call_on(struct ring *ring, void (*function)(void))
{
	struct call call = { .message.run = run_call, .function = function };

	sem_init(&call.done, 0, 0);
	ring_post(ring, &call.message);
	sem_wait(&call.done);
	sem_destroy(&call.done);
}

void vuf_call(void (*function)(void))
{
	call_on(&vuf.ring, function);
}

void vuf_post(struct ring_message *message, void (*run)(struct ring_message *message))
{
	message->run = run;
	ring_post(&vuf.ring, message);
}

void vuf_settle(void)
{
	for (unsigned int i = 0; i < SETTLE_TRIPS; i++) {
		call_on(&vuf.ring, NULL);
		for (unsigned int j = 0; j < vuf.worker_count; j++)
			call_on(&vuf.workers[j].ring, NULL);
	}
	call_on(&vuf.ring, NULL);
}

/* ---- the store, while it is open ---- */

static pthread_mutex_t store_lock = PTHREAD_MUTEX_INITIALIZER;
static struct backend *store; /* a manual one in front of the file's; NULL: it is closed */
static const struct backend_ops *store_manual_ops;
static struct backend_ops store_ops;

static void close_store(struct backend *backend)
{
	pthread_mutex_lock(&store_lock);
	must(backend == store, "another store");
	store = NULL;
	pthread_mutex_unlock(&store_lock);
	store_manual_ops->close(backend);
}

/* On the worker's thread: it has no requests now. */
static void replace_store(void)
{
	struct vhost_user_device *vu = vuf.device.vhost_user;

	if (!vu->store || store)
		return;
	store = manual_backend_new(vu->store);
	store_manual_ops = store->ops;
	store_ops = *store->ops;
	store_ops.close = close_store;
	store->ops = &store_ops;
	manual_hold(store, vuf.hold);
	vu->store = store;
	queues_set_backend(&vuf.device.queues, store);
}

static void intercept(void)
{
	vuf_settle();
	pthread_mutex_lock(&store_lock);
	call_on(&vuf.workers[0].ring, replace_store);
	pthread_mutex_unlock(&store_lock);
	vuf_settle();
}

void vuf_set_hold(bool hold)
{
	pthread_mutex_lock(&store_lock);
	vuf.hold = hold;
	if (store)
		manual_hold(store, hold);
	pthread_mutex_unlock(&store_lock);
}

unsigned int vuf_held(void)
{
	unsigned int count;

	pthread_mutex_lock(&store_lock);
	count = store ? manual_held(store) : 0;
	pthread_mutex_unlock(&store_lock);
	return count;
}

unsigned int vuf_cancelled(void)
{
	unsigned int count;

	pthread_mutex_lock(&store_lock);
	count = store ? manual_cancelled(store) : 0;
	pthread_mutex_unlock(&store_lock);
	return count;
}

void vuf_end_first(unsigned int count, int result)
{
	pthread_mutex_lock(&store_lock);
	count = store ? MIN(count, manual_held(store)) : 0;
	if (count)
		manual_finish(store, 0, count, result);
	pthread_mutex_unlock(&store_lock);
}

void vuf_end_held(int result)
{
	vuf_end_first(UINT_MAX, result);
}

struct backend_io vuf_look(unsigned int index)
{
	struct backend_io io;

	pthread_mutex_lock(&store_lock);
	must(store, "the store is closed");
	io = manual_look(store, index);
	pthread_mutex_unlock(&store_lock);
	return io;
}

/* ---- the end ---- */

static void device_is_closed(struct device *device)
{
	must(device == &vuf.device, "another device");
	sem_post(&vuf.closed);
}

static void close_now(void)
{
	device_close(&vuf.device, device_is_closed);
}

void vuf_begin_close(void)
{
	ck_assert_ptr_null(vuf.device.closed);
	vuf_call(close_now);
}

void vuf_await_close(void)
{
	if (!vuf.awaited)
		vuf_wait(!sem_trywait(&vuf.closed));
	vuf.awaited = true;
	ck_assert_int_eq(sem_trywait(&vuf.closed), -1); /* once */
}

static void destroy_now(void)
{
	vhost_user_unlink(vhost_user_listener_of(&vuf.device));
	must(!device_destroy(&vuf.device), "destroying the device");
	device_close_store(&vuf.device);
	vuf.ended = true;
}

/* What the store holds ends with @result, again and again. */
static void finish_held(int result)
{
	vuf_set_hold(false);
	vuf_settle();
	while (vuf_held()) {
		vuf_end_held(result);
		vuf_settle();
	}
}

static void stop(int result)
{
	if (!vuf.device.closed)
		vuf_begin_close();
	finish_held(result);
	vuf_await_close();
	vuf_wait(!mappings_total());
	vuf_call(destroy_now);
	pthread_join(vuf.thread, NULL);
	sem_destroy(&vuf.ready);
	sem_destroy(&vuf.closed);
	vuf.serving = false;
}

void vuf_stop(void)
{
	stop(MANUAL_DO);
}

/* ---- the next server ---- */

static struct vhost_user_handover *handover;

static void keep_connection(void)
{
	vuf.device.handover = &handover;
}

void vuf_keep_connection(void)
{
	vuf_call(keep_connection);
}

bool vuf_kept(void)
{
	return handover;
}

void vuf_forget_connection(void)
{
	vhost_user_handover_drop(handover);
	handover = NULL;
}

/* What SCM_RIGHTS does: the next server has descriptors of its own. */
static void pass_copy(void)
{
	must(handover, "the server has closed the connection");
	must(!vhost_user_handover_open(handover, vuf.connection.fds), "the transcript");
	vuf.connection.fds[0] = dup(vuf.connection.fds[0]);
}

static void pass_connection(void)
{
	pass_copy();
	vuf_forget_connection();
}

static void stop_and(int result, void (*and)(void))
{
	vuf_begin_close();
	finish_held(result);
	vuf_await_close();
	vuf_call(and);
	vuf_stop();
}

void vuf_hand_over(int result)
{
	vuf_keep_connection();
	stop_and(result, pass_connection);
}

static void pass_held(void)
{
	pass_copy();
	vuf.connection.held = true;
}

void vuf_hand_over_held(void)
{
	vuf_keep_connection();
	stop_and(MANUAL_DO, pass_held);
}

static void take_back(void)
{
	pass_connection();
	vuf.connection.held = false;
}

void vuf_take_back(void)
{
	stop_and(MANUAL_DO, take_back);
}

/* ---- the death of a server ---- */

static void *save(const void *from, size_t size)
{
	void *copy = malloc(size);

	ck_assert_ptr_nonnull(copy);
	return memcpy(copy, from, size);
}

static void restore(void *to, void *copy, size_t size)
{
	memcpy(to, copy, size);
	free(copy);
}

void vuf_crash(void)
{
	void *memory[VUF_QUEUES], *log = NULL, *at = NULL;

	vuf_settle();
	for (uint32_t i = 0; i < VUF_QUEUES; i++)
		memory[i] = save(vug_ptr(&vuf.memory, VUF_GUEST_ADDR(i)), VUG_QUEUE_BYTES);
	if (vuf.inflight_fd >= 0) {
		at = mmap(NULL, vuf.inflight.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  vuf.inflight_fd, 0);
		ck_assert_ptr_ne(at, MAP_FAILED);
		log = save(at, vuf.inflight.mmap_size);
	}
	test_log_mute(true);
	stop(-EIO);
	test_log_mute(false);
	vuc_close(&vuf.c);
	for (uint32_t i = 0; i < VUF_QUEUES; i++)
		restore(vug_ptr(&vuf.memory, VUF_GUEST_ADDR(i)), memory[i], VUG_QUEUE_BYTES);
	if (log) {
		restore(at, log, vuf.inflight.mmap_size);
		munmap(at, vuf.inflight.mmap_size);
	}
}

static uint32_t asked, answer;

static void get_state(void)
{
	answer = load_relaxed(&vuf.device.queues.all[asked].state);
}

enum queue_state vuf_state(uint32_t queue)
{
	asked = queue;
	vuf_call(get_state);
	return answer;
}

static void get_in_flight(void)
{
	answer = 0;
	for (uint32_t i = 0; i < vuf.device.queues.count; i++) {
		const struct queue *queue = &vuf.device.queues.all[i];

		answer += (uint32_t)(load_relaxed(&queue->requests.stats.popped) -
				     load_relaxed(&queue->requests.stats.pushed));
	}
}

uint32_t vuf_in_flight(void)
{
	vuf_call(get_in_flight);
	return answer;
}

/* ---- the front end ---- */

void vuf_connect(void)
{
	uint64_t offered;

	ck_assert_int_eq(vuc_connect(&vuf.c, vuf.config.socket, VUF_PATIENCE_MS), 0);
	ck_assert_int_eq(vuc_set_empty(&vuf.c, VUC_SET_OWNER), 0);
	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_FEATURES, &vuf.offered), 0);
	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_PROTOCOL_FEATURES, &offered), 0);
	ck_assert_uint_eq(offered & vuf.protocol, vuf.protocol);
	ck_assert_int_eq(vuc_set_protocol_features(&vuf.c, vuf.protocol), 0);
}

static void get_connected(void)
{
	answer = vuf.device.vhost_user->connected;
}

static bool connected(void)
{
	vuf_call(get_connected);
	return answer;
}

void vuf_disconnect(void)
{
	vuc_close(&vuf.c);
	vuf_wait(!connected());
}

void vuf_accept_features(void)
{
	uint64_t refused = vuf.refused | BIT(VUC_F_LOG_ALL);

	if (!vuf.event_idx)
		refused |= BIT(VIRTIO_RING_F_EVENT_IDX);
	if (!vuf.indirect)
		refused |= BIT(VIRTIO_RING_F_INDIRECT_DESC);
	vuf.features = vuf.offered & ~refused;
	ck_assert_int_eq(vuc_set_u64(&vuf.c, VUC_SET_FEATURES, vuf.features), 0);
	for (uint32_t i = 0; i < VUF_QUEUES; i++) {
		vuf.queues[i].event_idx = vuf.event_idx;
		vuf.queues[i].indirect = vuf.indirect;
	}
}

void vuf_take_inflight(void)
{
	if (vuf.inflight_fd >= 0)
		close(vuf.inflight_fd);
	vuf.inflight = (struct vuc_inflight){ .num_queues = (uint16_t)vuf.config.queues,
					      .queue_size = VUF_RING_SIZE };
	ck_assert_int_eq(vuc_get_inflight(&vuf.c, &vuf.inflight, &vuf.inflight_fd), 0);
	vuf_pass_inflight();
}

void vuf_pass_inflight(void)
{
	ck_assert_int_eq(vuc_set_inflight(&vuf.c, &vuf.inflight, vuf.inflight_fd), 0);
}

void vuf_start_rings(void)
{
	for (uint32_t i = 0; i < VUF_QUEUES; i++)
		ck_assert_int_eq(vug_send_start(&vuf.queues[i], &vuf.c), 0);
	intercept();
}

void vuf_start(void)
{
	vuf_accept_features();
	ck_assert_int_eq(vug_memory_send(&vuf.memory, &vuf.c), 0);
	if (vuf.inflight_fd >= 0)
		vuf_pass_inflight();
	else
		vuf_take_inflight();
	vuf_start_rings();
}

void vuf_up(void)
{
	vuf_serve();
	vuf_connect();
	vuf_start();
}

void vuf_tell_later(uint32_t request, const void *payload, size_t size)
{
	ck_assert_int_eq(vuc_send(&vuf.c, request,
				  &(struct vuc_send){ .payload = payload,
						      .size = size,
						      .flags = VUC_NEED_REPLY }),
			 0);
}

bool vuf_acknowledged(uint32_t request)
{
	struct vuc_message reply;

	ck_assert_int_eq(vuc_receive(&vuf.c, &reply), 0);
	ck_assert_uint_eq(reply.header.request, request);
	ck_assert_uint_eq(reply.header.flags, VUC_VERSION | VUC_REPLY);
	ck_assert_uint_eq(reply.header.size, sizeof(uint64_t));
	ck_assert_uint_eq(reply.fd_count, 0);
	return !reply.u64;
}

void vuf_allow_refusals(void)
{
	static bool allowed;

	if (!allowed)
		test_log_allow(LOG_LEVEL_ERROR, "refused message");
	allowed = true;
}

static void forget_refusals(void)
{
	vuf.device.vhost_user->refusals = (struct log_limit){ 0 };
}

void vuf_check_refusal(const char *part)
{
	vuf_call(forget_refusals);
	ck_assert_msg(test_log_count(part) > 0, "nobody said: %s", part);
}

struct vug_slot *vuf_offer(uint32_t queue, uint32_t type, uint64_t sector, uint32_t len,
			   uint8_t fill)
{
	struct vug_queue *q = &vuf.queues[queue];
	struct vug_slot *slot = vug_slot_get(q);

	ck_assert_ptr_nonnull(slot);
	memset(slot->data, type == VIRTIO_BLK_T_IN ? (uint8_t)~fill : fill, len);
	vug_offer(q, slot, type, sector, len);
	vug_publish(q);
	return slot;
}

struct vug_slot *vuf_hold(uint32_t queue, uint32_t type, uint64_t sector, uint32_t len,
			  uint8_t fill)
{
	unsigned int before = vuf_held();
	struct vug_slot *slot;

	vuf_set_hold(true);
	slot = vuf_offer(queue, type, sector, len, fill);
	vuf_wait(vuf_held() == before + 1);
	return slot;
}

struct vug_slot *vuf_finish_any(uint32_t queue)
{
	struct vug_slot *done;

	ck_assert_int_eq(vug_wait(&vuf.queues[queue], &done, VUF_PATIENCE_MS), 0);
	return done;
}

uint8_t vuf_finish(uint32_t queue, struct vug_slot *slot)
{
	ck_assert_ptr_eq(vuf_finish_any(queue), slot);
	return slot->status;
}

uint8_t vuf_do(uint32_t queue, uint32_t type, uint64_t sector, uint32_t len, uint8_t fill)
{
	return vuf_finish(queue, vuf_offer(queue, type, sector, len, fill));
}

void vuf_check_data(const struct vug_slot *slot, uint8_t fill)
{
	for (uint32_t i = 0; i < slot->len; i++)
		must(slot->data[i] == fill, "byte %u is 0x%x", i, slot->data[i]);
}
