//! What became of an order that may have left.

use sentinel_actors::domain::intent::Intent;
use sentinel_actors::domain::order::Order;
use sentinel_actors::ports::Evidence;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::account::Guard;
use super::note::Note;
use super::record::{Outcome, is_by_bar};
use super::reply::OTHER_LEDGER;
use super::request::{self, About};
use super::session::Heard;
use super::{CLOCK_SLACK_MS, SentinelVenue, Unanswered};

impl SentinelVenue {
    /// What the gateway says about an order that may have left. It needs no HELLO, because it sends nothing.
    pub(super) async fn evidence(&self, intent: &Intent, order: &Order, until: Instant) -> Evidence {
        let note = intent.venue_note.as_deref().and_then(Note::read);
        // A store that has another name by now is asked once more, by that name.
        for _ in 0..2 {
            let heard = match self.heard(note.as_ref(), until).await {
                Ok(heard) => heard,
                Err(why) => return Evidence::NotNow(why),
            };
            let asked =
                self.ask("ORDER_STATUS", until, |id| self.status(id, intent, order, note.as_ref(), &heard)).await;
            let reply = match asked {
                Ok(reply) => reply,
                Err(unanswered) => return Evidence::NotNow(unanswered.to_string()),
            };
            match reply.answer {
                // It was told which store had the order as if it were the start of then.
                Ok(record) if is_by_bar(&record) && is_of(&heard, note.as_ref()) && reply.stamp.boot != heard.boot => {
                    return Evidence::Undecidable(
                        "the gateway was started again while it was asked, so that its store may lack the order that it calls absent: look \
                         in the terminal's history"
                            .to_owned(),
                    );
                }
                Ok(record) => return self.weigh(&record, intent, order, note.as_ref()),
                Err(refusal) if refusal.code == OTHER_LEDGER => {}
                Err(refusal) => return Evidence::NotNow(Unanswered::Refused(refusal).to_string()),
            }
        }
        Evidence::NotNow("the gateway's ledger has another name with every answer".to_owned())
    }

    fn status(&self, id: &str, intent: &Intent, order: &Order, note: Option<&Note>, heard: &Heard) -> String {
        let about = About { key: &intent.key, order, magic: self.settings.magic, note };
        // The account that the order was meant for is the one to look in, whatever the terminal is on now.
        let own = self.session().account();
        let guard: Option<&Guard> = note.map(|note| &note.guard).or(own.as_ref());
        request::status(id, &about, guard, heard)
    }

    fn weigh(&self, record: &Value, intent: &Intent, order: &Order, note: Option<&Note>) -> Evidence {
        let sent_at = record["sent_at"].as_i64();
        let is_older = note.zip(sent_at).is_some_and(|(note, at)| at.saturating_add(CLOCK_SLACK_MS) < note.sent_at);
        match self.read_record(record, &intent.key, order) {
            Ok(Outcome::Absent(text)) if note.is_none() => Evidence::Undecidable(format!(
                "{text}; but the journal does not know to which store and account it was handed over, so look in the terminal's history"
            )),
            Ok(Outcome::Done { fill, .. }) if is_older => Evidence::Undecidable(format!(
                "the gateway has sent an order under this id before this one was handed over: {}; compare both in the terminal",
                fill.text
            )),
            Ok(outcome) => outcome.evidence(),
            Err(why) => Evidence::NotNow(why),
        }
    }

    /// What the gateway has said of itself. It is asked anew where it has said nothing yet, and where it is believed to be the start
    /// that the order was sent to: it may have been started again since, on an older copy of its store.
    async fn heard(&self, note: Option<&Note>, until: Instant) -> Result<Heard, String> {
        if let Some(heard) = self.session().heard().filter(|heard| !is_of(heard, note)) {
            return Ok(heard);
        }
        let asked = self.ask("HEARTBEAT", until, |id| request::question(id, "HEARTBEAT", None, json!({}))).await;
        asked.map_err(|unanswered| unanswered.to_string())?;
        self.session().heard().ok_or_else(|| "the gateway has said nothing of itself".to_owned())
    }
}

fn is_of(heard: &Heard, note: Option<&Note>) -> bool {
    note.is_some_and(|note| note.is_of_start(heard.boot))
}
