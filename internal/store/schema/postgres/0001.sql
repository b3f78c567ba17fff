-- The same tables as in ../sqlite, column by column. Texts are compared byte by
-- byte, whatever the language of the database: the order of names and the
-- indexes do not change when the system below it is upgraded.
--
-- Times are Unix milliseconds. Secrets ("wrapped") are encrypted under the
-- master key, bound to their table and id.

CREATE TABLE meta (
  name  TEXT COLLATE "C" PRIMARY KEY,
  value TEXT COLLATE "C" NOT NULL
);

-- Numbers that rise with every change of what they name; readers keep what
-- they read until the number moves.
CREATE TABLE revisions (
  name  TEXT COLLATE "C" PRIMARY KEY,
  value BIGINT NOT NULL
);
INSERT INTO revisions (name, value) VALUES ('policies', 1);

-- The server's own keys.
CREATE TABLE secrets (
  name       TEXT COLLATE "C" PRIMARY KEY,
  wrapped    BYTEA NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE users (
  id         TEXT COLLATE "C" PRIMARY KEY,
  name       TEXT COLLATE "C" NOT NULL,
  fold       TEXT COLLATE "C" NOT NULL,
  directory  TEXT COLLATE "C" NOT NULL,
  disabled   BOOLEAN NOT NULL DEFAULT FALSE,
  member_of  TEXT COLLATE "C" NOT NULL DEFAULT '[]', -- names of groups, a JSON list
  created_at BIGINT NOT NULL,
  deleted_at BIGINT -- kept: machines still have to wipe what they hold
);
CREATE UNIQUE INDEX users_live ON users (directory, fold) WHERE deleted_at IS NULL;
CREATE INDEX users_fold ON users (directory, fold);

CREATE TABLE machines (
  id                TEXT COLLATE "C" PRIMARY KEY,
  name              TEXT COLLATE "C" NOT NULL,
  fold              TEXT COLLATE "C" NOT NULL,
  state             TEXT COLLATE "C" NOT NULL,
  mode              TEXT COLLATE "C" NOT NULL,
  exempt_until      BIGINT,
  exempt_reason     TEXT COLLATE "C" NOT NULL DEFAULT '',
  unknown_users     TEXT COLLATE "C" NOT NULL,
  match_local       BOOLEAN NOT NULL,
  trust_on_enforced BOOLEAN NOT NULL,
  os                TEXT COLLATE "C" NOT NULL,
  agent_version     TEXT COLLATE "C" NOT NULL,
  key_class         TEXT COLLATE "C" NOT NULL,
  identity_hash     BYTEA NOT NULL,
  sealing_key       BYTEA NOT NULL,
  owner             TEXT COLLATE "C" REFERENCES users (id), -- the user who used it first
  version           BIGINT NOT NULL DEFAULT 0,  -- of the settings issued last
  generation        BIGINT NOT NULL DEFAULT 0,  -- of the ledger reported last
  reported          BIGINT NOT NULL DEFAULT 0,  -- events up to this seq are stored
  report_hash       TEXT COLLATE "C" NOT NULL DEFAULT '',   -- of the event reported last
  lost              BIGINT NOT NULL DEFAULT 0,
  quarantine        TEXT COLLATE "C" NOT NULL DEFAULT '',   -- why
  last_contact      BIGINT,
  created_at        BIGINT NOT NULL
);
CREATE UNIQUE INDEX machines_identity ON machines (identity_hash);
CREATE UNIQUE INDEX machines_live ON machines (fold) WHERE state IN ('active', 'quarantined');
CREATE INDEX machines_fold ON machines (fold);

CREATE TABLE machine_tokens (
  id         TEXT COLLATE "C" PRIMARY KEY,
  hash       BYTEA NOT NULL UNIQUE,
  uses       BIGINT NOT NULL,
  uses_left  BIGINT NOT NULL,
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

CREATE TABLE authenticators (
  id            TEXT COLLATE "C" PRIMARY KEY,
  user_id       TEXT COLLATE "C" NOT NULL REFERENCES users (id),
  kind          TEXT COLLATE "C" NOT NULL,
  label         TEXT COLLATE "C" NOT NULL,
  algorithm     TEXT COLLATE "C" NOT NULL,
  digits        BIGINT NOT NULL,
  period        BIGINT NOT NULL, -- seconds; 0 where it has none
  wrapped       BYTEA NOT NULL,   -- the seed
  next_use      BIGINT NOT NULL DEFAULT 0, -- lowest step or counter never accepted
  fails         BIGINT NOT NULL DEFAULT 0,
  debt          BIGINT NOT NULL DEFAULT 0,
  retry_at      BIGINT,
  lease_machine TEXT COLLATE "C" REFERENCES machines (id), -- the one machine that may hold HOTP codes
  lease_to      BIGINT, -- first counter that was not handed out
  lease_until   BIGINT, -- when the codes are worth nothing any more
  created_at    BIGINT NOT NULL,
  last_used     BIGINT,
  removed_at    BIGINT
);
CREATE INDEX authenticators_user ON authenticators (user_id);

-- A user who was seen on a machine. enrolled_at is empty for one who may not
-- log in there offline: the machine then holds his status only.
CREATE TABLE enrollments (
  user_id        TEXT COLLATE "C" NOT NULL REFERENCES users (id),
  machine_id     TEXT COLLATE "C" NOT NULL REFERENCES machines (id),
  seen_at        BIGINT NOT NULL,
  uid            BIGINT, -- pinned at the first online success
  sid            TEXT COLLATE "C",
  enrolled_at    BIGINT,
  anchor         BIGINT, -- last online MFA here
  uses           BIGINT NOT NULL DEFAULT 0, -- offline logins reported since anchor
  fails          BIGINT NOT NULL DEFAULT 0, -- offline failures reported since anchor
  retry_at       BIGINT,
  synced_at      BIGINT,
  version        BIGINT NOT NULL DEFAULT 0, -- highest of anything signed for the pair
  header_version BIGINT NOT NULL DEFAULT 0, -- of the header that is current
  header_digest  BYTEA,                      -- of what that header was made from
  issued_at      BIGINT NOT NULL DEFAULT 0, -- of that header
  acked          BIGINT NOT NULL DEFAULT 0, -- header version that the machine holds
  removed_at     BIGINT, -- disenrolled; wiped_at: and the machine said so
  wiped_at       BIGINT,
  PRIMARY KEY (user_id, machine_id)
);
CREATE INDEX enrollments_machine ON enrollments (machine_id);
CREATE UNIQUE INDEX enrollments_uid ON enrollments (machine_id, uid) WHERE uid IS NOT NULL;

CREATE TABLE policies (
  name       TEXT COLLATE "C" PRIMARY KEY,
  fold       TEXT COLLATE "C" NOT NULL UNIQUE,
  priority   BIGINT NOT NULL,
  document   TEXT COLLATE "C" NOT NULL, -- the whole policy, JSON
  updated_at BIGINT NOT NULL
);

CREATE TABLE admins (
  id         TEXT COLLATE "C" PRIMARY KEY,
  name       TEXT COLLATE "C" NOT NULL,
  fold       TEXT COLLATE "C" NOT NULL UNIQUE,
  role       TEXT COLLATE "C" NOT NULL,
  disabled   BOOLEAN NOT NULL DEFAULT FALSE,
  created_at BIGINT NOT NULL
);

CREATE TABLE api_tokens (
  hash       BYTEA PRIMARY KEY,
  admin_id   TEXT COLLATE "C" NOT NULL REFERENCES admins (id),
  label      TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  last_used  BIGINT
);
CREATE INDEX api_tokens_admin ON api_tokens (admin_id);

-- What was answered to an answer, so that asking again charges nothing twice.
CREATE TABLE answers (
  id     BYTEA PRIMARY KEY, -- MAC of machine, logon, state and answer
  at     BIGINT NOT NULL,
  result TEXT COLLATE "C" NOT NULL
);
CREATE INDEX answers_at ON answers (at);

-- The audit trail. Ids begin with the time of writing. position and hash stay
-- empty until the row is sealed into the chain.
CREATE TABLE events (
  id         TEXT COLLATE "C" PRIMARY KEY,
  time       BIGINT NOT NULL,
  kind       TEXT COLLATE "C" NOT NULL,
  actor      TEXT COLLATE "C" NOT NULL DEFAULT '',
  user_id    TEXT COLLATE "C" NOT NULL DEFAULT '',
  user_name  TEXT COLLATE "C" NOT NULL DEFAULT '',
  machine_id TEXT COLLATE "C" NOT NULL DEFAULT '',
  host       TEXT COLLATE "C" NOT NULL DEFAULT '',
  outcome    TEXT COLLATE "C" NOT NULL DEFAULT '',
  reason     TEXT COLLATE "C" NOT NULL DEFAULT '',
  offline    BOOLEAN NOT NULL DEFAULT FALSE,
  scenario   TEXT COLLATE "C" NOT NULL DEFAULT '',
  logon      TEXT COLLATE "C" NOT NULL DEFAULT '',
  credential TEXT COLLATE "C",
  used       BIGINT, -- step or counter that was consumed
  seq        BIGINT, -- number of the machine's report
  detail     TEXT COLLATE "C" NOT NULL DEFAULT '{}', -- JSON
  position   BIGINT,
  hash       BYTEA
);
CREATE INDEX events_used ON events (credential, used) WHERE credential IS NOT NULL;
CREATE UNIQUE INDEX events_report ON events (machine_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX events_unsealed ON events (id) WHERE position IS NULL;
CREATE UNIQUE INDEX events_position ON events (position) WHERE position IS NOT NULL;
