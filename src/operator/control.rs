//! The control socket: `sentinel.sock` in the state directory, HTTP on a Unix socket, for the node's own user and root.
//!
//! Promises kept: who is not one of the two is not heard. A connection that is silent, dribbles or does not read is closed, and there
//! are never more than 64. An action carries an id and is done once, however often it is asked for.
//!
//! * [`messages`]: what is asked and answered. * [`socket`]: where it is. * [`server`]: who is let in, and for how long.
//! * [`routes`]: what is done. * [`client`]: the commands' side.

pub mod client;
pub mod messages;
pub mod routes;
pub mod server;
pub mod socket;
