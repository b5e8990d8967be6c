//! How a hub misbehaves. Each fault is one way in which model servers are known to fail; each is for `/invocations` alone.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::answer::{Answer, Reply};
use super::form::Form;
use crate::{FaultRule, FaultRuleError, Shadowed};

/// Size of an answer that is too large: twice what a client should read.
const HUGE: usize = 2 * 1024 * 1024;

/// One way to go wrong, with its name on the command line and in `POST /testbed/fault`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `drop`: closes the connection without an answer.
    Drop,
    /// `error=CODE`: answers with this status, 400 to 599, and an error of MLflow.
    Error(u16),
    /// `hang`: never answers.
    Hang,
    /// `dribble=DURATION`: sends the right answer one byte at a time, over this time.
    Dribble(Duration),
    /// `nan`: every number is a bare `NaN`.
    Nan,
    /// `two-rows`: two rows for one.
    TwoRows,
    /// `scalar`: a bare number.
    Scalar,
    /// `sum`: probabilities that add up to 2.75.
    Sum,
    /// `four-classes`: one number more than the model gives.
    FourClasses,
    /// `not-json`: a page of HTML with status 200.
    NotJson,
    /// `huge`: the right answer in a body of 2 MiB.
    Huge,
    /// `negative`: a probability of -0.1, and a sum of 1.
    Negative,
    /// `swap=FILE`: serves another ONNX file, from the first invocation that its rule names. It never goes back, and other
    /// rules still apply.
    Swap(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no fault; there are drop, error=CODE (400 to 599), hang, dribble=DURATION (such as 5s), nan, two-rows, scalar, \
     sum, four-classes, not-json, huge, negative, swap=FILE and none"
)]
pub struct FaultError(String);

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = match text.split_once('=') {
            None => match text {
                "drop" => Some(Self::Drop),
                "hang" => Some(Self::Hang),
                "nan" => Some(Self::Nan),
                "two-rows" => Some(Self::TwoRows),
                "scalar" => Some(Self::Scalar),
                "sum" => Some(Self::Sum),
                "four-classes" => Some(Self::FourClasses),
                "not-json" => Some(Self::NotJson),
                "huge" => Some(Self::Huge),
                "negative" => Some(Self::Negative),
                _ => None,
            },
            Some(("error", code)) => code.parse().ok().filter(|code| (400..600).contains(code)).map(Self::Error),
            Some(("dribble", time)) => humantime::parse_duration(time).ok().map(Self::Dribble),
            Some(("swap", file)) if !file.is_empty() => Some(Self::Swap(file.into())),
            Some(_) => None,
        };
        fault.ok_or_else(|| FaultError(text.to_owned()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Error(code) => write!(f, "error={code}"),
            Self::Hang => f.write_str("hang"),
            Self::Dribble(time) => write!(f, "dribble={}", humantime::format_duration(*time)),
            Self::Nan => f.write_str("nan"),
            Self::TwoRows => f.write_str("two-rows"),
            Self::Scalar => f.write_str("scalar"),
            Self::Sum => f.write_str("sum"),
            Self::FourClasses => f.write_str("four-classes"),
            Self::NotJson => f.write_str("not-json"),
            Self::Huge => f.write_str("huge"),
            Self::Negative => f.write_str("negative"),
            Self::Swap(file) => write!(f, "swap={}", file.display()),
        }
    }
}

/// A rule as the command line takes it: also `FAULT*N` of earlier versions, which meant the N invocations after those of the
/// rule before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultArg {
    rule: FaultRule<Fault>,
    count: Option<u64>,
}

impl FromStr for FaultArg {
    type Err = FaultRuleError<FaultError>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let counted = text.rsplit_once('*').and_then(|(fault, count)| Some((fault, count.parse().ok()?)));
        let (rule, count) = counted.map_or((text, None), |(fault, count)| (fault, Some(count)));
        let rule: FaultRule<Fault> = rule.parse()?;
        if count.is_some() && !rule.is_always() {
            return Err(FaultRuleError::Requests(text.to_owned()));
        }
        Ok(Self { rule, count })
    }
}

/// The rules of a command line, with ranges in place of the counts of earlier versions.
///
/// # Errors
/// When one of them would never apply.
pub fn fault_rules(args: &[FaultArg]) -> Result<Vec<FaultRule<Fault>>, Shadowed> {
    let mut rules = Vec::new();
    let mut counted = 0_u64;
    for FaultArg { rule, count } in args {
        let mut rule = rule.clone();
        match count {
            // Another model came after the counted rules before it and took no invocation of its own.
            _ if rule.is_always() && matches!(rule.fault, Some(Fault::Swap(_))) => {
                rule.first = counted.saturating_add(1);
            }
            None => {}
            Some(0) => continue,
            Some(count) => {
                rule.first = counted.saturating_add(1);
                counted = counted.saturating_add(*count);
                rule.last = counted;
            }
        }
        rules.push(rule);
    }
    // Another model takes no invocation of its own.
    let is_swap = |rule: &&FaultRule<Fault>| matches!(rule.fault, Some(Fault::Swap(_)));
    FaultRule::require_effect(rules.iter().filter(|rule| !is_swap(rule)))?;
    Ok(rules)
}

impl Fault {
    /// The reply to any request, when the fault does not depend on it.
    pub(super) fn before_reading(&self) -> Option<Reply> {
        Some(match self {
            Self::Drop => Reply::Drop,
            Self::Hang => Reply::Hang,
            Self::Error(504) => Reply::Whole(Answer::timed_out()),
            Self::Error(code) => Reply::Whole(error(*code)),
            Self::NotJson => Reply::Whole(Answer::new(
                200,
                "text/html; charset=utf-8",
                "<!DOCTYPE html><html><body>Sign in to continue</body></html>\n",
            )),
            _ => return None,
        })
    }

    /// The reply in place of the right one.
    pub(super) fn distort(&self, mut rows: Vec<Vec<f64>>, form: &Form) -> Reply {
        let each = |rows: &mut Vec<Vec<f64>>, spoil: &dyn Fn(&mut Vec<f64>)| rows.iter_mut().for_each(spoil);
        match self {
            Self::Nan => each(&mut rows, &|row| row.fill(f64::NAN)),
            Self::TwoRows => rows.extend(rows.first().cloned()),
            Self::Scalar => return Reply::Whole(Form::Scalar.answer(&rows)),
            Self::Sum => each(&mut rows, &|row| share(row, 2.75)),
            Self::FourClasses => each(&mut rows, &|row| {
                // Still a distribution, so that only the number of classes is wrong.
                let last = row.pop().unwrap_or_default();
                row.extend([last / 2.0, last / 2.0]);
            }),
            Self::Negative => each(&mut rows, &|row| {
                if let [first, others @ ..] = row.as_mut_slice() {
                    *first = -0.1;
                    share(others, 1.1);
                }
            }),
            _ => {}
        }
        let mut answer = form.answer(&rows);
        match self {
            Self::Dribble(time) => return Reply::Dribble(answer, *time),
            // White space behind the value: the answer is right, there is only too much of it.
            Self::Huge => answer.body.resize(HUGE, b' '),
            _ => {}
        }
        Reply::Whole(answer)
    }
}

/// Gives every number the same share of `sum`.
fn share(row: &mut [f64], sum: f64) {
    #[expect(clippy::cast_precision_loss, reason = "a model has few classes")]
    let share = sum / row.len() as f64;
    row.fill(share);
}

fn error(status: u16) -> Answer {
    let code = match status {
        400 => "BAD_REQUEST",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "RESOURCE_DOES_NOT_EXIST",
        429 => "REQUEST_LIMIT_EXCEEDED",
        503 => "TEMPORARILY_UNAVAILABLE",
        _ => "INTERNAL_ERROR",
    };
    Answer::error(status, code, "This error was asked for with a fault rule.", ["XX000", code], None)
}
