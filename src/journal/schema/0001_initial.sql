-- Version 1. This file is frozen: files of this version exist. Changes are a new step.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE slots (
    pipeline        TEXT    NOT NULL,
    slot_ms         INTEGER NOT NULL,
    mode            TEXT    NOT NULL,
    outcome         TEXT    NOT NULL,
    reason          TEXT    NOT NULL,
    detail          TEXT    NOT NULL,
    attempts        INTEGER NOT NULL,
    started_ms      INTEGER,
    ended_ms        INTEGER NOT NULL,
    fetch_us        INTEGER,
    features_us     INTEGER,
    predict_us      INTEGER,
    execute_us      INTEGER,
    newest_bar_ms   INTEGER,
    bars            INTEGER,
    dropped         TEXT    NOT NULL,
    missing_bars    INTEGER,
    bars_digest     TEXT,
    feature_set     TEXT,
    features_digest TEXT,
    model_id        TEXT,
    model_hash      TEXT,
    raw_output      TEXT,
    signal          TEXT,
    confidence      REAL,
    decided_bar_ms  INTEGER,
    intents         TEXT    NOT NULL,
    PRIMARY KEY (pipeline, slot_ms)
) STRICT, WITHOUT ROWID;

CREATE INDEX slots_by_decided_bar ON slots (pipeline, decided_bar_ms) WHERE decided_bar_ms IS NOT NULL;

CREATE TABLE intents (
    key             TEXT    NOT NULL PRIMARY KEY,
    mode            TEXT    NOT NULL,
    account         TEXT    NOT NULL,
    pipeline        TEXT    NOT NULL,
    slot_ms         INTEGER NOT NULL,
    basis_ms        INTEGER NOT NULL,
    role            TEXT    NOT NULL,
    symbol          TEXT    NOT NULL,
    side            TEXT    NOT NULL,
    volume_lots     TEXT    NOT NULL,
    stop_price      TEXT,
    target_price    TEXT,
    reference_price TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    ticket          TEXT,
    filled_lots     TEXT,
    fill_price      TEXT,
    receipt_text    TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX intents_by_slot ON intents (pipeline, slot_ms);
CREATE INDEX intents_by_exposure ON intents (account, symbol, mode, slot_ms);
CREATE INDEX intents_open ON intents (pipeline, slot_ms) WHERE state IN ('planned', 'sent', 'unknown', 'held');

CREATE TABLE intent_events (
    key    TEXT    NOT NULL REFERENCES intents (key),
    number INTEGER NOT NULL,
    at_ms  INTEGER,
    event  TEXT    NOT NULL,
    PRIMARY KEY (key, number)
) STRICT, WITHOUT ROWID;
