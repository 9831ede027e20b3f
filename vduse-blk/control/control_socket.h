/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control sockets of servers: their names in runtime_dir, the process at the other end, and the
 * packets. No function here blocks, and none logs.
 *
 * A server listens at PID-RANDOM.control. PID is information for administrators and does not identify
 * the server: servers in two PID namespaces may have equal process ids. A server binds its socket to a hidden
 * name, .PID-RANDOM.control, and renames it when it listens, so that every socket that clients find
 * accepts connections. Servers of version 0.1.0 listen at PID.control.
 */
#ifndef VDUSE_BLK_CONTROL_SOCKET_H
#define VDUSE_BLK_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"

#define CONTROL_PATH_MAX 128

enum control_name {
	CONTROL_NAME_OTHER,  /* not the socket of a server */
	CONTROL_NAME_UNIQUE, /* PID-RANDOM.control: listens, or its server has ended */
	CONTROL_NAME_PLAIN,  /* PID.control: may also be between bind() and listen() */
	CONTROL_NAME_HIDDEN, /* .PID-RANDOM.control: before listen(), or the server ended before it */
};

/** control_name_of() - Return: the kind of the name of a directory entry */
enum control_name control_name_of(const char *name);

/**
 * control_listen() - create a socket with a unique name in @directory, and listen
 * @path: CONTROL_PATH_MAX bytes; set to the path of the socket
 *
 * Return: a descriptor that does not block; -errno
 */
int __must_check control_listen(const char *directory, char *path);

/**
 * control_connect() - connect to the socket at @path
 *
 * Return: a descriptor that does not block; -ECONNREFUSED: no process listens there; -EAGAIN: the
 * backlog is full: the server's process may be stopped; other -errno
 */
int __must_check control_connect(const char *path);

/* The process at the other end of a connection. */
struct control_peer {
	pid_t pid; /* 0: it is in another PID namespace, and this process cannot see it */
	int pidfd; /* -1: the process has ended, or the kernel cannot provide one */
};

/** control_peer_get() - the process at the other end; control_peer_put() frees what it opened */
void control_peer_get(int fd, struct control_peer *peer);
void control_peer_put(struct control_peer *peer);

#define CONTROL_PEER_NAME_MAX 64

/** control_peer_name() - "the server with process id 7". Return: @text */
const char *control_peer_name(pid_t pid, char text[CONTROL_PEER_NAME_MAX]);

#define CONTROL_FDS_MAX 2 /* descriptors with one packet */

/** control_send_packet() - send @text and @count descriptors. Return: 0; -EAGAIN: not now; other -errno */
int __must_check control_send_packet(int fd, const char *text, const int *fds, unsigned int count);

/**
 * control_receive_packet() - receive a packet
 * @text: out: at most @size bytes, without a null byte
 * @fds:  out: the descriptors that came with it, owned by the caller; -1: none
 *
 * Return: bytes; 0: the connection is closed; -EAGAIN: no packet; other -errno
 */
ssize_t control_receive_packet(int fd, char *text, size_t size, int fds[CONTROL_FDS_MAX]);

/**
 * control_send() - send a response: the word "ok" or "error", and a memory file with the text
 *
 * The packet is small, so a client that reads slowly cannot delay it. Return: 0; -errno
 */
int __must_check control_send(int fd, bool ok, int text_fd);

/**
 * control_receive() - read a response of control_send()
 * @error: set to whether its word is "error"
 *
 * Return: the text, which the caller frees; NULL: there is no packet, or it cannot be read
 */
char *control_receive(int fd, bool *error);

#endif
