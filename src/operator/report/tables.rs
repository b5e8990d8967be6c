//! The tables of a report as CSV files, one for each. Columns are added at the end and never get another meaning.
//!
//! Times are RFC 3339 in UTC, prices, volumes and money are exact decimals, and a field that is not known is empty.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

/// A column with its meaning.
pub type Column = (&'static str, &'static str);

/// A table: the name of its file, what a row is, and its columns.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub file: &'static str,
    pub about: &'static str,
    pub columns: &'static [Column],
}

pub const SLOTS: Table = Table {
    file: "slots.csv",
    about: "Each slot: how it ended, and what was decided.",
    columns: &[
        ("pipeline", "its name"),
        ("slot", "when it was due"),
        ("mode", "`live` or `dry_run`"),
        ("outcome", "`acted`, `no_action`, `skipped` or `missed`"),
        ("reason", "as in [reasons.md](reasons.md)"),
        ("started_at", "when its cycle began; empty when none did"),
        ("ended_at", "when it ended"),
        ("late_ms", "milliseconds from due to begun"),
        ("worked_us", "microseconds that its stages worked"),
        ("newest_bar", "when the newest usable bar opened"),
        ("part", "what the model knew of that bar: `training`, `unseen`, `neither` or `unknown`"),
        ("model_hash", "of the model that was asked"),
        ("signal", "the winner: `sell`, `hold` or `buy`"),
        ("confidence", "the winner's probability"),
        ("threshold", "what it had to exceed"),
        ("value", "the answer of a regression"),
        ("intents", "keys of what it sent, with a space between them"),
        ("intact", "`false`: something else than a node has changed the row"),
    ],
};

pub const REASONS: Table = Table {
    file: "reasons.csv",
    about: "Slots by pipeline and reason.",
    columns: &[
        ("pipeline", "its name"),
        ("outcome", "that the reason belongs to"),
        ("reason", "as in [reasons.md](reasons.md)"),
        ("slots", "how many"),
        ("first", "when the first of them was due"),
        ("last", "when the last of them was due"),
    ],
};

pub const ORDERS: Table = Table {
    file: "orders.csv",
    about: "Each order of the journal.",
    columns: &[
        ("key", "of its intent"),
        ("pipeline", "that decided it"),
        ("slot", "in which it was written first; of what an operator asked for, the time of the command"),
        ("account", "that it goes to"),
        ("mode", "`live` or `dry_run`"),
        ("role", "`open`, or `close/` and the ticket"),
        ("symbol", "as the venue names it"),
        ("side", "`buy` or `sell`"),
        ("volume_lots", "that was ordered"),
        ("reference_price", "the close that it was decided at"),
        ("stop", "its price"),
        ("target", "its price"),
        ("state", "`acked`, `rejected`, `absent`, or one that is not final"),
        ("ticket", "the venue's, once confirmed"),
        ("filled_lots", "as confirmed"),
        ("fill_price", "as confirmed"),
        ("signal", "of its slot"),
        ("confidence", "of its slot"),
        ("bar", "when the newest bar of its slot opened"),
        ("part", "what the model knew of that bar"),
        ("intact", "`false`: something else than a node has changed the row"),
    ],
};

pub const POSITIONS: Table = Table {
    file: "positions.csv",
    about: "Each position that the venue's own record shows closed in the range, in the order of their ends.",
    columns: &[
        ("venue", "`ledger` of a paper gateway, or `paper book`"),
        ("mode", "of the orders that go there"),
        ("ticket", "the venue's"),
        ("symbol", "as the venue names it"),
        ("side", "`buy` or `sell`"),
        ("volume_lots", "that was closed last"),
        ("open_price", "at the entry"),
        ("opened_at", "in the market's time"),
        ("close_price", "at the exit"),
        ("closed_at", "in the market's time"),
        ("close_reason", "as the venue says it"),
        ("profit", "in quote currency"),
        ("key", "of the intent that opened it; empty when the journal has none"),
        ("pipeline", "that decided it"),
        ("slot", "that decided it"),
        ("confidence", "of that slot"),
        ("part", "what the model knew of the bar of that decision"),
    ],
};

pub const PROFIT: Table = Table {
    file: "profit.csv",
    about: "What closed positions brought, by venue and part. Without a venue's record there is one row whose profit is empty: unknown.",
    columns: &[
        ("venue", "`ledger`, `paper book`, or `confirmed orders` and `no record` where there is none"),
        ("mode", "of the orders that go there"),
        ("part", "what the model knew of the bar of the decision"),
        ("profit", "in quote currency"),
        ("closed", "positions"),
        ("won", "of them with a profit"),
    ],
};

pub const FORECASTS: Table = Table {
    file: "forecasts.csv",
    about: "Each forecast of the journal, with what came true where the paper book knows it.",
    columns: &[
        ("key", "of its intent"),
        ("pipeline", "that decided it"),
        ("slot", "in which it was written"),
        ("announced_as", "what its window was announced as; empty on a grid"),
        ("account", "that it goes to"),
        ("mode", "`live` or `dry_run`"),
        ("symbol", "that is forecast"),
        ("log_return", "the forecast"),
        ("horizon_s", "how far it reaches beyond the close of its bar, in seconds"),
        ("reference_price", "the close of its bar"),
        ("bar", "when that bar opened"),
        ("part", "what the model knew of that bar"),
        ("state", "`acked`, `rejected`, `absent`, or one that is not final"),
        ("hash", "of its transaction, or the entry's in the paper book"),
        ("height", "of its block, or of the entry"),
        ("came_true", "the log return over the horizon; empty while it is not known"),
        ("intact", "`false`: something else than a node has changed the row"),
    ],
};

pub const ERRORS: Table = Table {
    file: "errors.csv",
    about: "How far the forecasts of the paper book were from what came true. The row `all` is about all of them together.",
    columns: &[
        ("forecasts", "account, symbol and horizon"),
        ("part", "`all`, or what the model knew of their bars"),
        ("made", "how many"),
        ("compared", "those whose horizon is over"),
        ("independent", "as many of those as follow one another without an overlap"),
        ("rmse", "root of the mean squared error"),
        ("rmse_of_zero", "the same for forecasting zero each time"),
    ],
};

pub const SCORES: Table = Table {
    file: "scores.csv",
    about: "How well the confidence at the opening of a position fits whether it was closed with a profit.",
    columns: &[
        ("venue", "whose record says how it was closed"),
        ("mode", "of the orders that go there"),
        ("part", "what the model knew of the bar of the decision"),
        ("positions", "how many"),
        ("base_rate", "the share that was closed with a profit"),
        ("brier", "mean of (confidence - outcome)^2"),
        ("brier_of_base_rate", "the same for stating the base rate each time"),
        ("log_loss", "mean of -ln of what was stated for what happened, in nats"),
        ("log_loss_of_base_rate", "the same for stating the base rate each time"),
    ],
};

pub const RELIABILITY: Table = Table {
    file: "reliability.csv",
    about: "The reliability curve: positions by their confidence at the opening, in bins that are not empty.",
    columns: &[
        ("venue", "whose record says how they were closed"),
        ("mode", "of the orders that go there"),
        ("part", "what the model knew of the bars of the decisions"),
        ("from", "where the bin begins"),
        ("to", "where it ends"),
        ("positions", "how many"),
        ("mean_confidence", "of them"),
        ("share_won", "of them"),
        ("share_low", "lower end of the 95 % interval of that share"),
        ("share_high", "its upper end"),
    ],
};

pub const LATENESS: Table = Table {
    file: "lateness.csv",
    about: "How late cycles began, and how long their stages worked: quantiles to 3 %, the largest exactly.",
    columns: &[
        ("pipeline", "its name"),
        ("measure", "`late_ms` or `worked_us`"),
        ("slots", "in which it was measured"),
        ("p50", "half of them were at most so"),
        ("p90", "nine in ten"),
        ("p99", "99 in a hundred"),
        ("max", "the largest"),
    ],
};

pub const OUTAGES: Table = Table {
    file: "outages.csv",
    about: "Missed slots in a row.",
    columns: &[
        ("pipeline", "its name"),
        ("first", "the first missed slot"),
        ("last", "the last missed slot"),
        ("until", "the slot after it, which was not missed; empty when there is none"),
        ("length_s", "seconds from `first` to `until`, or at least to `last`"),
        ("slots", "how many were missed"),
        ("reasons", "why, with a count when there are several"),
    ],
};

/// Every table, in the order of the document.
pub const ALL: [&Table; 11] =
    [&SLOTS, &REASONS, &ORDERS, &POSITIONS, &PROFIT, &FORECASTS, &ERRORS, &SCORES, &RELIABILITY, &LATENESS, &OUTAGES];

/// The open files.
pub struct Tables(Vec<(&'static Table, csv::Writer<BufWriter<File>>)>);

impl Tables {
    /// Creates the files in a directory, each with its header.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(dir: &Path) -> io::Result<Self> {
        let create = |table: &'static Table| {
            let mut writer = csv::Writer::from_writer(BufWriter::new(File::create_new(dir.join(table.file))?));
            writer.write_record(table.columns.iter().map(|(name, _)| name)).map_err(io::Error::from)?;
            Ok((table, writer))
        };
        ALL.into_iter().map(create).collect::<io::Result<_>>().map(Self)
    }

    /// Writes a row; its fields are as many as the table has columns.
    ///
    /// # Errors
    /// When the disk refuses, or there are more or fewer of them, of which nothing is written.
    pub fn row<const N: usize>(&mut self, table: &Table, fields: [String; N]) -> io::Result<()> {
        if N != table.columns.len() {
            return Err(io::Error::other(format!("{} has {} columns, not {N}", table.file, table.columns.len())));
        }
        let writer = self.0.iter_mut().find(|(own, _)| *own == table).map(|(_, writer)| writer);
        writer.ok_or_else(|| io::Error::other(format!("there is no table {}", table.file)))?.write_record(fields)?;
        Ok(())
    }

    /// Brings everything to the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(self) -> io::Result<()> {
        for (_, writer) in self.0 {
            let buffer = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
            buffer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        Ok(())
    }
}

/// A field that may not be known.
pub fn known<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_another_width_than_its_table_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut tables = Tables::create(dir.path()).unwrap();
        let row = |width: usize| vec!["x,\"y\"".to_owned(); width];
        tables.row::<6>(&REASONS, row(6).try_into().unwrap()).unwrap();
        tables.row::<5>(&REASONS, row(5).try_into().unwrap()).unwrap_err();
        tables.finish().unwrap();
        let mut read = csv::Reader::from_path(dir.path().join(REASONS.file)).unwrap();
        let rows: Vec<csv::StringRecord> = read.records().map(Result::unwrap).collect();
        assert_eq!((rows.len(), rows[0].get(5)), (1, Some("x,\"y\"")));
    }

    #[test]
    fn every_table_and_column_has_one_name_and_a_meaning() {
        let names: std::collections::BTreeSet<&str> = ALL.iter().map(|table| table.file).collect();
        assert_eq!(names.len(), ALL.len());
        for table in ALL {
            let columns: std::collections::BTreeSet<&str> = table.columns.iter().map(|(name, _)| *name).collect();
            assert_eq!(columns.len(), table.columns.len(), "{}", table.file);
            assert!(table.columns.iter().all(|(name, meaning)| !name.is_empty() && !meaning.is_empty()));
        }
    }
}
