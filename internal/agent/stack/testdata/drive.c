/* Reads "phase folder service" lines, runs the phase with libpam, and says how
 * pam_start and the phase ended and what the modules told the conversation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <security/pam_appl.h>

static char said[65536];

static int converse(int n, const struct pam_message **m, struct pam_response **r, void *p)
{
	(void)p;
	*r = calloc((size_t)n, sizeof **r);
	for (int i = 0; *r != NULL && i < n; i++) {
		const char *value = strchr(m[i]->msg, '=');

		if (strlen(said) + strlen(m[i]->msg) + 2 < sizeof said) {
			strcat(said, value != NULL ? value + 1 : m[i]->msg);
			strcat(said, ";");
		}
	}
	return *r != NULL ? PAM_SUCCESS : PAM_BUF_ERR;
}

int main(void)
{
	char phase[16], folder[4096], service[256];

	while (scanf("%15s %4095s %255s", phase, folder, service) == 3) {
		struct pam_conv conv = {converse, NULL};
		pam_handle_t *h = NULL;
		int began, ended = -1;

		said[0] = '\0';
		began = pam_start_confdir(service, "root", &conv, folder, &h);
		if (began == PAM_SUCCESS)
			ended = strcmp(phase, "auth") == 0 ? pam_authenticate(h, 0) : pam_acct_mgmt(h, 0);
		if (h != NULL)
			pam_end(h, ended);
		printf("%d %d %s\n", began, ended, said);
		fflush(stdout);
	}
	return 0;
}
