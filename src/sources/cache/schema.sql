-- Bars as vendors delivered them, and what was asked for. May be deleted: bars are fetched again, and requests are counted anew.
CREATE TABLE series (
    -- Never used twice: a process may still hold the id of a series that is gone.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    vendor TEXT NOT NULL,
    base_url TEXT NOT NULL,
    ticker TEXT NOT NULL,
    interval_s INTEGER NOT NULL,
    -- Open times that were asked for without a hole, in ms; null before the first fetch.
    first INTEGER,
    last INTEGER,
    -- Checksum of the two.
    seal INTEGER,
    -- Our time of the last fetch.
    fetched INTEGER NOT NULL DEFAULT 0,
    UNIQUE (vendor, base_url, ticker, interval_s)
) STRICT;

CREATE TABLE bar (
    series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
    time INTEGER NOT NULL,
    open REAL, high REAL, low REAL, close REAL, volume REAL,
    -- How long after its close it was first seen, where that says something about the vendor.
    lag_ms INTEGER,
    -- Whether it was ever delivered without a price, or with one that is not positive.
    was_null INTEGER NOT NULL,
    was_zero INTEGER NOT NULL,
    -- Checksum of series, time, prices and volume.
    seal INTEGER NOT NULL,
    PRIMARY KEY (series, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE revision (
    id INTEGER PRIMARY KEY,
    series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
    time INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    was_open REAL, was_high REAL, was_low REAL, was_close REAL, was_volume REAL,
    is_open REAL, is_high REAL, is_low REAL, is_close REAL, is_volume REAL
) STRICT;

-- What a revision would have changed; the pipeline's own bars, also where they are made from shorter ones.
CREATE TABLE review (
    id INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    bar INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    was_close REAL NOT NULL,
    is_close REAL NOT NULL,
    -- Null: the question could not be answered, and the other one says why.
    differs INTEGER,
    would_be TEXT NOT NULL
) STRICT;
CREATE INDEX review_of ON review (pipeline, bar);

CREATE TABLE request (
    account TEXT NOT NULL,
    at INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (account, at)
) STRICT, WITHOUT ROWID;

-- No request before this time.
CREATE TABLE rest (
    account TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
