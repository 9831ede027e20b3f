// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_health.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "log.h"

#define NS_PER_S (1000ull * 1000 * 1000)

static const char *const op_names[HEALTH_OPS] = {
	[BACKEND_READ] = "read",
	[BACKEND_WRITE] = "write",
	[BACKEND_FLUSH] = "flush",
	[BACKEND_DISCARD] = "discard",
	[BACKEND_WRITE_ZEROES] = "write zeroes",
};

void store_health_init(struct store_health *health, const char *name)
{
	*health = (struct store_health){ .name = name };
	pthread_mutex_init(&health->lock, NULL);
}

static void log_count(const struct store_health *health, unsigned int op, uint64_t count)
{
	log_err("%s: %s: %" PRIu64 " more errors of the store", health->name, op_names[op], count);
}

void store_health_exit(struct store_health *health)
{
	for (unsigned int op = 0; op < HEALTH_OPS; op++)
		if (health->ops[op].unreported)
			log_count(health, op, health->ops[op].unreported);
	pthread_mutex_destroy(&health->lock);
}

static const char *reason_of(int err)
{
	return err == -ENODATA ? "the store was truncated or removed" : strerror(-err);
}

static void log_first(const struct store_health *health, const struct backend_io *io, int err,
		      unsigned int queue, const char *more)
{
	if (io->op == BACKEND_FLUSH)
		log_err("%s: queue %u: flush: %s%s", health->name, queue, reason_of(err), more);
	else
		log_err("%s: queue %u: %s of %" PRIu64 " bytes at %" PRIu64 ": %s%s", health->name,
			queue, op_names[io->op], io->len, io->offset, reason_of(err), more);
}

void store_health_failed(struct store_health *health, const struct backend_io *io, int err,
			 unsigned int queue, const char *more, uint64_t now_ns)
{
	bool first = false;
	uint64_t count = 0;

	pthread_mutex_lock(&health->lock);
	health->ops[io->op].last_ns = now_ns;
	health->ops[io->op].errors++;
	if (!store_health_fails(health, io->op)) {
		first = true;
		health->ops[io->op].since_ns = health->ops[io->op].reported_ns = now_ns;
		store_relaxed(&health->failing, health->failing | 1u << io->op);
	} else {
		health->ops[io->op].unreported++;
	}
	if (now_ns - health->ops[io->op].reported_ns >= HEALTH_REPORT_NS) {
		count = health->ops[io->op].unreported;
		health->ops[io->op].unreported = 0;
		health->ops[io->op].reported_ns = now_ns;
	}
	pthread_mutex_unlock(&health->lock);
	if (first)
		log_first(health, io, err, queue, more);
	else if (count)
		log_count(health, io->op, count);
}

void store_health_worked_slow(struct store_health *health, enum backend_op op, uint64_t now_ns)
{
	uint64_t errors = 0, seconds = 0;

	pthread_mutex_lock(&health->lock);
	if (store_health_fails(health, op) && now_ns - health->ops[op].last_ns >= HEALTH_QUIET_NS) {
		errors = health->ops[op].errors;
		seconds = (health->ops[op].last_ns - health->ops[op].since_ns) / NS_PER_S;
		health->ops[op].errors = health->ops[op].unreported = 0;
		store_relaxed(&health->failing, health->failing & ~(1u << op));
	}
	pthread_mutex_unlock(&health->lock);
	if (errors)
		log_info("%s: %s: the store works again, after %" PRIu64 " errors in %" PRIu64 " s",
			 health->name, op_names[op], errors, seconds);
}
