// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "test_log.h"

#define RULES_MAX 16
#define LINES_MAX 512
#define LINE_SIZE 256

struct rule {
	enum log_level level;
	const char *part;
	bool any_number;
	bool seen;
};

/* Lines come from any thread. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[RULES_MAX];
static unsigned int rule_count;
static char lines[LINES_MAX][LINE_SIZE];
static unsigned int line_count;
static char unexpected[LINE_SIZE];
static bool muted;

static bool line_is_announced(enum log_level level, const char *text)
{
	for (unsigned int i = 0; i < rule_count; i++) {
		struct rule *rule = &rules[i];

		if (rule->level != level || !strstr(text, rule->part))
			continue;
		if (rule->any_number)
			return true;
		if (!rule->seen) {
			rule->seen = true;
			return true;
		}
	}
	return false;
}

static void capture(enum log_level level, const char *text)
{
	pthread_mutex_lock(&lock);
	if (!muted && line_count < LINES_MAX)
		snprintf(lines[line_count++], LINE_SIZE, "%s", text);
	if (!muted && !line_is_announced(level, text) && level <= LOG_LEVEL_WARNING &&
	    !unexpected[0])
		snprintf(unexpected, sizeof(unexpected), "%s", text);
	pthread_mutex_unlock(&lock);
}

void test_log_begin(void)
{
	rule_count = 0;
	line_count = 0;
	unexpected[0] = '\0';
	muted = false;
	log_init(capture, LOG_LEVEL_DEBUG);
}

void test_log_end(void)
{
	log_init(NULL, LOG_LEVEL_ERROR);
	ck_assert_msg(!unexpected[0], "unexpected log line: %s", unexpected);
	for (unsigned int i = 0; i < rule_count; i++)
		ck_assert_msg(rules[i].any_number || rules[i].seen, "this log line never came: %s",
			      rules[i].part);
}

static void add_rule(enum log_level level, const char *part, bool any_number)
{
	pthread_mutex_lock(&lock);
	ck_assert_uint_lt(rule_count, RULES_MAX);
	rules[rule_count++] =
		(struct rule){ .level = level, .part = part, .any_number = any_number };
	pthread_mutex_unlock(&lock);
}

void test_log_expect(enum log_level level, const char *part)
{
	add_rule(level, part, false);
}

void test_log_allow(enum log_level level, const char *part)
{
	add_rule(level, part, true);
}

void test_log_mute(bool mute)
{
	pthread_mutex_lock(&lock);
	muted = mute;
	pthread_mutex_unlock(&lock);
}

unsigned int test_log_count(const char *part)
{
	unsigned int count = 0;

	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < line_count; i++)
		count += strstr(lines[i], part) != NULL;
	pthread_mutex_unlock(&lock);
	return count;
}
