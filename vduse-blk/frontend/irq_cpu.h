/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One CPU for the interrupts of a virtqueue. By default the kernel uses several CPUs in turn, and
 * wakes a sleeping CPU for each interrupt (README, Memory, queues, CPUs).
 *
 * The CPU must be one that cannot be taken offline: without an online CPU the kernel searches for
 * one for ever (drivers/vdpa/vdpa_user/vduse_dev.c:vduse_vq_update_effective_cpu). Each CPU is
 * given to one queue only, so that the interrupts of many busy disks do not share a CPU.
 */
#ifndef VDUSE_BLK_IRQ_CPU_H
#define VDUSE_BLK_IRQ_CPU_H

#include <stdint.h>

#include "vduse_dev.h"

/**
 * irq_cpu_init() - find the CPUs that this process may use and that have no file @sysfs/cpuN/online
 *
 * Call it before any thread calls the other functions.
 */
void irq_cpu_init(const char *sysfs);

/**
 * irq_cpu_take() - send the interrupts of queue @index to one CPU, if they go to several; any
 * thread
 *
 * Only for virtio-vdpa, after the driver has set the queue up. When the driver sets the queue up
 * again, it replaces the CPU.
 *
 * Return: the CPU, for irq_cpu_give_back(); -1: no suitable CPU is free, nothing was changed
 */
int irq_cpu_take(struct vduse_dev *dev, uint32_t index);

/** irq_cpu_give_back() - @cpu: the result of irq_cpu_take(); -1: no effect. Any thread */
void irq_cpu_give_back(int cpu);

#endif
