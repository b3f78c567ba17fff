-- Jobs that one server of a deployment does for all: whoever holds the row.
CREATE TABLE leases (
  name   TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  ends   BIGINT NOT NULL
);

-- What the server signed of the audit chain: the row at a position has a hash,
-- and all rows before it are in that hash. The last one of every 1,000 rows and
-- of every minute is kept.
CREATE TABLE checkpoints (
  position BIGINT PRIMARY KEY,
  at       BIGINT NOT NULL,
  signed   TEXT NOT NULL -- DSSE
);
