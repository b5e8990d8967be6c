//! `docs/runbook.md` is generated from the code: what each need and each alert means, and what to do.

use std::fmt::Write as _;

use sentinel::operator::alerts::notice::Notice;
use sentinel_actors::domain::verdict::{NeedKind, RunbookEntry};

const HEAD: &str = "\
# Runbook

What a node can call you for: what it means, and what to do. The names are those of `sentinel status`, the page, the metric
`sentinel_needs` and the field `event` of an [alert](alerts.md). [events.md](events.md) has the log lines, [reasons.md](reasons.md) how a
slot can end, [metrics.md](metrics.md#rules) the rules for Prometheus, and [operations.md](operations.md#exit-codes) the exit codes.

It is generated from the texts beside the code: `actors/src/domain/verdict/runbook.rs` and `src/operator/alerts/notice.rs`.

*Urgent* means that somebody has to act now; everything else has days. First, whatever it is: `sentinel status` shows the verdict and all
that needs you, the most urgent first, each with the command to type. No node has to be stopped for any of it. To stop orders while you
look, `sentinel halt --reason TEXT` lets none leave.

";

/// Where more is said.
const MORE: &[(NeedKind, &str)] = &[
    (NeedKind::ClockBehind, "market-data.md#which-bars-are-decided-on"),
    (NeedKind::SafeMode, "operations.md#exit-codes"),
    (NeedKind::SlotsUnusable, "allora.md#run-a-worker"),
    (NeedKind::FaultsInARow, "reasons.md"),
    (NeedKind::WindowsMissed, "allora.md"),
    (NeedKind::HaltedByNode, "operations.md#halts"),
    (NeedKind::Held, "gateway.md#settling-an-order-by-hand"),
    (NeedKind::InDoubt, "gateway.md#what-an-order-without-a-reply-is-found-by"),
    (NeedKind::ArmEnded, "operations.md#arming"),
    (NeedKind::ArmExpiring, "operations.md#arming"),
    (NeedKind::ModelChanged, "gateway.md#the-model-server"),
    (NeedKind::RunwayShort, "allora.md#how-a-worker-stands-on-the-chain"),
    (NeedKind::EndedBadly, "operations.md#exit-codes"),
    (NeedKind::PageSilent, "operations.md#the-page"),
    (NeedKind::AlertRouteBroken, "alerts.md#set-it-up"),
    (NeedKind::BackupOld, "operations.md#backups"),
];

fn entry(text: &mut String, code: &str, entry: RunbookEntry, more: Option<&str>) {
    let RunbookEntry { meaning, remedy } = entry;
    write!(text, "### `{code}`\n\n{meaning}\n\n**What to do.** {remedy}").unwrap();
    if let Some(more) = more {
        let name = more.split('#').next().unwrap();
        write!(text, " More: [{name}]({more}).").unwrap();
    }
    *text += "\n\n";
}

fn runbook() -> String {
    let mut text = HEAD.to_owned();
    for (stops_work, heading) in [
        (true, "## While one of these stands, the node is not working\n\nAll of them are urgent.\n\n"),
        (false, "## The node works on, and needs you\n\n"),
    ] {
        text += heading;
        for kind in NeedKind::ALL.into_iter().filter(|kind| kind.stops_work() == stops_work) {
            let more = MORE.iter().find(|(own, _)| *own == kind).map(|(_, more)| *more);
            entry(&mut text, kind.code(), kind.runbook(), more);
        }
    }
    text += "## Messages and pings that are no need\n\n";
    for notice in Notice::ALL {
        entry(&mut text, notice.code(), notice.runbook(), None);
    }
    format!("{}\n", text.trim_end())
}

#[test]
fn the_runbook_has_every_need_and_every_alert_of_the_code() {
    super::generated("docs/runbook.md", &runbook());
}

#[test]
fn every_entry_of_the_runbook_says_what_it_means_and_what_to_do() {
    let entries = NeedKind::ALL.map(|kind| (kind.code(), kind.runbook())).into_iter();
    let entries: Vec<_> = entries.chain(Notice::ALL.map(|notice| (notice.code(), notice.runbook()))).collect();
    for (code, RunbookEntry { meaning, remedy }) in &entries {
        for text in [meaning, remedy] {
            assert!(text.ends_with('.') && !text.contains("  "), "{code}: '{text}' is no sentence");
        }
        let same = entries.iter().filter(|(_, other)| other.meaning == *meaning).count();
        assert_eq!(same, 1, "{code} means what another one means");
    }
}
