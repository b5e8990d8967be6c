//! What a pipeline may ask of an account behind a gateway.
//!
//! Positions that a gateway cannot report are never guessed: the rules refuse every combination of account, exits and limits
//! that would need them. They ask the dialect for what it can do, and name none.

use sentinel_actors::domain::decision::{OnOpposite, TradePolicy};
use sentinel_actors::domain::risk::RiskLimits;

use crate::venues::gateway::dialect::Dialect;

/// What the account does with an opposite order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountMode {
    /// It reduces the one position of the symbol.
    Netting,
    /// It opens a position of its own.
    Hedging,
}

/// Whether these settings fit together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Positions are derived from confirmed orders.
    pub(super) derives_positions: bool,
    /// What does not fit, each with its key.
    pub(super) problems: Vec<(&'static str, String)>,
}

pub(super) fn judge(
    dialect: &Dialect,
    mode: AccountMode,
    symbol: &str,
    policy: &TradePolicy,
    risk: &RiskLimits,
) -> Judgement {
    let mut problems: Vec<_> =
        [volume_problem(dialect, policy), symbol_problem(dialect, symbol)].into_iter().flatten().collect();
    let has_exits = policy.stop_distance.is_some() || policy.target_distance.is_some();
    if has_exits && !dialect.carries_exits {
        problems.push((
            "dialect",
            format!(
                "{} ignores a stop and a target, so a position would have none: write stop_distance = \"none\" and \
             target_distance = \"none\" in [pipeline.decision], so that positions end by orders of the node",
                dialect.name
            ),
        ));
    }
    problems.extend(losses_problem(dialect, risk));
    let leaves_exits = has_exits && dialect.carries_exits;
    let adds_up = mode == AccountMode::Netting && !leaves_exits;
    let is_tracked = dialect.reports_positions || adds_up;
    if is_tracked && mode == AccountMode::Netting && risk.max_open_positions.is_some_and(|limit| limit > 1) {
        let what = "a netting account has one position per symbol; risk.max_open_positions is 1 or \"none\" there";
        problems.push(("account_mode", what.to_owned()));
    }
    if !is_tracked || mode == AccountMode::Hedging && !dialect.closes_by_ticket {
        let why = what_it_cannot(dialect, mode);
        problems.extend(what_needs_it(&why, is_tracked, policy, risk).map(|problem| ("account_mode", problem)));
    }
    Judgement { derives_positions: adds_up && !dialect.reports_positions, problems }
}

/// Losses are counted from what the venue says of the account.
fn losses_problem(dialect: &Dialect, risk: &RiskLimits) -> Option<(&'static str, String)> {
    let account = &risk.account;
    let limits = [
        (account.max_daily_loss.is_some(), "risk.max_daily_loss"),
        (account.max_drawdown.is_some(), "risk.max_drawdown"),
        (account.cool_down.is_some(), "risk.cool_down_after_losses"),
    ];
    let set: Vec<&str> = limits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, key)| key).collect();
    (!set.is_empty() && !dialect.tells_account).then(|| {
        let (name, keys) = (dialect.name, set.join(" and "));
        let what = format!(
            "{name} does not tell balance and equity, so losses of the account cannot be counted; write \"none\" for {keys}, or take a \
             gateway whose dialect tells its account"
        );
        ("dialect", what)
    })
}

fn volume_problem(dialect: &Dialect, policy: &TradePolicy) -> Option<(&'static str, String)> {
    let (lots, limits) = (policy.volume_lots.normalize(), dialect.lots);
    let decimals = match limits.decimals {
        0 => "no decimals".to_owned(),
        1 => "one decimal".to_owned(),
        2 => "two decimals".to_owned(),
        more => format!("{more} decimals"),
    };
    let text = || {
        let (least, most) = (limits.least, limits.most);
        format!("takes {least} to {most} lots with {decimals}, and decision.volume_lots is {lots}")
    };
    (!limits.allow(lots)).then(|| ("dialect", text()))
}

fn symbol_problem(dialect: &Dialect, symbol: &str) -> Option<(&'static str, String)> {
    let word = dialect.word_in(symbol)?;
    let name = dialect.name;
    Some((
        "dialect",
        format!("{name} takes the word {word} for a command wherever it stands, and it stands in the symbol {symbol}"),
    ))
}

fn what_it_cannot(dialect: &Dialect, mode: AccountMode) -> String {
    let name = dialect.name;
    match (mode, dialect.reports_positions, dialect.closes_by_ticket) {
        (AccountMode::Netting, ..) => format!(
            "{name} cannot say when the broker's stop or target ended a position, so positions are untracked \
             (stop_distance and target_distance = \"none\" would let the node derive them from its orders)"
        ),
        (AccountMode::Hedging, false, false) => {
            format!("{name} cannot say which positions are open, and on a hedging account it cannot close one")
        }
        (AccountMode::Hedging, false, true) => format!("{name} cannot say which positions are open"),
        (AccountMode::Hedging, true, _) => format!("{name} cannot close a position of a hedging account"),
    }
}

/// Every setting that needs a position to be known or closed.
fn what_needs_it(why: &str, is_tracked: bool, policy: &TradePolicy, risk: &RiskLimits) -> impl Iterator<Item = String> {
    let leaves_exits = policy.stop_distance.is_some() || policy.target_distance.is_some();
    let reasons = [
        (policy.on_opposite != OnOpposite::Ignore, "it needs decision.on_opposite = \"ignore\""),
        (risk.max_open_positions.is_some() && !is_tracked, "it needs risk.max_open_positions = \"none\""),
        (risk.max_position_lots.is_some() && !is_tracked, "it needs risk.max_position_lots = \"none\""),
        (policy.max_holding.is_some(), "decision.max_holding cannot be kept"),
        (!leaves_exits, "without stop_distance and target_distance nothing ever ends one"),
    ];
    reasons.into_iter().filter(|(is_needed, _)| *is_needed).map(move |(_, what)| format!("{why}; {what}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rust_decimal::Decimal;
    use sentinel_actors::domain::account_risk::AccountLimits;
    use sentinel_actors::domain::calendar::MarketCalendar;
    use sentinel_actors::domain::decision::DecideOn;

    use super::*;
    use crate::venues::gateway::dialect::{DIALECTS, LotLimits};

    fn policy(lots: Decimal) -> TradePolicy {
        TradePolicy {
            classes: Vec::new(),
            threshold: 0.5,
            decide_on: DecideOn::Bar,
            volume_lots: lots,
            stop_distance: None,
            target_distance: None,
            price_digits: 5,
            on_opposite: OnOpposite::Reverse,
            max_holding: Some(Duration::from_secs(3600)),
        }
    }

    fn risk() -> RiskLimits {
        RiskLimits {
            max_open_positions: Some(1),
            max_position_lots: Some(Decimal::ONE),
            hours: MarketCalendar::always(),
            max_orders_per_hour: 9,
            max_orders_per_day: 9,
            account: AccountLimits::default(),
        }
    }

    /// No gateway speaks it.
    fn invented(reports_positions: bool, closes_by_ticket: bool) -> Dialect {
        let lots = LotLimits { least: Decimal::ONE, most: Decimal::TEN, decimals: 0 };
        let [like, ..] = &DIALECTS;
        Dialect { name: "invented", reports_positions, closes_by_ticket, lots, ..*like }
    }

    fn problems(dialect: &Dialect, mode: AccountMode, lots: Decimal) -> Vec<String> {
        judge(dialect, mode, "EURUSD", &policy(lots), &risk())
            .problems
            .into_iter()
            .map(|(_, problem)| problem)
            .collect()
    }

    #[test]
    fn a_dialect_that_reports_and_closes_positions_is_refused_nothing() {
        let able = invented(true, true);
        for mode in [AccountMode::Netting, AccountMode::Hedging] {
            let judgement = judge(&able, mode, "EURUSD", &policy(Decimal::ONE), &risk());
            assert_eq!(judgement, Judgement { derives_positions: false, problems: Vec::new() });
        }
        let counted = judge(&invented(false, true), AccountMode::Netting, "EURUSD", &policy(Decimal::ONE), &risk());
        assert_eq!(counted, Judgement { derives_positions: true, problems: Vec::new() });
    }

    #[test]
    fn what_a_dialect_lacks_is_refused_in_its_name_and_by_its_limits() {
        let blind = problems(&invented(false, true), AccountMode::Hedging, Decimal::ONE);
        assert_eq!(blind.len(), 5);
        assert!(blind.iter().all(|problem| problem.starts_with("invented cannot say which positions are open; ")));
        let handless = problems(&invented(true, false), AccountMode::Hedging, Decimal::ONE);
        assert_eq!(handless.len(), 3, "how many are open is known");
        assert!(handless.iter().all(|problem| problem.starts_with("invented cannot close a position of a hedging")));
        let volume = problems(&invented(true, true), AccountMode::Hedging, Decimal::new(15, 1));
        assert_eq!(volume, ["takes 1 to 10 lots with no decimals, and decision.volume_lots is 1.5"]);
    }
}
