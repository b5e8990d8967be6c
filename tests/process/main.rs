//! The real binary as a process: killed, refused, signalled, starved and broken on purpose.
//!
//! What a run left behind is judged by [`evidence`], which reads the journal and the book or the gateway's ledger with
//! SQL of its own and shares no code with the program. Every process is ended by its guard, and every wait has a deadline.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test of real processes waits in real time and reads its own settings"
)]

#[path = "../alerts/server.rs"]
#[allow(dead_code, reason = "shared with the tests of the alerts, which need more of it")]
mod alert_server;
mod alerts;
mod allora;
mod allora_demo;
mod allora_waiting;
mod arming;
mod arming_venue;
mod backup;
mod bad_arguments;
mod bad_config;
mod bundle;
mod chaos;
mod command_gateway;
mod config;
mod control;
mod crash_loop;
mod damage;
mod disk;
mod evidence;
mod facts;
mod faulty_disk;
mod flatten;
mod forecast;
mod forecast_demo;
mod gateway;
mod gateway_campaign;
mod gateway_faults;
mod gateway_kill;
mod halts;
mod health;
mod hub_faults;
mod kill;
mod log_lines;
mod losses;
mod lost_journal;
mod made_hours;
mod mt5_campaign;
mod mt5_judge;
mod mt5_site;
mod mt5_world;
mod node;
mod one_verdict;
mod page;
mod pipeline_modes;
mod probe_gateway;
mod report;
mod sentinel_gateway;
mod signals;
mod state_dir;
mod upgrade;
mod watchdog;
mod worst_day;
