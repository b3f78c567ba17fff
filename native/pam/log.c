#include "pam_latchkey.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *item(const pam_handle_t *pamh, int type)
{
	const void *v = NULL;

	return pam_get_item(pamh, type, &v) == PAM_SUCCESS && v != NULL ? v : "";
}

int service_is(const struct logon *l, const char *name)
{
	return strcmp(item(l->pamh, PAM_SERVICE), name) == 0;
}

void note(const struct logon *l, int priority, const char *fmt, ...)
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

int broken(struct logon *l, const char *why)
{
	l->broken = 1;
	note(l, LOG_ERR, "agent unavailable: %s", why);
	return PAM_AUTHINFO_UNAVAIL;
}
