/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The service manager: a socket that receives what processes of this test send to NOTIFY_SOCKET. */
#ifndef TESTS_MANAGER_FIXTURE_H
#define TESTS_MANAGER_FIXTURE_H

#include <stdbool.h>

/** manager_listen() - from now on. Return: its descriptor, to be closed */
int manager_listen(void);

/** manager_expect() - wait for the next message, which begins with @text */
void manager_expect(int manager, const char *text);

/** manager_has() - take a message, if there is one. Return: does it begin with @text? */
bool manager_has(int manager, const char *text);

#endif
