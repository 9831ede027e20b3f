/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request, from the chain that asks for it to the chain given back. The queue's worker only.
 *
 * req_start -> blk_req_parse -> backend_submit ... req_io_done -> req_finish -> virtq_push
 */
#ifndef VDUSE_BLK_REQUEST_H
#define VDUSE_BLK_REQUEST_H

#include "virtq.h"

struct queue;

/** req_start() - do what @chain, just popped from @queue, asks for; it is pushed in any case */
void req_start(struct queue *queue, struct virtq_chain *chain);

/** req_submit_flushes() - at the end of a round: begin one sync for all flushes taken in it */
void req_submit_flushes(struct queue *queue);

/**
 * req_cancel_all() - a command came that ends what is in flight
 *
 * Requests that wait to be tried again are given up at once; the store is asked to end the others
 * early. With QUEUE_PAUSE they are put back into the ring, otherwise answered with an error.
 */
void req_cancel_all(struct queue *queue);

#endif
