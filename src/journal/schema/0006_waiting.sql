-- Version 6. A slot's row says how long the slot waited for its turn to be worked on.
-- Checksums are filled in by the code after the last step.
ALTER TABLE slots ADD COLUMN waited_us INTEGER;
