/* pam_latchkey: copies prompts from the agent to the PAM conversation and
 * answers back (docs/formats/lklp.md). It decides nothing, keeps no state, starts
 * no process or thread, touches no signal, never returns PAM_IGNORE. The
 * only policy in it is rescue_group=. Any surprise is a denial. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#include "../frame/lklp_unix.h"

#define DEFAULT_SOCKET "/run/latchkey/login.sock"
#define CEILING_S 110
#define MAX_GUESSES 3 /* answers to secret and text prompts */
#define MAX_ANSWERS 8
#define MAX_SPLIT 16
#define VERDICT_DATA "latchkey_verdict"
#define SPLIT_DATA "latchkey_split"

struct arguments {
	const char *socket;
	const char *rescue_group;
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
	int broken;       /* the agent is absent, dead or talks garbage */
	char user[513]; /* a copy: a conversation may change the item; all others are read when they are used */
	struct identity who;
	struct code *code; /* typed in one field with the password */
	unsigned guesses, answers;
	char held[12288]; /* SAY text that waits for a prompt, escaped */
	char screen[20480];
	struct lklp_conn conn;
};

static const char *item(const pam_handle_t *pamh, int type)
{
	const void *v = NULL;

	return pam_get_item(pamh, type, &v) == PAM_SUCCESS && v != NULL ? v : "";
}

static int service_is(const struct logon *l, const char *name)
{
	return strcmp(item(l->pamh, PAM_SERVICE), name) == 0;
}

static void show(char *dst, size_t cap, const char *text)
{
	lklp_append(dst, cap, text, strlen(text), LKLP_SCREEN);
}

__attribute__((format(printf, 3, 4))) static void note(const struct logon *l, int priority, const char *fmt, ...)
{
	const char *s = item(l->pamh, PAM_SERVICE), *t = item(l->pamh, PAM_TTY), *r = item(l->pamh, PAM_RHOST);
	char line[512], user[256] = "", service[64] = "", rhost[128] = "", tty[64] = "";
	va_list ap;

	if (priority == LOG_DEBUG && !l->args.debug)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	lklp_append(user, sizeof user, l->user, strlen(l->user), LKLP_LOG);
	lklp_append(service, sizeof service, s, strlen(s), LKLP_LOG);
	lklp_append(rhost, sizeof rhost, r, strlen(r), LKLP_LOG);
	lklp_append(tty, sizeof tty, t, strlen(t), LKLP_LOG);
	pam_syslog(l->pamh, priority, "%s (user=%s service=%s tty=%s rhost=%s)", line, user, service, tty, rhost);
}

/* broken ends a logon that has no verdict. */
static int broken(struct logon *l, const char *why)
{
	l->broken = 1;
	note(l, LOG_ERR, "agent unavailable: %s", why);
	return PAM_AUTHINFO_UNAVAIL;
}

static int whole_number(const char *s, int low, int high, int *out)
{
	int n = 0;

	if (*s == '\0')
		return -1;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9' || (n = n * 10 + (*s - '0')) > high)
			return -1;
	}
	*out = n;
	return n >= low ? 0 : -1;
}

static int read_argument(struct arguments *a, const char *s)
{
	if (strcmp(s, "debug") == 0)
		return a->debug = 1, 0;
	if (strncmp(s, "timeout=", 8) == 0)
		return whole_number(s + 8, 1, CEILING_S, &a->timeout_s);
	if (strncmp(s, "split=", 6) == 0)
		return whole_number(s + 6, 4, MAX_SPLIT, &a->split);
	if (strncmp(s, "rescue_group=", 13) == 0 && s[13] != '\0')
		return a->rescue_group = s + 13, 0;
	if (strncmp(s, "socket=/", 8) == 0)
		return a->socket = s + 7, 0;
	return -1;
}

static int read_arguments(struct logon *l, int argc, const char **argv)
{
	l->args.socket = DEFAULT_SOCKET;
	l->args.timeout_s = CEILING_S;
	for (int i = 0; i < argc; i++) {
		char bad[128] = "";

		if (read_argument(&l->args, argv[i]) == 0)
			continue;
		lklp_append(bad, sizeof bad, argv[i], strlen(argv[i]), LKLP_LOG);
		note(l, LOG_ERR, "denied: unknown or malformed module argument \"%s\"", bad);
		return -1;
	}
	return 0;
}

/* identify asks NSS. A name that has no uid is a fact; a lookup that failed is an error. */
static int identify(const char *name, struct identity *who)
{
	struct passwd pw, *found = NULL;
	char buf[16384];
	int e;

	memset(who, 0, sizeof *who);
	do
		e = getpwnam_r(name, &pw, buf, sizeof buf, &found);
	while (e == EINTR);
	if (found != NULL) {
		who->known = 1;
		who->uid = pw.pw_uid;
	}
	explicit_bzero(buf, sizeof buf);
	return e == 0 || e == ENOENT || e == ESRCH || e == EBADF || e == EPERM ? 0 : -1;
}

static const char *locale(void)
{
	static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const char *v = getenv(names[i]);

		/* su and sudo inherit these from the user: only plain names pass. */
		if (v != NULL && *v != '\0')
			return strlen(v) <= 64 && v[strspn(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-")] == '\0' ? v : NULL;
	}
	return NULL;
}

/* A hint for the agent: an earlier module took a password, or sshd finished another method. */
static int first_factor_done(struct logon *l)
{
	const char *ssh = pam_getenv(l->pamh, "SSH_AUTH_INFO_0");

	return *item(l->pamh, PAM_AUTHTOK) != '\0' || (service_is(l, "sshd") && ssh != NULL && *ssh != '\0');
}

static void put_begin(struct logon *l, struct lklp_out *o)
{
	const char *ruser = item(l->pamh, PAM_RUSER);
	const void *data = NULL;
	struct identity caller;
	uint32_t flags = (l->silent ? LKLP_FLAG_SILENT : 0) | (l->code != NULL ? LKLP_FLAG_ONE_FIELD : 0);

	lklp_put_u8(o, LKLP_OP, (uint8_t)l->op);
	lklp_put_text(o, LKLP_SERVICE, item(l->pamh, PAM_SERVICE));
	lklp_put_text(o, LKLP_USER, l->user);
	if (l->who.known)
		lklp_put_u32(o, LKLP_UID, l->who.uid);
	lklp_put_text(o, LKLP_RUSER, ruser);
	if (*ruser != '\0' && identify(ruser, &caller) == 0 && caller.known)
		lklp_put_u32(o, LKLP_RUID, caller.uid);
	lklp_put_text(o, LKLP_RHOST, item(l->pamh, PAM_RHOST));
	lklp_put_text(o, LKLP_TTY, item(l->pamh, PAM_TTY));
	if (flags != 0)
		lklp_put_u32(o, LKLP_FLAGS, flags);
	if (l->op == LKLP_OP_AUTHENTICATE && first_factor_done(l))
		lklp_put_u8(o, LKLP_FIRST_FACTOR, 1);
	if (l->op == LKLP_OP_ACCOUNT && pam_get_data(l->pamh, VERDICT_DATA, &data) == PAM_SUCCESS && data != NULL) {
		const struct passed *p = data;

		if (strcmp(p->user, l->user) == 0 && p->who.known == l->who.known && p->who.uid == l->who.uid)
			lklp_put_text(o, LKLP_AUTH_EVENT, p->event);
	}
}

static int greet(struct logon *l)
{
	struct lklp_out o;

	lklp_begin(&l->conn, &o, LKLP_HELLO);
	lklp_put_u8(&o, LKLP_VERSION_MIN, LKLP_VERSION);
	lklp_put_u8(&o, LKLP_VERSION_MAX, LKLP_VERSION);
	lklp_put_text(&o, LKLP_KIND, "pam");
	lklp_put_text(&o, LKLP_LOCALE, locale());
	if (l->live)
		lklp_put_u32(&o, LKLP_CAPS, LKLP_CAP_LIVE_INFO);
	if (lklp_send(&l->conn, &o) != 0)
		return broken(l, "it takes no frame");
	lklp_begin(&l->conn, &o, LKLP_BEGIN);
	put_begin(l, &o);
	if (lklp_send(&l->conn, &o) != 0)
		return broken(l, "it takes no frame, or a PAM item is too long");
	return PAM_SUCCESS;
}

static void hold_or_say(struct logon *l, const struct lklp_frame *f)
{
	struct lklp_value text;

	lklp_get(f, LKLP_TEXT, &text);
	if (text.len == 0)
		return;
	if (l->held[0] != '\0')
		show(l->held, sizeof l->held, "\n");
	lklp_append(l->held, sizeof l->held, text.p, text.len, LKLP_SCREEN);
	if (!l->live)
		return;
	pam_prompt(l->pamh, lklp_number(f, LKLP_ERROR, 0) ? PAM_ERROR_MSG : PAM_TEXT_INFO, NULL, "%s", l->held);
	l->held[0] = '\0';
}

/* compose puts everything the user needs into the prompt itself. */
static void compose(struct logon *l, const struct lklp_frame *f, uint32_t kind)
{
	struct lklp_value id, label;
	size_t n;

	l->screen[0] = '\0';
	if (l->held[0] != '\0') {
		show(l->screen, sizeof l->screen, l->held);
		show(l->screen, sizeof l->screen, "\n");
		l->held[0] = '\0';
	}
	for (unsigned i = 0; lklp_choice(f, i, &id, &label); i++) {
		char number[16];

		snprintf(number, sizeof number, "%3u ", i + 1);
		show(l->screen, sizeof l->screen, number);
		lklp_append(l->screen, sizeof l->screen, id.p, id.len, LKLP_SCREEN);
		show(l->screen, sizeof l->screen, " ");
		lklp_append(l->screen, sizeof l->screen, label.p, label.len, LKLP_SCREEN);
		show(l->screen, sizeof l->screen, "\n");
	}
	lklp_get(f, LKLP_LABEL, &label);
	lklp_append(l->screen, sizeof l->screen, label.p, label.len, LKLP_SCREEN);
	if (kind == LKLP_ASK_CONFIRM)
		show(l->screen, sizeof l->screen, " [y/N]");
	n = strlen(l->screen);
	if (kind == LKLP_ASK_TOUCH || l->screen[n - 1] != ':')
		show(l->screen, sizeof l->screen, kind == LKLP_ASK_TOUCH ? " (then press Enter) " : ": ");
	else
		show(l->screen, sizeof l->screen, " ");
}

static int cancel(struct logon *l, const char *why)
{
	struct lklp_out o;

	lklp_begin(&l->conn, &o, LKLP_CANCEL);
	lklp_send(&l->conn, &o);
	note(l, LOG_NOTICE, "denied: %s", why);
	return PAM_AUTH_ERR;
}

static int answer(struct logon *l, uint32_t id, const char *text, size_t len)
{
	struct lklp_out o;

	if (len > LKLP_MAX_VALUE)
		return cancel(l, "the answer is too long");
	if (lklp_late(&l->conn))
		return cancel(l, "the answer came too late");
	lklp_begin(&l->conn, &o, LKLP_ANSWER);
	lklp_put_u32(&o, LKLP_ID, id);
	lklp_put(&o, LKLP_VALUE, text, len);
	return lklp_send(&l->conn, &o) == 0 ? PAM_SUCCESS : broken(l, "it takes no frame");
}

static int ask_user(struct logon *l, uint32_t id, uint32_t kind)
{
	char *typed = NULL;
	int r = pam_prompt(l->pamh, kind == LKLP_ASK_SECRET || kind == LKLP_ASK_TOUCH ? PAM_PROMPT_ECHO_OFF : PAM_PROMPT_ECHO_ON, &typed, "%s", l->screen);

	explicit_bzero(l->screen, sizeof l->screen);
	if (r != PAM_SUCCESS || typed == NULL)
		r = cancel(l, "the prompt was not answered");
	else
		r = answer(l, id, typed, strlen(typed));
	if (typed != NULL)
		explicit_bzero(typed, strlen(typed));
	free(typed);
	return r;
}

static int ask(struct logon *l, const struct lklp_frame *f)
{
	uint32_t id = lklp_number(f, LKLP_ID, 0), kind = lklp_number(f, LKLP_ASK_KIND, 0);
	int guess = kind == LKLP_ASK_SECRET || kind == LKLP_ASK_TEXT;
	struct lklp_value label;

	if (l->op == LKLP_OP_ACCOUNT)
		return cancel(l, "the agent asks where nobody can answer");
	if (l->answers == MAX_ANSWERS || (guess && l->guesses == MAX_GUESSES))
		return cancel(l, "too many answers");
	if (kind == LKLP_ASK_TOUCH && l->live && l->code == NULL) {
		lklp_get(f, LKLP_LABEL, &label);
		l->screen[0] = '\0';
		lklp_append(l->screen, sizeof l->screen, label.p, label.len, LKLP_SCREEN);
		pam_info(l->pamh, "%s", l->screen);
		return PAM_SUCCESS;
	}
	l->answers++;
	l->guesses += (unsigned)guess;
	if (l->code != NULL)
		return kind == LKLP_ASK_SECRET && l->answers == 1 ? answer(l, id, l->code->text, l->code->len)
		                                                  : cancel(l, "a program with one field was asked twice");
	compose(l, f, kind);
	/* Its greeters show info messages, but not the text of a prompt. */
	if (l->live && strncmp(item(l->pamh, PAM_SERVICE), "lightdm", 7) == 0)
		pam_info(l->pamh, "%s", l->screen);
	return ask_user(l, id, kind);
}

/* tell shows how a logon ended; text and reason come from the agent. */
static void tell(struct logon *l, int style, struct lklp_value text, struct lklp_value reason)
{
	if (l->silent)
		return;
	if (l->held[0] != '\0')
		pam_info(l->pamh, "%s", l->held);
	l->screen[0] = '\0';
	lklp_append(l->screen, sizeof l->screen, text.p, text.len, LKLP_SCREEN);
	if (style == PAM_ERROR_MSG) {
		show(l->screen, sizeof l->screen, text.len == 0 ? "Access denied." : "");
		show(l->screen, sizeof l->screen, reason.len == 0 ? "" : " (");
		lklp_append(l->screen, sizeof l->screen, reason.p, reason.len, LKLP_SCREEN);
		show(l->screen, sizeof l->screen, reason.len == 0 ? "" : ")");
	}
	if (l->screen[0] != '\0')
		pam_prompt(l->pamh, style, NULL, "%s", l->screen);
}

static void forget(pam_handle_t *pamh, void *data, int status)
{
	(void)pamh, (void)status;
	if (data != NULL)
		explicit_bzero(data, sizeof (struct code));
	free(data);
}

static void drop(pam_handle_t *pamh, void *data, int status)
{
	(void)pamh, (void)status;
	free(data);
}

/* let_in makes sure that the name still means the user who was judged. */
static int let_in(struct logon *l, struct lklp_value event)
{
	const char *user = item(l->pamh, PAM_USER);
	struct passed *p;
	struct identity who;

	if (identify(user, &who) != 0 || who.known != l->who.known || who.uid != l->who.uid || (!who.known && strcmp(user, l->user) != 0)) {
		note(l, LOG_ALERT, "denied: PAM_USER changed during the logon");
		return PAM_AUTH_ERR;
	}
	if (l->op == LKLP_OP_ACCOUNT || event.len == 0)
		return PAM_SUCCESS;
	p = calloc(1, sizeof *p);
	if (p == NULL)
		return PAM_AUTH_ERR;
	if (strlen(user) < sizeof p->user)
		strcpy(p->user, user);
	memcpy(p->event, event.p, event.len); /* at most 128, by lklp_parse */
	p->who = who;
	if (pam_set_data(l->pamh, VERDICT_DATA, p, drop) != PAM_SUCCESS) {
		free(p);
		return PAM_AUTH_ERR;
	}
	return PAM_SUCCESS;
}

static int finish(struct logon *l, const struct lklp_frame *f)
{
	uint32_t outcome = lklp_number(f, LKLP_OUTCOME, LKLP_DENY);
	struct lklp_value text, reason, event;
	int r = PAM_AUTH_ERR;

	lklp_get(f, LKLP_TEXT, &text);
	lklp_get(f, LKLP_REASON, &reason);
	lklp_get(f, LKLP_EVENT_ID, &event);
	if (outcome == LKLP_ALLOW || outcome == LKLP_NOT_REQUIRED) {
		if (let_in(l, event) != PAM_SUCCESS)
			return PAM_AUTH_ERR;
		r = PAM_SUCCESS;
	} else if (outcome == LKLP_LOCKED)
		r = PAM_MAXTRIES;
	else if (outcome == LKLP_UNAVAILABLE)
		r = PAM_AUTHINFO_UNAVAIL;
	note(l, r == PAM_SUCCESS ? LOG_INFO : LOG_NOTICE, "%s: %.*s", r == PAM_SUCCESS ? "let in" : "denied", (int)reason.len, (const char *)reason.p);
	tell(l, r == PAM_SUCCESS ? PAM_TEXT_INFO : PAM_ERROR_MSG, text, reason);
	return r;
}

static int converse(struct logon *l)
{
	struct lklp_frame f;
	int r = PAM_SUCCESS;

	while (r == PAM_SUCCESS) {
		const char *wrong = lklp_receive(&l->conn, &f);

		if (wrong != NULL)
			return broken(l, wrong);
		note(l, LOG_DEBUG, "frame of type 0x%02x", f.type);
		if (f.type == LKLP_VERDICT)
			return finish(l, &f);
		if (f.type == LKLP_SAY)
			hold_or_say(l, &f);
		if (f.type == LKLP_ASK)
			r = ask(l, &f);
	}
	return r;
}

static int on_console(const struct logon *l)
{
	const char *tty = item(l->pamh, PAM_TTY);
	int n;

	if (!service_is(l, "login") || *item(l->pamh, PAM_RHOST) != '\0')
		return 0;
	if (strncmp(tty, "/dev/", 5) == 0)
		tty += 5;
	if (strncmp(tty, "tty", 3) != 0)
		return strcmp(tty, "console") == 0;
	return whole_number(tty + 3 + (tty[3] == 'S'), 0, 9999, &n) == 0;
}

static int in_group(const char *user, const char *group)
{
	char grbuf[16384], pwbuf[16384];
	struct group gr, *g = NULL;
	struct passwd pw, *p = NULL;
	gid_t gids[256];
	int n = 256;

	if (getgrnam_r(group, &gr, grbuf, sizeof grbuf, &g) != 0 || g == NULL)
		return 0;
	if (getpwnam_r(user, &pw, pwbuf, sizeof pwbuf, &p) != 0 || p == NULL || getgrouplist(user, p->pw_gid, gids, &n) < 0)
		return 0;
	for (int i = 0; i < n; i++)
		if (gids[i] == g->gr_gid)
			return 1;
	return 0;
}

/* without_agent is the way in for a repair at the machine itself, where the admin chose one. */
static int without_agent(struct logon *l)
{
	static const char text[] = "The login service of this machine does not answer. Ask your administrator.";

	if (l->args.rescue_group != NULL && on_console(l) && in_group(l->user, l->args.rescue_group)) {
		note(l, LOG_ALERT, "LET IN WITHOUT A FACTOR: rescue_group, the agent does not answer");
		return PAM_SUCCESS;
	}
	tell(l, PAM_ERROR_MSG, (struct lklp_value){(const uint8_t *)text, sizeof text - 1}, (struct lklp_value){(const uint8_t *)"internal", 8});
	return PAM_AUTHINFO_UNAVAIL;
}

/* split_code: the last bytes of the one field are the code, the rest is the password.
 * It never says yes: see split=N in docs/formats/lklp.md. */
static int split_code(struct logon *l)
{
	const char *typed = NULL;
	char rest[LKLP_MAX_VALUE + 1];
	size_t len, n = (size_t)l->args.split;
	struct code *c;
	int r = PAM_AUTH_ERR;

	pam_set_data(l->pamh, SPLIT_DATA, NULL, NULL);
	if (pam_get_authtok(l->pamh, PAM_AUTHTOK, &typed, NULL) != PAM_SUCCESS || typed == NULL)
		return PAM_AUTH_ERR;
	len = strlen(typed);
	if (len <= n || len >= sizeof rest || (c = calloc(1, sizeof *c)) == NULL)
		return PAM_AUTH_ERR;
	memcpy(rest, typed, len - n);
	rest[len - n] = '\0';
	memcpy(c->text, typed + len - n, n);
	c->len = n;
	if (pam_set_data(l->pamh, SPLIT_DATA, c, forget) != PAM_SUCCESS)
		forget(l->pamh, c, 0);
	else if (pam_set_item(l->pamh, PAM_AUTHTOK, rest) == PAM_SUCCESS)
		r = PAM_CRED_UNAVAIL;
	explicit_bzero(rest, sizeof rest);
	return r;
}

static int transact(struct logon *l)
{
	const char *wrong = identify(l->user, &l->who) != 0 ? "the user database does not answer" : NULL;
	int r;

	if (wrong == NULL)
		wrong = lklp_connect(&l->conn, l->args.socket, l->args.timeout_s);
	r = wrong != NULL ? broken(l, wrong) : greet(l);
	if (r == PAM_SUCCESS)
		r = converse(l);
	lklp_disconnect(&l->conn);
	return l->broken ? without_agent(l) : r;
}

static int start(struct logon *l, const char *user, int argc, const char **argv)
{
	const void *code = NULL;

	if (user == NULL || *user == '\0' || strlen(user) >= sizeof l->user || read_arguments(l, argc, argv) != 0)
		return PAM_AUTH_ERR;
	strcpy(l->user, user);
	l->live = !l->silent && !service_is(l, "sshd");
	if (l->op == LKLP_OP_AUTHENTICATE && l->args.split != 0)
		return split_code(l);
	if (l->op == LKLP_OP_AUTHENTICATE && pam_get_data(l->pamh, SPLIT_DATA, &code) == PAM_SUCCESS && code != NULL)
		l->code = (struct code *)code;
	return transact(l);
}

static int run(pam_handle_t *pamh, enum lklp_op op, int flags, int argc, const char **argv)
{
	struct logon l = {.pamh = pamh, .op = op, .conn.fd = -1, .silent = (flags & PAM_SILENT) != 0};
	const char *user = NULL;
	int r = PAM_AUTH_ERR;

	if (op == LKLP_OP_AUTHENTICATE)
		pam_set_data(pamh, VERDICT_DATA, NULL, NULL);
	if (pam_get_user(pamh, &user, NULL) == PAM_SUCCESS)
		r = start(&l, user, argc, argv);
	if (op == LKLP_OP_AUTHENTICATE && l.code != NULL)
		pam_set_data(pamh, SPLIT_DATA, NULL, NULL);
	explicit_bzero(&l, sizeof l);
	return r;
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	return run(pamh, LKLP_OP_AUTHENTICATE, flags, argc, argv);
}

int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	return run(pamh, LKLP_OP_ACCOUNT, flags, argc, argv);
}

/* Credentials are not our business. libpam lets no one in for this: pam_setcred follows the
 * path that pam_authenticate took. */
int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}
