//! Plain data and pure rules: no actors, no clock, no I/O. Everything here is tested without a runtime.

pub mod action;
pub mod amend;
pub mod announced;
pub mod bar;
pub mod calendar;
pub mod cycle;
pub mod decision;
pub mod feature;
pub mod forecast;
pub mod freshness;
pub mod intent;
pub mod made_bars;
pub mod netting;
pub mod order;
pub mod overload;
pub mod prediction;
pub mod reason;
pub mod risk;
pub mod schedule;
pub mod time;
