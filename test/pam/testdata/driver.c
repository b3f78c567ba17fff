/* A PAM application for tests: starts SERVICE of CONFDIR for USER, runs the named
 * operations, prints what the conversation is shown and what libpam logs, answers from a list.
 *   driver CONFDIR SERVICE USER [silent] [tty=T] [rhost=H] [ruser=U] [env=K=V] [answer=A]… [op]…
 * Answers: text, @null, @none, @error, @user:NAME:text (PAM_USER becomes NAME first), @kill (the process ends),
 * @late:text (after more than a second).
 * A leading ~ gives the answer xored with 0x15, so that only the module's copies can be found by op "scan". */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <security/pam_appl.h>

static pam_handle_t *handle;
static char **answers, **answers_end;
static const char *hidden;

static void line(const char *tag, const char *text)
{
	printf("%s|", tag);
	for (; *text; text++)
		if (*text == '\n')
			printf("\\n");
		else if ((unsigned char)*text < 32 || *text == 127)
			printf("<%02x>", (unsigned char)*text);
		else
			putchar(*text);
	putchar('\n');
	fflush(stdout);
}

static void log_line(int priority, const char *fmt, va_list ap)
{
	char text[4096], tag[16];
	vsnprintf(text, sizeof text, fmt, ap);
	snprintf(tag, sizeof tag, "LOG%d", priority & LOG_PRIMASK);
	line(tag, text);
}

/* libpam logs through these; the executable's own definitions win. */
void vsyslog(int priority, const char *fmt, va_list ap) { log_line(priority, fmt, ap); }
void __vsyslog_chk(int priority, int flag, const char *fmt, va_list ap) { (void)flag; log_line(priority, fmt, ap); }
void syslog(int priority, const char *fmt, ...) { va_list ap; va_start(ap, fmt); log_line(priority, fmt, ap); va_end(ap); }
void __syslog_chk(int priority, int flag, const char *fmt, ...) { (void)flag; va_list ap; va_start(ap, fmt); log_line(priority, fmt, ap); va_end(ap); }

static int reply(struct pam_response *r)
{
	char *a = answers < answers_end ? *answers++ : "answer=@error";
	a += strlen("answer=");
	if (strcmp(a, "@error") == 0)
		return PAM_CONV_ERR;
	if (strcmp(a, "@kill") == 0)
		_exit(42);
	if (strncmp(a, "@late:", 6) == 0) {
		usleep(1200000); /* past timeout=1 */
		a += 6;
	}
	if (strncmp(a, "@user:", 6) == 0) {
		char *name = strdup(a + 6), *rest = strchr(name, ':');
		*rest = '\0';
		/* Everything else changes as well, so that a module that kept a pointer is caught. */
		pam_set_item(handle, PAM_USER, name);
		pam_set_item(handle, PAM_TTY, "/dev/pts/99");
		pam_set_item(handle, PAM_RHOST, "198.51.100.1");
		pam_set_item(handle, PAM_SERVICE, "login");
		r->resp = strdup(rest + 1);
		free(name);
	} else if (*a == '~') {
		hidden = a + 1;
		r->resp = strdup(hidden);
		for (char *c = r->resp; *c; c++)
			*c ^= 0x15;
	} else if (strcmp(a, "@null") != 0)
		r->resp = strdup(a);
	return PAM_SUCCESS;
}

static int converse(int n, const struct pam_message **m, struct pam_response **out, void *data)
{
	static const char *const names[] = {[PAM_PROMPT_ECHO_OFF] = "OFF", [PAM_PROMPT_ECHO_ON] = "ON", [PAM_ERROR_MSG] = "ERROR", [PAM_TEXT_INFO] = "INFO"};
	struct pam_response *r = calloc((size_t)n, sizeof *r);
	(void)data;
	for (int i = 0; i < n; i++) {
		line(names[m[i]->msg_style], m[i]->msg);
		if (m[i]->msg_style == PAM_ERROR_MSG || m[i]->msg_style == PAM_TEXT_INFO)
			continue;
		if (answers < answers_end && strcmp(*answers, "answer=@none") == 0) {
			answers++;
			free(r);
			*out = NULL;
			return PAM_SUCCESS;
		}
		if (reply(&r[i]) != PAM_SUCCESS) {
			free(r);
			return PAM_CONV_ERR;
		}
	}
	*out = r;
	return PAM_SUCCESS;
}

/* count looks for a part of the hidden answer in every writable page of this process. */
static size_t count(const char *part, size_t len)
{
	char row[512];
	size_t found = 0;
	FILE *maps = fopen("/proc/self/maps", "r"), *mem = fopen("/proc/self/mem", "rb");
	static unsigned char page[1 << 16];
	while (fgets(row, sizeof row, maps)) {
		unsigned long from, to;
		char mode[8];
		if (sscanf(row, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[1] != 'w' || strstr(row, "[v"))
			continue;
		for (unsigned long at = from; at < to; at += sizeof page - 512) {
			size_t want = to - at < sizeof page ? to - at : sizeof page, got;
			if (fseek(mem, (long)at, SEEK_SET) != 0 || (got = fread(page, 1, want, mem)) < len)
				continue;
			for (size_t i = 0; i + len <= got; i++) {
				size_t k = 0;
				while (k < len && (page[i + k] ^ 0x15) == (unsigned char)part[k])
					k++;
				/* The copies that this scan itself reads are in page. */
				if (k == len && !(at + i >= (unsigned long)page && at + i < (unsigned long)(page + sizeof page)))
					found++;
			}
		}
	}
	fclose(maps);
	fclose(mem);
	return found;
}

/* scan counts copies of every eight bytes: free() overwrites the front of what was not wiped. */
static int scan(void)
{
	size_t found = 0;
	char text[64];

	for (const char *part = hidden; strlen(part) >= 8; part += 8)
		found += count(part, 8);
	snprintf(text, sizeof text, "%zu", found);
	line("copies", text);
	return 0;
}

static int run(const char *op)
{
	int r = -1;
	if (strcmp(op, "scan") == 0)
		return scan();
	extern int silent;
	if (strcmp(op, "authenticate") == 0)
		r = pam_authenticate(handle, silent ? PAM_SILENT : 0);
	else if (strcmp(op, "account") == 0)
		r = pam_acct_mgmt(handle, silent ? PAM_SILENT : 0);
	else if (strcmp(op, "setcred") == 0)
		r = pam_setcred(handle, PAM_ESTABLISH_CRED);
	printf("= %s %d\n", op, r);
	fflush(stdout);
	return r;
}

int silent;

/* impostor listens as nobody and would let everybody in. */
static int impostor(const char *path)
{
	static const unsigned char allow[] = {0, 0, 0, 5, 0x84, 60, 0, 1, 1};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int c, l = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(a.sun_path, path, sizeof a.sun_path - 1);
	if (setgid(65534) != 0 || setuid(65534) != 0 || bind(l, (struct sockaddr *)&a, sizeof a) != 0 || listen(l, 5) != 0)
		return 1;
	puts("ready");
	fflush(stdout);
	while ((c = accept(l, NULL, NULL)) >= 0) {
		if (write(c, allow, sizeof allow) < 0)
			return 1;
		sleep(1);
		close(c);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct pam_conv conv = {converse, NULL};
	int i, last = 0;

	if (argc == 3 && strcmp(argv[1], "impostor") == 0)
		return impostor(argv[2]);
	if (argc < 5 || pam_start_confdir(argv[2], argv[3], &conv, argv[1], &handle) != PAM_SUCCESS)
		return 2;
	for (i = 4; i < argc; i++) {
		if (strcmp(argv[i], "silent") == 0)
			silent = 1;
		else if (strncmp(argv[i], "tty=", 4) == 0)
			pam_set_item(handle, PAM_TTY, argv[i] + 4);
		else if (strncmp(argv[i], "rhost=", 6) == 0)
			pam_set_item(handle, PAM_RHOST, argv[i] + 6);
		else if (strncmp(argv[i], "ruser=", 6) == 0)
			pam_set_item(handle, PAM_RUSER, argv[i] + 6);
		else if (strncmp(argv[i], "env=", 4) == 0)
			pam_putenv(handle, argv[i] + 4);
		else if (strncmp(argv[i], "user=", 5) == 0)
			pam_set_item(handle, PAM_USER, argv[i] + 5);
		else if (strncmp(argv[i], "answer=", 7) == 0) {
			answers = answers ? answers : argv + i;
			answers_end = argv + i + 1;
		} else
			last = run(argv[i]);
	}
	pam_end(handle, last);
	return 0;
}
