//! What keeps a worker from every window: a topic that it cannot use or that is not active, a whitelist, an empty wallet. Each is
//! waited for, in words that say what to do and stay the same as long as it does: each change of them is a line in the log.

use super::memory::{Known, Memory};
use super::{AnnouncerParts, OLD_BLOCKS, Trouble, WindowAnnouncer};
use crate::http::Deadline;
use crate::venues::allora::address::Address;
use crate::venues::allora::client::ClientError;
use crate::venues::allora::money::{self, Allo, Purse};
use crate::venues::allora::queries::{Topic, WindowStatus};
use crate::venues::allora::worker;

/// A balance for fewer days is worth a line.
const DAYS_LOW: u128 = 3;

/// No slot can be used, for a reason that only a person can change.
pub(super) struct Unusable(pub(super) String);

impl WindowAnnouncer {
    /// The topic, once.
    pub(super) async fn read_topic(
        &self,
        memory: &mut Memory,
        until: Deadline,
    ) -> Result<Result<(), Unusable>, Trouble> {
        let AnnouncerParts { client, topic: id, .. } = &self.parts;
        if memory.topic.is_none() {
            let topic = match client.topic(*id, until).await {
                Ok(topic) => topic,
                Err(error @ ClientError::Refused { .. }) => {
                    if client.topic_exists(*id, until).await? {
                        return Err(error.into());
                    }
                    let chain_id = client.endpoints().chain_id();
                    let why = format!("the chain {chain_id} has no topic {id}: name another one in [pipeline.venue]");
                    return Ok(Err(Unusable(why)));
                }
                Err(error) => return Err(error.into()),
            };
            let epochs_kept = client.params(until).await?.epochs_kept;
            memory.topic = Some(Known { topic, epochs_kept, height: 0 });
        }
        if memory.topic.as_ref().is_some_and(|known| known.topic.is_multi) {
            memory.topic = None;
            let why = format!(
                "topic {id} takes several labels, and a forecast is one value: name another topic in [pipeline.venue]"
            );
            return Ok(Err(Unusable(why)));
        }
        Ok(Ok(()))
    }

    /// What keeps the worker from every window, and is not its money.
    pub(super) fn waits_for(&self, status: &WindowStatus) -> Option<String> {
        let AnnouncerParts { topic, worker, .. } = &self.parts;
        match () {
            () if !status.is_topic_active && !status.is_open => Some(format!(
                "topic {topic} is not active: nothing opens before it is; name another topic if it stays so"
            )),
            () if !status.is_whitelisted => Some(worker::not_whitelisted(*topic, worker)),
            () => None,
        }
    }

    pub(super) async fn count_money(&self, memory: &mut Memory, status: &WindowStatus, topic: &Topic, until: Deadline) {
        let is_good = |(at, purse): &(u64, Purse)| {
            let blocks = if purse.missing(status.is_registered) > 0 { 1 } else { OLD_BLOCKS };
            status.height < at.saturating_add(blocks)
        };
        if memory.purse.as_ref().is_some_and(is_good) {
            return;
        }
        // What it is matters for the next windows; an answer that fails now comes with one of the next questions.
        let Ok(purse) = money::purse(&self.parts.client, &self.parts.worker, until).await else { return };
        memory.purse = Some((status.height, purse));
        let epoch = memory.meter.blocks(topic.epoch_length);
        let days = purse.days_left(u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX));
        let is_low = days < DAYS_LOW && purse.missing(status.is_registered) == 0;
        if is_low && !memory.is_low {
            tracing::warn!(
                event = "allora_funds_low",
                worker = %self.parts.worker,
                balance = %Allo(purse.balance),
                windows = %purse.windows_left(),
                days = %days,
                "the wallet will soon be empty: send it ALLO"
            );
        }
        memory.is_low = is_low;
    }

    pub(super) fn unfunded(&self, memory: &Memory, status: &WindowStatus) -> Option<String> {
        let (_, purse) = memory.purse?;
        let missing = purse.missing(status.is_registered);
        (missing > 0).then(|| unfunded(&self.parts.worker, &purse, status.is_registered))
    }
}

/// Rounded up, so that it does not change with every price.
pub(super) fn unfunded(worker: &Address, purse: &Purse, is_registered: bool) -> String {
    let besides = if is_registered { 0 } else { purse.registration };
    let needed = Allo(money::rounded_up(purse.window.saturating_add(besides)));
    let purpose = if is_registered { "a window" } else { "its registration and a window" };
    format!("the wallet {worker} has {} and needs about {needed} for {purpose}: send it ALLO", Allo(purse.balance))
}
