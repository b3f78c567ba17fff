#include "lklp_unix.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_MS 1500
#define RETRY_MS 100
#define FIRST_FRAME_MS 2000
#define SILENCE_MS 3000

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int lklp_late(const struct lklp_conn *c)
{
	return now_ms() >= c->ceiling;
}

/* The directory guards the socket: whoever can write it can put another socket there. */
static int directory_errno(const struct sockaddr_un *addr)
{
	char dir[sizeof addr->sun_path];
	struct stat st;
	char *slash;

	memcpy(dir, addr->sun_path, sizeof dir);
	slash = strrchr(dir, '/');
	if (slash == NULL)
		return EPERM;
	*(slash == dir ? slash + 1 : slash) = '\0';
	if (lstat(dir, &st) != 0)
		return errno;
	return S_ISDIR(st.st_mode) && st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 ? 0 : EPERM;
}

/* peer_errno: SO_PEERCRED of a listener that root made and then dropped root still says 0. */
static int peer_errno(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return errno;
	return len == sizeof peer && peer.uid == 0 ? 0 : EPERM;
}

static int try_connect(struct lklp_conn *c, const struct sockaddr_un *addr)
{
	int e = directory_errno(addr);

	if (e != 0)
		return e;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return errno;
	e = connect(c->fd, (const struct sockaddr *)addr, sizeof *addr) != 0 ? errno : peer_errno(c->fd);
	if (e != 0)
		lklp_disconnect(c);
	return e;
}

const char *lklp_connect(struct lklp_conn *c, const char *path, int ceiling_s)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int64_t start = now_ms();

	c->fd = -1;
	c->waiting = FIRST_FRAME_MS;
	c->ceiling = start + (int64_t)ceiling_s * 1000;
	if (strlen(path) >= sizeof addr.sun_path)
		return "the path of its socket is too long";
	strcpy(addr.sun_path, path);
	for (;;) {
		int e = try_connect(c, &addr);

		if (e == 0)
			return NULL;
		if (e == EPERM)
			return "its socket, or the directory of it, does not belong to root alone";
		if (e != ENOENT && e != ECONNREFUSED && e != EAGAIN && e != EINTR)
			return "its socket cannot be opened";
		if (now_ms() + RETRY_MS > start + CONNECT_MS || lklp_late(c))
			return e == EAGAIN ? "it takes no connection" : "it is not running";
		poll(NULL, 0, RETRY_MS);
	}
}

void lklp_disconnect(struct lklp_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* ready waits for events: 1 ready, 0 too late or broken. */
static int ready(const struct lklp_conn *c, short events, int64_t until)
{
	struct pollfd p = {.fd = c->fd, .events = events};

	for (;;) {
		int64_t left = (until < c->ceiling ? until : c->ceiling) - now_ms();
		int n;

		if (left <= 0)
			return 0;
		n = poll(&p, 1, (int)left);
		if (n > 0)
			return 1;
		if (n < 0 && errno != EINTR)
			return 0;
	}
}

void lklp_begin(struct lklp_conn *c, struct lklp_out *o, uint8_t type)
{
	lklp_open(o, c->out, sizeof c->out, type);
}

int lklp_send(struct lklp_conn *c, struct lklp_out *o)
{
	int64_t until = now_ms() + SILENCE_MS;
	int ok = lklp_close(o) == 0;

	for (size_t at = 0; ok && at < o->len;) {
		ssize_t n = send(c->fd, o->buf + at, o->len - at, MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			break;
		else if (n < 0 && errno != EINTR && errno != EAGAIN)
			ok = 0;
		else if (!ready(c, POLLOUT, until))
			ok = 0;
	}
	explicit_bzero(c->out, sizeof c->out);
	return ok ? 0 : -1;
}

static int read_bytes(const struct lklp_conn *c, uint8_t *p, size_t n, int64_t until)
{
	while (n > 0) {
		ssize_t got;

		if (!ready(c, POLLIN, until))
			return -1;
		got = recv(c->fd, p, n, 0);
		if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
			return -1;
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
	return 0;
}

const char *lklp_receive(struct lklp_conn *c, struct lklp_frame *f)
{
	int64_t until = now_ms() + c->waiting;
	uint8_t header[LKLP_HEADER];
	uint32_t len;

	c->waiting = SILENCE_MS;
	if (read_bytes(c, header, sizeof header, until) != 0)
		return lklp_late(c) ? "the logon took too long" : "it closed the connection or is silent";
	if (lklp_length(header, &len) != 0)
		return "it sent a malformed frame";
	if (read_bytes(c, c->in, len, until) != 0)
		return lklp_late(c) ? "the logon took too long" : "it stopped inside a frame";
	if (lklp_parse(c->in, len, f) != 0 || f->type < LKLP_ASK)
		return "it sent a malformed frame";
	if (f->type == LKLP_TICK && lklp_number(f, LKLP_CHOSEN_VERSION, LKLP_VERSION) != LKLP_VERSION)
		return "it chose a version that was not offered";
	return NULL;
}
