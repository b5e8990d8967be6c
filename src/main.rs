//! The `sentinel` binary: arguments in, exit code out. No logic lives here.

fn main() {}
