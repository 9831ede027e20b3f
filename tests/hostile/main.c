// SPDX-License-Identifier: GPL-2.0-or-later
/* hostile: see usage(), and hostile.h for what it is. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"
#include "resets.h"
#include "sketch.h"

#define CASE_SECONDS 120

static char current[128] = "hostile";

static const struct sketch *const sketches[] = { chain_sketches, indirect_sketches,
						 request_sketches };
static const struct hostile_case *const cases[] = { ring_cases, setup_cases, reset_cases,
						    memory_cases, race_cases };

void fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	flockfile(stdout);
	printf("%s: ", current);
	vprintf(fmt, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
	_exit(1);
}

void where(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(current, sizeof(current), fmt, args);
	va_end(args);
}

void must(int err, const char *what)
{
	if (err)
		fail("%s: %s", what, strerror(-err));
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Whatever was done to queue 0: nothing else suffers, and a reset repairs it. */
static void check_bench(struct bench *bench)
{
	driver_start(&bench->victim);
	for (uint32_t i = 0; i < QUEUES; i++) {
		driver_good(&bench->victim, i);
		driver_good(&bench->other, i);
	}
}

/* What a process of its own is to do; it writes where it is. */
struct job {
	const struct sketch *sketch; /* the first of several, up to the end of the table */
	const struct hostile_case *named;
	struct random_job random;
	char *const *names; /* of those wanted; none: all */
};

static bool wanted(const char *name, char *const *names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

/* One after the other, for as long as all goes well. */
static void run_sketches(struct bench *bench, struct job *job)
{
	driver_map_quirks(&bench->victim);
	driver_start(&bench->victim);
	driver_start(&bench->locked);
	for (; job->sketch->name; job->sketch++) {
		if (!wanted(job->sketch->name, job->names))
			continue;
		where("%s", job->sketch->name);
		alarm(CASE_SECONDS);
		sketch_run(bench, job->sketch);
	}
}

static void run_job(struct job *job, char *const nodes[3])
{
	struct bench bench;

	driver_open(&bench.victim, nodes[0]);
	driver_open(&bench.other, nodes[1]);
	driver_open(&bench.locked, nodes[2]);
	driver_start(&bench.other);
	if (job->sketch)
		run_sketches(&bench, job);
	else if (job->named)
		job->named->run(&bench, job->named->arg);
	else
		random_run(&bench, &job->random);
	driver_good(&bench.other, 0);
	check_bench(&bench);
	_exit(0);
}

/* Return: it went well */
static bool run_apart(struct job *job, char *const nodes[3], unsigned int seconds)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child < 0)
		fail("fork: %s", strerror(errno));
	if (!child) {
		alarm(seconds);
		run_job(job, nodes);
	}
	if (waitpid(child, &status, 0) < 0)
		fail("waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		printf("%s: %s\n", job->sketch ? job->sketch->name : current,
		       WTERMSIG(status) == SIGALRM ? "hangs" : strsignal(WTERMSIG(status)));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static struct job *job_new(char *const *names)
{
	struct job *job =
		mmap(NULL, sizeof(*job), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (job == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	job->names = names;
	return job;
}

/* How many of a table are wanted. */
static unsigned int count_sketches(const struct sketch *s, char *const *names)
{
	unsigned int count = 0;

	for (; s->name; s++)
		count += wanted(s->name, names);
	return count;
}

/* After one that failed it goes on with the next. Return: how many did */
static unsigned int run_table(const struct sketch *table, struct job *job, char *const nodes[3])
{
	unsigned int failed = 0;

	job->sketch = table;
	while (count_sketches(job->sketch, job->names) && !run_apart(job, nodes, CASE_SECONDS)) {
		failed++;
		if (job->sketch->name)
			job->sketch++;
	}
	job->sketch = NULL;
	return failed;
}

static int run_cases(char *const nodes[3], char *const *names)
{
	struct job *job = job_new(names);
	unsigned int run = 0, failed = 0;

	for (size_t t = 0; t < ARRAY_SIZE(sketches); t++) {
		run += count_sketches(sketches[t], names);
		failed += run_table(sketches[t], job, nodes);
	}
	for (size_t t = 0; t < ARRAY_SIZE(cases); t++)
		for (const struct hostile_case *c = cases[t]; c->name; c++)
			if (wanted(c->name, names) && (*names || !c->on_request)) {
				run++;
				job->named = c;
				where("%s", c->name);
				failed += !run_apart(job, nodes, CASE_SECONDS);
			}
	printf("%u cases, %u failed\n", run, failed);
	return failed || !run;
}

static int run_random(char *const nodes[3], const struct random_job *random)
{
	struct job *job = job_new(NULL);
	bool good;

	job->random = *random;
	good = run_apart(job, nodes, 0);
	printf("random: seed %" PRIu64 ", %" PRIu64 " chains, %" PRIu64 " served: %s\n",
	       random->seed, random->count, job->random.served, good ? "good" : "FAILED");
	return !good;
}

static int usage(void)
{
	fputs("usage: hostile cases NODE OTHER READ-ONLY [NAME...]\n"
	      "       hostile random NODE OTHER READ-ONLY SEED COUNT [FIRST-BATCH]\n"
	      "       hostile resets NODE INFLIGHT COUNT\n"
	      "NODE, OTHER and READ-ONLY are /dev/vhost-vdpa-N of one server, with 2 queues and\n"
	      "64 MiB each. NODE is attacked, and its data lost. INFLIGHT is the file of its store's\n"
	      "disk in sysfs.\n",
	      stderr);
	return 2;
}

int main(int argc, char *argv[])
{
	if (argc >= 5 && !strcmp(argv[1], "cases"))
		return run_cases(argv + 2, argv + 5);
	if ((argc == 7 || argc == 8) && !strcmp(argv[1], "random"))
		return run_random(argv + 2,
				  &(struct random_job){
					  .seed = strtoull(argv[5], NULL, 0),
					  .count = strtoull(argv[6], NULL, 0),
					  .first = argv[7] ? strtoull(argv[7], NULL, 0) : 0,
				  });
	if (argc == 5 && !strcmp(argv[1], "resets"))
		return resets_run(argv[2], argv[3], strtoull(argv[4], NULL, 0));
	return usage();
}
