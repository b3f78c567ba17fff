/* LKLP/1 as text: for front-ends that have a terminal or a log. */
#ifndef LATCHKEY_LKLP_TEXT_H
#define LATCHKEY_LKLP_TEXT_H

#include "lklp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* lklp_append adds n bytes to the string dst, cut off where it is full, with
 * control characters escaped. On a screen line feeds and UTF-8 stay; a log
 * line is printable ASCII only. */
enum lklp_surface { LKLP_LOG, LKLP_SCREEN };
void lklp_append(char *dst, size_t cap, const void *src, size_t n, enum lklp_surface on);

/* lklp_compose puts everything that the user needs for an ASK into one prompt:
 * before (SAY text, or ""), the choices with their numbers, the label. */
void lklp_compose(char *dst, size_t cap, const char *before, const struct lklp_frame *ask);

#ifdef __cplusplus
}
#endif

#endif
