// SPDX-License-Identifier: GPL-2.0-or-later
#include "status.h"

#include <inttypes.h>

#include "config/config.h"
#include "json.h"

static const char *const queue_states[] = {
	[QUEUE_STOPPED] = "stopped", [QUEUE_WAITING] = "waiting", [QUEUE_RUNNING] = "running",
	[QUEUE_PAUSED] = "paused",   [QUEUE_BROKEN] = "broken",
};

struct stat_name {
	const char *name;
	size_t offset;
};

#define DONE(op, member) offsetof(struct queue, requests.stats.done[op].member)

static const struct stat_name stat_names[] = {
	{ "reads", DONE(BLK_READ, count) },
	{ "read_bytes", DONE(BLK_READ, bytes) },
	{ "writes", DONE(BLK_WRITE, count) },
	{ "written_bytes", DONE(BLK_WRITE, bytes) },
	{ "flushes", DONE(BLK_FLUSH, count) },
	{ "discards", DONE(BLK_DISCARD, count) },
	{ "discarded_bytes", DONE(BLK_DISCARD, bytes) },
	{ "zeroings", DONE(BLK_WRITE_ZEROES, count) },
	{ "zeroed_bytes", DONE(BLK_WRITE_ZEROES, bytes) },
	{ "popped", offsetof(struct queue, requests.stats.popped) },
	{ "pushed", offsetof(struct queue, requests.stats.pushed) },
	{ "errors", offsetof(struct queue, requests.stats.errors) },
	{ "retries", offsetof(struct queue, requests.stats.retries) },
	{ "kicks", offsetof(struct queue, stats.kicks) },
	{ "interrupts", offsetof(struct queue, stats.interrupts) },
	{ "broken", offsetof(struct queue, stats.broken) },
};

static uint64_t stat_of(const struct queue *queue, const struct stat_name *stat)
{
	return load_relaxed((const uint64_t *)((const char *)queue + stat->offset));
}

static uint64_t us(uint64_t ns)
{
	return ns / 1000;
}

static const char *node_of(const struct disk *disk)
{
	return disk->job.node[0] ? disk->job.node : "-";
}

/* While a task opens the store the size is not known: 0. */
static uint64_t size_of(const struct disk *disk)
{
	return disk->state == DISK_OPENING ? 0 : disk->device.limits.size;
}

void status_list(const struct disk *disk, FILE *to)
{
	fprintf(to, "%s %s %s %s %" PRIu64 " %s\n", disk->config->name, node_of(disk),
		vdpa_driver_name(disk->config->driver), disk_state_name(disk), size_of(disk),
		disk->config->path);
}

void status_stats(const struct disk *disk, FILE *to)
{
	const struct device *device = &disk->device;

	fprintf(to,
		"%s %s: %s, %" PRIu64 " control messages, the slowest answered in %" PRIu64
		" us%s%s%s%s\n",
		disk->config->name, node_of(disk), disk_state_name(disk), device->messages_replied,
		us(device->slowest_reply_ns),
		device->reply_stalled ? ", one cannot be answered: the store is stalled" : "",
		load_relaxed(&device->queues.disk.flush_failed) ? ", a flush has failed" : "",
		disk->why[0] ? ", " : "", disk->why);
	for (uint32_t i = 0; device->queues.all && i < device->queues.count; i++) {
		const struct queue *queue = &device->queues.all[i];

		fprintf(to, "  queue %" PRIu32 ": %s", i,
			queue_states[load_relaxed(&queue->state)]);
		for (size_t n = 0; n < ARRAY_SIZE(stat_names); n++)
			fprintf(to, ", %" PRIu64 " %s", stat_of(queue, &stat_names[n]),
				stat_names[n].name);
		fputc('\n', to);
	}
}

static void queue_json(const struct queue *queue, FILE *to)
{
	fprintf(to, "{\"state\": \"%s\"", queue_states[load_relaxed(&queue->state)]);
	for (size_t n = 0; n < ARRAY_SIZE(stat_names); n++)
		fprintf(to, ", \"%s\": %" PRIu64, stat_names[n].name,
			stat_of(queue, &stat_names[n]));
	fputc('}', to);
}

void status_json(const struct disk *disk, FILE *to)
{
	const struct device *device = &disk->device;

	fprintf(to, "{\"name\": \"%s\", \"node\": \"%s\", \"driver\": \"%s\", \"state\": \"%s\", ",
		disk->config->name, disk->job.node, vdpa_driver_name(disk->config->driver),
		disk_state_name(disk));
	fputs("\"error\": ", to);
	json_string(disk->why, to);
	fputs(", \"path\": ", to);
	json_string(disk->config->path, to);
	fprintf(to,
		", \"size\": %" PRIu64 ", \"stalled\": %s, \"flush_failed\": %s, "
		"\"messages\": %" PRIu64 ", \"slowest_answer_us\": %" PRIu64 ", \"queues\": [",
		size_of(disk), device->reply_stalled ? "true" : "false",
		load_relaxed(&device->queues.disk.flush_failed) ? "true" : "false",
		device->messages_replied, us(device->slowest_reply_ns));
	for (uint32_t i = 0; device->queues.all && i < device->queues.count; i++) {
		fputs(i ? ", " : "", to);
		queue_json(&device->queues.all[i], to);
	}
	fputs("]}", to);
}
