-- What the header that is current grants a user on a machine. While the machine
-- is quarantined it is held against what he may have now: of less the machine is
-- told. '' where the server did not note it yet.
ALTER TABLE enrollments ADD COLUMN granted TEXT NOT NULL DEFAULT '';
