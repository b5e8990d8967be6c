//! How a process of this program ends: its exit codes, and errors that know theirs.
//!
//! The codes are the same for every subcommand. They follow `sysexits.h`, which service managers know.

use std::error::Error;

use sentinel_actors::error_chain::chain;

/// Done, or the competition is over.
pub const OK: u8 = 0;
/// Something was proven wrong, or the command found nothing.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// `run --once` could not decide.
pub const UNAVAILABLE: u8 = 69;
/// The node gave up and wants to be started again.
pub const SOFTWARE: u8 = 70;
/// The disk failed; a restart may help.
pub const IO: u8 = 74;
/// Another node holds the state directory, or another program the address of the page.
pub const TEMPORARY: u8 = 75;
/// `probe-gateway` cannot tell without risk what listens there.
pub const UNDETERMINED: u8 = 76;
/// The configuration, or what it names, cannot be used; starting again will not help.
pub const CONFIG: u8 = 78;
/// The watchdog aborted the process: 128 + SIGABRT, as a shell reports it.
pub const ABORTED: u8 = 134;

/// An error that can end the process.
pub trait ExitError: Error {
    /// The code that the process ends with.
    fn exit_code(&self) -> u8;

    /// What the operator can do, where the error itself does not say it.
    fn advice(&self) -> Option<String> {
        None
    }
}

/// An error with its causes and the advice, in one line: for the log.
#[must_use]
pub fn with_advice(error: &impl ExitError) -> String {
    let text = chain(error);
    error.advice().map_or_else(|| text.clone(), |advice| format!("{text}; {advice}"))
}
