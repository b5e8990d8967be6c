-- Version 9. An intent keeps what its venue has to be told again when it is asked about it. Checksums are filled in by the code after
-- the last step.
ALTER TABLE intents ADD COLUMN venue_note TEXT;
