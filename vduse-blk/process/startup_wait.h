/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waits for another process while the server starts, before the main loop reads the signalfd. */
#ifndef VDUSE_BLK_STARTUP_WAIT_H
#define VDUSE_BLK_STARTUP_WAIT_H

#include <signal.h>
#include <stdbool.h>

/** stop_signals() - fill @set with the signals that end a server, which blocks them */
void stop_signals(sigset_t *set);

/** stop_pending() - is one of these signals pending? */
bool stop_pending(void);

/**
 * startup_wait() - sleep 2 ms, and subtract them from *@wait_ms
 *
 * Return: false, without sleeping: *@wait_ms is 0, or a signal that ends the server is pending
 */
bool startup_wait(unsigned int *wait_ms);

#endif
