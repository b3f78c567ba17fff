/* Fuzzer of the module: the input is all that an agent sends, after one byte that
 * chooses operation, service, flags and arguments. libpam is replaced by stubs that answer some prompts.
 * Whatever comes: success only after a VERDICT of allow or not-required, and never PAM_IGNORE. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#include "../frame/lklp_unix.h"

#define MUST(x) do { if (!(x)) abort(); } while (0)

static const uint8_t *input;
static size_t input_len;
static uint8_t choice;
static int peer = -1;
static struct { char name[32]; void *data; void (*cleanup)(pam_handle_t *, void *, int); } store[4];

/* Takes the place of the real one: a socket pair with the input waiting in it. */
const char *lklp_connect(struct lklp_conn *c, const char *path, int ceiling_s)
{
	int pair[2], size = 1 << 20;

	(void)path;
	(void)ceiling_s;
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	c->fd = pair[0];
	c->waiting = 50;
	c->ceiling = INT64_MAX;
	peer = pair[1];
	if (write(peer, input, input_len) != (ssize_t)input_len)
		return "full";
	shutdown(peer, SHUT_WR);
	return NULL;
}

int pam_get_item(const pam_handle_t *h, int type, const void **v)
{
	(void)h;
	*v = type == PAM_SERVICE ? (choice & 1 ? "sshd" : "lightdm") : type == PAM_USER ? "root" : type == PAM_TTY ? "tty1" : NULL;
	return PAM_SUCCESS;
}
int pam_set_item(pam_handle_t *h, int type, const void *v) { (void)h; (void)type; (void)v; return PAM_SUCCESS; }
int pam_get_user(pam_handle_t *h, const char **u, const char *p) { (void)h; (void)p; *u = "root"; return PAM_SUCCESS; }
int pam_get_authtok(pam_handle_t *h, int i, const char **t, const char *p) { (void)h; (void)i; (void)p; *t = "passwordQZ-2XJ"; return PAM_SUCCESS; }
const char *pam_getenv(pam_handle_t *h, const char *n) { (void)h; (void)n; return NULL; }

int pam_set_data(pam_handle_t *h, const char *name, void *data, void (*cleanup)(pam_handle_t *, void *, int))
{
	for (int i = 0; i < 4; i++)
		if (store[i].name[0] == '\0' || strcmp(store[i].name, name) == 0) {
			if (store[i].data && store[i].cleanup)
				store[i].cleanup(h, store[i].data, 0);
			snprintf(store[i].name, sizeof store[i].name, "%s", name);
			store[i].data = data;
			store[i].cleanup = cleanup;
			return PAM_SUCCESS;
		}
	abort();
}

int pam_get_data(const pam_handle_t *h, const char *name, const void **data)
{
	(void)h;
	for (int i = 0; i < 4; i++)
		if (strcmp(store[i].name, name) == 0) {
			*data = store[i].data;
			return PAM_SUCCESS;
		}
	return PAM_NO_MODULE_DATA;
}

int pam_prompt(pam_handle_t *h, int style, char **out, const char *fmt, ...)
{
	char text[1 << 16];
	va_list ap;

	(void)h;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (const char *c = text; *c; c++)
		MUST((unsigned char)*c >= 0x20 || *c == '\n');
	if (style == PAM_PROMPT_ECHO_OFF || style == PAM_PROMPT_ECHO_ON)
		*out = choice & 2 && strlen(text) % 5 == 0 ? NULL : strdup("QZ-2XJ");
	else
		MUST(out == NULL);
	return PAM_SUCCESS;
}

void pam_syslog(const pam_handle_t *h, int priority, const char *fmt, ...)
{
	char text[8192];
	va_list ap;

	(void)h;
	(void)priority;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	MUST(strstr(text, "QZ-2XJ") == NULL); /* upper case: no reason code of the agent can hold it */
	for (const char *c = text; *c; c++)
		MUST(*c >= 0x20 && *c < 0x7f);
}

/* lets_in looks for a verdict that may let in, frame by frame, in the whole input. */
static int lets_in(void)
{
	size_t at = 0;
	uint32_t len, outcome;
	struct lklp_frame f;

	while (input_len - at >= LKLP_HEADER && lklp_length(input + at, &len) == 0 && input_len - at - LKLP_HEADER >= len) {
		if (lklp_parse(input + at + LKLP_HEADER, len, &f) == 0 && f.type == LKLP_VERDICT) {
			outcome = lklp_number(&f, LKLP_OUTCOME, 99);
			return outcome == LKLP_ALLOW || outcome == LKLP_NOT_REQUIRED;
		}
		at += LKLP_HEADER + len;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *args[] = {"debug", "split=6"};
	pam_handle_t *h = (pam_handle_t *)store; /* never looked into */
	int r;

	if (size < 1 || size > 100000)
		return 0;
	choice = data[0];
	input = data + 1;
	input_len = size - 1;
	if (choice & 16) /* as after the split line */
		MUST(pam_sm_authenticate(h, 0, 2, args) == PAM_CRED_UNAVAIL);
	r = (choice & 4 ? pam_sm_acct_mgmt : pam_sm_authenticate)(h, choice & 8 ? PAM_SILENT : 0, 1, args);
	MUST(r == PAM_SUCCESS || r == PAM_AUTH_ERR || r == PAM_MAXTRIES || r == PAM_AUTHINFO_UNAVAIL);
	MUST(r != PAM_SUCCESS || lets_in());
	for (int i = 0; i < 4; i++) {
		if (store[i].data && store[i].cleanup)
			store[i].cleanup(NULL, store[i].data, 0);
		memset(&store[i], 0, sizeof store[i]);
	}
	if (peer >= 0)
		close(peer);
	peer = -1;
	return 0;
}
