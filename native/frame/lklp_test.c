/* Replays test/transcripts/frames.txt: each frame is read, described in the
 * words of the file, written again and compared. Arguments: the file, and
 * optionally a directory that receives each frame as a seed for the fuzzer. */
#include "lklp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME(t) [LKLP_##t] = #t
static const char *const types[256] = {NAME(HELLO), NAME(BEGIN), NAME(ANSWER), NAME(CANCEL), NAME(ASK), NAME(SAY), NAME(TICK), NAME(VERDICT)};
static const struct { const char *name; const char *types; int number; } tags[256] = {
	[LKLP_VERSION_MIN] = {"VERSION_MIN", "\x01", 1}, [LKLP_VERSION_MAX] = {"VERSION_MAX", "\x01", 1}, [LKLP_KIND] = {"KIND", "\x01", 0},
	[LKLP_LOCALE] = {"LOCALE", "\x01", 0}, [LKLP_CAPS] = {"CAPS", "\x01", 1}, [LKLP_OP] = {"OP", "\x02", 1},
	[LKLP_SCENARIO] = {"SCENARIO", "\x02", 0}, [LKLP_SERVICE] = {"SERVICE", "\x02", 0}, [LKLP_USER] = {"USER", "\x02", 0},
	[LKLP_UID] = {"UID", "\x02", 1}, [LKLP_SID] = {"SID", "\x02", 0}, [LKLP_RUSER] = {"RUSER", "\x02", 0}, [LKLP_RHOST] = {"RHOST", "\x02", 0},
	[LKLP_TTY] = {"TTY", "\x02", 0}, [LKLP_FLAGS] = {"FLAGS", "\x02", 1}, [LKLP_FIRST_FACTOR] = {"FIRST_FACTOR", "\x02", 1},
	[LKLP_AUTH_EVENT] = {"AUTH_EVENT", "\x02", 0}, [LKLP_RUID] = {"RUID", "\x02", 1}, [LKLP_ID] = {"ID", "\x03\x81", 1},
	[LKLP_VALUE] = {"VALUE", "\x03", 0}, [LKLP_ASK_KIND] = {"ASK_KIND", "\x81", 1}, [LKLP_LABEL] = {"LABEL", "\x81", 0},
	[LKLP_EXPIRY] = {"EXPIRY", "\x81", 1}, [LKLP_CHOICE] = {"CHOICE", "\x81", 0}, [LKLP_TEXT] = {"TEXT", "\x82\x84", 0},
	[LKLP_ERROR] = {"ERROR", "\x82", 1}, [LKLP_OUTCOME] = {"OUTCOME", "\x84", 1}, [LKLP_REASON] = {"REASON", "\x84", 0},
	[LKLP_LOGINS_LEFT] = {"LOGINS_LEFT", "\x84", 1}, [LKLP_DAYS_LEFT] = {"DAYS_LEFT", "\x84", 1},
	[LKLP_VALID_UNTIL] = {"VALID_UNTIL", "\x84", 1}, [LKLP_EVENT_ID] = {"EVENT_ID", "\x84", 0}, [LKLP_CHOSEN_VERSION] = {"VERSION", "\x83", 1},
};

static int failures;

static void show(char *out, size_t cap, uint8_t tag, const uint8_t *p, size_t n)
{
	char text[4 * 65536 + 1];
	size_t at = 0;

	if (tags[tag].number) {
		unsigned long long v = 0;
		for (size_t i = 0; i < n; i++)
			v = v << 8 | p[i];
		snprintf(out, cap, " %s=%llu", tags[tag].name, v);
		return;
	}
	for (size_t i = 0; i < n; i++)
		at += (size_t)sprintf(text + at, p[i] < 32 || p[i] > 126 || p[i] == '"' || p[i] == '\\' ? "\\x%02x" : "%c", p[i]);
	text[at] = '\0';
	if (n > 80)
		snprintf(out, cap, " %s=len%zu\"%.8s\"", tags[tag].name, n, text);
	else
		snprintf(out, cap, " %s=\"%s\"", tags[tag].name, text);
}

/* describe walks the TLVs itself, so that it does not trust the codec's walk. */
static void describe(const uint8_t *b, size_t n, char *out, size_t cap, const char *name)
{
	static uint8_t again[LKLP_MAX_FRAME + LKLP_HEADER];
	struct lklp_frame f;
	struct lklp_out o;
	uint32_t len;

	out[0] = '\0';
	if (n < LKLP_HEADER) {
		snprintf(out, cap, n == 0 ? "end" : "truncated");
		return;
	}
	if (lklp_length(b, &len) != 0) {
		snprintf(out, cap, "malformed");
		return;
	}
	if (n - LKLP_HEADER < len) {
		snprintf(out, cap, "truncated");
		return;
	}
	/* A copy of exact size lets the sanitizer see any read past the end. */
	uint8_t *body = malloc(len);
	memcpy(body, b + LKLP_HEADER, len);
	if (lklp_parse(body, len, &f) != 0) {
		snprintf(out, cap, "malformed");
		free(body);
		return;
	}
	snprintf(out, cap, "%s", types[f.type]);
	lklp_open(&o, again, sizeof again, f.type);
	for (uint32_t at = 0; at < f.len;) {
		uint8_t tag = f.tlv[at];
		size_t size = (size_t)f.tlv[at + 1] << 8 | f.tlv[at + 2];
		if (tags[tag].name != NULL && strchr(tags[tag].types, f.type) != NULL) {
			size_t used = strlen(out);
			show(out + used, cap - used, tag, f.tlv + at + 3, size);
		}
		lklp_put(&o, tag, f.tlv + at + 3, size);
		at += 3 + (uint32_t)size;
	}
	if (lklp_close(&o) != 0 || o.len != n || memcmp(again, b, n) != 0) {
		printf("FAIL %s: written differently\n", name);
		failures++;
	}
	free(body);
}

static size_t unhex(char *s, uint8_t *out, size_t cap)
{
	size_t n = 0;
	for (char *w = strtok(s, " \n"); w != NULL; w = strtok(NULL, " \n")) {
		char *end;
		unsigned long v = strtoul(w, &end, 16), times = 1;
		if (*end == '*')
			times = strtoul(end + 1, &end, 10);
		if (*end != '\0' || v > 255 || n + times > cap) {
			printf("FAIL bad hex %s\n", w);
			exit(1);
		}
		memset(out + n, (int)v, times);
		n += times;
	}
	return n;
}

static void seed(const char *dir, unsigned i, const uint8_t *b, size_t n)
{
	char path[4096];
	FILE *f;
	snprintf(path, sizeof path, "%s/frame-%03u", dir, i);
	if ((f = fopen(path, "wb")) == NULL || fwrite(b, 1, n, f) != n || fclose(f) != 0) {
		perror(path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static char line[1 << 20], got[1 << 20], name[1024];
	static uint8_t bytes[1 << 18];
	size_t n = 0;
	unsigned cases = 0;
	FILE *in = argc > 1 ? fopen(argv[1], "r") : NULL;

	if (in == NULL) {
		fprintf(stderr, "usage: lklp_test frames.txt [seed-directory]\n");
		return 2;
	}
	while (fgets(line, sizeof line, in) != NULL) {
		if (strncmp(line, "name: ", 6) == 0)
			snprintf(name, sizeof name, "%.*s", (int)strcspn(line + 6, "\n"), line + 6);
		else if (strncmp(line, "hex:", 4) == 0)
			n = unhex(line + 4, bytes, sizeof bytes);
		else if (strncmp(line, "is: ", 4) == 0) {
			line[strcspn(line, "\n")] = '\0';
			describe(bytes, n, got, sizeof got, name);
			if (strcmp(got, line + 4) != 0) {
				printf("FAIL %s\n  got  %s\n  want %s\n", name, got, line + 4);
				failures++;
			}
			if (argc > 2 && n > LKLP_HEADER)
				seed(argv[2], cases, bytes, n);
			cases++;
		}
	}
	fclose(in);
	if (cases < 90) {
		printf("FAIL only %u cases\n", cases);
		return 1;
	}
	printf("%u frames, %d failures\n", cases, failures);
	return failures != 0;
}
