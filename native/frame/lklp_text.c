#include "lklp_text.h"

#include <stdio.h>
#include <string.h>

/* hostile returns how many bytes at p would steer a terminal or reorder text:
 * C0, DEL, C1, and the Unicode line separators and direction controls. */
static size_t hostile(const uint8_t *p, size_t n)
{
	if (p[0] < 0x20 || p[0] == 0x7f)
		return 1;
	if (n >= 2 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
		return 2;
	if (n >= 3 && p[0] == 0xe2 && ((p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) || (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)))
		return 3;
	return 0;
}

void lklp_append(char *dst, size_t cap, const void *src, size_t n, enum lklp_surface on)
{
	const uint8_t *p = src;
	size_t at = strlen(dst);

	for (size_t i = 0; i < n && at + 5 <= cap; i++) {
		size_t bad = hostile(p + i, n - i);

		if (on == LKLP_SCREEN ? p[i] == '\n' || bad == 0 : p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\') {
			dst[at++] = (char)p[i];
			continue;
		}
		for (size_t end = i + (bad > 0 ? bad : 1); i < end && at + 5 <= cap; i++)
			at += (size_t)snprintf(dst + at, 5, "\\x%02x", p[i]);
		i--;
	}
	dst[at] = '\0';
}

static void show(char *dst, size_t cap, const char *text)
{
	lklp_append(dst, cap, text, strlen(text), LKLP_SCREEN);
}

void lklp_compose(char *dst, size_t cap, const char *before, const struct lklp_frame *f)
{
	uint32_t kind = lklp_number(f, LKLP_ASK_KIND, 0);
	struct lklp_value id, label;
	size_t n;

	dst[0] = '\0';
	if (before[0] != '\0') {
		show(dst, cap, before);
		show(dst, cap, "\n");
	}
	for (unsigned i = 0; lklp_choice(f, i, &id, &label); i++) {
		char number[16];

		snprintf(number, sizeof number, "%3u ", i + 1);
		show(dst, cap, number);
		lklp_append(dst, cap, id.p, id.len, LKLP_SCREEN);
		show(dst, cap, " ");
		lklp_append(dst, cap, label.p, label.len, LKLP_SCREEN);
		show(dst, cap, "\n");
	}
	lklp_get(f, LKLP_LABEL, &label);
	lklp_append(dst, cap, label.p, label.len, LKLP_SCREEN);
	if (kind == LKLP_ASK_CONFIRM)
		show(dst, cap, " [y/N]");
	n = strlen(dst);
	if (kind == LKLP_ASK_TOUCH || dst[n - 1] != ':')
		show(dst, cap, kind == LKLP_ASK_TOUCH ? " (then press Enter) " : ": ");
	else
		show(dst, cap, " ");
}
