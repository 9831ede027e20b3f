// SPDX-License-Identifier: GPL-2.0-or-later
#include "status.h"

#include <inttypes.h>

#include "bytes.h"
#include "config/config.h"
#include "config/front_end.h"
#include "frontend/vhost_user_device.h"
#include "json.h"

static const char *const queue_states[] = {
	[QUEUE_STOPPED] = "stopped", [QUEUE_WAITING] = "waiting", [QUEUE_RUNNING] = "running",
	[QUEUE_PAUSED] = "paused",   [QUEUE_BROKEN] = "broken",
};

/* A counter of a queue: its key in JSON, and its column in the table for people. */
struct stat_name {
	const char *name;
	const char *column;
	bool bytes;
	size_t offset;
};

#define COUNT(op) offsetof(struct queue, requests.stats.done[op].count)
#define BYTES(op) offsetof(struct queue, requests.stats.done[op].bytes)

static const struct stat_name stat_names[] = {
	{ "reads", "READS", false, COUNT(BLK_READ) },
	{ "read_bytes", "READ", true, BYTES(BLK_READ) },
	{ "writes", "WRITES", false, COUNT(BLK_WRITE) },
	{ "written_bytes", "WRITTEN", true, BYTES(BLK_WRITE) },
	{ "flushes", "FLUSHES", false, COUNT(BLK_FLUSH) },
	{ "discards", "DISCARDS", false, COUNT(BLK_DISCARD) },
	{ "discarded_bytes", "DISCARDED", true, BYTES(BLK_DISCARD) },
	{ "zeroings", "ZEROINGS", false, COUNT(BLK_WRITE_ZEROES) },
	{ "zeroed_bytes", "ZEROED", true, BYTES(BLK_WRITE_ZEROES) },
	{ "popped", "TAKEN", false, offsetof(struct queue, requests.stats.popped) },
	{ "pushed", "GIVEN-BACK", false, offsetof(struct queue, requests.stats.pushed) },
	{ "errors", "ERRORS", false, offsetof(struct queue, requests.stats.errors) },
	{ "retries", "RETRIES", false, offsetof(struct queue, requests.stats.retries) },
	{ "kicks", "KICKS", false, offsetof(struct queue, stats.kicks) },
	{ "interrupts", "INTERRUPTS", false, offsetof(struct queue, stats.interrupts) },
	{ "broken", "BROKEN", false, offsetof(struct queue, stats.broken) },
};

#define COLUMN_WIDTH 10

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

/* The size is 0 while a task opens the store: it is not known. */
static uint64_t size_of(const struct disk *disk)
{
	return disk->state == DISK_OPENING ? 0 : disk->device.limits.size;
}

void status_list(const struct disk *disk, FILE *to)
{
	fprintf(to, "%s %s %s %s %" PRIu64 " %s\n", disk->config->name, node_of(disk),
		front_end_of(disk->config->driver)->name, disk_state_name(disk), size_of(disk),
		disk->config->path);
}

static void print_columns(FILE *to)
{
	fprintf(to, "  %-5s %-7s", "QUEUE", "STATE");
	for (size_t n = 0; n < ARRAY_SIZE(stat_names); n++)
		fprintf(to, " %*s", COLUMN_WIDTH, stat_names[n].column);
	fputc('\n', to);
}

static void print_queue(uint32_t i, const struct queue *queue, FILE *to)
{
	char text[BYTES_TEXT_MAX];

	fprintf(to, "  %-5" PRIu32 " %-7s", i, queue_states[load_relaxed(&queue->state)]);
	for (size_t n = 0; n < ARRAY_SIZE(stat_names); n++) {
		const struct stat_name *stat = &stat_names[n];

		if (stat->bytes)
			fprintf(to, " %*s", COLUMN_WIDTH, bytes_print(stat_of(queue, stat), text));
		else
			fprintf(to, " %*" PRIu64, COLUMN_WIDTH, stat_of(queue, stat));
	}
	fputc('\n', to);
}

static void print_vduse(const struct vduse_device *vduse, FILE *to)
{
	fprintf(to, "%" PRIu64 " control messages, slowest reply after %" PRIu64 " us%s",
		vduse->messages_replied, us(vduse->slowest_reply_ns),
		vduse->reply_stalled ? ", a reply is delayed: the store stalls" : "");
}

static void print_vhost_user(const struct device *device, FILE *to)
{
	pid_t pid = vhost_user_front_end(device);

	if (pid > 0)
		fprintf(to, "process %d is connected", (int)pid);
	else
		fprintf(to, "%s is connected",
			pid ? "a process of another PID namespace" : "no process");
}

void status_stats(const struct disk *disk, FILE *to)
{
	const struct device *device = &disk->device;

	fprintf(to, "%s %s: %s, ", disk->config->name, node_of(disk), disk_state_name(disk));
	if (front_end_of(disk->config->driver)->vdpa)
		print_vduse(&device->vduse, to);
	else
		print_vhost_user(device, to);
	fprintf(to, "%s%s%s\n",
		load_relaxed(&device->queues.disk.flush_failed) ? ", writes were lost" : "",
		disk->why[0] ? ", " : "", disk->why);
	for (uint32_t i = 0; device->queues.all && i < device->queues.count; i++) {
		if (!i)
			print_columns(to);
		print_queue(i, &device->queues.all[i], to);
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

	fprintf(to, "{\"name\": \"%s\", \"node\": ", disk->config->name);
	json_string(disk->job.node, to);
	fprintf(to, ", \"driver\": \"%s\", \"state\": \"%s\", ",
		front_end_of(disk->config->driver)->name, disk_state_name(disk));
	if (!front_end_of(disk->config->driver)->vdpa)
		fprintf(to, "\"front_end_pid\": %d, ", (int)vhost_user_front_end(device));
	fputs("\"error\": ", to);
	json_string(disk->why, to);
	fputs(", \"path\": ", to);
	json_string(disk->config->path, to);
	fprintf(to,
		", \"size\": %" PRIu64 ", \"stalled\": %s, \"flush_failed\": %s, "
		"\"messages\": %" PRIu64 ", \"slowest_answer_us\": %" PRIu64 ", \"queues\": [",
		size_of(disk), device->vduse.reply_stalled ? "true" : "false",
		load_relaxed(&device->queues.disk.flush_failed) ? "true" : "false",
		device->vduse.messages_replied, us(device->vduse.slowest_reply_ns));
	for (uint32_t i = 0; device->queues.all && i < device->queues.count; i++) {
		fputs(i ? ", " : "", to);
		queue_json(&device->queues.all[i], to);
	}
	fputs("]}", to);
}
