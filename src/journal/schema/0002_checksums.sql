-- Version 2: each row carries a checksum of its columns; the code fills it in after the last step.
ALTER TABLE slots ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE intents ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE intent_events ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
