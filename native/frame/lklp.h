/* LKLP/1, the protocol between a login front-end and the agent
 * (docs/formats/lklp.md). Checks shapes and limits, allocates nothing,
 * keeps nothing, decides nothing. What is malformed is an error. */
#ifndef LATCHKEY_LKLP_H
#define LATCHKEY_LKLP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LKLP_HEADER 4u      /* bytes of the length field */
#define LKLP_MAX_FRAME 65536u /* type byte and TLVs */
#define LKLP_MAX_VALUE 512u /* bytes of an ANSWER */
#define LKLP_MAX_OUT 4096u  /* enough for every frame of a front-end */
#define LKLP_VERSION 1

enum lklp_type {
	LKLP_HELLO = 0x01, LKLP_BEGIN = 0x02, LKLP_ANSWER = 0x03, LKLP_CANCEL = 0x04,
	LKLP_ASK = 0x81, LKLP_SAY = 0x82, LKLP_TICK = 0x83, LKLP_VERDICT = 0x84,
};

enum lklp_tag {
	LKLP_VERSION_MIN = 1, LKLP_VERSION_MAX = 2, LKLP_KIND = 3, LKLP_LOCALE = 4, LKLP_CAPS = 5,
	LKLP_OP = 10, LKLP_SCENARIO = 11, LKLP_SERVICE = 12, LKLP_USER = 13, LKLP_UID = 14, LKLP_SID = 15,
	LKLP_RUSER = 16, LKLP_RHOST = 17, LKLP_TTY = 18, LKLP_FLAGS = 19, LKLP_FIRST_FACTOR = 20,
	LKLP_AUTH_EVENT = 21, LKLP_RUID = 22,
	LKLP_ID = 30, LKLP_VALUE = 31,
	LKLP_ASK_KIND = 40, LKLP_LABEL = 41, LKLP_EXPIRY = 42, LKLP_CHOICE = 43,
	LKLP_TEXT = 50, LKLP_ERROR = 51,
	LKLP_OUTCOME = 60, LKLP_REASON = 61, LKLP_LOGINS_LEFT = 62, LKLP_DAYS_LEFT = 63,
	LKLP_VALID_UNTIL = 64, LKLP_EVENT_ID = 65, LKLP_CHOSEN_VERSION = 66,
};

enum lklp_cap { LKLP_CAP_LIVE_INFO = 1, LKLP_CAP_CHOICE = 2, LKLP_CAP_QR_TEXT = 4 };
enum lklp_op { LKLP_OP_AUTHENTICATE = 1, LKLP_OP_ACCOUNT = 2 };
enum lklp_flag { LKLP_FLAG_SILENT = 1, LKLP_FLAG_ONE_FIELD = 2 };
enum lklp_ask_kind { LKLP_ASK_SECRET = 1, LKLP_ASK_TEXT, LKLP_ASK_CHOICE, LKLP_ASK_CONFIRM, LKLP_ASK_TOUCH };
/* Zero denies. */
enum lklp_outcome { LKLP_DENY = 0, LKLP_ALLOW, LKLP_NOT_REQUIRED, LKLP_LOCKED, LKLP_UNAVAILABLE };

/* A frame that lklp_parse has checked. It points into the caller's buffer. */
struct lklp_frame {
	uint8_t type;
	const uint8_t *tlv;
	uint32_t len;
};

/* A value inside a frame: not terminated, may hold anything its tag allows. */
struct lklp_value {
	const uint8_t *p;
	size_t len;
};

/* All functions that return int return 0 for success and -1 for malformed,
 * unless a line says otherwise. */

/* lklp_length reads the four header bytes: 1 … 65536. */
int lklp_length(const uint8_t header[LKLP_HEADER], uint32_t *len);

/* lklp_parse checks a whole frame without its header. */
int lklp_parse(const uint8_t *body, uint32_t len, struct lklp_frame *f);

/* lklp_get returns 1 and the value, or 0 and an empty value. */
int lklp_get(const struct lklp_frame *f, uint8_t tag, struct lklp_value *v);

/* lklp_number returns a u8 or u32 field, or absent. */
uint32_t lklp_number(const struct lklp_frame *f, uint8_t tag, uint32_t absent);

/* lklp_choice returns 1 and option i (from 0), or 0. */
int lklp_choice(const struct lklp_frame *f, unsigned i, struct lklp_value *id, struct lklp_value *label);

/* An lklp_out is a frame being written into buf. Errors stick: check lklp_close. */
struct lklp_out {
	uint8_t *buf;
	size_t cap, len;
	int bad;
};

void lklp_open(struct lklp_out *o, uint8_t *buf, size_t cap, uint8_t type);
void lklp_put(struct lklp_out *o, uint8_t tag, const void *p, size_t len);
void lklp_put_u8(struct lklp_out *o, uint8_t tag, uint8_t v);
void lklp_put_u32(struct lklp_out *o, uint8_t tag, uint32_t v);
/* lklp_put_text leaves NULL and "" out. */
void lklp_put_text(struct lklp_out *o, uint8_t tag, const char *s);
/* lklp_close fills in the length and checks the frame as the agent will. */
int lklp_close(struct lklp_out *o);

#ifdef __cplusplus
}
#endif

#endif
