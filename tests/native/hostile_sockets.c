// SPDX-License-Identifier: GPL-2.0-or-later
/* What a front end does to its socket: it leaves at any moment, never reads, never writes, comes twice. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostile.h"
#include "native.h"

#define CONNECTS 500u

/* As far as a number of messages, and gone without a word. */
static void leaves_at_any_moment(struct bench *b)
{
	struct session s;

	for (unsigned int i = 0; i < CONNECTS; i++) {
		where("connection %u", i);
		hostile_open(&s, b, (enum stage)(i % STAGES));
		if (i % STAGES == RUNNING)
			hostile_kick(&s);
		session_exit(&s);
	}
}

/* With I/O in flight, and all the memory goes with it. */
static void leaves_under_load(struct bench *b)
{
	struct session s;
	struct load load;

	for (unsigned int i = 0; i < 50; i++) {
		where("connection %u", i);
		hostile_open(&s, b, RUNNING);
		load_init(&load, &s, 0, 256, false);
		load_offer(&load, 1 + i * 2);
		load_exit(&load);
		session_exit(&s);
	}
}

/* Thousands of questions, and no answer is read. */
static void never_reads(struct bench *b)
{
	struct session s;
	int err = 0;

	hostile_open(&s, b, RUNNING);
	s.c.deadline_ms = 200;
	for (unsigned int i = 0; !err && i < 100000; i++)
		err = vuc_send(&s.c, VUC_GET_FEATURES, NULL);
	want(err == 0 || err == -ETIMEDOUT || err == -ECONNRESET, "send: %s", strerror(-err));
	session_exit(&s);
}

/* One that says nothing, or half a message, keeps nobody from the other disk, and leaves. */
static void says_nothing(struct bench *b)
{
	struct session s;

	for (unsigned int i = 0; i < 3; i++) {
		where("silence %u", i);
		hostile_open(&s, b, CONNECTED);
		if (i)
			must(vuc_send_bytes(&s.c, (uint32_t[]){ VUC_GET_FEATURES, 1, 0 }, i * 5,
					    NULL, 0),
			     "send");
		hostile_end(&s);
	}
}

/* Byte by byte is a stream as good as any. */
static void sends_byte_by_byte(struct bench *b)
{
	const struct vuc_header header = { VUC_GET_FEATURES, VUC_VERSION, 0 };
	struct vuc_message reply;
	struct session s;

	hostile_open(&s, b, CONNECTED);
	for (unsigned int i = 0; i < 20 * sizeof(header); i++)
		must(vuc_send_bytes(&s.c, (const uint8_t *)&header + i % sizeof(header), 1, NULL,
				    0),
		     "send");
	for (unsigned int i = 0; i < 20; i++)
		must(vuc_receive(&s.c, &reply), "reply");
	hostile_end(&s);
}

/* Others at the same time: they wait, or are turned away, and the first one does not notice. */
static void comes_twice(struct bench *b)
{
	struct session first;
	struct vuc other;
	struct load load;
	int err;

	hostile_open(&first, b, RUNNING);
	load_init(&load, &first, 0, 256, false);
	for (unsigned int i = 0; i < 20; i++) {
		where("second front end %u", i);
		err = vuc_connect(&other, b->victim, 0);
		want(err == 0 || err == -EAGAIN, "connect: %s", strerror(-err));
		must(load_run(&load, 50), "I/O of the first one");
		vuc_close(&other);
	}
	must(load_verify(&load), "verify");
	load_exit(&load);
	session_stop(&first);
	hostile_end(&first);
}

/* Descriptors by themselves, in many messages, and no message ever ends. */
static void descriptors_pile_up(struct bench *b)
{
	struct session s;
	int fds[VUC_FDS_MAX], err = 0;

	for (unsigned int i = 0; i < VUC_FDS_MAX; i++)
		fds[i] = b->fds[FD_EVENT];
	hostile_open(&s, b, CONNECTED);
	must(vuc_send_bytes(&s.c, (uint32_t[]){ VUC_SET_MEM_TABLE, 1, 4000 }, 12, NULL, 0), "send");
	for (unsigned int i = 0; !err && i < 1000; i++)
		err = vuc_send_bytes(&s.c, "x", 1, fds, VUC_FDS_MAX);
	want(err == 0 || err == -ECONNRESET || err == -ETIMEDOUT || err == -ETOOMANYREFS,
	     "send: %s", strerror(-err));
	hostile_end(&s);
}

const struct hostile_case socket_cases[] = {
	{ "leaves", leaves_at_any_moment },
	{ "leaves-under-load", leaves_under_load },
	{ "never-reads", never_reads },
	{ "says-nothing", says_nothing },
	{ "byte-by-byte", sends_byte_by_byte },
	{ "comes-twice", comes_twice },
	{ "descriptors-pile-up", descriptors_pile_up },
	{ 0 },
};
