//! How often routes were told something, for metrics. Read at any time; written by the thread of the alerts.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use sentinel_actors::domain::time::UtcMs;

/// What became of a message on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertResult {
    /// The server has taken it.
    Sent,
    /// One attempt did not succeed; the message is tried again.
    Failed,
    /// It will not be tried again.
    Dropped,
}

impl AlertResult {
    pub const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Dropped];

    /// Its stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// Of one route, since the process started.
#[derive(Debug)]
pub struct RouteCounters {
    /// As in the configuration.
    pub name: String,
    counts: [AtomicU64; 3],
}

impl RouteCounters {
    #[must_use]
    pub fn count(&self, result: AlertResult) -> u64 {
        self.counts[result as usize].load(Ordering::Relaxed)
    }
}

/// Of all routes; none without `[alerts]`.
#[derive(Debug, Default)]
pub struct AlertCounters {
    routes: Vec<RouteCounters>,
    /// Wall time in milliseconds; 0: none.
    pinged: AtomicI64,
}

impl AlertCounters {
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = String>) -> Self {
        let routes = routes.into_iter().map(|name| RouteCounters { name, counts: Default::default() });
        Self { routes: routes.collect(), pinged: AtomicI64::new(0) }
    }

    /// In the order of the configuration.
    #[must_use]
    pub fn routes(&self) -> &[RouteCounters] {
        &self.routes
    }

    /// When the dead-man service last accepted a ping; `None` when it has not yet.
    #[must_use]
    pub fn last_ping(&self) -> Option<UtcMs> {
        Some(UtcMs(self.pinged.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// Counts messages of a route; those of one that is not known are not counted.
    pub fn add(&self, route: &str, result: AlertResult, count: u64) {
        if let Some(route) = self.routes.iter().find(|known| known.name == route) {
            route.counts[result as usize].fetch_add(count, Ordering::Relaxed);
        }
    }

    /// A ping was accepted.
    pub fn pinged(&self, at: UtcMs) {
        self.pinged.store(at.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_counts_for_itself_and_no_ping_is_none() {
        let counters = AlertCounters::new(["phone".to_owned(), "ops".to_owned()]);
        assert_eq!(counters.last_ping(), None);
        counters.add("ops", AlertResult::Sent, 1);
        counters.add("ops", AlertResult::Dropped, 3);
        counters.add("nobody", AlertResult::Failed, 1);
        counters.pinged(UtcMs(7));
        let counted: Vec<_> =
            counters.routes().iter().map(|route| AlertResult::ALL.map(|result| route.count(result))).collect();
        assert_eq!((counted, counters.last_ping()), (vec![[0, 0, 0], [1, 0, 3]], Some(UtcMs(7))));
    }
}
