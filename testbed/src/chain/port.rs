//! A port that stays its owner's while nobody listens on it: a node that comes back must find its address free, and a client must
//! meet a refusal there meanwhile, never another program.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::thread;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

/// A bound socket that never listens. Whoever sets `SO_REUSEADDR`, as the standard library does, may listen beside it.
pub(super) struct Port {
    number: u16,
    _socket: OwnedFd,
}

impl Port {
    /// On loopback; 0 is any that is free.
    pub(super) fn reserve(number: u16) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, number))?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self { number: address.port(), _socket: socket })
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

/// So often, with this between, a listener that has just ended may still be in the way.
const TRIES: usize = 400;
const BETWEEN: Duration = Duration::from_millis(5);

/// Listens on a reserved port. A child of this process that is not its own program yet holds the listener that was there before, for a
/// moment, and with it the port.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let mut tries = 1;
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {
                tries += 1;
                thread::sleep(BETWEEN);
            }
            bound => return bound,
        }
    }
}
