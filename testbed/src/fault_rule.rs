//! Which requests of a server meet which fault: `FAULT[=VALUE][@N[-M]]`, the same for all servers here. A fault is a rule
//! that a user wrote down, never chance: a test says which request meets which trouble.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// The requests that one fault is for. `none` as the fault stands for no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRule<F> {
    /// `None` leaves the requests alone, also where a later rule would not.
    pub fault: Option<F>,
    /// First request, counted from 1.
    pub first: u64,
    /// Last request; `u64::MAX` when there is no last one.
    pub last: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultRuleError<E: Error + 'static> {
    /// What stands before the `@` is no fault of this server.
    #[error(transparent)]
    Fault(E),
    /// What follows the `@` is no range.
    #[error("'{0}' names no requests; write @3 for the third one, @3-5 for three of them, and nothing for all")]
    Requests(String),
}

/// A rule that decides about no request, because rules before it name them all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the fault '{0}' would never apply: those before it name all of its requests, and the first one decides; give it before them"
)]
pub struct Shadowed(String);

impl<F> FaultRule<F> {
    pub const fn always(fault: Option<F>) -> Self {
        Self { fault, first: 1, last: u64::MAX }
    }

    pub const fn is_always(&self) -> bool {
        self.first == 1 && self.last == u64::MAX
    }

    /// The fault of the request with this number: that of the first rule which names it.
    pub fn decide(rules: &[Self], number: u64) -> Option<&F> {
        let names = |rule: &&Self| (rule.first..=rule.last).contains(&number);
        rules.iter().find(names).and_then(|rule| rule.fault.as_ref())
    }

    /// Whether rules name each request that this one names.
    fn is_covered_by(&self, rules: &[&Self]) -> bool {
        let mut number = self.first;
        while let Some(rule) = rules.iter().find(|rule| (rule.first..=rule.last).contains(&number)) {
            if rule.last >= self.last {
                return true;
            }
            number = rule.last + 1;
        }
        false
    }
}

impl<F: fmt::Display> FaultRule<F> {
    /// Demands that each rule decides about a request at least.
    ///
    /// # Errors
    /// For the first one that decides about none.
    pub fn require_effect<'a>(rules: impl IntoIterator<Item = &'a Self>) -> Result<(), Shadowed>
    where
        F: 'a,
    {
        let mut before = Vec::new();
        for rule in rules {
            if rule.is_covered_by(&before) {
                return Err(Shadowed(rule.to_string()));
            }
            before.push(rule);
        }
        Ok(())
    }
}

/// The fault and the range of requests, if there is one. Other text behind an `@` is part of the fault's value.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('@') {
        Some((fault, range)) if range.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => (fault, Some(range)),
        _ => (text, None),
    }
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (1 <= first && first <= last).then_some((first, last))
}

impl<F: FromStr<Err: Error + 'static>> FromStr for FaultRule<F> {
    type Err = FaultRuleError<F::Err>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (fault, requests) = split(text);
        let (first, last) = match requests {
            Some(requests) => range(requests).ok_or_else(|| FaultRuleError::Requests(requests.to_owned()))?,
            None => (1, u64::MAX),
        };
        let fault = if fault == "none" { None } else { Some(fault.parse().map_err(FaultRuleError::Fault)?) };
        Ok(Self { fault, first, last })
    }
}

impl<F: fmt::Display> fmt::Display for FaultRule<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = self.fault.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        f.write_str(&fault)?;
        match (self.first, self.last) {
            // A value may end like a range; then the range must be written.
            (1, u64::MAX) if split(&fault).1.is_none() => Ok(()),
            (first, last) if first == last => write!(f, "@{first}"),
            (first, last) => write!(f, "@{first}-{last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{gateway, hub};

    type Rule = FaultRule<hub::Fault>;

    #[test]
    fn a_rule_is_a_fault_and_the_requests_that_meet_it() {
        let rule = |text: &str| text.parse::<Rule>().map(|rule| (rule.fault, rule.first, rule.last));
        assert_eq!(rule("nan@3-5"), Ok((Some(hub::Fault::Nan), 3, 5)));
        assert_eq!(rule("nan@2"), Ok((Some(hub::Fault::Nan), 2, 2)));
        assert_eq!(rule("nan"), Ok((Some(hub::Fault::Nan), 1, u64::MAX)));
        assert_eq!(rule("none@1-4"), Ok((None, 1, 4)));
        assert_eq!(rule("swap=a@b.onnx"), Ok((Some(hub::Fault::Swap("a@b.onnx".into())), 1, u64::MAX)));
        for range in ["", "0", "3-2", "-", "1-", "-1", "1-2-3", "99999999999999999999"] {
            assert_eq!(format!("nan@{range}").parse::<Rule>(), Err(FaultRuleError::Requests(range.to_owned())));
        }
        assert!(matches!("moody@2".parse::<Rule>(), Err(FaultRuleError::Fault(_))));
    }

    /// Otherwise the range of the text would be taken from the file's name.
    #[test]
    fn a_value_that_ends_like_a_range_is_written_with_its_range() {
        let rule = Rule::always(Some(hub::Fault::Swap("model@3".into())));
        let text = rule.to_string();
        assert_eq!(text, format!("swap=model@3@1-{}", u64::MAX));
        assert_eq!(text.parse(), Ok(rule));
    }

    #[test]
    fn the_first_rule_that_names_a_request_decides() {
        let rules = ["drop@2", "none@4", "nan@1-2", "sum"].map(|text| text.parse().unwrap());
        let faults = [1, 2, 3, 4].map(|number| Rule::decide(&rules, number).cloned());
        assert_eq!(faults, [Some(hub::Fault::Nan), Some(hub::Fault::Drop), Some(hub::Fault::Sum), None]);
        assert_eq!(Rule::decide(&rules[..3], 3), None);
    }

    #[test]
    fn a_rule_that_decides_about_no_request_is_refused() {
        let shadowed = |rules: &[&str]| {
            let rules: Vec<Rule> = rules.iter().map(|text| text.parse().unwrap()).collect();
            Rule::require_effect(&rules).err().map(|error| error.0)
        };
        assert_eq!(shadowed(&["drop", "nan@3"]).as_deref(), Some("nan@3"));
        assert_eq!(shadowed(&["none", "drop"]).as_deref(), Some("drop"));
        assert_eq!(shadowed(&["sum@4-6", "drop@1-3", "nan@2-5"]).as_deref(), Some("nan@2-5"), "by two together");
        assert_eq!(
            shadowed(&["drop@1-18446744073709551615", "sum@18446744073709551615"]).as_deref().map(str::len),
            Some(24)
        );
        for rules in
            [&["nan@3", "drop"][..], &["drop@1-3", "nan@2-4"], &["drop@1", "nan@3", "sum@1-3"], &["drop@2"], &[]]
        {
            assert_eq!(shadowed(rules), None, "{rules:?}");
        }
    }

    fn ranges() -> impl Strategy<Value = (u64, u64)> {
        prop_oneof![
            Just((1, u64::MAX)),
            (1..9_u64).prop_map(|at| (at, at)),
            (1..9_u64, 0..=u64::MAX - 9).prop_map(|(first, more)| (first, first + more)),
        ]
    }

    fn hub_faults() -> impl Strategy<Value = hub::Fault> {
        prop_oneof![
            prop::sample::select(vec![
                hub::Fault::Drop,
                hub::Fault::Hang,
                hub::Fault::Nan,
                hub::Fault::TwoRows,
                hub::Fault::Scalar,
                hub::Fault::Sum,
                hub::Fault::FourClasses,
                hub::Fault::NotJson,
                hub::Fault::Huge,
                hub::Fault::Negative,
            ]),
            (400..600_u16).prop_map(hub::Fault::Error),
            any::<std::time::Duration>().prop_map(hub::Fault::Dribble),
            "[a-z0-9@*=. -]{1,12}".prop_map(|file| hub::Fault::Swap(file.into())),
        ]
    }

    fn gateway_faults() -> impl Strategy<Value = gateway::Fault> {
        use gateway::Fault;
        let duration = any::<std::time::Duration>;
        prop_oneof![
            prop::sample::select(vec![
                Fault::LostReply,
                Fault::Garbage,
                Fault::StrangerId,
                Fault::PreviousReply,
                Fault::ReusedTicket,
                Fault::Placed,
                Fault::Partial,
                Fault::Die,
                Fault::DieBefore,
            ]),
            (-9..10_008_i64).prop_map(Fault::Refuse),
            duration().prop_map(Fault::Delay),
            duration().prop_map(Fault::Slow),
            duration().prop_map(Fault::Frozen),
            duration().prop_map(Fault::Deaf),
            duration().prop_map(Fault::Away),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_hub_rule_is_read_as_it_is_written(
            fault in prop::option::of(hub_faults()), (first, last) in ranges(),
        ) {
            let rule = FaultRule { fault, first, last };
            prop_assert_eq!(rule.to_string().parse(), Ok(rule));
        }

        #[test]
        fn a_gateway_rule_is_read_as_it_is_written(
            fault in prop::option::of(gateway_faults()), (first, last) in ranges(),
        ) {
            let rule = FaultRule { fault, first, last };
            prop_assert_eq!(rule.to_string().parse(), Ok(rule));
        }

        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_reads_again(text in "[a-z0-9=@*-]{0,20}") {
            if let Ok(rule) = text.parse::<Rule>() {
                prop_assert_eq!(rule.to_string().parse(), Ok(rule));
            }
        }
    }
}
