#include "pam_latchkey.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

int whole_number(const char *s, int low, int high, int *out)
{
	int n = 0;

	do {
		if (*s < '0' || *s > '9' || (n = n * 10 + (*s - '0')) > high)
			return -1;
	} while (*++s != '\0');
	*out = n;
	return n >= low ? 0 : -1;
}

int identify(const char *name, struct identity *who)
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

int on_console(const struct logon *l)
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

int in_group(const char *user, const char *group)
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
