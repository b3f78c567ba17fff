#include "lklp.h"

#include <string.h>

enum shape { U8 = 1, U32, U64, NAME, TEXT, SECRET, CHOICE };
enum place { REQUIRED = 1, OPTIONAL, REPEATED };

#define MAX_OPTIONS 16
#define MAX_OPTION_ID 64
#define MAX_OPTION_LABEL 256
#define TLV_HEADER 3u

/* One line per tag and message: the same table as internal/frame/tag.go. */
static const struct rule {
	uint8_t type, tag;
	uint8_t place, shape;
	uint16_t max;
} rules[] = {
	{LKLP_HELLO, LKLP_VERSION_MIN, REQUIRED, U8, 1},
	{LKLP_HELLO, LKLP_VERSION_MAX, REQUIRED, U8, 1},
	{LKLP_HELLO, LKLP_KIND, REQUIRED, TEXT, 64},
	{LKLP_HELLO, LKLP_LOCALE, OPTIONAL, TEXT, 64},
	{LKLP_HELLO, LKLP_CAPS, OPTIONAL, U32, 4},
	{LKLP_BEGIN, LKLP_OP, REQUIRED, U8, 1},
	{LKLP_BEGIN, LKLP_SCENARIO, OPTIONAL, TEXT, 64},
	{LKLP_BEGIN, LKLP_SERVICE, REQUIRED, NAME, 128},
	{LKLP_BEGIN, LKLP_USER, REQUIRED, NAME, 512},
	{LKLP_BEGIN, LKLP_UID, OPTIONAL, U32, 4},
	{LKLP_BEGIN, LKLP_SID, OPTIONAL, TEXT, 256},
	{LKLP_BEGIN, LKLP_RUSER, OPTIONAL, NAME, 512},
	{LKLP_BEGIN, LKLP_RUID, OPTIONAL, U32, 4},
	{LKLP_BEGIN, LKLP_RHOST, OPTIONAL, NAME, 512},
	{LKLP_BEGIN, LKLP_TTY, OPTIONAL, NAME, 256},
	{LKLP_BEGIN, LKLP_FLAGS, OPTIONAL, U32, 4},
	{LKLP_BEGIN, LKLP_FIRST_FACTOR, OPTIONAL, U8, 1},
	{LKLP_BEGIN, LKLP_AUTH_EVENT, OPTIONAL, TEXT, 128},
	{LKLP_ANSWER, LKLP_ID, REQUIRED, U32, 4},
	{LKLP_ANSWER, LKLP_VALUE, REQUIRED, SECRET, LKLP_MAX_VALUE},
	{LKLP_ASK, LKLP_ID, REQUIRED, U32, 4},
	{LKLP_ASK, LKLP_ASK_KIND, REQUIRED, U8, 1},
	{LKLP_ASK, LKLP_LABEL, REQUIRED, TEXT, 1024},
	{LKLP_ASK, LKLP_EXPIRY, OPTIONAL, U32, 4},
	{LKLP_ASK, LKLP_CHOICE, REPEATED, CHOICE, 1 + MAX_OPTION_ID + MAX_OPTION_LABEL},
	{LKLP_SAY, LKLP_TEXT, REQUIRED, TEXT, 8192},
	{LKLP_SAY, LKLP_ERROR, OPTIONAL, U8, 1},
	{LKLP_TICK, LKLP_CHOSEN_VERSION, OPTIONAL, U8, 1},
	{LKLP_VERDICT, LKLP_OUTCOME, REQUIRED, U8, 1},
	{LKLP_VERDICT, LKLP_REASON, OPTIONAL, TEXT, 64},
	{LKLP_VERDICT, LKLP_TEXT, OPTIONAL, TEXT, 8192},
	{LKLP_VERDICT, LKLP_LOGINS_LEFT, OPTIONAL, U32, 4},
	{LKLP_VERDICT, LKLP_DAYS_LEFT, OPTIONAL, U32, 4},
	{LKLP_VERDICT, LKLP_VALID_UNTIL, OPTIONAL, U64, 8},
	{LKLP_VERDICT, LKLP_EVENT_ID, OPTIONAL, TEXT, 128},
};
#define RULES (sizeof rules / sizeof rules[0])

static int known_type(uint8_t t)
{
	return (t >= LKLP_HELLO && t <= LKLP_CANCEL) || (t >= LKLP_ASK && t <= LKLP_VERDICT);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int lklp_length(const uint8_t header[LKLP_HEADER], uint32_t *len)
{
	*len = be32(header);
	return *len >= 1 && *len <= LKLP_MAX_FRAME ? 0 : -1;
}

/* next takes one TLV off the front of rest: 1 taken, 0 at the end, -1 malformed. */
static int next(struct lklp_value *rest, uint8_t *tag, struct lklp_value *v)
{
	if (rest->len == 0)
		return 0;
	if (rest->len < TLV_HEADER)
		return -1;
	*tag = rest->p[0];
	v->len = (size_t)rest->p[1] << 8 | rest->p[2];
	v->p = rest->p + TLV_HEADER;
	if (v->len > rest->len - TLV_HEADER)
		return -1;
	rest->p += TLV_HEADER + v->len;
	rest->len -= TLV_HEADER + v->len;
	return 1;
}

static int utf8(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

	while (n > 0) {
		size_t size = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
		uint32_t c;

		if (size == 0 || size > n)
			return 0;
		c = size == 1 ? p[0] : p[0] & (0x7fu >> size);
		for (size_t i = 1; i < size; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (p[i] & 0x3f);
		}
		if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return 0;
		p += size;
		n -= size;
	}
	return 1;
}

static int is_text(const uint8_t *p, size_t n)
{
	return memchr(p, 0, n) == NULL && utf8(p, n);
}

static int split_choice(struct lklp_value v, struct lklp_value *id, struct lklp_value *label)
{
	if (v.len == 0 || v.p[0] > v.len - 1)
		return -1;
	id->p = v.p + 1;
	id->len = v.p[0];
	label->p = id->p + id->len;
	label->len = v.len - 1 - id->len;
	if (id->len == 0 || id->len > MAX_OPTION_ID || label->len > MAX_OPTION_LABEL)
		return -1;
	return is_text(id->p, id->len) && is_text(label->p, label->len) ? 0 : -1;
}

static int check_value(const struct rule *r, struct lklp_value v)
{
	struct lklp_value id, label;

	if (v.len > r->max)
		return -1;
	switch (r->shape) {
	case U8:
	case U32:
	case U64:
		return v.len == r->max ? 0 : -1;
	case NAME:
		if (memchr(v.p, 0, v.len) != NULL)
			return -1;
		break;
	case TEXT:
		if (!is_text(v.p, v.len))
			return -1;
		break;
	case CHOICE:
		return split_choice(v, &id, &label);
	}
	if (v.len == 0 && (r->tag == LKLP_KIND || r->tag == LKLP_SERVICE || r->tag == LKLP_USER || r->tag == LKLP_LABEL))
		return -1;
	return 0;
}

static const struct rule *find_rule(uint8_t type, uint8_t tag)
{
	for (size_t i = 0; i < RULES; i++)
		if (rules[i].type == type && rules[i].tag == tag)
			return &rules[i];
	return NULL;
}

/* check_fields: every known field fits its rule, occurs once, and none is missing. */
static int check_fields(const struct lklp_frame *f, unsigned *choices)
{
	struct lklp_value rest = {f->tlv, f->len}, v;
	uint64_t seen[4] = {0};
	uint8_t tag;
	int more;

	*choices = 0;
	while ((more = next(&rest, &tag, &v)) == 1) {
		const struct rule *r = find_rule(f->type, tag);

		if (r == NULL)
			continue;
		if (check_value(r, v) != 0)
			return -1;
		if (r->place == REPEATED)
			(*choices)++;
		else if (seen[tag / 64] >> (tag % 64) & 1)
			return -1;
		seen[tag / 64] |= UINT64_C(1) << (tag % 64);
	}
	for (size_t i = 0; i < RULES; i++)
		if (rules[i].type == f->type && rules[i].place == REQUIRED && !(seen[rules[i].tag / 64] >> (rules[i].tag % 64) & 1))
			return -1;
	return more;
}

static int check_ask(const struct lklp_frame *f, unsigned choices)
{
	uint32_t kind = lklp_number(f, LKLP_ASK_KIND, 0);

	if (kind < LKLP_ASK_SECRET || kind > LKLP_ASK_TOUCH || choices > MAX_OPTIONS)
		return -1;
	return (kind == LKLP_ASK_CHOICE) == (choices > 0) ? 0 : -1;
}

static int check_verdict(const struct lklp_frame *f)
{
	struct lklp_value reason;

	if (lklp_number(f, LKLP_OUTCOME, UINT32_MAX) > LKLP_UNAVAILABLE)
		return -1;
	lklp_get(f, LKLP_REASON, &reason);
	for (size_t i = 0; i < reason.len; i++) {
		uint8_t c = reason.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
			return -1;
	}
	return 0;
}

/* check_meaning: numbers that are an enumeration or a range. */
static int check_meaning(const struct lklp_frame *f, unsigned choices)
{
	uint32_t low, op;

	switch (f->type) {
	case LKLP_HELLO:
		low = lklp_number(f, LKLP_VERSION_MIN, 0);
		return low >= 1 && lklp_number(f, LKLP_VERSION_MAX, 0) >= low ? 0 : -1;
	case LKLP_BEGIN:
		op = lklp_number(f, LKLP_OP, 0);
		return (op == LKLP_OP_AUTHENTICATE || op == LKLP_OP_ACCOUNT) && lklp_number(f, LKLP_FIRST_FACTOR, 0) <= 1 ? 0 : -1;
	case LKLP_ASK:
		return check_ask(f, choices);
	case LKLP_SAY:
		return lklp_number(f, LKLP_ERROR, 0) <= 1 ? 0 : -1;
	case LKLP_VERDICT:
		return check_verdict(f);
	}
	return 0;
}

int lklp_parse(const uint8_t *body, uint32_t len, struct lklp_frame *f)
{
	unsigned choices;

	memset(f, 0, sizeof *f);
	if (len < 1 || len > LKLP_MAX_FRAME || !known_type(body[0]))
		return -1;
	f->type = body[0];
	f->tlv = body + 1;
	f->len = len - 1;
	if (check_fields(f, &choices) != 0 || check_meaning(f, choices) != 0) {
		memset(f, 0, sizeof *f);
		return -1;
	}
	return 0;
}

int lklp_get(const struct lklp_frame *f, uint8_t tag, struct lklp_value *v)
{
	struct lklp_value rest = {f->tlv, f->len};
	uint8_t t;

	while (next(&rest, &t, v) == 1)
		if (t == tag)
			return 1;
	v->p = (const uint8_t *)"";
	v->len = 0;
	return 0;
}

uint32_t lklp_number(const struct lklp_frame *f, uint8_t tag, uint32_t absent)
{
	struct lklp_value v;

	if (!lklp_get(f, tag, &v))
		return absent;
	return v.len == 1 ? v.p[0] : v.len == 4 ? be32(v.p) : absent;
}

int lklp_choice(const struct lklp_frame *f, unsigned i, struct lklp_value *id, struct lklp_value *label)
{
	struct lklp_value rest = {f->tlv, f->len}, v;
	uint8_t tag;

	while (next(&rest, &tag, &v) == 1)
		if (tag == LKLP_CHOICE && i-- == 0)
			return split_choice(v, id, label) == 0;
	return 0;
}

void lklp_open(struct lklp_out *o, uint8_t *buf, size_t cap, uint8_t type)
{
	o->buf = buf;
	o->cap = cap;
	o->len = LKLP_HEADER + 1;
	o->bad = cap < o->len;
	if (!o->bad)
		buf[LKLP_HEADER] = type;
}

void lklp_put(struct lklp_out *o, uint8_t tag, const void *p, size_t len)
{
	if (o->bad || len > UINT16_MAX || len + TLV_HEADER > o->cap - o->len) {
		o->bad = 1;
		return;
	}
	o->buf[o->len++] = tag;
	o->buf[o->len++] = (uint8_t)(len >> 8);
	o->buf[o->len++] = (uint8_t)len;
	if (len > 0)
		memcpy(o->buf + o->len, p, len);
	o->len += len;
}

void lklp_put_u8(struct lklp_out *o, uint8_t tag, uint8_t v)
{
	lklp_put(o, tag, &v, 1);
}

void lklp_put_u32(struct lklp_out *o, uint8_t tag, uint32_t v)
{
	uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	lklp_put(o, tag, b, sizeof b);
}

void lklp_put_text(struct lklp_out *o, uint8_t tag, const char *s)
{
	if (s != NULL && *s != '\0')
		lklp_put(o, tag, s, strlen(s));
}

int lklp_close(struct lklp_out *o)
{
	struct lklp_frame f;
	uint32_t len;

	if (o->bad || o->len - LKLP_HEADER > LKLP_MAX_FRAME)
		return -1;
	len = (uint32_t)(o->len - LKLP_HEADER);
	o->buf[0] = (uint8_t)(len >> 24);
	o->buf[1] = (uint8_t)(len >> 16);
	o->buf[2] = (uint8_t)(len >> 8);
	o->buf[3] = (uint8_t)len;
	return lklp_parse(o->buf + LKLP_HEADER, len, &f);
}
