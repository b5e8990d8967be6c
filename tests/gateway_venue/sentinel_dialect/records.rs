//! What each reply is worth: for the order itself, and for a question about it.

use sentinel_actors::ports::{Evidence, Sink as _, Submission};
use serde_json::{Value, json};

use super::scripted::{answer, done, error, gateway, intent_with, ready, record_with, say, submit};
use crate::{SOON, key, order};

/// What a Record with these fields comes to, as the reply to an order and as the answer about it.
async fn both(fields: Value) -> (Submission, Evidence) {
    let gateway = gateway(move |request| {
        let record = match fields["state"].as_str() {
            Some("done") => {
                let mut record = done(request, 9001);
                fields.as_object().unwrap().iter().for_each(|(name, value)| record[name] = value.clone());
                record
            }
            _ => record_with(request, &fields),
        };
        say(answer(request, &record))
    });
    let venue = ready(&gateway).await;
    let submission = submit(&venue, &key(1), order()).await;
    let note = venue.prepare(&key(2), crate::LIFE);
    // Of another process: nothing is known of it here.
    let evidence = self::other(&gateway).await.settle(&intent_with(&key(2), order(), note), SOON).await;
    (submission, evidence)
}

async fn other(gateway: &crate::peer::Peer) -> sentinel::venues::gateway::sentinel::SentinelVenue {
    super::scripted::venue(gateway.port)
}

/// A word for each kind of end.
fn named((submission, evidence): &(Submission, Evidence)) -> (&'static str, &'static str) {
    let submission = match submission {
        Submission::Acked(_) => "acked",
        Submission::Rejected { lasting: true, .. } => "rejected for good",
        Submission::Rejected { .. } => "rejected",
        Submission::NeverLeft(_) => "never left",
        Submission::Withheld { .. } => "withheld",
        Submission::Unknown(_) => "unknown",
    };
    let evidence = match evidence {
        Evidence::Found(_) => "found",
        Evidence::Positions(_) => "positions",
        Evidence::Refused { .. } => "refused",
        Evidence::Absent(_) => "absent",
        Evidence::NotNow(_) => "not now",
        Evidence::Undecidable(_) => "undecidable",
    };
    (submission, evidence)
}

#[tokio::test]
async fn each_record_is_worth_what_the_protocol_says_of_it() {
    let refused = |proof: &str, sent: bool, more: Value| {
        let mut fields = json!({ "state": "refused", "final": true, "sent": sent, "proof": proof, "filled": "0" });
        more.as_object().unwrap().iter().for_each(|(name, value)| fields[name] = value.clone());
        fields
    };
    let absent = |proof: &str, sent: bool| json!({ "state": "absent", "final": true, "sent": sent, "proof": proof, "filled": "0" });
    for (fields, expected) in [
        (json!({ "state": "done" }), ("acked", "found")),
        (json!({ "state": "done", "filled": "0.05", "price": null, "proof": "order" }), ("acked", "found")),
        (json!({ "state": "done", "proof": "position", "replayed": true }), ("acked", "found")),
        (json!({ "state": "placed", "order": 9001, "retcode": 10008 }), ("unknown", "not now")),
        (json!({ "state": "unknown", "retcode": 10012 }), ("unknown", "not now")),
        (json!({ "state": "held", "candidates": [{ "order": 9044 }] }), ("unknown", "undecidable")),
        (refused("retcode", true, json!({ "retcode": 10018 })), ("rejected", "refused")),
        (refused("rules", false, json!({ "lasting": true })), ("rejected for good", "refused")),
        (refused("order", true, json!({ "order": 9001 })), ("rejected", "refused")),
        (refused("expired", false, json!({})), ("never left", "refused")),
        (refused("barred", false, json!({})), ("never left", "refused")),
        (absent("barred", false), ("unknown", "absent")),
        (absent("history", true), ("unknown", "absent")),
        // What contradicts itself, lacks a proof, or is about another order proves nothing.
        (json!({ "state": "done", "order": null }), ("unknown", "not now")),
        (json!({ "state": "done", "order": 0 }), ("unknown", "not now")),
        (json!({ "state": "done", "final": false }), ("unknown", "not now")),
        (json!({ "state": "done", "sent": false }), ("unknown", "not now")),
        (json!({ "state": "done", "proof": null }), ("unknown", "not now")),
        (json!({ "state": "done", "filled": "0.11" }), ("unknown", "not now")),
        (json!({ "state": "done", "filled": "0" }), ("unknown", "not now")),
        (json!({ "state": "done", "filled": 0.1 }), ("unknown", "not now")),
        (json!({ "state": "done", "magic": 5 }), ("unknown", "not now")),
        (json!({ "state": "done", "volume": "0.20" }), ("unknown", "not now")),
        (json!({ "state": "done", "comment": "sn:another" }), ("unknown", "not now")),
        (refused("retcode", true, json!({ "order": 9001 })), ("unknown", "not now")),
        (refused("retcode", true, json!({ "deals": [1] })), ("unknown", "not now")),
        (refused("retcode", true, json!({ "filled": "0.1" })), ("unknown", "not now")),
        (refused("expired", false, json!({ "final": false })), ("unknown", "not now")),
        (refused("", false, json!({})), ("unknown", "not now")),
        (refused("expired", true, json!({})), ("rejected", "refused")),
        (absent("barred", true), ("unknown", "not now")),
        (absent("lists", false), ("unknown", "not now")),
        (json!({ "state": "absent", "final": false, "proof": "barred", "sent": false }), ("unknown", "not now")),
        (json!({ "state": "absent", "final": true, "proof": "history", "deals": [9] }), ("unknown", "not now")),
        (json!({ "state": "Done", "final": true }), ("unknown", "not now")),
        (json!({ "state": null }), ("unknown", "not now")),
    ] {
        let said = fields.to_string();
        let both = both(fields).await;
        assert_eq!(named(&both), expected, "{said}: {both:?}");
    }
}

#[tokio::test]
async fn an_error_says_that_its_message_did_nothing_but_a_used_id_and_an_unknown_code_say_nothing() {
    for (code, did_nothing) in [
        ("bad_request", true),
        ("bad_version", true),
        ("bad_expiry", true),
        ("unknown_action", true),
        ("other_ledger", true),
        ("ledger_rolled_back", true),
        ("not_ready", true),
        ("not_synced", true),
        ("account_mismatch", true),
        ("time_unknown", true),
        ("id_conflict", false),
        // It may be about the reply.
        ("too_large", false),
        ("internal", false),
    ] {
        let gateway = gateway(move |request| say(error(request, code, "why")));
        let venue = ready(&gateway).await;
        let note = venue.prepare(&key(2), crate::LIFE);
        let submission = submit(&venue, &key(1), order()).await;
        assert_eq!(matches!(submission, Submission::NeverLeft(_)), did_nothing, "{code}: {submission:?}");
        assert!(did_nothing || matches!(submission, Submission::Unknown(_)), "{code}: {submission:?}");
        let evidence = other(&gateway).await.settle(&intent_with(&key(2), order(), note), SOON).await;
        assert!(matches!(evidence, Evidence::NotNow(_)), "{code}: {evidence:?}");
    }
}
