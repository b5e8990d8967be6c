//! Positions and profit: those of the venue's own record, where there is one. Where there is none, positions are derived from the
//! node's confirmed orders, as the node does it, and profit is unknown.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use sentinel_actors::domain::intent::{Intent, IntentState, Mode};
use sentinel_actors::domain::netting::net_position;
use sentinel_actors::domain::time::UtcMs;
use serde::Serialize;

use crate::cli::proof::ProofError;
use crate::cli::proof::ledger::Realised;
use crate::cli::proof::venue::{OpenPosition, Venue};
use crate::cli::text::{cell, labelled};
use crate::operator::report::facts::Range;

/// Positions and profit from one venue's record, or derived from confirmed orders.
#[derive(Debug, Serialize)]
pub(super) struct Holdings {
    pub(super) by: &'static str,
    pub(super) file: Option<String>,
    pub(super) mode: Mode,
    pub(super) positions: Vec<OpenPosition>,
    /// `None` without a venue's own record.
    pub(super) realised: Option<Realised>,
    /// Why the list of positions is incomplete, when it is.
    pub(super) unknown: Option<String>,
}

/// Orders that are kept while all of them pass: which modes have any, and the confirmed live ones, from which positions follow where no
/// venue's record is at hand.
#[derive(Debug, Default)]
pub(super) struct Orders {
    modes: Vec<Mode>,
    confirmed: Vec<Intent>,
}

impl Orders {
    pub(super) fn add(&mut self, intent: &Intent) {
        if intent.order().is_none() {
            return;
        }
        if !self.modes.contains(&intent.mode) {
            self.modes.push(intent.mode);
        }
        if intent.mode == Mode::Live && intent.state == IntentState::Acked {
            self.confirmed.push(intent.clone());
        }
    }

    pub(super) fn has(&self, mode: Mode) -> bool {
        self.modes.contains(&mode)
    }
}

/// Profit is that of the positions that were closed in the range; what is open is open now.
pub(super) fn read(
    dir: &Path,
    ledger: Option<&Path>,
    orders: &Orders,
    range: &Range,
) -> Result<Vec<Holdings>, ProofError> {
    let mut all = Vec::new();
    for venue in Venue::all(dir, ledger)? {
        let (positions, mut realised, mode) = (venue.open_positions()?, Realised::default(), venue.mode());
        venue.each_closed(range.ends(), |closed| {
            realised.add(closed.profit);
            Ok::<_, ProofError>(())
        })?;
        if !positions.is_empty() || orders.has(mode) {
            let file = Some(venue.file().display().to_string());
            all.push(Holdings { by: venue.kind(), file, mode, positions, realised: Some(realised), unknown: None });
        }
    }
    if !all.iter().any(|holdings| holdings.mode == Mode::Live) && orders.has(Mode::Live) {
        all.push(derived(&orders.confirmed));
    }
    Ok(all)
}

/// Positions as the node derives them from confirmed orders where the venue cannot report them.
fn derived(acked: &[Intent]) -> Holdings {
    let symbols: BTreeSet<(&str, &str)> =
        acked.iter().map(|intent| (intent.account.as_str(), intent.action.symbol())).collect();
    let (mut positions, mut unknown) = (Vec::new(), Vec::new());
    for (account, symbol) in symbols {
        let own = acked.iter().filter(|intent| intent.account == account && intent.action.symbol() == symbol);
        let own: Vec<Intent> = own.cloned().collect();
        match net_position(&own) {
            Ok(net) => positions.extend(net.map(|net| OpenPosition {
                ticket: net.ticket.0,
                symbol: net.symbol,
                side: net.side.code().to_owned(),
                volume_lots: net.volume_lots,
                open_price: net.open_price,
                opened_at: net.opened_at.unwrap_or_default(),
            })),
            Err(fault) => unknown.push(format!("{account} {symbol}: {fault}")),
        }
    }
    let unknown = (!unknown.is_empty()).then(|| unknown.join("; "));
    Holdings { by: "confirmed orders", file: None, mode: Mode::Live, positions, realised: None, unknown }
}

pub(super) fn text(holdings: &Holdings) -> Vec<String> {
    let mut by = format!("by {} ({})", holdings.by, holdings.mode);
    if let Some(file) = &holdings.file {
        let _ = write!(by, ", {file}");
    }
    let count = holdings.positions.len();
    let mut lines = vec![labelled("Positions", &format!("{count} open, {by}"))];
    if !holdings.positions.is_empty() {
        lines.push(format!("  {:<20} {:<10} {:<4} {:>8} {:>10} opened", "ticket", "symbol", "side", "lots", "price"));
    }
    for open in &holdings.positions {
        let (ticket, symbol) = (open.ticket, cell(&open.symbol, 10));
        let (side, lots, price) = (&open.side, open.volume_lots.to_string(), open.open_price.to_string());
        let opened_at = UtcMs::from_secs(open.opened_at.secs()); // milliseconds would not fit beside the rest
        lines.push(format!("  {ticket:<20} {symbol} {side:<4} {lots:>8} {price:>10} {opened_at}"));
    }
    if let Some(unknown) = &holdings.unknown {
        lines.push(labelled("", &format!("cannot be derived: {unknown}")));
    }
    lines.push(match &holdings.realised {
        Some(realised) => {
            let Realised { profit, closed, won } = realised;
            labelled("Profit", &format!("{profit:+.2} in quote currency ({closed} positions closed, {won} won)"))
        }
        None => labelled("Profit", "not known here: ask the venue, or name its ledger with --ledger"),
    });
    lines
}
