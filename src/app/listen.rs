//! Opening the sockets that clients connect to: one per core and TCP address, one for all cores per unix
//! socket.
//!
//! Deliberately absent: accepting (`worker`), and who may reach an address (`control`).

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::base::address::{Address, UnixName};
use crate::io::{Listener, SocketFile, unix};

/// Connections that wait to be accepted, per TCP socket of a core, and per unix socket.
const BACKLOG: u32 = 4096;
/// Permissions of a unix socket's file when none are configured: its user and its group.
const MODE: u32 = 0o660;

/// The open sockets.
pub(super) struct Listeners {
    /// Where clients connect, in the order of the configuration, with the ports that the kernel gave.
    pub(super) addresses: Vec<Address>,
    /// For each core its sockets.
    pub(super) per_core: Vec<Vec<OwnedFd>>,
    /// Files of unix sockets; they go away when this is dropped.
    pub(super) files: Vec<SocketFile>,
}

/// Opens a socket at every address, for `cores` cores.
///
/// # Errors
/// Which address, and why. What was opened before is closed again, and its files are removed.
pub(super) fn open(listen: &[Address], mode: Option<u32>, cores: usize) -> Result<Listeners, String> {
    let mut listeners = Listeners {
        addresses: Vec::with_capacity(listen.len()),
        per_core: (0..cores).map(|_| Vec::with_capacity(listen.len())).collect(),
        files: Vec::new(),
    };
    for address in listen {
        let opened = match address {
            Address::Inet(address) => listeners.open_tcp(*address),
            Address::Unix(name) => listeners.open_unix(name, mode.unwrap_or(MODE)),
        };
        opened.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    }
    Ok(listeners)
}

impl Listeners {
    /// One listening socket per core on the same port; with port 0 the first one's port is everybody's.
    fn open_tcp(&mut self, listen: SocketAddr) -> io::Result<()> {
        let mut address = listen;
        let several = self.per_core.len() > 1;
        for core in &mut self.per_core {
            let listener = Listener::bind(address, several, BACKLOG)?;
            address = listener.local_addr()?;
            core.push(listener.into());
        }
        self.addresses.push(Address::Inet(address));
        Ok(())
    }

    /// One listening socket, and a descriptor of it for each core.
    fn open_unix(&mut self, name: &UnixName, mode: u32) -> io::Result<()> {
        let (socket, file) = unix::bind(name, mode, BACKLOG)?;
        self.files.extend(file);
        for core in &mut self.per_core {
            core.push(socket.try_clone()?);
        }
        self.addresses.push(Address::Unix(name.clone()));
        Ok(())
    }
}
