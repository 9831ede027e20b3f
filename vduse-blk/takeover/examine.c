// SPDX-License-Identifier: GPL-2.0-or-later
#include "examine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/device.h"
#include "log.h"

static size_t number_of(const struct examination *one)
{
	return (size_t)(one - one->all->each);
}

static void examine_work(struct task *task)
{
	struct examination *one = container_of(task, struct examination, task);
	const struct config *config = one->all->config;

	one->result = device_examine(&config->devices[number_of(one)], config->runtime_dir);
}

static void examine_done(struct task *task)
{
	struct examination *one = container_of(task, struct examination, task);
	struct examine *examine = one->all;

	one->pending = false;
	examine->pending--;
	if (examine->is_late)
		examine->late(examine, number_of(one), one->result);
}

static int start_one(struct examine *examine, size_t i, struct ring *ring)
{
	struct examination *one = &examine->each[i];
	int err;

	one->all = examine;
	one->task = (struct task){ .name = "examine", .work = examine_work, .done = examine_done };
	err = task_start(&one->task, ring);
	if (err) {
		log_err("%s: cannot start a thread: %s", examine->config->devices[i].name,
			strerror(-err));
		return err;
	}
	one->pending = true;
	examine->pending++;
	return 0;
}

static void time_is_over(struct ring_timer *timer)
{
	container_of(timer, struct examine, timer)->is_late = true;
}

static void say_late(const struct examine *examine)
{
	for (size_t i = 0; i < examine->config->device_count; i++)
		if (examine->each[i].pending)
			log_warn("%s: its store does not respond: the disk is not taken over until "
				 "it does",
				 examine->config->devices[i].name);
}

int examine_all(struct examine *examine, struct ring *ring)
{
	int err = 0;

	examine->each = calloc(examine->config->device_count, sizeof(*examine->each));
	if (!examine->each)
		return -ENOMEM;
	ring_timer_start(ring, &examine->timer,
			 examine->wait_us ? examine->wait_us : EXAMINE_WAIT_US, time_is_over);
	for (size_t i = 0; i < examine->config->device_count && !err; i++)
		err = start_one(examine, i, ring);
	while (examine->pending && !examine->is_late)
		if (ring_run(ring, true))
			abort(); /* logged; without its ring this process can do nothing */
	for (size_t i = 0; i < examine->config->device_count && !err; i++)
		err = examine->each[i].pending ? 0 : examine->each[i].result;
	if (!err)
		say_late(examine);
	return err;
}

bool examine_pending(const struct examine *examine, size_t disk)
{
	return examine->each && examine->each[disk].pending;
}

void examine_exit(struct examine *examine)
{
	if (!examine->pending)
		free(examine->each);
}
