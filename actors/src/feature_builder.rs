//! FeatureBuilder: bars in, one feature frame out. The same code computes it live, in a replay and in an export.

use std::sync::Arc;

use crate::cycle_flow::Cycle;
use crate::data_fetcher::Digests;
use crate::domain::bar::CleanBars;
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::feature::{FeatureError, FeatureFrame};
use crate::domain::reason::{Ending, Reason};
use crate::ports::{FaultPoint, FeatureSet, PortFuture};
use crate::stage::StageWork;

pub struct FeatureBuilder {
    pub features: Arc<dyn FeatureSet>,
    pub digests: Digests,
}

impl StageWork for FeatureBuilder {
    type Load = Arc<CleanBars>;
    type Next = (Arc<CleanBars>, FeatureFrame);
    const STAGE: Stage = Stage::FeatureBuilder;
    const FAULT_POINT: FaultPoint = FaultPoint::FeaturesHandle;

    fn work<'a>(
        &'a mut self,
        _: &'a Cycle,
        record: &'a mut SlotRecord,
        bars: Self::Load,
    ) -> PortFuture<'a, Result<Self::Next, Ending>> {
        Box::pin(async move {
            record.feature_set = Some(self.features.id().to_string());
            let frame = self.features.build(&bars.bars).map_err(|error| match error {
                FeatureError::InsufficientHistory { .. } => Ending::new(Reason::InsufficientHistory, error.to_string()),
                FeatureError::Undefined { .. } => Ending::new(Reason::UndefinedFeature, error.to_string()),
            })?;
            record.features_digest = self.digests.of(|| frame.digest());
            Ok((bars, frame))
        })
    }
}
