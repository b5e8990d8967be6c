//! Limits on what an account may lose: what they need, and that all pipelines of an account have the same.

use rust_decimal::Decimal;
use sentinel_actors::domain::account_risk::CoolDown;

use super::endpoints::{MT5, two_of_them};
use super::*;

fn limited(text: &str, limits: &str) -> String {
    format!("{text}\n[pipeline.risk]\n{limits}\n")
}

fn in_command(text: &str) -> String {
    text.replace("dialect = \"order-send\"", "dialect = \"command\"")
}

#[test]
fn losses_have_limits_a_day_with_a_time_zone_and_a_pause() {
    let limits = "max_daily_loss = 250\nmax_drawdown = \"1000.50\"\ncool_down_after_losses = 3\ncool_down = \"90m\"\n\
                  broker_day = \"America/New_York 17:00\"";
    let account = &read(&limited(&in_command(MT5), limits)).unwrap().pipelines[0].order().unwrap().risk.account.clone();
    assert_eq!((account.max_daily_loss, account.max_drawdown), (Some(250.into()), Some(Decimal::new(100_050, 2))));
    assert_eq!(account.cool_down, Some(CoolDown { after_losses: 3, lasts: Duration::from_secs(5_400) }));
    assert_eq!(account.day.to_string(), "America/New_York 17:00");
    assert!(!read(MT5).unwrap().pipelines[0].order().unwrap().risk.account.need_readings(), "none by default");
    for (wrong, said) in [
        ("max_daily_loss = 0", "risk.max_daily_loss: "),
        ("max_drawdown = \"much\"", "risk.max_drawdown: "),
        ("cool_down_after_losses = 0", "risk.cool_down_after_losses: "),
        ("broker_day = \"17:00\"", "write it like America/New_York 17:00"),
    ] {
        check_refused(&limited(MT5, wrong), said);
    }
}

#[test]
fn a_dialect_that_does_not_tell_its_account_cannot_have_them() {
    for limit in ["max_daily_loss = 9", "max_drawdown = 9", "cool_down_after_losses = 2"] {
        for dialect in ["order-send", "expert-advisor"] {
            let text = limited(MT5, limit).replace("dialect = \"order-send\"", &format!("dialect = \"{dialect}\""));
            check_refused(&text, &format!("{dialect} does not tell balance and equity"));
            check_refused(&text, &format!("write \"none\" for risk.{}", limit.split(' ').next().unwrap()));
        }
        read(&limited(&in_command(MT5), limit)).unwrap();
    }
}

#[test]
fn a_spread_that_cannot_be_seen_or_that_the_paper_book_exceeds_is_refused() {
    check_refused(&limited(&in_command(MT5), "max_spread = \"0.0002\""), "command does not tell bid and ask");
    read(&with("pipeline.risk", "max_spread = \"0.00010\"")).unwrap();
    check_refused(&with("pipeline.risk", "max_spread = \"0.00009\""), "the spread of the paper book is 0.00010");
}

#[test]
fn pipelines_of_one_account_have_the_same_limits() {
    let both = in_command(&two_of_them()).replacen("symbol = \"EURUSD\"", "symbol = \"GBPUSD\"", 1);
    let live = |text: &str| {
        let flags = Flags { live: true, ..Flags::default() };
        read_with(text, directory().path(), &Env::default(), &flags)
    };
    live(&both).unwrap();
    let first = limited("", "max_drawdown = 100");
    let (head, second) = both.rsplit_once("[[pipeline]]").unwrap();
    let text = format!("{head}\n{first}\n[[pipeline]]{second}");
    let message = live(&text).unwrap_err().to_string();
    for part in ["'eurusd' and 'second' trade on the account mt5-demo", "differ in max_daily_loss, max_drawdown"] {
        assert!(message.contains(part), "{message}");
    }
    live(&format!("{text}\n{first}")).unwrap();
    // In dry run each has a paper account of its own here.
    read(&text).unwrap();
    let shared = text.replace("account = \"second\"", "account = \"paper\"");
    check_refused(&shared, "trade on the account paper, and differ in max_daily_loss");
}

#[test]
fn two_replays_on_one_paper_account_cannot_count_what_it_loses() {
    let pipeline = |name: &str, symbol: &str, limits: &str| {
        let text = MINIMAL
            .replace("eurusd\"", &format!("{name}\""))
            .replace("symbol = \"EURUSD\"", &format!("symbol = \"{symbol}\""));
        limited(&text, limits)
    };
    let both = |limits| pipeline("eurusd", "EURUSD", limits) + &pipeline("gbpusd", "GBPUSD", limits);
    read(&both("")).unwrap();
    check_refused(&both("max_drawdown = 9"), "in a replay, where each has a time of its own");
}
