-- Jobs that one server of a deployment does for all: whoever holds the row.
CREATE TABLE leases (
  name   TEXT COLLATE "C" PRIMARY KEY,
  holder TEXT COLLATE "C" NOT NULL,
  ends   BIGINT NOT NULL
);

-- What the server signed of the audit chain: the row at a position has a hash,
-- and all rows before it are in that hash. The last one of every 1,000 rows and
-- of every minute is kept.
CREATE TABLE checkpoints (
  position BIGINT PRIMARY KEY,
  at       BIGINT NOT NULL,
  signed   TEXT COLLATE "C" NOT NULL -- DSSE
);

-- A token is named by the beginning of its hash. scopes is a list of words with
-- spaces between them; empty: all that the role may.
ALTER TABLE api_tokens ADD COLUMN id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE api_tokens ADD COLUMN scopes TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE api_tokens SET id = 'tok_' || substr(encode(hash, 'hex'), 1, 16);
CREATE UNIQUE INDEX api_tokens_id ON api_tokens (id);
