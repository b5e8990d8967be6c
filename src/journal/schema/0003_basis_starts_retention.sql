-- Version 3. What an intent is based on is a bar or a slot, and each slot knows what it was weighed against and under which
-- start of the node. Checksums are filled in by the code after the last step.

-- A bar opens before the slot that decides it, so that only a decided slot has the slot's own time.
ALTER TABLE intents ADD COLUMN basis_kind TEXT NOT NULL DEFAULT 'bar';
UPDATE intents SET basis_kind = 'slot' WHERE basis_ms = slot_ms;
-- At most one intent per decision and role, whatever version derived its key.
CREATE UNIQUE INDEX intents_by_decision ON intents (pipeline, basis_ms, basis_kind, role, account, mode);

ALTER TABLE slots ADD COLUMN weighed TEXT;
ALTER TABLE slots ADD COLUMN start INTEGER;

CREATE TABLE starts (
    number        INTEGER PRIMARY KEY,
    at_ms         INTEGER NOT NULL,
    version       TEXT    NOT NULL,
    mode          TEXT    NOT NULL,
    config_digest TEXT    NOT NULL,
    checksum      INTEGER NOT NULL
) STRICT;

-- What retention has removed, and what of it must be remembered.
CREATE TABLE removed_slots (
    pipeline       TEXT    NOT NULL PRIMARY KEY,
    until_ms       INTEGER NOT NULL,
    slots          INTEGER NOT NULL,
    decided_bar_ms INTEGER,
    checksum       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Text beside numbers.
CREATE TABLE meta_of_3 (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta_of_3 SELECT name, value FROM meta;
DROP TABLE meta;
ALTER TABLE meta_of_3 RENAME TO meta;

-- A ticket confirms one order of an account. Not unique: earlier versions may have taken another order's for a receipt.
CREATE INDEX intents_by_ticket ON intents (account, mode, ticket) WHERE ticket IS NOT NULL;
