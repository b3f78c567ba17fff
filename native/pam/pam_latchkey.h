/* What the files of the PAM module share. */
#ifndef PAM_LATCHKEY_H
#define PAM_LATCHKEY_H

#include <sys/types.h>
#include <syslog.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#include "../frame/lklp_text.h"
#include "../frame/lklp_unix.h"

#define MAX_SPLIT 16

struct arguments {
	const char *socket, *rescue_group;
	int timeout_s, split, debug;
};

struct identity {
	int known;
	uid_t uid;
};

/* The auth phase leaves this in the PAM handle for the account phase. */
struct passed {
	char user[513], event[129];
	struct identity who;
};

struct code {
	size_t len;
	char text[MAX_SPLIT];
};

struct logon {
	pam_handle_t *pamh;
	struct arguments args;
	enum lklp_op op;
	int silent, live; /* live: an info message is seen at once */
	int broken; /* the agent is absent, dead or talks garbage */
	char user[513]; /* a copy: a conversation may change the item; all others are read when they are used */
	struct identity who;
	struct code *code; /* typed in one field with the password */
	unsigned guesses, answers;
	char held[12288]; /* SAY text that waits for a prompt, escaped */
	char screen[20480];
	struct lklp_conn conn;
};

/* log.c: item returns "" for an item that is not set. broken ends a logon that has no verdict. */
const char *item(const pam_handle_t *pamh, int type);
int service_is(const struct logon *l, const char *name);
void note(const struct logon *l, int priority, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int broken(struct logon *l, const char *why);

/* screen.c: each returns PAM_SUCCESS to go on. */
void say(struct logon *l, const struct lklp_frame *f);
int ask(struct logon *l, const struct lklp_frame *f);
void tell(struct logon *l, int style, struct lklp_value text, struct lklp_value reason);

/* user.c: a name that has no uid is a fact; a lookup that failed is an error. */
int identify(const char *name, struct identity *who);
int on_console(const struct logon *l);
int in_group(const char *user, const char *group);
/* whole_number reads decimal digits between low and high, or returns -1. */
int whole_number(const char *s, int low, int high, int *out);

#endif
