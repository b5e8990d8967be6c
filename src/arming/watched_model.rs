//! The model of a live pipeline, watched: that another one answers ends the arm at once, whatever it answers.

use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::feature::FeatureFrame;
use sentinel_actors::domain::prediction::{ModelIdentity, RawAnswer};
use sentinel_actors::ports::{Model, ModelError, PortFuture};

use super::Watch;

/// The model of a live pipeline. That another one answers ends the arm at once, whatever it answers.
pub struct WatchedModel {
    pub model: Arc<dyn Model>,
    pub pipeline: String,
    pub watch: Arc<Watch>,
}

impl WatchedModel {
    fn note<T>(&self, answer: &Result<T, ModelError>) {
        if let Err(ModelError::Changed(how)) = answer {
            self.watch.model_changed(&self.pipeline, how);
        }
    }
}

impl Model for WatchedModel {
    fn validate(&self, deadline: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        Box::pin(async move {
            let identity = self.model.validate(deadline).await;
            self.note(&identity);
            if let Ok(identity) = &identity {
                // What comes of it is the Executor's matter: this model may well decide to do nothing.
                self.watch.note_model(&self.pipeline, identity);
            }
            identity
        })
    }

    fn predict<'a>(
        &'a self,
        frame: &'a FeatureFrame,
        deadline: Duration,
    ) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        Box::pin(async move {
            let answer = self.model.predict(frame, deadline).await;
            self.note(&answer);
            answer
        })
    }
}
