-- Version 4. An intent is an order or a forecast: a forecast has neither side nor volume, and what confirms it is an inclusion.
-- Both tables are built anew, because a column cannot be made optional and the events refer to the intents. Checksums are filled
-- in by the code after the last step.
CREATE TABLE intents_of_4 (
    key             TEXT    NOT NULL PRIMARY KEY,
    mode            TEXT    NOT NULL,
    account         TEXT    NOT NULL,
    pipeline        TEXT    NOT NULL,
    slot_ms         INTEGER NOT NULL,
    basis_ms        INTEGER NOT NULL,
    role            TEXT    NOT NULL,
    symbol          TEXT    NOT NULL,
    side            TEXT,
    volume_lots     TEXT,
    stop_price      TEXT,
    target_price    TEXT,
    reference_price TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    ticket          TEXT,
    filled_lots     TEXT,
    fill_price      TEXT,
    receipt_text    TEXT,
    basis_kind      TEXT    NOT NULL,
    log_return      TEXT,
    horizon_s       INTEGER,
    reference_ms    INTEGER,
    hash            TEXT,
    height          INTEGER,
    checksum        INTEGER NOT NULL,
    CHECK ((log_return IS NULL) = (side IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO intents_of_4
    SELECT key, mode, account, pipeline, slot_ms, basis_ms, role, symbol, side, volume_lots, stop_price, target_price,
           reference_price, state, ticket, filled_lots, fill_price, receipt_text, basis_kind, NULL, NULL, NULL, NULL, NULL,
           checksum
    FROM intents;

CREATE TABLE intent_events_of_4 (
    key      TEXT    NOT NULL REFERENCES intents_of_4 (key),
    number   INTEGER NOT NULL,
    at_ms    INTEGER,
    event    TEXT    NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (key, number)
) STRICT, WITHOUT ROWID;
INSERT INTO intent_events_of_4 SELECT key, number, at_ms, event, checksum FROM intent_events;

DROP TABLE intent_events;
DROP TABLE intents;
ALTER TABLE intents_of_4 RENAME TO intents;
ALTER TABLE intent_events_of_4 RENAME TO intent_events;

CREATE INDEX intents_by_slot ON intents (pipeline, slot_ms);
CREATE INDEX intents_by_exposure ON intents (account, symbol, mode, slot_ms);
CREATE INDEX intents_open ON intents (pipeline, slot_ms) WHERE state IN ('planned', 'sent', 'unknown', 'held');
CREATE UNIQUE INDEX intents_by_decision ON intents (pipeline, basis_ms, basis_kind, role, account, mode);
CREATE INDEX intents_by_ticket ON intents (account, mode, ticket) WHERE ticket IS NOT NULL;
