//! Tables as earlier versions had them. Frozen: files with these columns and checksums exist.

use super::tables::{ACCOUNTS, ANNOUNCED, EVENTS, HALTS, INTENTS, REMOVED, SLOTS, STARTS, Table};

/// Tables with checksums in version 2.
pub(super) const OF_2: [&Table; 3] = [&SLOTS_OF_2, &INTENTS_OF_2, &EVENTS];

/// Tables with checksums in version 3.
pub(super) const OF_3: [&Table; 5] = [&SLOTS_OF_5, &INTENTS_OF_3, &EVENTS, &STARTS, &REMOVED];

/// Tables with checksums in version 4.
pub(super) const OF_4: [&Table; 5] = [&SLOTS_OF_5, &INTENTS_OF_4, &EVENTS, &STARTS, &REMOVED];

/// Tables with checksums in version 5.
pub(super) const OF_5: [&Table; 6] = [&SLOTS_OF_5, &INTENTS_OF_6, &EVENTS, &STARTS, &REMOVED, &ANNOUNCED];

/// Tables with checksums in version 6.
pub(super) const OF_6: [&Table; 6] = [&SLOTS_OF_6, &INTENTS_OF_6, &EVENTS, &STARTS, &REMOVED, &ANNOUNCED];

/// Tables with checksums in version 7.
pub(super) const OF_7: [&Table; 6] = [&SLOTS, &INTENTS_OF_7, &EVENTS, &STARTS, &REMOVED, &ANNOUNCED];

/// Tables with checksums in version 8.
pub(super) const OF_8: [&Table; 8] = [&SLOTS, &INTENTS_OF_8, &EVENTS, &STARTS, &REMOVED, &ANNOUNCED, &HALTS, &ACCOUNTS];

/// The columns up to `start`; later versions only added some.
const SLOTS_OF_5: Table = Table { columns: SLOTS.columns.split_at(29).0, ..SLOTS };

/// The columns up to `waited_us`; later versions only added some.
const SLOTS_OF_6: Table = Table { columns: SLOTS.columns.split_at(30).0, ..SLOTS };

/// The columns up to `listed`; later versions only added some.
const INTENTS_OF_8: Table = Table { columns: INTENTS.columns.split_at(28).0, ..INTENTS };

/// The columns up to `awaits`; later versions only added some.
const INTENTS_OF_7: Table = Table { columns: INTENTS.columns.split_at(26).0, ..INTENTS };

/// The columns up to `announced_as`; later versions only added some.
const INTENTS_OF_6: Table = Table { columns: INTENTS.columns.split_at(25).0, ..INTENTS };

/// The columns up to `height`; later versions only added some.
const INTENTS_OF_4: Table = Table { columns: INTENTS.columns.split_at(24).0, ..INTENTS };

const SLOTS_OF_2: Table = Table {
    name: "slots",
    keys: 2,
    columns: &[
        "pipeline",
        "slot_ms",
        "mode",
        "outcome",
        "reason",
        "detail",
        "attempts",
        "started_ms",
        "ended_ms",
        "fetch_us",
        "features_us",
        "predict_us",
        "execute_us",
        "newest_bar_ms",
        "bars",
        "dropped",
        "missing_bars",
        "bars_digest",
        "feature_set",
        "features_digest",
        "model_id",
        "model_hash",
        "raw_output",
        "signal",
        "confidence",
        "decided_bar_ms",
        "intents",
    ],
};

const INTENTS_OF_2: Table = Table {
    name: "intents",
    keys: 1,
    columns: &[
        "key",
        "mode",
        "account",
        "pipeline",
        "slot_ms",
        "basis_ms",
        "role",
        "symbol",
        "side",
        "volume_lots",
        "stop_price",
        "target_price",
        "reference_price",
        "state",
        "ticket",
        "filled_lots",
        "fill_price",
        "receipt_text",
    ],
};

const INTENTS_OF_3: Table = Table {
    name: "intents",
    keys: 1,
    columns: &[
        "key",
        "mode",
        "account",
        "pipeline",
        "slot_ms",
        "basis_ms",
        "role",
        "symbol",
        "side",
        "volume_lots",
        "stop_price",
        "target_price",
        "reference_price",
        "state",
        "ticket",
        "filled_lots",
        "fill_price",
        "receipt_text",
        "basis_kind",
    ],
};
