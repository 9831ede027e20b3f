// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mark STAT-FILE MILLISECONDS [count]: prints how many I/O a disk completes in that time. With "count"
 * its instructions are counted as well, by profile_plugin.c in QEMU.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Reads and writes, the first and the fifth number (Documentation/block/stat.rst). */
static unsigned long completed(int fd)
{
	unsigned long reads, writes;
	char text[512];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	if (len <= 0)
		exit(1);
	text[len] = '\0';
	if (sscanf(text, "%lu %*u %*u %*u %lu", &reads, &writes) != 2)
		exit(1);
	return reads + writes;
}

int main(int argc, char **argv)
{
	int fd = argc >= 3 ? open(argv[1], O_RDONLY) : -1;
	long ms = argc >= 3 ? strtol(argv[2], NULL, 10) : 0;
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	unsigned long before;

	if (fd < 0)
		return 2;
	before = completed(fd);
	if (argc > 3)
		__asm__ volatile(".byte 0x0f, 0x1f, 0x80, 0xbe, 0xba, 0xfe, 0xca"); /* begin */
	nanosleep(&time, NULL);
	if (argc > 3)
		__asm__ volatile(".byte 0x0f, 0x1f, 0x80, 0xef, 0xbe, 0xad, 0xde"); /* end */
	printf("%lu\n", completed(fd) - before);
	return 0;
}
