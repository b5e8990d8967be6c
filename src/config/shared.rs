//! What two pipelines must not share: a position that both would change and each takes for its own, a topic that takes one forecast
//! of a worker, or a key on two terms.
//!
//! Symbols are compared without regard to case, because a terminal that knows `EURUSD` takes an order for `eurusd`, and at a gateway
//! without a broker's suffix, because `EURUSD.m` may be the same one.

use sentinel_actors::domain::intent::Mode;

use super::pipeline::PipelineConfig;
use super::reader::Section;
use super::{SourceConfig, VendorSource, VenueConfig};
use crate::venues::gateway::values::is_same_symbol;

/// Notes every pair of pipelines whose orders would meet in one position, live at their gateways or else in the paper book, and those
/// that share a vendor's key on different terms.
pub(super) fn refuse(root: &mut Section<'_, '_>, pipelines: &[PipelineConfig]) {
    for (index, pipeline) in pipelines.iter().enumerate() {
        for other in &pipelines[..index] {
            let problems = [
                at_gateways(pipeline, other),
                in_the_paper_book(pipeline, other),
                limits_of_the_account(pipeline, other),
                at_a_topic(pipeline, other),
                at_a_vendor(pipeline, other),
            ];
            for problem in problems.into_iter().flatten() {
                root.report("pipeline", problem);
            }
        }
    }
}

/// One key has one way to be sent and one number of requests.
fn at_a_vendor(pipeline: &PipelineConfig, other: &PipelineConfig) -> Option<String> {
    let (SourceConfig::Vendor(own), SourceConfig::Vendor(theirs)) = (&pipeline.source, &other.source) else {
        return None;
    };
    let terms = |source: &VendorSource| (source.requests_per_hour, source.requests_per_day, source.token_in_query);
    let same_key = (own.vendor, &own.key) == (theirs.vendor, &theirs.key);
    (same_key && terms(own) != terms(theirs)).then(|| {
        format!(
            "'{}' and '{}' ask {} with one key, and differ in requests_per_hour, requests_per_day or token_in: write the same in both",
            pipeline.name,
            other.name,
            own.vendor.name()
        )
    })
}

/// A node has one wallet on one chain, and a topic takes one forecast of a worker in each window: the second would replace the first.
fn at_a_topic(pipeline: &PipelineConfig, other: &PipelineConfig) -> Option<String> {
    let (own, theirs) = (pipeline.topic()?, other.topic()?);
    let may_both_send = ![pipeline, other].iter().any(|pipeline| pipeline.stays_dry);
    (own.id == theirs.id && may_both_send).then(|| {
        format!(
            "'{}' and '{}' both forecast for topic {}, which takes one forecast of a worker in each window: remove one of them, give it \
             another topic, or write mode = \"dry_run\" in the one that is not to be sent",
            other.name, pipeline.name, own.id
        )
    })
}

/// A position that is derived from one pipeline's orders, or reported without saying whose it is, must not be changed by another's,
/// whatever the account is called.
fn at_gateways(pipeline: &PipelineConfig, other: &PipelineConfig) -> Option<String> {
    let (VenueConfig::Gateway(own), VenueConfig::Gateway(theirs)) = (&pipeline.order()?.venue, &other.order()?.venue)
    else {
        return None;
    };
    let same_gateway = (own.endpoint(), own.port) == (theirs.endpoint(), theirs.port);
    let same_account = own.account == theirs.account;
    if same_gateway && !same_account {
        return Some(format!(
            "'{}' calls the account of its gateway {}, and '{}' calls the same one {}: one gateway trades one account",
            pipeline.name, own.account, other.name, theirs.account
        ));
    }
    // A pipeline that stays in dry run never holds a position there.
    let is_shared = (same_gateway || same_account)
        && ![pipeline, other].iter().any(|pipeline| pipeline.stays_dry)
        && is_same_symbol(&pipeline.symbol, &other.symbol)
        && [own, theirs].iter().any(|gateway| gateway.derives_positions || gateway.dialect.reports_positions);
    is_shared.then(|| {
        format!(
            "'{}' trades {} on the account {} as '{}' does; {} cannot tell their positions apart",
            pipeline.name, pipeline.symbol, own.account, other.name, own.dialect.name
        )
    })
}

/// An account loses as a whole: what it may lose is the same for all that trade on it.
fn limits_of_the_account(pipeline: &PipelineConfig, other: &PipelineConfig) -> Option<String> {
    let (own, theirs) = (pipeline.order()?, other.order()?);
    let account = match (&own.venue, &theirs.venue, pipeline.mode, other.mode) {
        (VenueConfig::Gateway(at), VenueConfig::Gateway(other_at), Mode::Live, Mode::Live) => {
            (at.account == other_at.account).then_some(&at.account)
        }
        (.., Mode::DryRun, Mode::DryRun) => (own.paper.account == theirs.paper.account).then_some(&own.paper.account),
        _ => None,
    }?;
    let names = format!("'{}' and '{}' trade on the account {account}", other.name, pipeline.name);
    if own.risk.account != theirs.risk.account {
        return Some(format!(
            "{names}, and differ in max_daily_loss, max_drawdown, cool_down_after_losses, cool_down or broker_day: write the same in both"
        ));
    }
    if pipeline.mode != Mode::DryRun {
        return None;
    }
    if own.paper.balance != theirs.paper.balance {
        return Some(format!("{names}, and differ in [pipeline.paper] balance: write the same in both"));
    }
    let is_replay = |pipeline: &PipelineConfig| matches!(pipeline.source, SourceConfig::Csv(_));
    (own.risk.account.need_readings() && is_replay(pipeline) && is_replay(other)).then(|| {
        format!(
            "{names} in a replay, where each has a time of its own, so that the account has no equity at one time; give one of them an \
             account of its own: [pipeline.paper] account = \"{}\"",
            pipeline.name
        )
    })
}

/// The paper book has one position per account and symbol, as a netting account has.
fn in_the_paper_book(pipeline: &PipelineConfig, other: &PipelineConfig) -> Option<String> {
    let (account, theirs) = (&pipeline.order()?.paper.account, &other.order()?.paper.account);
    let in_book = [pipeline, other].iter().all(|pipeline| pipeline.mode == Mode::DryRun);
    (in_book && account == theirs && pipeline.symbol.eq_ignore_ascii_case(&other.symbol)).then(|| {
        format!(
            "'{}' trades {} on the paper account {account} as '{}' does, and each would trade the other's positions; give one \
             of them an account of its own: [pipeline.paper] account = \"{}\"",
            pipeline.name, pipeline.symbol, other.name, pipeline.name
        )
    })
}
