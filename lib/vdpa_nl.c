// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdpa_nl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/vdpa.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"

#define MGMTDEV "vduse"

/* The result of a request. */
struct reply {
	int err;	/* the kernel's -errno; error codes of libnl are less precise */
	char text[256]; /* the kernel's error text, or ours; "": none */
};

static int reply_fail(struct reply *reply, int err, const char *text)
{
	snprintf(reply->text, sizeof(reply->text), "%s", text);
	return err;
}

/* For a failure in libnl, before the kernel received the request. */
static int reply_fail_libnl(struct reply *reply, int nl_err)
{
	int err = -EIO;

	if (nl_err == -NLE_NOMEM)
		err = -ENOMEM;
	else if (nl_err == -NLE_PERM || nl_err == -NLE_NOACCESS)
		err = -EPERM;
	return reply_fail(reply, err, nl_geterror(nl_err));
}

/* The attributes follow the error and a copy of our request: all of it, or its header only. */
static const struct nlattr *ext_ack_find(const struct nlmsgerr *error, int type)
{
	const struct nlmsghdr *hdr = (const void *)((const char *)error - NLMSG_HDRLEN);
	size_t offset = NLMSG_HDRLEN + sizeof(*error);

	if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(hdr->nlmsg_flags & NLM_F_CAPPED)) {
		if (error->msg.nlmsg_len < NLMSG_HDRLEN)
			return NULL;
		offset += NLMSG_ALIGN((size_t)error->msg.nlmsg_len) - NLMSG_HDRLEN;
	}
	if (offset >= hdr->nlmsg_len)
		return NULL;
	return nla_find((const void *)((const char *)hdr + offset), (int)(hdr->nlmsg_len - offset),
			type);
}

static int reply_on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *ctx)
{
	const struct nlattr *text = ext_ack_find(error, NLMSGERR_ATTR_MSG);
	struct reply *reply = ctx;

	(void)from;
	reply->err = error->error;
	if (text)
		nla_strlcpy(reply->text, text, sizeof(reply->text));
	return NL_STOP;
}

static int family_resolve(struct nl_sock *sock, struct reply *reply)
{
	int family = genl_ctrl_resolve(sock, VDPA_GENL_NAME);

	if (family == -NLE_OBJ_NOTFOUND)
		return reply_fail(reply, -EPROTONOSUPPORT,
				  "kernel module vdpa is not loaded, or this is not the first "
				  "network namespace");
	return family < 0 ? reply_fail_libnl(reply, family) : family;
}

static struct nl_msg *request_new(int family, uint8_t command, const char *name)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (!msg)
		return NULL;
	if (!genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, 0, command, VDPA_GENL_VERSION))
		goto err_free;
	if (nla_put_string(msg, VDPA_ATTR_DEV_NAME, name))
		goto err_free;
	if (command == VDPA_CMD_DEV_NEW && nla_put_string(msg, VDPA_ATTR_MGMTDEV_DEV_NAME, MGMTDEV))
		goto err_free;
	return msg;

err_free:
	nlmsg_free(msg);
	return NULL;
}

/*
 * No request is sent twice, which would turn a success into EEXIST: the kernel executes the command
 * inside sendmsg(), which no signal interrupts, and has queued its reply when sendmsg() returns.
 */
static int request_run(struct nl_sock *sock, struct nl_msg *msg, struct reply *reply)
{
	int on = 1, nl_err;

	/* A kernel without error texts refuses it; then the errno alone is logged. */
	setsockopt(nl_socket_get_fd(sock), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	nl_socket_modify_err_cb(sock, NL_CB_CUSTOM, reply_on_error, reply);

	nl_err = nl_send_sync(sock, msg); /* frees msg */
	if (reply->err)
		return reply->err;
	return nl_err < 0 ? reply_fail_libnl(reply, nl_err) : 0;
}

static int take_info(struct nl_msg *msg, void *ctx)
{
	struct nlattr *attrs[VDPA_ATTR_MAX + 1];
	struct vdpa_nl_info *info = ctx;

	if (genlmsg_parse(nlmsg_hdr(msg), 0, attrs, VDPA_ATTR_MAX, NULL) < 0)
		return NL_SKIP;
	if (attrs[VDPA_ATTR_MGMTDEV_DEV_NAME])
		nla_strlcpy(info->mgmtdev, attrs[VDPA_ATTR_MGMTDEV_DEV_NAME],
			    sizeof(info->mgmtdev));
	if (attrs[VDPA_ATTR_DEV_ID])
		info->device_id = nla_get_u32(attrs[VDPA_ATTR_DEV_ID]);
	return NL_OK;
}

/* @info: out: from the message before the acknowledgement; NULL: ignore that message */
static int vdpa_request(uint8_t command, const char *name, struct vdpa_nl_info *info,
			struct reply *reply)
{
	struct nl_sock *sock = nl_socket_alloc();
	struct nl_msg *msg;
	int family, err;

	*reply = (struct reply){ 0 };
	if (!sock)
		return -ENOMEM;

	err = genl_connect(sock);
	if (err) {
		err = reply_fail_libnl(reply, err);
		goto out_sock;
	}
	family = family_resolve(sock, reply);
	if (family < 0) {
		err = family;
		goto out_sock;
	}
	if (info)
		nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, take_info, info);
	msg = request_new(family, command, name);
	err = msg ? request_run(sock, msg, reply) : -ENOMEM;

out_sock:
	nl_socket_free(sock);
	return err;
}

static void log_failure(const char *name, const char *what, int err, const struct reply *reply)
{
	log_err("%s: cannot %s: %s%s%s", name, what, strerror(-err), reply->text[0] ? ": " : "",
		reply->text);
}

int vdpa_nl_add(const char *name)
{
	struct reply reply;
	int err = vdpa_request(VDPA_CMD_DEV_NEW, name, NULL, &reply);

	if (err == -EINVAL && !reply.text[0])
		reply_fail(&reply, err, "no VDUSE device of that name with all its queues set up");
	if (err)
		log_failure(name, "add to the vdpa bus", err, &reply);
	return err;
}

int vdpa_nl_show(const char *name, struct vdpa_nl_info *info)
{
	struct reply reply;
	int err;

	*info = (struct vdpa_nl_info){ 0 };
	err = vdpa_request(VDPA_CMD_DEV_GET, name, info, &reply);
	if (err && err != -ENODEV)
		log_failure(name, "look up on the vdpa bus", err, &reply);
	return err;
}

int vdpa_nl_del(const char *name)
{
	struct reply reply;
	int err = vdpa_request(VDPA_CMD_DEV_DEL, name, NULL, &reply);

	if (err && err != -ENODEV)
		log_failure(name, "remove from the vdpa bus", err, &reply);
	return err;
}
