use std::str::FromStr as _;

use rust_decimal::Decimal;
use sentinel_actors::domain::action::{Action, Forecast};
use sentinel_actors::domain::intent::{Basis, IntentKey};
use sentinel_actors::domain::time::UtcMs;

use super::*;

fn row(slot: i64, reason: Reason) -> SlotRecord {
    SlotRecord::new("btc", UtcMs(slot), Mode::Live, reason, UtcMs(slot + 1))
}

fn intent(nonce: u64, mode: Mode, state: IntentState) -> Intent {
    let slot = UtcMs(i64::try_from(nonce).unwrap());
    let forecast = Forecast {
        symbol: "BTCUSD".to_owned(),
        log_return: Decimal::from_str("0.01").unwrap(),
        horizon_s: 604_800,
        reference_price: Decimal::ONE,
        reference_time: UtcMs(0),
    };
    Intent {
        key: IntentKey::derive(mode, "chain/worker/67", "btc", Basis::Slot(slot), Forecast::ROLE),
        mode,
        account: "chain/worker/67".to_owned(),
        pipeline: "btc".to_owned(),
        slot,
        announced_as: Some(nonce.to_string()),
        basis: Basis::Slot(slot),
        action: Action::Forecast(forecast),
        state,
        receipt: None,
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

const ALLO: u128 = 1_000_000_000_000_000_000;

fn stored() -> Fact {
    Fact::Stored { value: "0.01".to_owned(), evidence: "seen".to_owned(), inclusions: Some(1) }
}

fn evidence() -> String {
    "seen".to_owned()
}

fn topic() -> Topic {
    Topic {
        id: 67,
        metadata: String::new(),
        epoch_last_ended: 0,
        epoch_length: 700,
        ground_truth_lag: 2_000,
        window: 20,
        is_multi: false,
    }
}

/// Reason of its row, and its forecast with what was said of it.
type Made = (Reason, Option<(Intent, Vec<Fact>)>);

/// One window of every kind.
fn all_kinds() -> Tally {
    let (live, acked) = (Mode::Live, IntentState::Acked);
    let scored = |score: &str| vec![Fact::Admitted, stored(), Fact::Scored { score: score.to_owned() }];
    let windows: Vec<Made> = vec![
        (Reason::ForecastAcked, Some((intent(700, live, acked), scored("0.5")))),
        (Reason::ForecastAcked, Some((intent(1400, live, acked), scored("-0.1")))),
        (
            Reason::ForecastAcked,
            Some((intent(2100, live, acked), vec![stored(), Fact::NoScore { evidence: evidence() }])),
        ),
        (Reason::ForecastUnknown, Some((intent(2800, live, acked), vec![stored()]))),
        (Reason::ForecastAcked, Some((intent(3500, live, acked), vec![stored()]))),
        (
            Reason::ForecastAcked,
            Some((intent(4200, live, acked), vec![Fact::Admitted, Fact::Evicted { evidence: evidence() }])),
        ),
        (Reason::ForecastAcked, Some((intent(4900, live, acked), vec![Fact::NotAdmitted { evidence: evidence() }]))),
        (Reason::ForecastAcked, Some((intent(5600, live, acked), vec![Fact::NotStored { evidence: evidence() }]))),
        (Reason::ForecastAcked, Some((intent(6300, live, acked), vec![Fact::Admitted]))),
        (Reason::ForecastUnknown, Some((intent(7000, live, IntentState::Unknown), vec![]))),
        (Reason::ForecastUnknown, Some((intent(7700, live, IntentState::Absent), vec![]))),
        (Reason::ForecastRejected, Some((intent(8400, live, IntentState::Rejected), vec![]))),
        (Reason::WindowClosed, Some((intent(9100, live, IntentState::Absent), vec![]))),
        (Reason::NodeDown, None),
        (Reason::NodeDown, None),
        (Reason::StaleData, None),
        (Reason::Withdrawn, None),
        (Reason::ForecastAcked, Some((intent(9800, Mode::DryRun, acked), vec![]))),
    ];
    let mut tally = Tally::default();
    for (index, (reason, forecast)) in windows.iter().enumerate() {
        let forecast = forecast.as_ref().map(|(intent, facts)| (intent, facts.as_slice()));
        tally.add(&row(i64::try_from(index).unwrap(), *reason), forecast);
    }
    tally
}

#[test]
fn every_window_has_one_ending_and_they_add_up_to_all_of_them() {
    use Ending as E;
    let tally = all_kinds();
    let counts = [E::Stored, E::Evicted, E::NotAdmitted, E::NotStored, E::Unproven, E::InDoubt, E::DryRun];
    assert_eq!(counts.map(|ending| tally.count(ending)), [5, 1, 1, 1, 1, 1, 1]);
    let missed = tally.missed();
    assert_eq!(missed[0], (Miss::Slot(Reason::NodeDown), 2));
    let rest = [
        Miss::Slot(Reason::StaleData),
        Miss::Slot(Reason::WindowClosed),
        Miss::Slot(Reason::Withdrawn),
        Miss::Refused,
        Miss::NeverIncluded,
    ];
    for miss in rest {
        assert!(missed.contains(&(miss, 1)), "{miss}: {missed:?}");
    }
    let ended: u64 = counts.map(|ending| tally.count(ending)).iter().sum();
    assert_eq!(ended + missed.iter().map(|(_, count)| count).sum::<u64>(), tally.windows());
    assert_eq!((tally.windows(), tally.included()), (18, 10));
}

/// Whatever reason, state and facts come together, also such as never do.
#[test]
fn no_window_is_lost_or_counted_twice_whatever_is_known_of_it() {
    let facts = [vec![], vec![Fact::Admitted], vec![stored()], vec![Fact::NotStored { evidence: evidence() }]];
    let (mut tally, mut windows) = (Tally::default(), 0);
    for reason in Reason::ALL {
        tally.add(&row(windows, *reason), None);
        windows += 1;
        for state in IntentState::ALL {
            for mode in [Mode::DryRun, Mode::Live] {
                for facts in &facts {
                    tally.add(&row(windows, *reason), Some((&intent(700, mode, state), facts)));
                    windows += 1;
                }
            }
        }
    }
    assert_eq!(tally.windows(), u64::try_from(windows).unwrap());
    let text = tally.lines(&Fees::default(), None)[0].1.clone();
    let (all, parts) = text.split_once(" = ").unwrap();
    let sum: u64 = parts.split(" + ").map(|part| part.split(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum.to_string(), all, "{text}");
}

#[test]
fn the_report_says_windows_reasons_share_fees_and_scores() {
    let lines = all_kinds().lines(&Fees::default(), Some(&topic()));
    let text = |label| lines.iter().find(|(of, _)| *of == label).unwrap().1.clone();
    assert_eq!(
        text("Windows"),
        "18 = 5 stored + 1 evicted + 1 not admitted + 1 not kept + 1 included and not proven yet + 1 in doubt + 1 in the paper \
         book + 7 missed"
    );
    assert!(text("Missed").starts_with("2 node_down, 1 "), "{}", text("Missed"));
    assert_eq!(text("Took part"), "in 10 of 18 windows, 55.5 %; 27.7 % of all windows are stored and count");
    // 3500 and the ground truth 2,000 blocks later, in whole epochs of 700.
    assert_eq!(
        text("Scores"),
        "2 known, their mean is 0.200000, 1 never known, because the chain had pruned them, 2 pending until about block 6300"
    );
    assert_eq!(all_kinds().lines(&Fees::default(), None)[4].1.split(", ").last(), Some("2 pending"));
    assert_eq!(Tally::default().lines(&Fees::default(), None)[1].1, "no window was announced yet");
}

#[test]
fn a_score_is_pruned_a_few_epochs_after_it_was_there() {
    assert_eq!((topic().scored_about(3_500), pruned_about(3_500, &topic(), 6)), (6_300, 10_500));
}

#[test]
fn fees_are_what_was_paid_and_nothing_that_never_was_in_a_block() {
    use crate::venues::allora::outbox::{Landed, SignedTerms};
    use crate::venues::allora::signing::TxHash;
    let sent = |fee_uallo, fate| SentTx {
        key: "a".to_owned(),
        chain_id: "localnet".to_owned(),
        address: crate::venues::allora::address::Address::of_public_key(&[2; 33]),
        hash: TxHash::of(b"a"),
        bytes: Vec::new(),
        terms: SignedTerms { sequence: 1, gas_limit: 1, fee_uallo, timeout_height: 9 },
        signed_at: UtcMs(0),
        signed_height: 1,
        offered: true,
        fate,
    };
    let landed = |code, codespace: &str| {
        let text = "failed to execute message; message index: 0".to_owned();
        Fate::Landed(Landed { height: 5, code, codespace: codespace.to_owned(), gas_used: 1, text })
    };
    let mut fees = Fees::default();
    fees.add(&sent(ALLO, landed(0, "")), false);
    fees.add(&sent(2 * ALLO, landed(0, "")), true);
    fees.add(&sent(4 * ALLO, landed(75, "emissions")), false);
    fees.add(&sent(8 * ALLO, Fate::Never("over".to_owned())), false);
    fees.add(&sent(16 * ALLO, Fate::Open), false);
    assert_eq!(fees.unproven, []);
    fees.add(&sent(32 * ALLO, Fate::Unproven("pruned".to_owned())), false);
    assert_eq!(fees.unproven, [TxHash::of(b"a")]);
    assert_eq!(
        fees.to_string(),
        "7 ALLO for 3 transactions, of these 1 to register (2 ALLO) and 1 that failed (4 ALLO); 48 ALLO more for 2 whose \
         fate is not proven"
    );
}
