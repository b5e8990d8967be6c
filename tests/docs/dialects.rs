//! `docs/dialects.md` is generated from the code: what each dialect can do, and what each return code means.

use std::fmt::Write as _;

use sentinel::venues::gateway::dialect::{DIALECTS, Dialect};
use sentinel::venues::gateway::retcode::{class, class_of_text, listed, meaning};

const HEAD: &str = "\
# Dialects and return codes

What a gateway's dialect can tell, and what the node makes of its replies. [gateway.md](gateway.md) says how to trade through one.

These tables are generated from `src/venues/gateway/dialect.rs` and `retcode.rs`.

## What a dialect can do

The configuration is checked against this table: what needs something that the dialect cannot do is refused with exit code 78,
and the message says what to write instead.

";

fn dialects() -> String {
    let is = |able: bool| if able { "yes" } else { "no" }.to_owned();
    let columns: Vec<[String; 12]> = DIALECTS
        .iter()
        .map(|dialect| {
            let Dialect {
                name,
                talk: _,
                reports_positions,
                closes_by_ticket,
                carries_exits,
                echoes_ids,
                asks_by_id,
                tells_account,
                has_quotes,
                evidence,
                lots,
                words,
            } = dialect;
            let evidence: Vec<String> = evidence.iter().map(|grade| format!("`{grade}`")).collect();
            let or_none = |texts: &[String]| if texts.is_empty() { "none".to_owned() } else { texts.join(", ") };
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            [
                format!("`{name}`"),
                is(*echoes_ids),
                is(*asks_by_id),
                is(*reports_positions),
                is(*closes_by_ticket),
                is(*carries_exits),
                is(*tells_account),
                is(*has_quotes),
                or_none(&evidence),
                format!("{} to {}", lots.least, lots.most),
                lots.decimals.to_string(),
                or_none(&words),
            ]
        })
        .collect();
    let names = [
        "",
        "a reply carries the id of its request",
        "what became of an order can be asked by its id",
        "positions are reported",
        "a position is closed by its ticket",
        "a stop and a target go along with an order",
        "the account is told: balance, equity, margin",
        "quotes are asked",
        "evidence by which an order without a reply is found",
        "lots",
        "decimals of a volume",
        "words that may stand in no symbol",
    ];
    let mut table = String::new();
    for (row, name) in names.iter().enumerate() {
        let cells: Vec<&str> = columns.iter().map(|column| column[row].as_str()).collect();
        writeln!(table, "| {name} | {} |", cells.join(" | ")).unwrap();
        if row == 0 {
            writeln!(table, "|---|{}", "---|".repeat(columns.len())).unwrap();
        }
    }
    table
}

fn codes() -> String {
    let mut table = "| code | meaning | class | what the node does |\n|---|---|---|---|\n".to_owned();
    let mut row = |code: &str, meaning: &str, class: sentinel::venues::gateway::retcode::Class| {
        let (name, does) = class.consequence();
        writeln!(table, "| {code} | {meaning} | {name} | {does} |").unwrap();
    };
    for code in listed() {
        row(&code.to_string(), meaning(code), class(code, ""));
        if class(code, "") != class(code, "timeout") {
            row(
                &format!("{code}, with a text of a timeout or of an unknown state"),
                meaning(code),
                class(code, "timeout"),
            );
        }
    }
    row("every other", meaning(0), class(0, ""));
    row(
        "none, and its words are a known refusal",
        "such as an invalid volume, a symbol that is not found, or a market that is closed",
        class_of_text("Invalid volume"),
    );
    row(
        "none, with any other words",
        "a timeout, an exception, a lost connection, `None` from the terminal, or no words",
        class_of_text(""),
    );
    table
}

#[test]
fn the_tables_of_dialects_and_codes_are_those_of_the_code() {
    let expected = format!(
        "{HEAD}{}\n## Return codes\n\nMetaTrader 5's trade return codes, and the gateways' own negative ones. A reply that contradicts itself, as a refusal with a\nticket or a fill without one, is `unknown` whatever its code.\n\n{}",
        dialects(),
        codes()
    );
    super::generated("docs/dialects.md", &expected);
}
