// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The inflight log: a server's life of takes, pushes and publications, then damage
 * to the file, then the next server, which must refuse it or get heads out of it that it can use.
 *
 * Without damage it must get back exactly what was not published. The file may also be the rest of
 * the input alone, as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "inflight.h"
#include "ring_model.h"

#define VQS_MAX	      3u
#define SIZE_MAX_LOG2 4u
#define HEADS_MAX     (1u << SIZE_MAX_LOG2)

/* The first byte of an input. */
enum {
	FLAG_RAW_FILE = 1,  /* the rest is the file */
	FLAG_TRUNCATED = 2, /* the file is cut, or grows, in the end */
	FLAG_OTHER = 4,	    /* the next server's parameters differ */
};

struct model {
	struct heads_model heads;
	uint16_t used_idx;
};

static char dir[] = "/dev/shm/fuzz_inflight.XXXXXX";
static char file[sizeof(dir) + 32];

static void clean_up(void)
{
	unlink(file);
	rmdir(dir);
}

static void set_up(void)
{
	if (file[0])
		return;
	must(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/disk.inflight", dir);
	atexit(clean_up);
}

static void choose_params(struct inflight_params *p, struct input *in)
{
	uint8_t shape = input_u8(in);

	*p = (struct inflight_params){
		.directory = dir,
		.name = "disk",
		.features = shape,
		.vq_num = shape % VQS_MAX + 1,
		.vq_size = (uint16_t)(1 << (shape >> 2) % (SIZE_MAX_LOG2 + 1)),
		.identity = "a disk",
	};
}

/* ---- the first server ---- */

static void take(struct inflight_vq *log, struct model *model, uint16_t head)
{
	if (model->heads.state[head] != HEAD_FREE)
		return;
	inflight_vq_take(log, head);
	heads_take(&model->heads, head);
}

static void push(struct inflight_vq *log, struct model *model, uint16_t head)
{
	if (model->heads.state[head] != HEAD_TAKEN)
		return;
	inflight_vq_push(log, head);
	heads_push(&model->heads, head);
}

static void publish(struct inflight_vq *log, struct model *model)
{
	uint16_t heads[HEADS_MAX];
	uint32_t count = heads_publish(&model->heads, heads);

	model->used_idx = (uint16_t)(model->used_idx + count);
	inflight_vq_published(log, heads, count, model->used_idx);
}

static void serve(struct inflight_vq *log, struct model *model, uint16_t size, struct input *in)
{
	uint8_t steps = input_u8(in);

	heads_reset(&model->heads, size);
	model->used_idx = input_u16(in);
	inflight_vq_start(log, size, model->used_idx, model->used_idx);
	while (steps-- && in->left) {
		uint8_t step = input_u8(in);
		uint16_t head = (step >> 2) & (size - 1);

		switch (step & 3) {
		case 0:
		case 1:
			take(log, model, head);
			break;
		case 2:
			push(log, model, head);
			break;
		case 3:
			publish(log, model);
			break;
		}
	}
}

/* ---- damage ---- */

static void damage(struct input *in)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	struct stat st;

	must(fd >= 0 && fstat(fd, &st) == 0);
	while (in->left) {
		uint16_t at = input_u16(in);
		uint8_t byte = input_u8(in);

		must(pwrite(fd, &byte, 1, at % st.st_size) == 1);
	}
	close(fd);
}

static void write_raw(const struct input *in)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0);
	must(write(fd, in->data, in->left) == (ssize_t)in->left);
	close(fd);
}

/* ---- the next server ---- */

static int recover(struct inflight_vq *log, uint16_t used_idx, uint16_t num, uint16_t *heads)
{
	bool of_this_ring = log->active && (uint16_t)(used_idx - log->used_idx) <= num;
	bool seen[HEADS_MAX] = { false };
	int count = inflight_vq_recover(log, used_idx, num, heads);

	must(of_this_ring ? count >= 0 && count <= num : count == -EINVAL);
	for (int i = 0; i < count; i++) {
		must(heads[i] < num && !seen[heads[i]]);
		seen[heads[i]] = true;
	}
	return count;
}

static void recover_damaged(struct inflight *inflight, const struct inflight_params *p,
			    uint16_t used_idx, uint8_t num_shift)
{
	for (uint32_t i = 0; i < p->vq_num; i++) {
		struct inflight_vq *log = inflight_vq(inflight, i);
		uint16_t heads[HEADS_MAX], num = p->vq_size >> num_shift % (SIZE_MAX_LOG2 + 1);
		int count = recover(log, used_idx, MAX(num, 1), heads);

		/* What was settled once stays so: a crash of the next server changes nothing. */
		if (count >= 0)
			must(recover(log, used_idx, MAX(num, 1), heads) == count);
		(void)inflight_vq_is_active(log);
		inflight_vq_start(log, p->vq_size, used_idx, used_idx);
	}
}

/* @published: the server died between moving used->idx and writing that down. */
static void recover_good(struct inflight_vq *log, struct model *model, uint16_t size,
			 bool published)
{
	uint16_t heads[HEADS_MAX];
	uint16_t used_idx = (uint16_t)(model->used_idx + (published ? model->heads.pushed : 0));
	int count = recover(log, used_idx, size, heads);

	must(count == heads_crash(&model->heads, published));
	must(heads_check_replay(&model->heads, heads, count));
}

static int reopen(const struct inflight_params *p, struct inflight **inflight)
{
	char why[INFLIGHT_WHY_MAX] = "";
	int err = inflight_open(p, inflight, why);

	must(err == 0 || err == -EINVAL);
	must(!err || (why[0] && memchr(why, '\0', sizeof(why))));
	return err;
}

static void run_raw(struct inflight_params *p, const struct input *in)
{
	struct inflight *inflight;

	write_raw(in);
	if (reopen(p, &inflight))
		return;
	recover_damaged(inflight, p, 0, 0);
	inflight_close(inflight, true);
}

static void run_life(struct inflight_params *p, struct input *in, uint8_t flags)
{
	static struct model models[VQS_MAX];
	struct inflight *inflight;
	uint8_t fate = input_u8(in);
	uint16_t used_idx;
	bool damaged;

	must(inflight_create(p, &inflight) == 0);
	for (uint32_t i = 0; i < p->vq_num; i++)
		serve(inflight_vq(inflight, i), &models[i], p->vq_size, in);
	used_idx = models[0].used_idx;
	inflight_close(inflight, false);

	damaged = in->left > 0;
	damage(in);
	if (flags & FLAG_TRUNCATED)
		must(truncate(file, fate * 16) == 0);
	if (flags & FLAG_OTHER)
		p->identity = "another disk";
	if (reopen(p, &inflight)) {
		must(damaged || flags & (FLAG_TRUNCATED | FLAG_OTHER));
		return;
	}
	must(!(flags & FLAG_OTHER));
	for (uint32_t i = 0; !damaged && i < p->vq_num; i++)
		recover_good(inflight_vq(inflight, i), &models[i], p->vq_size, fate >> i & 1);
	if (damaged)
		recover_damaged(inflight, p, used_idx, fate);
	inflight_close(inflight, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .data = data, .left = size };
	uint8_t flags = input_u8(&in);
	struct inflight_params params;

	set_up();
	choose_params(&params, &in);
	if (flags & FLAG_RAW_FILE)
		run_raw(&params, &in);
	else
		run_life(&params, &in, flags);
	unlink(file);
	return 0;
}
