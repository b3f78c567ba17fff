/* Fuzzer of the codec: what is accepted can be walked, written again and accepted again. */
#include "lklp_text.h"

#include <stdlib.h>
#include <string.h>

#define MUST(x) do { if (!(x)) abort(); } while (0)

static void walk(const struct lklp_frame *f)
{
	static char screen[4 * LKLP_MAX_FRAME + 8], log[512];
	struct lklp_value v, id, label;

	screen[0] = log[0] = '\0';
	for (int tag = 0; tag < 256; tag++) {
		if (!lklp_get(f, (uint8_t)tag, &v))
			continue;
		screen[0] = '\0'; /* room for all of it: every byte is read */
		lklp_append(screen, sizeof screen, v.p, v.len, LKLP_SCREEN);
		lklp_append(log, sizeof log, v.p, v.len, LKLP_LOG);
		lklp_number(f, (uint8_t)tag, 0);
	}
	for (unsigned i = 0; lklp_choice(f, i, &id, &label); i++)
		MUST(i < 16 && id.len >= 1 && id.len <= 64 && label.len <= 256);
	for (const char *c = log; *c; c++)
		MUST(*c >= 0x20 && *c < 0x7f);
	for (const char *c = screen; *c; c++)
		MUST((unsigned char)*c >= 0x20 || *c == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[LKLP_HEADER + LKLP_MAX_FRAME];
	struct lklp_frame f;
	struct lklp_out o;
	uint32_t len;

	if (size < LKLP_HEADER || lklp_length(data, &len) != 0 || size - LKLP_HEADER < len)
		return 0;
	uint8_t *body = malloc(len); /* exact: the sanitizer sees one byte too many */
	memcpy(body, data + LKLP_HEADER, len);
	if (lklp_parse(body, len, &f) == 0) {
		MUST(f.type != LKLP_VERDICT || lklp_number(&f, LKLP_OUTCOME, 99) <= LKLP_UNAVAILABLE);
		walk(&f);
		lklp_open(&o, again, sizeof again, f.type);
		for (uint32_t at = 0; at < f.len;) {
			uint32_t n = (uint32_t)f.tlv[at + 1] << 8 | f.tlv[at + 2];
			lklp_put(&o, f.tlv[at], f.tlv + at + 3, n);
			at += 3 + n;
		}
		MUST(lklp_close(&o) == 0 && o.len == len + LKLP_HEADER && memcmp(again, data, o.len) == 0);
	}
	free(body);
	return 0;
}
