//! Where stream sockets connect and listen: an IP address with a port, or the name of a unix socket.
//!
//! Deliberately absent: names of hosts (DNS is the control plane's), and the kernel's form of an address
//! (`io` makes it).

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use std::path::Path;
use std::sync::Arc;

/// Longest path of a unix socket, and longest abstract name without its `@`, in bytes. `sun_path` of unix(7)
/// has 108; a path needs one more for its end, an abstract name one for the zero before it.
pub const UNIX_NAME_BYTES_MAX: usize = 107;

/// What a unix socket's text begins with.
const UNIX_PREFIX: &str = "unix:";

/// The name of a unix socket: an absolute path, or `@name` for an abstract one, which is in no file system.
///
/// Relative paths are refused, because two processes would mean different files by one. A colon is refused,
/// because a base URL ends the name with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixName(Arc<str>);

impl UnixName {
    /// Reads a name as it stands behind `unix:`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let name = match text.strip_prefix('@') {
            Some("") => return Err("no name after `unix:@`"),
            Some(name) => name,
            None if text.starts_with('/') => text,
            None => return Err("neither an absolute path nor `@name` after `unix:`"),
        };
        if text.starts_with('/') && text.ends_with('/') {
            return Err("a socket's path does not end with a slash");
        }
        if text.contains(|character: char| character == ':' || character.is_control()) {
            return Err("a colon or a control character in a socket's name");
        }
        if name.len() > UNIX_NAME_BYTES_MAX {
            return Err("longer than the 107 bytes that a unix socket's name may have");
        }
        Ok(Self(text.into()))
    }

    /// Its path; `None` for an abstract name.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.starts_with('/').then(|| Path::new(&*self.0))
    }

    /// Its abstract name without the `@`; `None` for a path.
    #[must_use]
    pub fn abstract_name(&self) -> Option<&str> {
        self.0.strip_prefix('@')
    }
}

impl fmt::Display for UnixName {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{UNIX_PREFIX}{}", self.0)
    }
}

/// Where a stream socket connects or listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Inet(SocketAddr),
    /// A unix socket, on this machine.
    Unix(UnixName),
}

impl Address {
    /// Can only this machine connect? `::ffff:127.0.0.1` is loopback too; `0.0.0.0` and `::` are every
    /// address there is, and so are not.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Inet(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// The IP address and the port; `None` for a unix socket.
    #[must_use]
    pub const fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The name of a unix socket.
    #[must_use]
    pub const fn unix(&self) -> Option<&UnixName> {
        match self {
            Self::Inet(_) => None,
            Self::Unix(name) => Some(name),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

/// The name behind `unix:`, when `text` begins with it.
#[must_use]
pub fn unix_text(text: &str) -> Option<&str> {
    text.strip_prefix(UNIX_PREFIX)
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match unix_text(text) {
            Some(name) => UnixName::parse(name).map(Self::Unix),
            None => text
                .parse()
                .map(Self::Inet)
                .map_err(|_| "neither an IP address with a port nor unix:/path nor unix:@name"),
        }
    }
}

impl fmt::Display for Address {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(name) => name.fmt(f),
        }
    }
}

/// Who is at the other end of a connection. A program that connects over a unix socket has no address, and
/// none is made up for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Its IP address and port.
    Inet(SocketAddr),
    /// A program on this machine.
    Unix,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_alike() {
        let check = |text: &str, local: bool, path: Option<&str>, abstract_name: Option<&str>| {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
            assert_eq!(address.is_local(), local, "{text}");
            let name = address.unix();
            assert_eq!(name.and_then(UnixName::path), path.map(Path::new), "{text}");
            assert_eq!(name.and_then(UnixName::abstract_name), abstract_name, "{text}");
            assert_eq!(address.inet().is_some(), !text.starts_with("unix:"), "{text}");
        };
        let longest = "x".repeat(UNIX_NAME_BYTES_MAX);
        check("127.0.0.1:80", true, None, None);
        check("[::ffff:127.0.0.1]:80", true, None, None);
        check("[::]:80", false, None, None);
        check("10.0.0.1:80", false, None, None);
        check("unix:/run/m.sock", true, Some("/run/m.sock"), None);
        check("unix:/run/with space", true, Some("/run/with space"), None);
        check("unix:@m", true, None, Some("m"));
        check("unix:@/m", true, None, Some("/m"));
        check(&format!("unix:/{}", &longest[1..]), true, Some(&format!("/{}", &longest[1..])), None);
        check(&format!("unix:@{longest}"), true, None, Some(&longest));
    }

    #[test]
    fn odd_addresses_are_refused() {
        let check = |text: &str, says: &str| {
            let said = text.parse::<Address>().expect_err(text);
            assert!(said.contains(says), "{text}: {said}");
        };
        let long = "é".repeat(UNIX_NAME_BYTES_MAX / 2 + 1);
        for text in ["", "8080", "localhost:80", "127.0.0.1", "Unix:/a", "/run/m.sock"] {
            check(text, "neither an IP address");
        }
        for text in ["unix:", "unix:m.sock", "unix:./m.sock"] {
            check(text, "absolute path");
        }
        check("unix:@", "no name");
        check("unix:/", "slash");
        check("unix:/run/", "slash");
        check("unix:/run/m.sock:/v1", "colon");
        check("unix:/run/m\0", "control");
        check("unix:@a\nb", "control");
        check(&format!("unix:/{long}"), "107 bytes");
        check(&format!("unix:@{long}"), "107 bytes");
    }

    #[test]
    fn a_peer_never_shows_an_address_it_does_not_have() {
        let address: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        assert_eq!(Peer::from(address).to_string(), "127.0.0.1:9");
        assert_eq!(Peer::Unix.to_string(), "unix");
    }
}
