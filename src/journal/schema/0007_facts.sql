-- Version 7. A ledger says more about a confirmed forecast later, and the intent knows what is still awaited. A slot's row says the
-- time that its forecast counts from, when that is not the close of its bar. Checksums are filled in by the code after the last
-- step.
ALTER TABLE intents ADD COLUMN awaits TEXT;
CREATE INDEX intents_awaiting ON intents (pipeline, slot_ms) WHERE awaits IS NOT NULL;
ALTER TABLE slots ADD COLUMN anchor_ms INTEGER;
