// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "temp_dir.h"

#define MESSAGE_MAX 256

int manager_listen(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_uint_lt(strlen(temp_dir), 80);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/notify", temp_dir);
	unlink(address.sun_path);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
	return manager;
}

static bool begins_with(const char *message, const char *text)
{
	return !strncmp(message, text, strlen(text));
}

void manager_expect(int manager, const char *text)
{
	char message[MESSAGE_MAX] = "";

	ck_assert_int_gt(recv(manager, message, sizeof(message) - 1, 0), 0);
	ck_assert_msg(begins_with(message, text), "not %s, but %s", text, message);
}

bool manager_has(int manager, const char *text)
{
	char message[MESSAGE_MAX] = "";

	return recv(manager, message, sizeof(message) - 1, MSG_DONTWAIT) > 0 &&
	       begins_with(message, text);
}
