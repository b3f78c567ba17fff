#include "pam_latchkey.h"

#include <stdlib.h>
#include <string.h>

#define MAX_GUESSES 3 /* answers to secret and text prompts */
#define MAX_ANSWERS 8

static void show(char *dst, size_t cap, const char *text)
{
	lklp_append(dst, cap, text, strlen(text), LKLP_SCREEN);
}

void say(struct logon *l, const struct lklp_frame *f)
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

int ask(struct logon *l, const struct lklp_frame *f)
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
	lklp_compose(l->screen, sizeof l->screen, l->held, f);
	l->held[0] = '\0';
	/* Its greeters show info messages, but not the text of a prompt. */
	if (l->live && strncmp(item(l->pamh, PAM_SERVICE), "lightdm", 7) == 0)
		pam_info(l->pamh, "%s", l->screen);
	return ask_user(l, id, kind);
}

/* tell shows how a logon ended; text and reason come from the agent. */
void tell(struct logon *l, int style, struct lklp_value text, struct lklp_value reason)
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
