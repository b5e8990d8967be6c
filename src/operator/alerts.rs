//! Word to people who look once a week: messages to a webhook or to Telegram, and a ping to a service that notices silence.
//!
//! Promises kept: nothing here can delay a decision. It has a thread and a runtime of its own, judges the node from memory, and every
//! queue has a limit. One incident is told once, its reminder after a day, and its end once, also across restarts. Never more than
//! 20 messages a day and route, and an hourly digest beyond. No text holds an address or a token of a route.
//!
//! * [`incident`]: what goes on. * [`outbox`]: what a route has still to be told. * [`dead_man`]: the ping. * [`state`]: all of it.
//! * [`message`]: what is said. * [`notice`]: what is about no need. * [`courier`]: how it leaves. * [`service`]: the thread.
//! * [`counters`]: how often that has worked.

pub mod counters;
pub mod courier;
pub mod dead_man;
pub mod incident;
pub mod message;
pub mod notice;
pub mod outbox;
pub mod service;
pub mod state;
