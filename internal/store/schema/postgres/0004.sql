-- Wrong answers through programs of the user's own: they slow such programs
-- down on that machine, and nobody else anywhere.
CREATE TABLE own_failures (
  machine_id       TEXT COLLATE "C" NOT NULL REFERENCES machines (id),
  user_id          TEXT COLLATE "C" NOT NULL REFERENCES users (id),
  authenticator_id TEXT COLLATE "C" NOT NULL REFERENCES authenticators (id),
  fails            BIGINT NOT NULL,
  debt             BIGINT NOT NULL,
  retry_at         BIGINT,
  PRIMARY KEY (machine_id, user_id, authenticator_id)
);

-- What an administrator's command was answered, so that the same command again
-- is not carried out again. Without an answer it is under way, or was cut off.
CREATE TABLE requests (
  id      BYTEA PRIMARY KEY, -- hash of who asked and of the key that he chose
  command BYTEA NOT NULL,    -- hash of method, path and body
  at      BIGINT NOT NULL,
  status  BIGINT,
  wrapped BYTEA              -- the answer; it may hold secrets
);
CREATE INDEX requests_at ON requests (at);

-- Which names a token is good for ('' any), and whether machines that join with
-- it wait for approval.
ALTER TABLE machine_tokens ADD COLUMN name_pattern TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE machine_tokens ADD COLUMN approve BOOLEAN NOT NULL DEFAULT FALSE;

-- How far the counter was when the allowance began that the machine holds codes
-- for: from there it is bounded.
ALTER TABLE handouts ADD COLUMN anchor BIGINT NOT NULL DEFAULT 0;
ALTER TABLE handouts ADD COLUMN base BIGINT NOT NULL DEFAULT 0;

-- The keys that sign for the deployment: one is announced before it is used,
-- one is in use, and older ones are believed until what they signed has ended.
CREATE TABLE signing_keys (
  id            TEXT COLLATE "C" PRIMARY KEY, -- as in the signatures
  public        BYTEA NOT NULL,
  wrapped       BYTEA,             -- the seed; none once it is retired
  made_at       BIGINT NOT NULL,
  current_from  BIGINT,           -- none: announced only
  retired_at    BIGINT,
  trusted_until BIGINT            -- by machines; what it sealed of the audit trail stays sealed
);
