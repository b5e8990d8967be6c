//! All that the alerts know: incidents, what each route has still to be told, and what was said to the dead-man service.
//!
//! Pure. It can be written down and taken up again at any point, and then nothing is told a second time.

use std::collections::BTreeMap;
use std::time::Duration;

use sentinel_actors::domain::node_view::NodeView;
use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};

use super::dead_man::DeadMan;
use super::incident::{Condition, Incident, Incidents, Turn};
use super::message::Message;
use super::outbox::Outbox;
use crate::journal::AlertRow;

/// The name that the rest is kept under.
const NODE: &str = "node";
const INCIDENT: &str = "incident";
const ROUTE: &str = "route";

/// How exactly the clock of the rules is remembered.
const NOTED_EVERY: Duration = Duration::from_secs(600);

/// What belongs to no incident and no route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rest {
    /// The latest turn.
    now: UtcMs,
    dead_man: DeadMan,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertState {
    node: String,
    pub(super) incidents: Incidents,
    pub(super) routes: BTreeMap<String, Outbox>,
    pub(super) dead_man: DeadMan,
    now: UtcMs,
}

impl AlertState {
    #[must_use]
    pub fn new(node: &str, routes: impl IntoIterator<Item = String>) -> Self {
        let routes = routes.into_iter().map(|name| (name, Outbox::default())).collect();
        Self {
            node: node.to_owned(),
            incidents: Incidents::default(),
            routes,
            dead_man: DeadMan::default(),
            now: UtcMs(0),
        }
    }

    /// Takes up what was written down; a row that is not understood, or of a route that is gone, is left out. Returns how many were
    /// not understood.
    pub fn restore(&mut self, rows: Vec<AlertRow>) -> usize {
        let mut unread = 0;
        for AlertRow { kind, name, text } in rows {
            let known = match kind.as_str() {
                INCIDENT => {
                    serde_json::from_str::<Incident>(&text).map(|incident| self.incidents.restore(name, incident))
                }
                ROUTE => serde_json::from_str::<Outbox>(&text).map(|outbox| {
                    if let Some(route) = self.routes.get_mut(&name) {
                        *route = outbox.taken_up();
                    }
                }),
                NODE => serde_json::from_str::<Rest>(&text)
                    .map(|rest| (self.now, self.dead_man) = (rest.now, rest.dead_man)),
                _ => Ok(()),
            };
            unread += usize::from(known.is_err());
        }
        unread
    }

    /// What is to be written down.
    #[must_use]
    pub fn rows(&self) -> Vec<AlertRow> {
        // Nothing here can fail to be written as JSON.
        let row = |kind: &str, name: &str, text: serde_json::Result<String>| {
            Some(AlertRow { kind: kind.to_owned(), name: name.to_owned(), text: text.ok()? })
        };
        let incidents =
            self.incidents.kept().map(|(key, incident)| row(INCIDENT, key, serde_json::to_string(incident)));
        let routes = self.routes.iter().map(|(name, outbox)| row(ROUTE, name, serde_json::to_string(outbox)));
        let rest = Rest { now: self.now, dead_man: self.dead_man.clone() };
        let rest = row(NODE, "", serde_json::to_string(&rest));
        incidents.chain(routes).chain([rest]).flatten().collect()
    }

    /// The clock of the rules at the start of a run: not before what an earlier run has seen.
    #[must_use]
    pub fn begins(&self, wall: UtcMs) -> UtcMs {
        wall.max(self.now)
    }

    /// After a look at the node: puts what is to be told into each route's outbox. Returns, by route, how many messages were dropped.
    pub fn turn(&mut self, conditions: &[Condition], view: &NodeView, turn: Turn) -> Vec<(String, u64)> {
        // Written down with each change of it, so rarely.
        if turn.now.since(self.now) >= NOTED_EVERY {
            self.now = turn.now;
        }
        let messages = self.incidents.turn(&self.node, conditions, view, turn);
        let about = |name: &str, message: &Message| {
            message.key.ends_with(&format!("//{name}")) && message.event == "alert_route_broken"
        };
        let dropped = self.routes.iter_mut().map(|(name, outbox)| {
            // A broken route cannot say that it is.
            let told = messages.iter().filter(|message| !about(name, message));
            let full: u64 = told.map(|message| outbox.push(message.clone(), turn)).sum();
            (name.clone(), full + outbox.expire(turn))
        });
        dropped.filter(|(_, count)| *count > 0).collect()
    }

    /// The node's name in every message.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }
}

#[cfg(test)]
mod tests;
