//! What the last parity says of what would go live.

use sentinel_actors::domain::time::UtcMs;

use super::super::text::wrapped;
use super::super::{Failure, exit};
use crate::arming::{Live, Terms};
use crate::config::Config;
use crate::operator::page::told::grouped;
use crate::parity::record::{self, LastParity, PipelineParity, Unproven};

/// The last parity, when it is good for every pipeline that would go live.
pub(super) fn of(config: &Config, terms: &Terms, now: UtcMs) -> Result<LastParity, Unproven> {
    let last = record::read(&config.node.state)?;
    for Live { place, model, .. } in &terms.pipelines {
        let basis = record::basis(&config.settings, &place.pipeline);
        last.speaks_for(&place.pipeline, &basis, model, now)?;
    }
    Ok(last)
}

/// The same for a person.
pub(super) fn shown(parity: &Result<LastParity, Unproven>) -> String {
    let said = match parity {
        Ok(last) => {
            let of = |(name, of): (&String, &PipelineParity)| {
                format!("{name}: {} of {} slots compared, none differs", grouped(of.compared), grouped(of.slots))
            };
            format!("of {}; {}", last.at, last.pipelines.iter().map(of).collect::<Vec<_>>().join("; "))
        }
        Err(unproven) => format!("not shown: {unproven}"),
    };
    format!("record beside bars and model\n{}", wrapped("  parity    ", "            ", &said))
}

/// `check` compares, and `again` arms.
pub(super) fn refused(unproven: &Unproven, (check, again): (&str, &str)) -> Failure {
    let text = format!(
        "error: {unproven}, so nothing was armed\n  what to do: compare what the node has recorded with what its bars and its model make of it: \
         {check}\n  and look into what differs before you arm. When nothing is recorded yet, or you arm all the same: {again} --without-parity"
    );
    Failure { code: exit::FAILED, text }
}
