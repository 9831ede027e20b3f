// SPDX-License-Identifier: GPL-2.0-or-later
#include "manual_backend.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "guest.h"

#define PAGE   4096u
#define SECTOR 512u

struct held_op {
	struct held_op *next;
	struct backend_io *io;
	struct backend_io asked; /* as it was submitted */
};

/* What one worker has to complete. */
struct batch {
	struct ring_message message;
	struct backend *backend;
	struct backend *inner;
	struct held_op *first;
	struct held_op **last;
	int result;
};

struct manual_backend {
	struct backend base;
	struct backend *inner;
	pthread_mutex_t lock;
	bool hold;
	bool touch_memory;
	unsigned int cancelled;
	struct held_op *first;
};

static struct manual_backend *manual_of(struct backend *backend)
{
	return container_of(backend, struct manual_backend, base);
}

/* ---- what is asked for ---- */

static bool has_memory(const struct backend_io *io)
{
	return io->op == BACKEND_READ || io->op == BACKEND_WRITE;
}

static void check_operation(const struct backend_limits *limits, const struct backend_io *io)
{
	uint32_t unit = has_memory(io) ? limits->logical_block : SECTOR;
	uint64_t len = 0;

	if (io->op == BACKEND_FLUSH)
		return;
	must(io->len && io->len <= limits->size && io->offset <= limits->size - io->len,
	     "an operation outside of the disk");
	must((io->offset | io->len) % unit == 0, "an operation that is not of whole blocks");
	for (uint32_t i = 0; has_memory(io) && i < io->iov_count; i++) {
		must(io->iov[i].iov_len, "an empty piece of memory");
		len += io->iov[i].iov_len;
	}
	must(!has_memory(io) || len == io->len, "memory of another length");
}

/* A byte of each page, and the last one, as the operation would. */
static void touch_piece(uint8_t *piece, size_t len, bool in)
{
	for (size_t at = 0; at < len; at = at + PAGE < len || at == len - 1 ? at + PAGE : len - 1) {
		if (in)
			*(volatile uint8_t *)&piece[at] = 0;
		else
			(void)*(volatile uint8_t *)&piece[at];
	}
}

static void touch_memory(const struct manual_backend *manual, const struct backend_io *io)
{
	for (uint32_t i = 0; manual->touch_memory && has_memory(io) && i < io->iov_count; i++)
		touch_piece(io->iov[i].iov_base, io->iov[i].iov_len, io->op == BACKEND_READ);
}

/* ---- the store ---- */

struct ring *manual_sync_ring;
int manual_sync_error;

/* Not on a worker: the store is being closed. */
static void sync_before_close(struct manual_backend *manual, struct backend_io *io)
{
	if (!manual_sync_error) {
		backend_submit(manual->inner, io->ring, io);
		return;
	}
	backend_lost(&manual->base);
	io->sync_failed = true;
	io->done(io, manual_sync_error);
}

static void manual_submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	struct manual_backend *manual = manual_of(backend);
	struct held_op *op, **link = &manual->first;
	bool hold;

	check_operation(&backend->limits, io);
	if (ring == manual_sync_ring) {
		sync_before_close(manual, io);
		return;
	}
	touch_memory(manual, io);
	pthread_mutex_lock(&manual->lock);
	hold = manual->hold;
	if (hold) {
		op = malloc(sizeof(*op));
		ck_assert_ptr_nonnull(op);
		*op = (struct held_op){ .io = io, .asked = *io };
		for (; *link; link = &(*link)->next)
			must((*link)->io != io, "an operation that is in flight already");
		*link = op;
	}
	pthread_mutex_unlock(&manual->lock);
	if (!hold)
		backend_submit(manual->inner, ring, io);
}

/* As disk I/O that has begun: the test says when it is done, and how. */
static void manual_cancel(struct backend *backend, struct backend_io *io)
{
	struct manual_backend *manual = manual_of(backend);

	(void)io;
	pthread_mutex_lock(&manual->lock);
	manual->cancelled++;
	pthread_mutex_unlock(&manual->lock);
}

static void manual_close(struct backend *backend)
{
	struct manual_backend *manual = manual_of(backend);

	ck_assert_msg(!manual->first, "the store is closed with operations in flight");
	pthread_mutex_destroy(&manual->lock);
	backend_close(manual->inner);
	free(manual);
}

static const struct backend_ops manual_ops = {
	.submit = manual_submit,
	.cancel = manual_cancel,
	.close = manual_close,
};

static void inner_lost(void *owner)
{
	backend_lost(owner);
}

struct backend *manual_backend_new(struct backend *inner)
{
	struct manual_backend *manual = calloc(1, sizeof(*manual));

	ck_assert_ptr_nonnull(manual);
	manual->base = *inner;
	manual->base.ops = &manual_ops;
	manual->inner = inner;
	inner->lost = inner_lost;
	inner->owner = &manual->base;
	pthread_mutex_init(&manual->lock, NULL);
	return &manual->base;
}

void manual_touch_memory(struct backend *backend)
{
	manual_of(backend)->touch_memory = true;
}

void manual_hold(struct backend *backend, bool hold)
{
	struct manual_backend *manual = manual_of(backend);

	pthread_mutex_lock(&manual->lock);
	manual->hold = hold;
	pthread_mutex_unlock(&manual->lock);
}

unsigned int manual_held(struct backend *backend)
{
	struct manual_backend *manual = manual_of(backend);
	unsigned int count = 0;

	pthread_mutex_lock(&manual->lock);
	for (const struct held_op *op = manual->first; op; op = op->next)
		count++;
	pthread_mutex_unlock(&manual->lock);
	return count;
}

unsigned int manual_cancelled(struct backend *backend)
{
	struct manual_backend *manual = manual_of(backend);
	unsigned int count;

	pthread_mutex_lock(&manual->lock);
	count = manual->cancelled;
	pthread_mutex_unlock(&manual->lock);
	return count;
}

static struct held_op **held_at(struct manual_backend *manual, unsigned int index)
{
	struct held_op **link = &manual->first;

	while (*link && index--)
		link = &(*link)->next;
	ck_assert_msg(*link != NULL, "there is no such operation");
	return link;
}

struct backend_io manual_look(struct backend *backend, unsigned int index)
{
	struct manual_backend *manual = manual_of(backend);
	struct backend_io asked;

	pthread_mutex_lock(&manual->lock);
	asked = (*held_at(manual, index))->asked;
	pthread_mutex_unlock(&manual->lock);
	return asked;
}

struct backend_io *manual_io(struct backend *backend, unsigned int index)
{
	struct manual_backend *manual = manual_of(backend);
	struct backend_io *io;

	pthread_mutex_lock(&manual->lock);
	io = (*held_at(manual, index))->io;
	pthread_mutex_unlock(&manual->lock);
	return io;
}

static void finish_io(struct backend *backend, struct backend_io *io, int result)
{
	int err = result == MANUAL_SYNC_FAILS ? -EIO : result;

	touch_memory(manual_of(backend), io);
	io->sync_failed = result == MANUAL_SYNC_FAILS ||
			  (io->op == BACKEND_FLUSH && err < 0 && err != -ECANCELED);
	if (io->sync_failed)
		backend_lost(backend);
	io->done(io, err);
}

void manual_complete(struct backend *backend, unsigned int index, int result)
{
	struct manual_backend *manual = manual_of(backend);
	struct held_op *op, **link;

	pthread_mutex_lock(&manual->lock);
	link = held_at(manual, index);
	op = *link;
	*link = op->next;
	pthread_mutex_unlock(&manual->lock);
	finish_io(backend, op->io, result);
	free(op);
}

static void batch_run(struct ring_message *message)
{
	struct batch *batch = container_of(message, struct batch, message);

	while (batch->first) {
		struct held_op *op = batch->first;

		batch->first = op->next;
		if (batch->result == MANUAL_DO) {
			backend_submit(batch->inner, op->io->ring, op->io);
		} else {
			finish_io(batch->backend, op->io, batch->result);
		}
		free(op);
	}
	free(batch);
}

static struct batch *batch_new(struct manual_backend *manual, int result)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	ck_assert_ptr_nonnull(batch);
	batch->message.run = batch_run;
	batch->backend = &manual->base;
	batch->inner = manual->inner;
	batch->last = &batch->first;
	batch->result = result;
	return batch;
}

void manual_finish(struct backend *backend, unsigned int index, unsigned int count, int result)
{
	struct manual_backend *manual = manual_of(backend);
	struct batch *batch = NULL;
	struct ring *ring = NULL;

	for (; count; count--) {
		struct held_op *op, **link;

		pthread_mutex_lock(&manual->lock);
		link = held_at(manual, index);
		op = *link;
		*link = op->next;
		pthread_mutex_unlock(&manual->lock);

		if (batch && op->asked.ring != ring) {
			ring_post(ring, &batch->message);
			batch = NULL;
		}
		if (!batch)
			batch = batch_new(manual, result);
		ring = op->asked.ring;
		op->next = NULL;
		*batch->last = op;
		batch->last = &op->next;
	}
	if (batch)
		ring_post(ring, &batch->message);
}
