/* One LKLP/1 connection of a front-end over a Unix socket: whom it trusts and
 * how long it waits. It touches no signal, allocates nothing, logs nothing. */
#ifndef LATCHKEY_LKLP_UNIX_H
#define LATCHKEY_LKLP_UNIX_H

#include "lklp.h"

struct lklp_conn {
	int fd, waiting; /* waiting: ms the next frame may take */
	int64_t ceiling; /* end of the transaction, ms on the monotonic clock */
	uint8_t out[LKLP_MAX_OUT], in[LKLP_MAX_FRAME];
};

/* lklp_connect retries for 1.5 s while the socket is absent, refuses or is
 * full. The socket's directory and its listener must be root's. The ceiling
 * starts here. It returns NULL, or what is wrong in a few words for a log. */
const char *lklp_connect(struct lklp_conn *c, const char *path, int ceiling_s);

/* lklp_begin opens the frame that lklp_send sends and wipes. A peer that has
 * closed is not an error of sending: its verdict may wait to be received. */
void lklp_begin(struct lklp_conn *c, struct lklp_out *o, uint8_t type);
int lklp_send(struct lklp_conn *c, struct lklp_out *o);

/* lklp_receive waits for a whole frame of the agent: 2 s for the first, 3 s for
 * every other, never past the ceiling. It returns NULL, or what is wrong. */
const char *lklp_receive(struct lklp_conn *c, struct lklp_frame *f);

/* lklp_late: the ceiling is reached. */
int lklp_late(const struct lklp_conn *c);

void lklp_disconnect(struct lklp_conn *c);

#endif
