// SPDX-License-Identifier: GPL-2.0-or-later
#include "slow_store.h"

#include <errno.h>

#include "fuzz.h"

#define PAGE 4096u

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

static void touch_memory(const struct backend_io *io)
{
	uint64_t len = 0;

	for (uint32_t i = 0; i < io->iov_count; i++) {
		must(io->iov[i].iov_len > 0);
		touch_piece(io->iov[i].iov_base, io->iov[i].iov_len, io->op == BACKEND_READ);
		len += io->iov[i].iov_len;
	}
	must(len == io->len);
}

static void submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	struct slow_store *store = container_of(backend, struct slow_store, backend);

	(void)ring;
	must(store->count < ARRAY_SIZE(store->pending));
	for (unsigned int i = 0; i < store->count; i++)
		must(store->pending[i] != io);
	if (io->op != BACKEND_FLUSH) {
		must(io->len > 0 && io->len <= SLOW_STORE_SIZE);
		must(io->offset <= SLOW_STORE_SIZE - io->len);
		must((io->offset | io->len) % SLOW_STORE_BLOCK == 0);
	}
	if (io->op == BACKEND_READ || io->op == BACKEND_WRITE)
		touch_memory(io);
	store->pending[store->count++] = io;
}

static void cancel(struct backend *backend, struct backend_io *io)
{
	struct slow_store *store = container_of(backend, struct slow_store, backend);
	unsigned int at = 0;

	while (at < store->count && store->pending[at] != io)
		at++;
	must(at < store->count);
}

static const struct backend_ops ops = { .submit = submit, .cancel = cancel };

void slow_store_init(struct slow_store *store)
{
	*store = (struct slow_store){
		.backend = {
			.ops = &ops,
			.limits = {
				.size = SLOW_STORE_SIZE,
				.logical_block = SLOW_STORE_BLOCK,
				.physical_block = SLOW_STORE_BLOCK,
				.volatile_cache = true,
			},
			.identity = "zeroes",
		},
	};
}

void slow_store_complete(struct slow_store *store, unsigned int nth, bool good)
{
	struct backend_io *io;

	if (!store->count)
		return;
	nth %= store->count;
	io = store->pending[nth];
	store->pending[nth] = store->pending[--store->count];
	if (io->op == BACKEND_READ || io->op == BACKEND_WRITE)
		touch_memory(io);
	io->done(io, good ? 0 : io->cancelled ? -ECANCELED : -EIO);
}

void slow_store_complete_all(struct slow_store *store)
{
	while (store->count)
		slow_store_complete(store, 0, !store->pending[0]->cancelled);
}
