/* pam_latchkey: copies prompts from the agent to the PAM conversation and
 * answers back (docs/formats/lklp.md). It decides nothing, keeps no state, starts
 * no process or thread, touches no signal, never returns PAM_IGNORE. The
 * only policy in it is rescue_group=. Any surprise is a denial. */
#include "pam_latchkey.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_SOCKET "/run/latchkey/login.sock"
#define CEILING_S 110
#define VERDICT_DATA "latchkey_verdict"
#define SPLIT_DATA "latchkey_split"

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

static void forget(pam_handle_t *pamh, void *data, int status)
{
	(void)pamh, (void)status;
	explicit_bzero(data, sizeof (struct code)); /* never stored without data */
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
			say(l, &f);
		if (f.type == LKLP_ASK)
			r = ask(l, &f);
	}
	return r;
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
