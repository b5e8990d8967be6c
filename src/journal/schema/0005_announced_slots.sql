-- Version 5. Slots may be announced from outside, each with its deadline and an id, and an intent knows the id of its slot.
-- Checksums are filled in by the code after the last step.
CREATE TABLE announced_slots (
    pipeline     TEXT    NOT NULL,
    slot_ms      INTEGER NOT NULL,
    id           TEXT    NOT NULL,
    closes_ms    INTEGER NOT NULL,
    announced_ms INTEGER NOT NULL,
    checksum     INTEGER NOT NULL,
    PRIMARY KEY (pipeline, slot_ms)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX announced_slots_by_id ON announced_slots (pipeline, id);

ALTER TABLE intents ADD COLUMN announced_as TEXT;
