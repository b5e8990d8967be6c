//! The real binary as a process: killed, refused, signalled, starved and broken on purpose.
//!
//! What a run left behind is judged by [`evidence`], which reads the journal and the book or the gateway's ledger with
//! SQL of its own and shares no code with the program. Every process is ended by its guard, and every wait has a deadline.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test of real processes waits in real time and reads its own settings"
)]

mod bad_arguments;
mod bad_config;
mod chaos;
mod config;
mod crash_loop;
mod damage;
mod evidence;
mod facts;
mod faulty_disk;
mod forecast;
mod forecast_demo;
mod gateway;
mod gateway_faults;
mod gateway_kill;
mod health;
mod hub_faults;
mod kill;
mod log_lines;
mod lost_journal;
mod made_hours;
mod node;
mod pipeline_modes;
mod report;
mod signals;
mod state_dir;
mod upgrade;
mod watchdog;
