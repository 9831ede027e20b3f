// SPDX-License-Identifier: GPL-2.0-or-later
#include "irq_cpu.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static cpu_set_t free_cpus;

/* Linux creates "online" if a CPU can be taken offline (drivers/base/core.c:device_add_attrs). */
static bool stays_online(const char *sysfs, int cpu)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/cpu%d", sysfs, cpu);
	if (access(path, F_OK))
		return false;
	snprintf(path, sizeof(path), "%s/cpu%d/online", sysfs, cpu);
	return access(path, F_OK) && errno == ENOENT;
}

void irq_cpu_init(const char *sysfs)
{
	cpu_set_t ours;

	CPU_ZERO(&free_cpus);
	if (sched_getaffinity(0, sizeof(ours), &ours))
		return; /* more CPUs than a cpu_set_t can hold: irq_cpu_take() returns -1 */
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &ours) && stays_online(sysfs, cpu))
			CPU_SET(cpu, &free_cpus);
}

/* Return: a free CPU of @cpus, now taken; -1: none is free */
static int take_one_of(const cpu_set_t *cpus)
{
	int cpu = 0;

	pthread_mutex_lock(&lock);
	while (cpu < CPU_SETSIZE && !(CPU_ISSET(cpu, cpus) && CPU_ISSET(cpu, &free_cpus)))
		cpu++;
	if (cpu < CPU_SETSIZE)
		CPU_CLR(cpu, &free_cpus);
	pthread_mutex_unlock(&lock);
	return cpu < CPU_SETSIZE ? cpu : -1;
}

int irq_cpu_take(struct vduse_dev *dev, uint32_t index)
{
	cpu_set_t cpus;
	int cpu;

	if (vduse_dev_vq_cpus(dev, index, &cpus) || CPU_COUNT(&cpus) < 2)
		return -1;
	cpu = take_one_of(&cpus);
	if (cpu < 0)
		return -1;
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (!vduse_dev_vq_set_cpus(dev, index, &cpus))
		return cpu;
	irq_cpu_give_back(cpu);
	return -1;
}

void irq_cpu_give_back(int cpu)
{
	if (cpu < 0)
		return;
	pthread_mutex_lock(&lock);
	CPU_SET(cpu, &free_cpus);
	pthread_mutex_unlock(&lock);
}
