/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has a file open, and who holds locks on it, as the tables in /proc tell.
 *
 * Nothing here opens or waits for another process's file. What the tables do not show: processes of
 * other PID namespaces; without root, other users' processes; an open file that only I/O in flight
 * or a message in a socket holds. Their open-file-description locks are shown, without a process.
 */
#ifndef VDUSE_BLK_OPENERS_H
#define VDUSE_BLK_OPENERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "compiler.h"

#define OPENER_NAME_MAX 32

/* A file as the tables call it. */
struct file_key {
	dev_t dev;	 /* as fstat(2) tells */
	uint64_t ino;	 /* as fdinfo tells; fstat(2) differs on some file systems */
	char lock[48];	 /* its name in lists of locks; empty where the descriptor held no lock */
	int fd;		 /* the descriptor, which openers_scan() passes over */
	const int *more; /* further ones that it passes over; NULL */
	unsigned int more_count;
	unsigned int scan_max; /* so many descriptors are looked at; 0: all */
};

/* Bytes of a file, both included. */
struct file_range {
	uint64_t first, last;
};

enum file_written {
	FILE_UNWRITTEN,
	FILE_WRITTEN,
	FILE_MAYBE_WRITTEN, /* nobody can tell: no regular file, another owner, no leases there */
};

/* A process that has the file open. */
struct opener {
	pid_t pid;
	char name[OPENER_NAME_MAX]; /* of its program, printable */
	uid_t uid;		    /* its effective user */
	bool self;		    /* this process, by another descriptor */
	bool writes;		    /* one of its descriptors is open for writing */
	unsigned int locks;	    /* locks of either kind on bytes of the range */
	bool locked;		    /* it holds a lock, on whichever bytes */
};

struct file_locks {
	unsigned int read, write;
};

/**
 * openers_key() - what the tables call the file of @fd, which may hold a lock. Return: 0; -errno
 */
int __must_check openers_key(int fd, struct file_key *key);

/**
 * openers_locks() - count the record locks on bytes of @range, of all processes and ours
 * @exact: only those of exactly this range
 *
 * A lock that is held all the while is counted; the table is read several times for that. Return:
 * 0; -errno: there is no such table
 */
int __must_check openers_locks(const struct file_key *key, const struct file_range *range,
			       bool exact, struct file_locks *out);

/**
 * openers_scan() - call @found for each process that has the file open
 *
 * Reads /proc/PID/fdinfo of all processes: milliseconds on a small host, a second with 100,000
 * descriptors. Any thread. Return: 0; -E2BIG: not all were looked at; other -errno: there is no /proc
 */
int __must_check openers_scan(const struct file_key *key, const struct file_range *range,
			      void (*found)(const struct opener *opener, void *ctx), void *ctx);

/**
 * openers_written() - has any process, or the kernel, a file open for writing?
 *
 * Tells by a lease that the kernel gives or refuses, so it includes what the tables do not show.
 * @path is opened for a moment.
 */
enum file_written openers_written(const char *path);

#endif
