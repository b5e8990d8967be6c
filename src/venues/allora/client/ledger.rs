//! What the chain keeps of a window after it has closed: who was active, how often, and with what score.
//!
//! What rests on an answer is said for ever, so each is from the endpoint with the greatest height or from two that agree, and
//! comes with the block after which it was so.

use super::{Client, ClientError, Trust, accepted, decoded, is_missing, understood};
use crate::http::Deadline;
use crate::venues::allora::address::Address;
use crate::venues::allora::queries::{self, AnswerError, At, Score, StoredInference};
use crate::venues::allora::query_messages::{
    EmissionsQuery, InclusionsRequest, InferencesRequest, RewardNonceRequest, ScoreEmaRequest, ScoresRequest,
    TopicExistsRequest,
};

impl Client {
    /// Whether there is such a topic.
    ///
    /// # Errors
    /// When the chain cannot be asked, or the endpoints do not agree.
    pub async fn topic_exists(&self, topic: u64, until: Deadline) -> Result<bool, ClientError> {
        let (answer, _) = self.ask_by("TopicExists", &TopicExistsRequest { topic }, Trust::Agreed, until).await?;
        Ok(answer.exists)
    }

    /// The inferences that were active when the window of `nonce` closed. None: the window is open, nobody was active, or they are
    /// pruned.
    ///
    /// # Errors
    /// As [`Client::topic_exists`].
    pub async fn inferences_at(
        &self,
        topic: u64,
        nonce: u64,
        until: Deadline,
    ) -> Result<At<Vec<StoredInference>>, ClientError> {
        const WHAT: &str = "GetInferencesAtBlock";
        let block_height = signed(WHAT, nonce)?;
        let request = InferencesRequest { topic, block_height };
        let At { height, value: answer } = self.ask_for(WHAT, &request, until).await?;
        let inferences = answer.map_or(Ok(Vec::new()), |answer| queries::inferences(answer, topic, block_height));
        understood(WHAT, inferences).map(|value| At { height, value })
    }

    /// How often an inference of this worker was active when its window closed.
    ///
    /// # Errors
    /// As [`Client::topic_exists`].
    pub async fn inclusions(&self, topic: u64, worker: &Address, until: Deadline) -> Result<At<u64>, ClientError> {
        const WHAT: &str = "GetCountInfererInclusionsInTopic";
        let request = InclusionsRequest { topic, inferer: worker.to_string() };
        let (answer, height) = self.ask_by(WHAT, &request, Trust::Agreed, until).await?;
        Ok(At { height, value: answer.count })
    }

    /// The running score of a worker. Its nonce is that of the newest window in which the worker has submitted and which is
    /// accounted for; that of a submission that was not admitted is so at once. `None`: there is none.
    ///
    /// # Errors
    /// As [`Client::topic_exists`].
    pub async fn score_ema(
        &self,
        topic: u64,
        worker: &Address,
        until: Deadline,
    ) -> Result<At<Option<Score>>, ClientError> {
        const WHAT: &str = "GetInfererScoreEma";
        let request = ScoreEmaRequest { topic, inferer: worker.to_string() };
        let At { height, value: answer } = self.ask_for(WHAT, &request, until).await?;
        let score = answer.and_then(|answer| answer.score).filter(|score| !score.address.is_empty());
        let Some(score) = score else { return Ok(At { height, value: None }) };
        let score = understood(WHAT, queries::score(score, topic))?;
        if score.worker != request.inferer {
            return understood(WHAT, Err(AnswerError::Other(score.worker)));
        }
        Ok(At { height, value: Some(score) })
    }

    /// What the workers of a window scored. None: they do not yet, or it is pruned.
    ///
    /// # Errors
    /// As [`Client::topic_exists`].
    pub async fn scores_at(&self, topic: u64, nonce: u64, until: Deadline) -> Result<At<Vec<Score>>, ClientError> {
        const WHAT: &str = "GetWorkerInferenceScoresAtBlock";
        let request = ScoresRequest { topic, block_height: signed(WHAT, nonce)? };
        let At { height, value: answer } = self.ask_for(WHAT, &request, until).await?;
        let scores = answer.map_or(Ok(Vec::new()), |answer| queries::scores(answer, topic, nonce));
        understood(WHAT, scores).map(|value| At { height, value })
    }

    /// The nonce of the newest window whose rewards are settled; 0: none is.
    ///
    /// # Errors
    /// As [`Client::topic_exists`].
    pub async fn reward_nonce(&self, topic: u64, until: Deadline) -> Result<At<u64>, ClientError> {
        const WHAT: &str = "GetTopicRewardNonce";
        let At { height, value: answer } = self.ask_for(WHAT, &RewardNonceRequest { topic }, until).await?;
        let nonce = answer.map_or(Ok(0), |answer| queries::reward_nonce(answer.nonce));
        understood(WHAT, nonce).map(|value| At { height, value })
    }

    /// `None`: the chain has no such entry.
    async fn ask_for<Q: EmissionsQuery>(
        &self,
        what: &'static str,
        request: &Q,
        until: Deadline,
    ) -> Result<At<Option<Q::Answer>>, ClientError> {
        let answer = self.answer_by(request, Trust::Agreed, until).await?;
        if is_missing(answer.code, &answer.log) {
            return Ok(At { height: answer.height, value: None });
        }
        accepted(what, &answer)?;
        Ok(At { height: answer.height, value: Some(decoded::<Q>(what, &answer)?) })
    }
}

fn signed(what: &'static str, nonce: u64) -> Result<i64, ClientError> {
    understood(what, i64::try_from(nonce).map_err(|_| AnswerError::Number("the nonce")))
}
