//! Look-ups as this machine is configured to make them: hickory with the system's name servers and hosts file
//! for the sake of its TTLs, else the C library, which knows every other source.
//!
//! Deliberately absent: a cache (`Names` keeps the answers) and retries over time.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Mutex;

use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};

use super::{Found, Lookup};
use crate::control::watch::Stamp;

/// How long an answer of the C library is used; it does not tell.
const TTL_UNKNOWN: Duration = Duration::from_secs(30);
/// All tries at the name servers together, so that the caller's patience is enough for both ways.
const SERVERS_MAX: Duration = Duration::from_secs(5);
/// One try at one name server.
const TRY_MAX: Duration = Duration::from_secs(2);
/// Tries at the name servers.
const TRIES: usize = 2;
/// The files hickory reads its configuration from.
const SOURCES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// The system's look-up. Only addresses of one family are returned, see `family`.
#[derive(Debug, Default)]
pub struct SystemLookup {
    /// The resolver, and the state of the files it was made from: a laptop that changes networks gets another
    /// one.
    made: Mutex<Option<Made>>,
}

#[derive(Clone, Debug)]
struct Made {
    from: [Option<Stamp>; 2],
    /// `None` when the system's configuration cannot be used.
    resolver: Option<TokioResolver>,
}

impl SystemLookup {
    /// The resolver for the system's present configuration.
    fn resolver(&self) -> Option<TokioResolver> {
        let from = SOURCES.map(|path| Stamp::of(Path::new(path)));
        // Nothing here panics while the lock is held; a poisoned one would still hold a whole value.
        let mut made = self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*made {
            Some(made) if made.from == from => made.resolver.clone(),
            _ => {
                let resolver = make();
                *made = Some(Made { from, resolver: resolver.clone() });
                resolver
            }
        }
    }
}

impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> Result<Found, String> {
        let found = match self.resolver() {
            Some(resolver) => with_hickory(&resolver, name).await,
            None => Err("the system's DNS configuration cannot be used".to_owned()),
        };
        let found = match found {
            Ok(found) => found,
            Err(reason) => with_library(name).await.map_err(|error| format!("{reason}; {error}"))?,
        };
        Ok(Found { addresses: family(found.addresses, routed), ttl: found.ttl })
    }
}

fn make() -> Option<TokioResolver> {
    tuned(TokioResolver::builder_tokio().ok()?)
}

/// Builds a resolver that keeps no answers and gives up in time.
fn tuned(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Option<TokioResolver> {
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = 0;
    options.timeout = options.timeout.min(TRY_MAX);
    options.attempts = options.attempts.min(TRIES);
    builder.build().ok()
}

async fn with_hickory(resolver: &TokioResolver, name: &str) -> Result<Found, String> {
    let answer = match tokio::time::timeout(SERVERS_MAX, resolver.lookup_ip(name)).await {
        Ok(answer) => answer.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no name server answered within {} s", SERVERS_MAX.as_secs())),
    };
    let addresses: Vec<IpAddr> = answer.iter().collect();
    if addresses.is_empty() {
        return Err("the name has no address".to_owned());
    }
    let ttl = answer.as_lookup().answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    Ok(Found { addresses, ttl: Duration::from_secs(u64::from(ttl)) })
}

async fn with_library(name: &str) -> Result<Found, String> {
    let answer = tokio::net::lookup_host((name, 0)).await.map_err(|error| error.to_string())?;
    Ok(Found { addresses: answer.map(|address| address.ip()).collect(), ttl: TTL_UNKNOWN })
}

/// Keeps the addresses of one family: IPv4 where the name has it and this machine has a route for it, else
/// IPv6.
///
/// The data plane takes the addresses in turn; addresses it has no route to would fail every other request.
fn family(addresses: Vec<IpAddr>, routed: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv4);
    match (v4.first(), v6.first()) {
        (Some(four), Some(six)) if !routed(*four) && routed(*six) => v6,
        (Some(_), _) => v4,
        (None, _) => v6,
    }
}

/// Is there a route to this address? Connecting a UDP socket looks it up and sends nothing.
fn routed(address: IpAddr) -> bool {
    let any = match address {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0));
    socket.and_then(|socket| socket.connect(SocketAddr::new(address, 443))).is_ok()
}

#[cfg(test)]
mod tests {
    use hickory_resolver::config::{NameServerConfig, ResolverConfig};

    use super::*;

    #[test]
    fn one_family_is_kept() {
        let four: IpAddr = "192.0.2.1".parse().unwrap();
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        let only_v6 = |address: IpAddr| address.is_ipv6();
        let only_v4 = |address: IpAddr| address.is_ipv4();
        assert_eq!(family(vec![six, four], |_| true), [four]);
        assert_eq!(family(vec![six, four], |_| false), [four]);
        assert_eq!(family(vec![six, four], only_v4), [four]);
        assert_eq!(family(vec![six, four], only_v6), [six]);
        assert_eq!(family(vec![six], only_v4), [six]);
        assert_eq!(family(vec![four], only_v6), [four]);
        assert_eq!(family(Vec::new(), |_| true), Vec::<IpAddr>::new());
    }

    /// A name server on loopback that answers every A query with two addresses, good for 900 s and 77 s, and
    /// every other query with nothing (RFC 1035 §4.1).
    async fn name_server() -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut query).await {
                socket.send_to(&answer_to(&query[..length]), peer).await.unwrap();
            }
        });
        (address, serving)
    }

    fn answer_to(query: &[u8]) -> Vec<u8> {
        let name = query[12..].iter().position(|byte| *byte == 0).unwrap();
        let question = &query[12..12 + name + 5];
        let is_a = question[name + 1..name + 3] == [0, 1];
        let records: &[(u32, u8)] = if is_a { &[(900, 1), (77, 2)] } else { &[] };
        let mut answer = query[..2].to_vec();
        // A response, recursion desired and available, no error; one question, the records, nothing else.
        answer.extend([0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        answer.extend(question);
        for (ttl, last) in records {
            answer.extend([0xc0, 12, 0, 1, 0, 1]);
            answer.extend(ttl.to_be_bytes());
            answer.extend([0, 4, 192, 0, 2, *last]);
        }
        answer
    }

    #[tokio::test]
    async fn name_servers_are_asked_and_their_ttl_is_kept() {
        let (address, serving) = name_server().await;
        let mut server = NameServerConfig::udp(address.ip());
        server.connections[0].port = address.port();
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let found = with_hickory(&tuned(builder).unwrap(), "api.acme.test.").await.unwrap();
        let expected: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        assert_eq!(found, Found { addresses: expected, ttl: Duration::from_secs(77) });
        serving.abort();
    }

    /// `localhost` is in every hosts file, so this needs no name server.
    #[tokio::test]
    async fn the_system_knows_localhost() {
        let lookup = SystemLookup::default();
        for turn in 0..2 {
            let found = lookup.lookup("localhost").await.expect("localhost has an address");
            assert!(
                found.addresses.iter().all(IpAddr::is_loopback) && !found.addresses.is_empty(),
                "turn {turn}"
            );
        }
        let made = lookup.made.lock().unwrap();
        assert_eq!(made.as_ref().map(|made| made.from), Some(SOURCES.map(|path| Stamp::of(Path::new(path)))));
    }
}
