//! What became of the windows of a worker: the sum of a competition, at its end or at any moment.
//!
//! Every window that was announced to the node ends in exactly one of the endings here, so they add up to all of them. "Stored" is
//! what the chain has proven and nothing less: a transaction in a block is not yet a forecast that counts.

use std::collections::BTreeMap;
use std::fmt;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::fact::Fact;
use sentinel_actors::domain::intent::{Intent, IntentState, Mode};
use sentinel_actors::domain::reason::{Outcome, Reason};

use super::money::Allo;
use super::outbox::{Fate, SentTx};
use super::queries::Topic;
use super::signing::TxHash;

/// What became of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// The chain has kept the forecast: it counts.
    Stored,
    /// It was active, and another worker took its place before the window closed.
    Evicted,
    /// It was included and never active.
    NotAdmitted,
    /// It was not kept, and nobody can tell any more whether it ever was active.
    NotStored,
    /// A block has it; the chain has not been asked yet what it kept, or could not be.
    Unproven,
    /// It was sent, and what became of it is not known yet.
    InDoubt,
    /// It is in the local paper book: a dry run.
    DryRun,
    /// No forecast of this worker was in the window.
    Missed(Miss),
}

/// Why a window had no forecast: the reason of its row, or what became of the transaction after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Miss {
    /// As `docs/reasons.md` explains it.
    Slot(Reason),
    /// A block has the transaction, and its message failed; or the chain refused it.
    Refused,
    /// It was sent, and is in no block.
    NeverIncluded,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slot(reason) => reason.code(),
            Self::Refused => "refused",
            Self::NeverIncluded => "never_included",
        })
    }
}

impl Ending {
    /// Of a row, with its intent and what the ledger has said about it since, oldest first.
    #[must_use]
    pub fn of(row: &SlotRecord, forecast: Option<(&Intent, &[Fact])>) -> Self {
        let Some((intent, facts)) = forecast else { return Self::Missed(Miss::Slot(row.reason)) };
        match intent.state {
            IntentState::Acked if intent.mode == Mode::DryRun => Self::DryRun,
            IntentState::Acked => facts.iter().rev().find_map(Self::of_fact).unwrap_or(Self::Unproven),
            IntentState::Sent | IntentState::Planned | IntentState::Unknown | IntentState::Held => Self::InDoubt,
            IntentState::Rejected => Self::Missed(Miss::Refused),
            // The row of what had left says so for ever; what became of it is known since.
            IntentState::Absent if row.reason.outcome() == Outcome::Acted => Self::Missed(Miss::NeverIncluded),
            IntentState::Absent => Self::Missed(Miss::Slot(row.reason)),
        }
    }

    fn of_fact(fact: &Fact) -> Option<Self> {
        match fact {
            Fact::Stored { .. } => Some(Self::Stored),
            Fact::Evicted { .. } => Some(Self::Evicted),
            Fact::NotAdmitted { .. } => Some(Self::NotAdmitted),
            Fact::NotStored { .. } => Some(Self::NotStored),
            Fact::Admitted | Fact::Scored { .. } | Fact::NoScore { .. } => None,
        }
    }
}

/// The scores of what is stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    pub known: u64,
    /// Sum of the known ones.
    sum: f64,
    /// Pruned before they were asked for.
    pub lost: u64,
    /// Not there yet.
    pub pending: u64,
    /// The oldest window among those, and the newest one.
    pub oldest_pending: Option<u64>,
    pub newest_pending: Option<u64>,
}

/// All windows of one worker in one topic.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    endings: BTreeMap<Ending, u64>,
    pub scores: Scores,
}

impl Tally {
    /// Takes in one window.
    pub fn add(&mut self, row: &SlotRecord, forecast: Option<(&Intent, &[Fact])>) {
        let ending = Ending::of(row, forecast);
        *self.endings.entry(ending).or_default() += 1;
        if let (Ending::Stored, Some((intent, facts))) = (ending, forecast) {
            self.add_score(intent, facts);
        }
    }

    fn add_score(&mut self, intent: &Intent, facts: &[Fact]) {
        let scores = &mut self.scores;
        let said = facts.iter().rev().find(|fact| matches!(fact, Fact::Scored { .. } | Fact::NoScore { .. }));
        match said {
            Some(Fact::Scored { score }) => {
                scores.known += 1;
                scores.sum += score.parse::<f64>().unwrap_or_default();
            }
            Some(_) => scores.lost += 1,
            None => {
                scores.pending += 1;
                let nonce = intent.announced_as.as_deref().and_then(|id| id.parse().ok());
                scores.newest_pending = scores.newest_pending.max(nonce);
                scores.oldest_pending = [scores.oldest_pending, nonce].into_iter().flatten().min();
            }
        }
    }

    #[must_use]
    pub fn count(&self, ending: Ending) -> u64 {
        self.endings.get(&ending).copied().unwrap_or_default()
    }

    /// All windows.
    #[must_use]
    pub fn windows(&self) -> u64 {
        self.endings.values().sum()
    }

    /// Those without a forecast, by reason, the commonest first.
    #[must_use]
    pub fn missed(&self) -> Vec<(Miss, u64)> {
        let mut missed: Vec<_> = self
            .endings
            .iter()
            .filter_map(|(ending, count)| match ending {
                Ending::Missed(miss) => Some((*miss, *count)),
                _ => None,
            })
            .collect();
        missed.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        missed
    }

    /// Windows in which a forecast was in a block, or in the paper book.
    #[must_use]
    pub fn included(&self) -> u64 {
        use Ending as E;
        [E::Stored, E::Evicted, E::NotAdmitted, E::NotStored, E::Unproven, E::DryRun]
            .map(|of| self.count(of))
            .iter()
            .sum()
    }

    /// Lines for people: a label and its text.
    #[must_use]
    pub fn lines(&self, fees: &Fees, topic: Option<&Topic>) -> Vec<(&'static str, String)> {
        let mut lines = vec![("Windows", self.windows_text())];
        let missed = self.missed();
        if !missed.is_empty() {
            let each: Vec<String> = missed.iter().map(|(miss, count)| format!("{count} {miss}")).collect();
            lines.push(("Missed", each.join(", ")));
        }
        lines.push(("Took part", self.participation_text()));
        lines.push(("Fees", fees.to_string()));
        lines.push(("Scores", self.scores_text(topic)));
        lines
    }

    fn windows_text(&self) -> String {
        use Ending as E;
        let missed: u64 = self.missed().iter().map(|(_, count)| count).sum();
        let mut parts = vec![format!("{} stored", self.count(E::Stored))];
        parts.push(format!("{} evicted", self.count(E::Evicted)));
        parts.push(format!("{} not admitted", self.count(E::NotAdmitted)));
        for (ending, words) in [
            (E::NotStored, "not kept"),
            (E::Unproven, "included and not proven yet"),
            (E::InDoubt, "in doubt"),
            (E::DryRun, "in the paper book"),
        ] {
            let count = self.count(ending);
            if count > 0 {
                parts.push(format!("{count} {words}"));
            }
        }
        parts.push(format!("{missed} missed"));
        format!("{} = {}", self.windows(), parts.join(" + "))
    }

    fn participation_text(&self) -> String {
        let windows = self.windows();
        if windows == 0 {
            return "no window was announced yet".to_owned();
        }
        let share = |count: u64| permille(count, windows);
        let included = self.included();
        let mut text = format!("in {included} of {windows} windows, {}", share(included));
        if self.count(Ending::DryRun) < included {
            let stored = self.count(Ending::Stored);
            text.push_str(&format!("; {} of all windows are stored and count", share(stored)));
        }
        text
    }

    fn scores_text(&self, topic: Option<&Topic>) -> String {
        let Scores { known, lost, pending, newest_pending, .. } = self.scores;
        let mut parts = vec![format!("{known} known")];
        if let Some(mean) = self.mean_score() {
            parts.push(format!("their mean is {mean:.6}"));
        }
        if lost > 0 {
            parts.push(format!("{lost} never known, because the chain had pruned them"));
        }
        if pending > 0 {
            let until = newest_pending.zip(topic).map(|(nonce, topic)| topic.scored_about(nonce));
            parts.push(match until {
                Some(block) => format!("{pending} pending until about block {block}"),
                None => format!("{pending} pending"),
            });
        }
        parts.join(", ")
    }

    /// Of those that are known.
    #[must_use]
    pub fn mean_score(&self) -> Option<f64> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a competition has far fewer windows than a double has whole numbers"
        )]
        (self.scores.known > 0).then(|| self.scores.sum / self.scores.known as f64)
    }
}

/// About the block from which on the chain has pruned the score of the window of `nonce`. `epochs_kept` epochs are kept after the
/// rewards.
#[must_use]
pub fn pruned_about(nonce: u64, topic: &Topic, epochs_kept: u64) -> u64 {
    topic.scored_about(nonce).saturating_add(epochs_kept.saturating_mul(topic.epoch_length))
}

/// A share in percent with one decimal, rounded down: 100 % is all of them.
fn permille(count: u64, of: u64) -> String {
    let permille = count.saturating_mul(1000).checked_div(of).unwrap_or_default();
    format!("{}.{} %", permille / 10, permille % 10)
}

/// What the transactions of a worker in a topic have cost. What the topic itself takes is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fees {
    /// Transactions that were paid for, and what they cost in uallo.
    pub paid: (u64, u128),
    /// Of those: their message failed.
    pub failed: (u64, u128),
    /// Of those: they registered the worker.
    pub registrations: (u64, u128),
    /// They may have been paid for, or may still be.
    pub perhaps: (u64, u128),
    /// Of those: what became of them cannot be proven any more, and a person has to look.
    pub unproven: Vec<TxHash>,
}

impl Fees {
    /// The prefix of the outbox's keys of a topic's registrations.
    #[must_use]
    pub fn registration_prefix(topic: u64) -> String {
        format!("register:{topic}:")
    }

    /// Takes in one transaction of the outbox.
    pub fn add(&mut self, sent: &SentTx, is_registration: bool) {
        let fee = sent.terms.fee_uallo;
        let count = |(count, sum): &mut (u64, u128)| {
            *count += 1;
            *sum = sum.saturating_add(fee);
        };
        match &sent.fate {
            Fate::Never(_) => {}
            Fate::Open => count(&mut self.perhaps),
            Fate::Unproven(_) => {
                count(&mut self.perhaps);
                self.unproven.push(sent.hash);
            }
            Fate::Landed(landed) if !landed.has_paid() => {}
            Fate::Landed(landed) => {
                count(&mut self.paid);
                if landed.code != 0 {
                    count(&mut self.failed);
                }
                if is_registration {
                    count(&mut self.registrations);
                }
            }
        }
    }
}

impl fmt::Display for Fees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transactions, paid) = self.paid;
        write!(f, "{} for {transactions} transactions", Allo(paid))?;
        let mut of_these = ", of these";
        for ((count, fee), words) in [(self.registrations, "to register"), (self.failed, "that failed")] {
            if count > 0 {
                write!(f, "{of_these} {count} {words} ({})", Allo(fee))?;
                of_these = " and";
            }
        }
        if self.perhaps.0 > 0 {
            write!(f, "; {} more for {} whose fate is not proven", Allo(self.perhaps.1), self.perhaps.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
