//! The figures in words. What is said of a model is said of its unseen part, and of nothing else.

use std::time::Duration;

use super::{Errors, Forecasts, INDEPENDENT_MIN, Kind, Parts};
use crate::cli::text::{TIED, labelled};

/// How a model errs on bars that it never saw, and what follows.
#[must_use]
pub fn beside_zero(rmse: f64, rmse_of_zero: f64) -> &'static str {
    // As far as the figures are shown: nobody reads more out of them than that.
    if figure(rmse) == figure(rmse_of_zero) {
        "as much as forecasting zero: it shows no skill"
    } else if rmse < rmse_of_zero {
        "less than forecasting zero: that alone is no evidence of skill"
    } else {
        "more than forecasting zero: it shows no skill"
    }
}

impl Forecasts {
    /// Lines of at most 80 columns.
    #[must_use]
    pub fn text(&self) -> Vec<String> {
        let Kind { account, symbol, .. } = &self.kind;
        let Errors { made, compared, rmse, rmse_of_zero, .. } = self.errors;
        let mut lines = vec![labelled("Forecasts", &format!("{symbol}, {} ahead, account {account}", self.reach()))];
        let mut line = |text: String| lines.push(labelled("", &text));
        line(format!("{made} made, {compared} compared with what came true"));
        if let Some(parts) = &self.parts {
            line("root mean squared error, and that of forecasting zero:".to_owned());
            line(part("in training bars", &parts.trained));
            line(part("in unseen bars", &parts.unseen));
            if parts.neither.made > 0 {
                line(format!("{} more, of bars before or between these, count for neither", parts.neither.made));
            }
        } else if let (Some(rmse), Some(zero)) = (rmse, rmse_of_zero) {
            line(format!("root mean squared error {}; forecasting zero: {}", figure(rmse), figure(zero)));
        }
        if let Some(text) = self.overlap() {
            line(text);
        }
        line(self.verdict());
        lines
    }

    /// How many of the compared forecasts count, those of the unseen part where it has any.
    pub(in crate::cli) fn overlap(&self) -> Option<String> {
        let unseen = self.parts.map(|parts| parts.unseen).filter(|unseen| unseen.compared > 0);
        let (which, errors) = unseen.map_or(("", self.errors), |unseen| ("unseen ", unseen));
        let Errors { compared, independent, .. } = errors;
        (compared > independent).then(|| {
            format!(
                "Each reaches {} ahead, so neighbours overlap and err alike: of these {compared} {which}forecasts at most \
                 {independent} can be independent.",
                self.reach()
            )
        })
    }

    /// What follows about the model.
    pub(in crate::cli) fn verdict(&self) -> String {
        let Some(Parts { unseen, unseen_from, .. }) = &self.parts else {
            let few =
                if self.errors.independent < INDEPENDENT_MIN { "They are too few to judge a model by. " } else { "" };
            return format!(
                "{few}What the model was trained on is not known here; `--config{TIED}FILE` shows training bars and unseen \
                 ones apart."
            );
        };
        match unseen.rmse.zip(unseen.rmse_of_zero) {
            None if unseen.made == 0 => format!(
                "The bars that the model never saw begin at {unseen_from}, and none of them is forecast here: this says \
                 nothing about its skill."
            ),
            None => "No unseen forecast has come true yet: this says nothing about the model's skill.".to_owned(),
            Some(_) if unseen.independent < INDEPENDENT_MIN => {
                "The unseen ones are too few to say anything about the model's skill.".to_owned()
            }
            Some((rmse, zero)) => format!("In unseen bars the model errs {}.", beside_zero(rmse, zero)),
        }
    }

    pub(in crate::cli) fn reach(&self) -> String {
        match self.kind.horizon_s {
            seconds if seconds.is_multiple_of(3600) => format!("{}{TIED}h", seconds / 3600),
            seconds => humantime::format_duration(Duration::from_secs(seconds.into())).to_string(),
        }
    }
}

/// The errors of one part.
fn part(which: &str, errors: &Errors) -> String {
    match (errors.rmse, errors.rmse_of_zero) {
        (Some(rmse), Some(zero)) => {
            format!("{}, zero {} {which} ({} compared)", figure(rmse), figure(zero), errors.compared)
        }
        _ if errors.made == 0 => format!("none made {which}"),
        _ => format!("none compared {which} ({} made)", errors.made),
    }
}

/// An error as it is shown and compared.
#[must_use]
pub fn figure(error: f64) -> String {
    format!("{error:.5}")
}

#[cfg(test)]
mod tests {
    use sentinel_actors::domain::time::UtcMs;

    use super::*;

    /// As many forecasts, all compared, and as many of them independent.
    fn errors(compared: usize, independent: usize, rmse: f64, zero: f64) -> Errors {
        Errors { made: compared, compared, independent, rmse: Some(rmse), rmse_of_zero: Some(zero) }
    }

    fn waiting(made: usize) -> Errors {
        Errors { made, ..Errors::default() }
    }

    fn forecasts(errors: Errors, parts: Option<Parts>) -> Forecasts {
        let (account, symbol) = ("paper".to_owned(), "BTCUSD".to_owned());
        Forecasts { kind: Kind { account, symbol, horizon_s: 604_800 }, errors, parts }
    }

    /// The text in one line, without the indentation.
    fn said(forecasts: &Forecasts) -> String {
        let lines = forecasts.text();
        assert!(lines.iter().flat_map(|text| text.lines()).all(|line| line.chars().count() <= 80), "{lines:#?}");
        lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_said_of_a_model_follows_from_its_unseen_errors() {
        let no_skill = "it shows no skill.";
        let cases: [(Errors, &[&str], &[&str]); 8] = [
            (
                waiting(0),
                &["none made in unseen bars", "begin at 2018-04-18T07:00:00Z", "nothing about its skill"],
                &[],
            ),
            (waiting(75), &["none compared in unseen bars (75 made)", "No unseen forecast has come true yet"], &[]),
            (errors(1512, 9, 0.2, 0.1), &["of these 1512 unseen forecasts at most 9", "too few"], &[no_skill, "errs"]),
            (errors(1512, 9, 0.1, 0.2), &["too few"], &["less than", "skill."]),
            (
                errors(2907, 18, 0.09885, 0.09094),
                &["errs more than forecasting zero: it shows no skill."],
                &["too few"],
            ),
            (errors(2907, 18, 0.090_943, 0.090_938), &["errs as much as forecasting zero: it shows no skill."], &[]),
            (
                errors(2907, 18, 0.08, 0.09),
                &["errs less than forecasting zero: that alone is no evidence"],
                &[no_skill],
            ),
            (errors(10, 10, 0.2, 0.1), &["errs more than"], &["overlap", "too few"]),
        ];
        for (unseen, says, keeps_back) in cases {
            let (trained, neither) = (errors(6613, 40, 0.15904, 0.16238), waiting(0));
            let unseen_from: UtcMs = "2018-04-18T07:00:00Z".parse().unwrap();
            let said = said(&forecasts(trained, Some(Parts { trained, unseen, neither, unseen_from })));
            assert!(said.contains("0.15904, zero 0.16238 in training bars (6613 compared)"), "{said}");
            assert!(says.iter().all(|words| said.contains(words)), "{unseen:?}: {said}");
            let skill = said.replace("model's skill.", "").replace("its skill.", "");
            assert!(!keeps_back.iter().any(|words| skill.contains(words)), "{unseen:?}: {said}");
        }
    }

    #[test]
    fn without_a_manifest_nothing_is_said_about_skill() {
        for (errors, says) in [
            (
                errors(92, 1, 0.1, 0.2),
                "They are too few to judge a model by. What the model was trained on is not known",
            ),
            (errors(9688, 58, 0.14262, 0.14393), "at most 58 can be independent. What the model was trained on"),
            (waiting(3), "3 made, 0 compared with what came true They are too few"),
        ] {
            let said = said(&forecasts(errors, None));
            assert!(said.contains(says) && !said.contains("skill"), "{said}");
        }
    }

    #[test]
    fn bars_of_neither_part_are_counted_and_named() {
        let unseen_from = UtcMs(0);
        let parts = Parts { trained: waiting(0), unseen: waiting(0), neither: waiting(168), unseen_from };
        let said = said(&forecasts(waiting(168), Some(parts)));
        assert!(said.contains("168 more, of bars before or between these, count for neither"), "{said}");
    }
}
