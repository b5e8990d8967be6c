//! Starts of the node: by which version and configuration its slots were decided.

use rusqlite::{Connection, params_from_iter};
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::time::UtcMs;

use super::rows;
use super::tables::{INSERT_START, RowFault, sealed};

/// One start of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Wall time.
    pub at: UtcMs,
    pub version: String,
    pub mode: Mode,
    pub config_digest: String,
}

/// Keeps a start and says its number: 1 for the first one.
pub(super) fn keep(connection: &Connection, start: &Start) -> Result<i64, RowFault> {
    let number = connection.query_row("SELECT coalesce(max(number), 0) + 1 FROM starts", [], |row| row.get(0))?;
    connection.prepare_cached(&INSERT_START)?.execute(params_from_iter(sealed(rows::start_values(number, start))))?;
    Ok(number)
}
