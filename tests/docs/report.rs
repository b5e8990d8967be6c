//! `docs/report.md` is generated: what a report holds, and every table with its columns from the code.

use std::fmt::Write as _;

use sentinel::operator::report::tables::ALL;

const HEAD: &str = "\
# Reports

`sentinel report` says what a node has done, on any state directory, while a node runs there or after it: as lines for a terminal,
as JSON, as a document for a browser (`--html`), and as tables for a spreadsheet (`--csv`). `--from` and `--to` narrow all of them
to a range.

What a node would have done on recorded bars is in the same forms: [backtest.md](backtest.md).

These pages are generated; the tables are those of `src/operator/report/tables.rs`.

## The range

A range holds its first time and not its last one. It is about slots by the time when they were due, orders and forecasts by their
slot, and positions by the time when they were closed. What is open or waits for an operator is shown as it is now, whatever the
range.

## The document

One file: it needs no other file, no script and no network, and is light or dark as the browser is. An older one of the same name
is replaced as a whole. Lists have limits, and say how many rows they leave out; the tables have all of them.

- How slots ended, by day and by reason, and the newest ones one by one, as on the page.
- Decisions with their confidence, how late cycles began, and how long they worked.
- Orders, positions and profit by the venue's own record: the ledger of a paper gateway, or the paper book. Where there is no
  record, as at a broker, profit is unknown, and that is said.
- Forecasts against what came true, where the paper book knows it; the windows of an Allora worker, and what the chain has stored.
- Outages: slots in a row that were missed, with reason and length. Halts, and what is not settled.

Bars that a model was trained on are apart from those that it never saw, by the manifest beside a local model as it is now
(`--config`). A position belongs to the bar on which its opening was decided. The summary of `sentinel demo` puts a position where
it was closed, so that one which was open between the two parts is counted there in the other one.

## The scores

They compare the confidence at which positions were opened with whether these were closed with a profit. That is a stricter question
than the one which a classifier answers: its classes have no record of what came true. Lower is better.

- Brier score: the mean of (p − o)², where o is 1 for a profit and else 0 (Brier 1950).
- Log loss: the mean of −ln p for a profit and of −ln(1 − p) without, in nats (Good 1952). A probability of 0 or 1 is moved by
  10⁻¹⁵.
- Beside them stand the scores of who states the base rate each time, which is the share of all positions that had a profit. It is
  known only afterwards.
- The reliability curve has ten bins of equal width, each with its mean confidence, the share that had a profit, and the 95 %
  interval of that share (Wilson 1927), which holds if positions are independent.

A forecast of a value has no probability, and so neither score. Its root mean squared error stands beside that of forecasting zero.

## The tables

`--csv DIR` writes them into a directory that is not there yet, or is empty; it appears as a whole. Times are RFC 3339 in UTC.
Prices, volumes and money are exact decimals. A field that is not known is empty.
";

#[test]
fn the_document_of_reports_has_every_table_and_column_of_the_code() {
    let mut expected = HEAD.to_owned();
    for table in ALL {
        write!(expected, "\n### `{}`\n\n{}\n\n| column | meaning |\n|---|---|\n", table.file, table.about).unwrap();
        for (name, meaning) in table.columns {
            writeln!(expected, "| `{name}` | {meaning} |").unwrap();
        }
    }
    super::generated("docs/report.md", &expected);
}
