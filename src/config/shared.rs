//! What two pipelines must not share: a position that both would change and each takes for its own, or a key on two terms.
//!
//! Symbols are compared without regard to case: a terminal that knows `EURUSD` takes an order for `eurusd`.

use sentinel_actors::domain::intent::Mode;

use super::pipeline::PipelineConfig;
use super::reader::Section;
use super::{SourceConfig, VendorSource, VenueConfig};

/// Notes every pair of pipelines whose orders would meet in one position, live at their gateways or else in the paper book, and those
/// that share a vendor's key on different terms.
pub(super) fn refuse(root: &mut Section<'_, '_>, pipelines: &[PipelineConfig]) {
    for (index, pipeline) in pipelines.iter().enumerate() {
        for other in &pipelines[..index] {
            let problems =
                [at_gateways(pipeline, other), in_the_paper_book(pipeline, other), at_a_vendor(pipeline, other)];
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

/// A position that is derived from one pipeline's orders must not be changed by another's, whatever the account is called.
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
        && same_symbol(pipeline, other)
        && (own.derives_positions || theirs.derives_positions);
    is_shared.then(|| {
        format!(
            "'{}' trades {} on the account {} as '{}' does; {} cannot tell their positions apart",
            pipeline.name, pipeline.symbol, own.account, other.name, own.dialect.name
        )
    })
}

/// The paper book has one position per account and symbol, as a netting account has.
fn in_the_paper_book(pipeline: &PipelineConfig, other: &PipelineConfig) -> Option<String> {
    let (account, theirs) = (&pipeline.order()?.paper.account, &other.order()?.paper.account);
    let in_book = [pipeline, other].iter().all(|pipeline| pipeline.mode == Mode::DryRun);
    (in_book && account == theirs && same_symbol(pipeline, other)).then(|| {
        format!(
            "'{}' trades {} on the paper account {account} as '{}' does, and each would trade the other's positions; give one \
             of them an account of its own: [pipeline.paper] account = \"{}\"",
            pipeline.name, pipeline.symbol, other.name, pipeline.name
        )
    })
}

fn same_symbol(pipeline: &PipelineConfig, other: &PipelineConfig) -> bool {
    pipeline.symbol.eq_ignore_ascii_case(&other.symbol)
}
