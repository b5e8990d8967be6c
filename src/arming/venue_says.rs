//! What a venue says of itself, and what that is worth, for an operator.

use std::fmt;

use sentinel_actors::domain::account::{AccountReport, Stated};
use serde::{Deserialize, Serialize};

/// Part of what is typed: a venue that says something else is another one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VenueSays {
    /// Its dialect has no words for it.
    #[default]
    Nothing,
    Account(String),
}

impl VenueSays {
    /// What a report says. Money changes with every trade, and is no part of it.
    #[must_use]
    pub fn of(report: &AccountReport) -> Self {
        let currency = report.currency.as_deref().unwrap_or("not told");
        let whose = match (&report.login, &report.margin_mode) {
            (Stated::Untold, Stated::Untold) => "login and margin mode not told".to_owned(),
            (login, margin_mode) => format!("login {login}; margin mode {margin_mode}"),
        };
        Self::Account(format!("server {}; demo or real: {}; currency {currency}; {whose}", report.server, report.kind))
    }
}

impl fmt::Display for VenueSays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing: whose account it is, and whether it is a demo, only you can know"),
            Self::Account(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use sentinel_actors::domain::account::AccountKind;

    use super::*;

    #[test]
    fn what_cannot_be_believed_is_said_to_be_so() {
        let believed = AccountReport {
            currency: Some("EUR".to_owned()),
            kind: Stated::Believed(AccountKind::Demo),
            server: Stated::Believed("Broker-Demo".to_owned()),
            ..AccountReport::SILENT
        };
        let said = "server Broker-Demo; demo or real: demo; currency EUR; login and margin mode not told";
        assert_eq!(VenueSays::of(&believed).to_string(), said);
        let why = "a constant";
        let constants = AccountReport {
            kind: Stated::Doubtful { said: AccountKind::Real, why },
            server: Stated::Doubtful { said: "UNKNOWN".to_owned(), why },
            ..AccountReport::SILENT
        };
        let said = "server 'UNKNOWN', not to be believed: a constant; demo or real: 'real', not to be believed: a constant; \
                    currency not told; login and margin mode not told";
        assert_eq!(VenueSays::of(&constants).to_string(), said);
        let named = AccountReport {
            login: Stated::Believed("5012345".to_owned()),
            margin_mode: Stated::Believed("hedging".to_owned()),
            ..believed.clone()
        };
        let said = "server Broker-Demo; demo or real: demo; currency EUR; login 5012345; margin mode hedging";
        assert_eq!(VenueSays::of(&named).to_string(), said);
        let richer = AccountReport { equity: Some(5.into()), ..believed.clone() };
        assert_eq!(VenueSays::of(&richer), VenueSays::of(&believed));
    }
}
