/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting for another process while a server starts, when nothing takes signals from its signalfd yet.
 */
#ifndef VDUSE_BLK_STARTUP_WAIT_H
#define VDUSE_BLK_STARTUP_WAIT_H

#include <signal.h>
#include <stdbool.h>

/** stop_signals() - those that end a server; it has them blocked */
void stop_signals(sigset_t *set);

/** stop_pending() - has one of them come, and nobody taken it yet? */
bool stop_pending(void);

/**
 * wait_a_little() - sleep 2 ms, and take them off *@wait_ms
 *
 * Return: false, at once: the time is over, or a signal has come that is to end the server
 */
bool wait_a_little(unsigned int *wait_ms);

#endif
