/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A CPU for the interrupts of a virtqueue that has several: that one instead of each in turn, which
 * wakes one CPU less (README, Memory, queues, CPUs).
 *
 * It is one that cannot be taken offline, since the kernel would look for one that is online for
 * ever (drivers/vdpa/vdpa_user/vduse_dev.c:vduse_vq_update_effective_cpu), and of each such CPU one
 * queue has it, so that many busy disks do not meet there.
 */
#ifndef VDUSE_BLK_IRQ_CPU_H
#define VDUSE_BLK_IRQ_CPU_H

#include <stdint.h>

#include "vduse_dev.h"

/**
 * irq_cpu_init() - which there are: of this process' CPUs those without a file @sysfs/cpuN/online
 *
 * Before any other thread uses the rest.
 */
void irq_cpu_init(const char *sysfs);

/**
 * irq_cpu_take() - send the interrupts of queue @index to one CPU, if it has several; any thread
 *
 * Only for virtio_vdpa, after it has set the queue up; it sets other CPUs when it does so again.
 *
 * Return: the CPU, to be given back; -1: none of those that stay is free, nothing was changed
 */
int irq_cpu_take(struct vduse_dev *dev, uint32_t index);

/** irq_cpu_give_back() - what irq_cpu_take() returned, -1 as well; any thread */
void irq_cpu_give_back(int cpu);

#endif
