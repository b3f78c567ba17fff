/* A PAM application that does nothing but log in, over and over, in one process:
 *   driver CONFDIR SERVICE
 * Each line on stdin is one login: the user and the answers, separated by tabs. Each is
 * answered by a line: libpam's result, nanoseconds from before pam_start to after pam_end,
 * and the last text that the conversation was shown.
 * What libpam and the modules log is dropped: the log service is not what is measured. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include <security/pam_appl.h>

#define MAX_ANSWERS 8

struct login {
	char *answers[MAX_ANSWERS];
	int given, taken;
	char shown[512];
};

/* libpam logs through these; the executable's own definitions win. */
void vsyslog(int priority, const char *fmt, va_list ap) { (void)priority; (void)fmt; (void)ap; }
void __vsyslog_chk(int priority, int flag, const char *fmt, va_list ap) { (void)priority; (void)flag; (void)fmt; (void)ap; }
void syslog(int priority, const char *fmt, ...) { (void)priority; (void)fmt; }
void __syslog_chk(int priority, int flag, const char *fmt, ...) { (void)priority; (void)flag; (void)fmt; }

static int converse(int n, const struct pam_message **m, struct pam_response **out, void *data)
{
	struct login *l = data;
	struct pam_response *r = calloc((size_t)n, sizeof *r);

	if (r == NULL)
		return PAM_BUF_ERR;
	for (int i = 0; i < n; i++) {
		snprintf(l->shown, sizeof l->shown, "%s", m[i]->msg);
		if (m[i]->msg_style != PAM_PROMPT_ECHO_OFF && m[i]->msg_style != PAM_PROMPT_ECHO_ON)
			continue;
		if (l->taken == l->given) {
			for (int j = 0; j < i; j++)
				free(r[j].resp);
			free(r);
			return PAM_CONV_ERR;
		}
		r[i].resp = strdup(l->answers[l->taken++]);
	}
	*out = r;
	return PAM_SUCCESS;
}

static int log_in(const char *confdir, const char *service, const char *user, struct login *l)
{
	struct pam_conv conv = {converse, l};
	pam_handle_t *handle = NULL;
	int r = pam_start_confdir(service, user, &conv, confdir, &handle);

	if (r == PAM_SUCCESS)
		r = pam_authenticate(handle, 0);
	pam_end(handle, r);
	return r;
}

static long long since(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - from->tv_sec) * 1000000000LL + (now.tv_nsec - from->tv_nsec);
}

int main(int argc, char **argv)
{
	char line[4096];

	if (argc != 3)
		return 2;
	while (fgets(line, sizeof line, stdin) != NULL) {
		struct login l = {.given = 0};
		struct timespec from;
		long long took;
		char *rest = line, *user;
		int r;

		line[strcspn(line, "\n")] = '\0';
		user = strsep(&rest, "\t");
		while (rest != NULL && l.given < MAX_ANSWERS)
			l.answers[l.given++] = strsep(&rest, "\t");
		clock_gettime(CLOCK_MONOTONIC, &from);
		r = log_in(argv[1], argv[2], user, &l);
		took = since(&from);
		for (char *c = l.shown; *c != '\0'; c++)
			if (*c == '\n')
				*c = ' ';
		printf("%d\t%lld\t%s\n", r, took, l.shown);
		fflush(stdout);
	}
	return 0;
}
