// SPDX-License-Identifier: GPL-2.0-or-later
#include "examine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/disk_device.h"
#include "log.h"
#include "task.h"

struct examination {
	struct list_node node;
	struct examine *all;
	struct device_config *config; /* a copy: the task may outlive the caller's */
	char *runtime_dir;
	struct task task;
	int result;
	bool pending;
};

static void examine_work(struct task *task)
{
	struct examination *one = container_of(task, struct examination, task);

	one->result = device_examine(one->config, one->runtime_dir);
}

static void examine_done(struct task *task)
{
	struct examination *one = container_of(task, struct examination, task);
	struct examine *examine = one->all;

	one->pending = false;
	examine->pending--;
	if (examine->is_late)
		examine->late(examine, one->config->name, one->result);
}

static void free_one(struct examination *one)
{
	config_device_free(one->config);
	free(one->runtime_dir);
	free(one);
}

static struct examination *new_one(struct examine *examine, const struct device_config *config,
				   const char *runtime_dir)
{
	struct examination *one = calloc(1, sizeof(*one));

	if (!one)
		return NULL;
	one->all = examine;
	one->task = (struct task){ .name = "examine", .work = examine_work, .done = examine_done };
	one->config = config_device_new(config);
	one->runtime_dir = strdup(runtime_dir);
	if (one->config && one->runtime_dir)
		return one;
	free_one(one);
	return NULL;
}

static int start_one(struct examine *examine, const struct device_config *config,
		     const char *runtime_dir, struct ring *ring)
{
	struct examination *one = new_one(examine, config, runtime_dir);
	int err;

	if (!one)
		return -ENOMEM;
	err = task_start(&one->task, ring);
	if (err) {
		log_err("%s: cannot start a thread: %s", config->name, strerror(-err));
		free_one(one);
		return err;
	}
	list_add(&examine->all, &one->node);
	one->pending = true;
	examine->pending++;
	return 0;
}

static void time_is_over(struct ring_timer *timer)
{
	container_of(timer, struct examine, timer)->is_late = true;
}

/* Return: 0; the first -errno of those that have ended */
static int first_error(const struct examine *examine)
{
	list_for_each_entry (one, &examine->all, struct examination, node)
		if (!one->pending && one->result)
			return one->result;
	return 0;
}

static void log_late(const struct examine *examine)
{
	list_for_each_entry (one, &examine->all, struct examination, node)
		if (one->pending)
			log_warn("%s: its store does not respond: the disk is not taken over until "
				 "it does",
				 one->config->name);
}

int examine_all(struct examine *examine, const struct config *config, struct ring *ring)
{
	int err = 0;

	list_init(&examine->all);
	examine->begun = true;
	ring_timer_start(ring, &examine->timer,
			 examine->wait_us ? examine->wait_us : EXAMINE_WAIT_US, time_is_over);
	for (size_t i = 0; i < config->device_count && !err; i++)
		err = start_one(examine, &config->devices[i], config->runtime_dir, ring);
	while (examine->pending && !examine->is_late)
		if (ring_run(ring, true))
			abort(); /* logged; without its ring the server cannot continue */
	if (!err)
		err = first_error(examine);
	if (!err)
		log_late(examine);
	return err;
}

bool examine_pending(const struct examine *examine, const char *name)
{
	if (!examine->begun)
		return false;
	list_for_each_entry (one, &examine->all, struct examination, node)
		if (!strcmp(one->config->name, name))
			return one->pending;
	return false;
}

void examine_exit(struct examine *examine)
{
	if (!examine->begun || examine->pending)
		return;
	while (!list_is_empty(&examine->all))
		free_one(container_of(list_take(&examine->all), struct examination, node));
}
