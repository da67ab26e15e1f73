//! What `server.listen` must not be together with other keys: where a provider is, a mode without a file, TLS
//! without a TCP address.
//!
//! Deliberately absent: single addresses (`rules`), and who may reach them (`exposure`).

use core::net::{IpAddr, SocketAddr};

use super::Upstream;
use super::schema::Server;
use super::url::BaseUrl;
use crate::base::address::{Address, UnixName};

/// Something wrong: the key, its value as far as it helps, and what would be right.
pub(super) type Complaint = (&'static str, Option<String>, String);

/// A provider at our own address would send each request round and round.
pub(super) fn loops(server: &Server, upstreams: &[Upstream]) -> Vec<Complaint> {
    let mut found = Vec::new();
    for listen in &server.listen {
        for Upstream { id, url, .. } in upstreams {
            let reached = match listen {
                Address::Inet(listen) => url.unix.is_none() && reaches(url, *listen),
                Address::Unix(name) => url.unix.as_ref() == Some(name),
            };
            if reached {
                let message = format!(
                    "provider `{id}` is at this address too, and requests would come back here: \
                     change one of the two"
                );
                found.push(("server.listen", Some(listen.to_string()), message));
            }
        }
    }
    found
}

fn reaches(url: &BaseUrl, listen: SocketAddr) -> bool {
    let host = url.host.parse::<IpAddr>().ok();
    let loopback = &*url.host == "localhost" || host.is_some_and(|host| host.is_loopback());
    let ours = listen.ip().to_canonical();
    let reached = host == Some(ours) || (loopback && (ours.is_unspecified() || &*url.host == "localhost"));
    reached && url.port == listen.port()
}

/// Keys that would do nothing with these addresses. A protection that is written down and not there would be
/// believed in.
pub(super) fn idle_keys(server: &Server, tls: bool) -> Vec<Complaint> {
    let mut found = Vec::new();
    let file = |address: &Address| address.unix().is_some_and(|name: &UnixName| name.path().is_some());
    if let Some(mode) = server.listen_mode.filter(|_| !server.listen.iter().any(file)) {
        let message = "server.listen has no unix:/path, and nothing else has a file mode: leave this out";
        found.push(("server.listen_mode", Some(format!("{mode:04o}")), message.to_owned()));
    }
    if tls && !server.listen.iter().any(|address| address.inet().is_some()) {
        let message = "server.listen has no IP address, and a unix socket speaks no TLS: leave [tls] out";
        found.push(("tls", None, message.to_owned()));
    }
    found
}
