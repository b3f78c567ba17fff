-- What the header that is current grants a user on a machine. While the machine
-- is quarantined it is held against what he may have now: of less the machine is
-- told. '' where the server did not note it yet.
ALTER TABLE enrollments ADD COLUMN granted TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Where the audit chain ends, as the sealer left it: wrapped under the master
-- key, so that nobody who can only write to the database makes one.
CREATE TABLE heads (
  name    TEXT COLLATE "C" PRIMARY KEY, -- 'audit'
  wrapped BYTEA NOT NULL
);

-- What machines say they used without being believed: next_use stays where it
-- is, and a code that is accepted below this step or counter may be one of them.
ALTER TABLE authenticators ADD COLUMN claimed BIGINT NOT NULL DEFAULT 0;
UPDATE authenticators SET claimed = (SELECT max(e.used) + 1 FROM events e WHERE e.credential = authenticators.id)
  WHERE EXISTS (SELECT 1 FROM events e WHERE e.credential = authenticators.id AND e.used >= authenticators.next_use);
-- An administrator approved of the machine: what it says of its counters counts
-- in its next report.
ALTER TABLE machines ADD COLUMN floors_due BOOLEAN NOT NULL DEFAULT FALSE;
-- When the machine last showed that it was told more than this database knows: a
-- backup was put in its place.
ALTER TABLE machines ADD COLUMN ahead_at BIGINT;
-- What a header lets the machine check (JSON): the one that is current, and the
-- newest that the machine confirmed. Empty: the server does not know, an older
-- version of it made that header. The report of enrollments rests on it.
ALTER TABLE enrollments ADD COLUMN gives TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE enrollments ADD COLUMN holds TEXT COLLATE "C" NOT NULL DEFAULT '';
-- Handouts are of apps too: the first step that the machine was handed, and how
-- often it has used up codes of the present under the anchor. What was handed out
-- before is taken from the widest that it can have been.
ALTER TABLE handouts ADD COLUMN first BIGINT NOT NULL DEFAULT 0;
ALTER TABLE handouts ADD COLUMN burnt BIGINT NOT NULL DEFAULT 0;
INSERT INTO handouts (authenticator_id, machine_id, handed, base, anchor, first)
  SELECT a.id, e.machine_id, (e.anchor / 1000 + 90 * 86400) / a.period, 0, e.anchor, (e.enrolled_at / 1000 - 86400) / a.period
  FROM enrollments e JOIN authenticators a ON a.user_id = e.user_id
  WHERE a.kind = 'totp' AND a.period > 0 AND e.enrolled_at IS NOT NULL AND e.anchor IS NOT NULL AND e.header_version > 0;
-- What the trail says once of a machine that says it at each contact.
CREATE TABLE told (
  machine_id TEXT COLLATE "C" NOT NULL REFERENCES machines (id),
  what       TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (machine_id, what)
);
