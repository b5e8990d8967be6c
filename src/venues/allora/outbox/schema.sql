-- Every transaction that this wallet has signed. A row is durable before its bytes leave.
CREATE TABLE transactions (
    number         INTEGER PRIMARY KEY AUTOINCREMENT,
    hash           TEXT NOT NULL UNIQUE,
    -- The submission that it carries out; a submission has several when a price or a gas limit changed.
    key            TEXT NOT NULL,
    chain_id       TEXT NOT NULL,
    address        TEXT NOT NULL,
    bytes          BLOB NOT NULL,
    signed_at      INTEGER NOT NULL,
    -- The newest block that was known then: no earlier one has the transaction.
    signed_height  INTEGER NOT NULL,
    -- Whether a node may have been handed the bytes.
    offered        INTEGER NOT NULL DEFAULT 0 CHECK (offered IN (0, 1)),
    fate           TEXT NOT NULL DEFAULT 'open' CHECK (fate IN ('open', 'landed', 'never', 'unproven')),
    -- The block that has it.
    height         INTEGER,
    code           INTEGER,
    codespace      TEXT,
    gas_used       INTEGER,
    -- What the chain said, or why it can be in no block.
    text           TEXT,
    -- SHA-256 of the columns above.
    seal           BLOB NOT NULL,
    CHECK ((fate = 'landed') = (height IS NOT NULL)),
    CHECK ((height IS NULL) = (code IS NULL)),
    CHECK ((fate = 'open') = (text IS NULL))
) STRICT;
CREATE INDEX transactions_of_key ON transactions (key);
CREATE INDEX transactions_open ON transactions (address, chain_id) WHERE fate = 'open';
CREATE INDEX transactions_signed ON transactions (address, chain_id, signed_at);
