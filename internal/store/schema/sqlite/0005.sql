-- What the header that is current grants a user on a machine. While the machine
-- is quarantined it is held against what he may have now: of less the machine is
-- told. '' where the server did not note it yet.
ALTER TABLE enrollments ADD COLUMN granted TEXT NOT NULL DEFAULT '';

-- Where the audit chain ends, as the sealer left it: wrapped under the master
-- key, so that nobody who can only write to the database makes one.
CREATE TABLE heads (
  name    TEXT PRIMARY KEY, -- 'audit'
  wrapped BLOB NOT NULL
);
