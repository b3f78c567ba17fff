-- How far each machine was ever handed the codes of a hardware token: it may
-- have used them, and report it, long after the lease went to another.
CREATE TABLE handouts (
  authenticator_id TEXT COLLATE "C" NOT NULL REFERENCES authenticators (id),
  machine_id       TEXT COLLATE "C" NOT NULL REFERENCES machines (id),
  handed           BIGINT NOT NULL, -- first counter that it was never handed
  PRIMARY KEY (authenticator_id, machine_id)
);
INSERT INTO handouts (authenticator_id, machine_id, handed)
  SELECT id, lease_machine, lease_to FROM authenticators WHERE lease_machine IS NOT NULL AND lease_to IS NOT NULL;
