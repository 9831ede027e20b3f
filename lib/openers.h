/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processes that have a file open, and the locks on it, from tables in /proc.
 *
 * The functions do not open or wait for files of other processes, except openers_written(). The
 * tables do not show processes of other PID namespaces; without root, processes of other users; and
 * a file that only I/O in flight or a message in a socket holds open. They show the
 * open-file-description locks of such files, without a process.
 */
#ifndef LIB_OPENERS_H
#define LIB_OPENERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "compiler.h"

#define OPENER_NAME_MAX 32

/* The names of a file in the tables. */
struct file_key {
	dev_t dev;	 /* from fstat(2) */
	uint64_t ino;	 /* from fdinfo; fstat(2) differs on some file systems */
	char lock[48];	 /* its name in lists of locks; empty where the descriptor held no lock */
	int fd;		 /* this descriptor; openers_scan() ignores it */
	const int *more; /* further descriptors that it ignores; NULL */
	unsigned int more_count;
	unsigned int scan_max; /* the scan ends after so many descriptors; 0: no limit */
};

/* Bytes of a file, both included. */
struct file_range {
	uint64_t first, last;
};

enum file_written {
	FILE_UNWRITTEN,
	FILE_WRITTEN,
	/* Unknown: this process has it open or does not own it, it is not a regular file, or its
	 * file system has no leases. */
	FILE_MAYBE_WRITTEN,
};

/* A process that has the file open. */
struct opener {
	pid_t pid;
	char name[OPENER_NAME_MAX]; /* of its program, printable */
	uid_t uid;		    /* its effective user */
	bool self;		    /* this process, by another descriptor */
	bool writes;		    /* one of its descriptors is open for writing */
	unsigned int locks;	    /* locks of either kind on bytes of the range */
	bool locked;		    /* it holds a lock, on any bytes of the file */
};

struct file_locks {
	unsigned int read, write;
};

/**
 * openers_key() - the names of @fd's file in the tables. @key->lock needs a lock held by @fd
 *
 * Return: 0; -errno
 */
int __must_check openers_key(int fd, struct file_key *key);

/**
 * openers_locks() - count the record locks on bytes of @range, with those of this process
 * @exact: count only locks of exactly this range
 *
 * Reads the table several times, so that a lock that exists all the time is not missed. Return: 0;
 * -errno: the table cannot be read
 */
int __must_check openers_locks(const struct file_key *key, const struct file_range *range,
			       bool exact, struct file_locks *out);

/**
 * openers_scan() - call @found for each process that has the file open
 *
 * Reads /proc/PID/fdinfo of all processes: milliseconds on a small host, a second with 100,000
 * descriptors. Any thread. Return: 0; -E2BIG: stopped at @key->scan_max; other -errno: there is no
 * /proc
 */
int __must_check openers_scan(const struct file_key *key, const struct file_range *range,
			      void (*found)(const struct opener *opener, void *ctx), void *ctx);

/**
 * openers_written() - does any process, or the kernel, have a file open for writing?
 *
 * Asks the kernel for a read lease, so the result includes users that the tables do not show. Opens
 * @path for a moment.
 */
enum file_written openers_written(const char *path);

#endif
