/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sockets of running servers: their names in runtime_dir, the process at the other end, and the
 * packets that go through them. No function here blocks, and none logs.
 *
 * A server listens at PID-RANDOM.control. PID is for people: a name proves nothing about a process,
 * since servers in two PID namespaces may have equal process ids. A server binds its socket to a
 * hidden name, .PID-RANDOM.control, and renames it when it listens, so a socket that clients find
 * accepts connections. Servers before that listen at PID.control.
 */
#ifndef VDUSE_BLK_CONTROL_SOCKET_H
#define VDUSE_BLK_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"

#define CONTROL_PATH_MAX 128

enum control_name {
	CONTROL_NAME_OTHER,  /* no socket of a server */
	CONTROL_NAME_UNIQUE, /* PID-RANDOM.control: listens, or its server has ended */
	CONTROL_NAME_PLAIN,  /* PID.control: may be between bind() and listen() */
	CONTROL_NAME_HIDDEN, /* .PID-RANDOM.control: is set up, or its server ended meanwhile */
};

/** control_name_of() - what kind of name does a directory entry have? */
enum control_name control_name_of(const char *name);

/**
 * control_listen() - listen at a new unique name in @directory
 * @path: of CONTROL_PATH_MAX bytes; set to the name
 *
 * Return: a descriptor that does not block; -errno
 */
int __must_check control_listen(const char *directory, char *path);

/**
 * control_connect() - connect to the socket at @path
 *
 * Return: a descriptor that does not block; -ECONNREFUSED: no process listens there; -EAGAIN: its
 * server accepts no connections for now, as one that is stopped; other -errno
 */
int __must_check control_connect(const char *path);

/* The process at the other end of a connection. */
struct control_peer {
	pid_t pid; /* 0: it is in another PID namespace, and this process cannot see it */
	int pidfd; /* -1: the process has ended, or the kernel does not tell */
};

/** control_peer_get() - the process that connected, or listened. The caller closes @peer->pidfd */
void control_peer_get(int fd, struct control_peer *peer);
void control_peer_put(struct control_peer *peer);

#define CONTROL_PEER_NAME_MAX 64

/** control_peer_name() - "the server with process id 7". Return: @text */
const char *control_peer_name(pid_t pid, char text[CONTROL_PEER_NAME_MAX]);

/**
 * control_send() - one packet: "ok" or "error", and a memory file with the text
 *
 * A text of any length goes at once, even to a client that reads slowly. Return: 0; -errno
 */
int __must_check control_send(int fd, bool ok, int text_fd);

/**
 * control_receive() - take a packet of control_send()
 * @error: set to whether its word was "error"
 *
 * Return: the text, which the caller frees; NULL: there is none, or it cannot be read
 */
char *control_receive(int fd, bool *error);

#endif
