//! `[parity]`: off without its section, and a wrong time is said.

use super::*;

fn with_parity(lines: &str) -> String {
    format!("{MINIMAL}\n[parity]\n{lines}")
}

#[test]
fn without_the_section_nothing_is_computed_again_at_night() {
    assert_eq!(read(MINIMAL).unwrap().parity, None);
    let parity = read(&with_parity("daily_at = \"04:00\"\n")).unwrap().parity.unwrap();
    assert_eq!((parity.daily_at.hour(), parity.daily_at.minute()), (4, 0));
}

#[test]
fn a_night_that_has_no_such_time_and_a_key_that_is_none_are_said_at_once() {
    let text = with_parity("daily_at = \"25:00\"\ndays = 7\n");
    for expected in ["parity.daily_at: '25:00' is none", "parity.days"] {
        check_refused(&text, expected);
    }
    check_refused(&with_parity(""), "parity.daily_at");
}
