//! A port that stays its owner's while nobody listens on it: a node that comes back must find its address free, and a client must
//! meet a refusal there meanwhile, never another program.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

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
