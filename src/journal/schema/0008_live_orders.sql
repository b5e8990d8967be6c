-- Version 8. An intent keeps how surely it is known that it was done, and which positions were open before it left; halts keep
-- effects here until an operator lifts them; and accounts keep what their losses are counted from. Checksums are filled in by the code after the last step.
ALTER TABLE intents ADD COLUMN grade TEXT;
ALTER TABLE intents ADD COLUMN listed TEXT;

CREATE TABLE halts (
    number         INTEGER NOT NULL PRIMARY KEY,
    request        TEXT    NOT NULL,
    -- None of the three: all pipelines. Account: whoever trades there. Account and symbol: whoever trades the symbol there.
    pipeline       TEXT,
    account        TEXT,
    symbol         TEXT,
    state          TEXT    NOT NULL,
    raised_by      TEXT    NOT NULL,
    who            TEXT    NOT NULL,
    why            TEXT    NOT NULL,
    evidence       TEXT    NOT NULL,
    since_ms       INTEGER NOT NULL,
    lifted_request TEXT,
    lifted_who     TEXT,
    lifted_why     TEXT,
    lifted_ms      INTEGER,
    checksum       INTEGER NOT NULL,
    CHECK ((symbol IS NULL OR account IS NOT NULL) AND (account IS NULL OR pipeline IS NULL)),
    CHECK ((lifted_ms IS NULL) = (lifted_request IS NULL))
) STRICT;
-- The same request raises one halt, however often it is made.
CREATE UNIQUE INDEX halts_by_request ON halts (request);

CREATE TABLE accounts (
    mode             TEXT    NOT NULL,
    account          TEXT    NOT NULL,
    -- Grows with each change.
    revision         INTEGER NOT NULL,
    day_ms           INTEGER NOT NULL,
    day_equity       TEXT    NOT NULL,
    peak_equity      TEXT    NOT NULL,
    balance          TEXT    NOT NULL,
    balance_since_ms INTEGER NOT NULL,
    -- Tickets of the open positions, a list in JSON.
    open             TEXT    NOT NULL,
    steps            INTEGER NOT NULL,
    losses_in_row    INTEGER NOT NULL,
    cooling_until_ms INTEGER,
    -- The request of the halt that the newest breach has raised.
    halt             TEXT,
    checksum         INTEGER NOT NULL,
    PRIMARY KEY (mode, account)
) STRICT, WITHOUT ROWID;
