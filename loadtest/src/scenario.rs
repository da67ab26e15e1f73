//! Scenario files: what the fake fleet does and what the client sends, in one TOML file that both sides
//! read, so that the client knows what a right answer is.
//!
//! ```toml
//! name = "stream"
//! about = "200 streams, an event every 10 ms"
//! [origin]                 # how a right answer looks
//! gap_ms = 10.0
//! events = 500
//! [[origin.member]]        # one listener each; without any there is one that is always well
//! [[origin.member.fault]]  # how a share of this member's answers go wrong
//! share = 0.5
//! kind = "status"
//! status = 429
//! retry_after_s = 1
//! [client]
//! load = { streams = 200 } # or { rate = 1000.0 }, { poisson = 1000.0 }, { closed = 32 }
//! ```
//! A key that does not exist is an error with its line: a misspelt key must not measure something else.
//! Deliberately absent: addresses, cores and files, which belong to one run and are options of the command.

use core::net::SocketAddr;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Longest prompt or answer in bytes.
const BYTES_MAX: u64 = 16 << 20;
/// Shortest event and answer in bytes: the JSON around the content, and the content's three numbers.
const FRAME_BYTES_MIN: u64 = 320;
/// Longest time that a file may name, in milliseconds: 10 minutes.
const MILLIS_MAX: f64 = 600_000.0;
/// Most requests per second, connections or streams.
const COUNT_MAX: u32 = 1_000_000;

/// A whole file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Short name, as the file's.
    pub(crate) name: String,
    /// What it shows, in one sentence.
    pub(crate) about: String,
    /// What the fake fleet does.
    #[serde(default)]
    pub(crate) origin: Origin,
    /// What the client sends.
    pub(crate) client: Client,
}

/// What the fake fleet does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Origin {
    /// Listen with TLS, by a certificate made at start.
    pub(crate) tls: bool,
    /// Of the random choices below, so that runs repeat.
    pub(crate) seed: u64,
    /// From the whole request to the first byte of the answer's body, in milliseconds.
    pub(crate) first_token_ms: f64,
    /// From one event to the next, in milliseconds; 0 is as fast as the client takes them.
    pub(crate) gap_ms: f64,
    /// Most that an event comes later than the gap says, in milliseconds, evenly spread.
    pub(crate) jitter_ms: f64,
    /// Numbered events of a streamed answer; the end, the usage and `[DONE]` come on top.
    pub(crate) events: u32,
    /// Bytes of one numbered event as it stands in the body: `data: …` and the empty line.
    pub(crate) event_bytes: u64,
    /// Bytes of the body of an answer that is not streamed.
    pub(crate) answer_bytes: u64,
    /// How events meet writes.
    pub(crate) writes: Writes,
    /// Bytes of one write, for `coalesced` and `split`.
    pub(crate) write_bytes: u64,
    /// Whether answers have `usage`: streamed ones when the request asks for it.
    pub(crate) usage: bool,
    /// The fleet.
    pub(crate) member: Vec<Member>,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            tls: false,
            seed: 1,
            first_token_ms: 0.0,
            gap_ms: 0.0,
            jitter_ms: 0.0,
            events: 50,
            event_bytes: FRAME_BYTES_MIN,
            answer_bytes: 1024,
            writes: Writes::Event,
            write_bytes: 4096,
            usage: true,
            member: Vec::new(),
        }
    }
}

/// How events meet writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Writes {
    /// Each event is one chunk and one write.
    Event,
    /// As many whole events in one chunk and one write as `write_bytes` has room for; needs `gap_ms = 0`.
    Coalesced,
    /// Each event is one chunk, cut into writes of `write_bytes` wherever that falls, even in the framing.
    Split,
}

/// One listener of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Member {
    /// What goes wrong. The shares of one member add up to 1 at most; the rest is well.
    pub(crate) fault: Vec<Fault>,
}

/// How a share of the answers goes wrong.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// Share of the requests, above 0 and at most 1.
    pub(crate) share: f64,
    /// What happens.
    pub(crate) kind: FaultKind,
    /// For `status`: 400 to 599.
    pub(crate) status: Option<u16>,
    /// For `status`: the value of `Retry-After`, in seconds.
    pub(crate) retry_after_s: Option<u32>,
    /// For the other kinds: numbered events sent before it happens. 0 is before the head. An answer that is
    /// not streamed counts as one event: with 1 it ends in the middle of its body.
    #[serde(default)]
    pub(crate) after_events: u32,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FaultKind {
    /// An error answer.
    Status,
    /// The connection is reset (RST).
    Reset,
    /// The connection is closed (FIN) without the end of the answer.
    Close,
    /// Nothing more comes; the connection stays open until the client leaves.
    Stall,
}

/// What the client sends.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    /// Ask for streamed answers.
    #[serde(default)]
    pub(crate) stream: bool,
    /// Bytes of the request's body.
    #[serde(default = "prompt_bytes")]
    pub(crate) prompt_bytes: u64,
    /// When requests are sent.
    pub(crate) load: Load,
    /// How long load is offered, in seconds.
    #[serde(default = "seconds")]
    pub(crate) seconds: f64,
    /// Most connections of an open loop; requests that find none free wait, and their wait counts.
    #[serde(default = "connections_max")]
    pub(crate) connections_max: u32,
    /// Idle keep-alive connections held besides; each is used once before and once after.
    #[serde(default)]
    pub(crate) idle: u32,
    /// Most bytes that one connection reads in a second; without it all that comes.
    pub(crate) read_bytes_per_s: Option<u64>,
    /// Size of the sockets' receive buffer in bytes (`SO_RCVBUF`); without it the kernel's choice.
    pub(crate) receive_buffer_bytes: Option<u32>,
    /// Longest silence while an answer is due, in seconds.
    #[serde(default = "silence_max_s")]
    pub(crate) silence_max_s: f64,
    /// How often a request that failed before its answer began is sent again, to the next target.
    #[serde(default)]
    pub(crate) retries: u32,
}

fn prompt_bytes() -> u64 {
    1536
}

fn seconds() -> f64 {
    10.0
}

fn connections_max() -> u32 {
    256
}

fn silence_max_s() -> f64 {
    10.0
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// Open loop, this many per second at equal distances.
    Rate(f64),
    /// Open loop, this many per second on average, at random (a Poisson process).
    Poisson(f64),
    /// Closed loop: this many connections, each sends when its last answer is complete.
    Closed(u32),
    /// As `closed`, for paced streams: the first ones start spread over one gap, not all at once.
    Streams(u32),
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is no TOML, has an unknown key (with its line), or a value out of range.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// As [`Scenario::read`].
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.origin.check()?;
        scenario.client.check()?;
        Ok(scenario)
    }

    /// The fleet's members; a well one if the file names none.
    pub(crate) fn members(&self) -> Vec<Member> {
        if self.origin.member.is_empty() { vec![Member::default()] } else { self.origin.member.clone() }
    }
}

impl Origin {
    fn check(&self) -> Result<(), String> {
        for (key, value) in
            [("first_token_ms", self.first_token_ms), ("gap_ms", self.gap_ms), ("jitter_ms", self.jitter_ms)]
        {
            within(&format!("origin.{key}"), value, 0.0, MILLIS_MAX)?;
        }
        for (key, value) in [("event_bytes", self.event_bytes), ("answer_bytes", self.answer_bytes)] {
            within(&format!("origin.{key}"), value, FRAME_BYTES_MIN, BYTES_MAX)?;
        }
        within("origin.events", self.events, 1, 10_000_000)?;
        within("origin.write_bytes", self.write_bytes, 1, 1 << 20)?;
        if self.writes == Writes::Coalesced && self.gap_ms > 0.0 {
            return Err("origin.writes: events with a gap between them cannot be coalesced".to_owned());
        }
        self.member.iter().try_for_each(Member::check)
    }
}

impl Member {
    fn check(&self) -> Result<(), String> {
        for fault in &self.fault {
            within("origin.member.fault.share", fault.share, f64::MIN_POSITIVE, 1.0)?;
            match (fault.kind, fault.status) {
                (FaultKind::Status, Some(status)) => {
                    within("origin.member.fault.status", status, 400, 599)?;
                }
                (FaultKind::Status, None) => return Err("a fault of kind status has no status".to_owned()),
                (_, Some(_)) => return Err("only a fault of kind status has a status".to_owned()),
                (_, None) if fault.retry_after_s.is_some() => {
                    return Err("only a fault of kind status has retry_after_s".to_owned());
                }
                (_, None) => {}
            }
        }
        let sum: f64 = self.fault.iter().map(|fault| fault.share).sum();
        within("the sum of a member's shares", sum, 0.0, 1.0 + 1e-9)
    }
}

impl Client {
    fn check(&self) -> Result<(), String> {
        within("client.prompt_bytes", self.prompt_bytes, 256, BYTES_MAX)?;
        within("client.seconds", self.seconds, 0.01, 86_400.0)?;
        within("client.silence_max_s", self.silence_max_s, 0.01, 3600.0)?;
        within("client.connections_max", self.connections_max, 1, COUNT_MAX)?;
        within("client.idle", self.idle, 0, COUNT_MAX)?;
        within("client.retries", self.retries, 0, 100)?;
        if let Some(rate) = self.read_bytes_per_s {
            within("client.read_bytes_per_s", rate, 1, 1 << 40)?;
        }
        if let Some(size) = self.receive_buffer_bytes {
            within("client.receive_buffer_bytes", size, 1024, 1 << 30)?;
        }
        self.load.check()
    }
}

impl Load {
    /// # Errors
    /// The figure is out of range.
    pub(crate) fn check(self) -> Result<(), String> {
        match self {
            Self::Rate(rate) | Self::Poisson(rate) => {
                within("the requests per second", rate, 0.01, f64::from(COUNT_MAX))
            }
            Self::Closed(count) | Self::Streams(count) => {
                within("the number of connections", count, 1, COUNT_MAX)
            }
        }
    }
}

/// NaN is out of every range.
fn within<T: PartialOrd + core::fmt::Display>(key: &str, value: T, min: T, max: T) -> Result<(), String> {
    if value >= min && value <= max {
        Ok(())
    } else {
        Err(format!("{key} is {value}, must be from {min} to {max}"))
    }
}

/// An address to listen on or to connect to, from `host:port`.
///
/// # Errors
/// The name has no address.
pub(crate) fn resolve(host_port: &str) -> Result<SocketAddr, String> {
    use std::net::ToSocketAddrs;
    let mut found = host_port.to_socket_addrs().map_err(|error| format!("{host_port}: {error}"))?;
    found.next().ok_or_else(|| format!("{host_port}: no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "name = \"x\"\nabout = \"y\"\n[client]\nload = { closed = 2 }\n";

    #[test]
    fn defaults_are_filled_in() {
        let scenario = Scenario::parse(SMALL).expect("a scenario");
        assert_eq!(scenario.client.load, Load::Closed(2));
        assert_eq!((scenario.client.prompt_bytes, scenario.origin.answer_bytes), (1536, 1024));
        assert_eq!(scenario.members(), [Member::default()]);
    }

    #[test]
    fn faults_are_read() {
        let text = format!(
            "{SMALL}[[origin.member]]\n\
             [[origin.member.fault]]\nshare = 0.5\nkind = \"status\"\nstatus = 429\nretry_after_s = 1\n\
             [[origin.member.fault]]\nshare = 0.5\nkind = \"reset\"\nafter_events = 3\n\
             [[origin.member]]\n"
        );
        let members = Scenario::parse(&text).expect("a scenario").members();
        assert_eq!(members.len(), 2);
        let fault = &members[0].fault;
        assert_eq!((fault[0].kind, fault[0].status), (FaultKind::Status, Some(429)));
        assert_eq!((fault[1].kind, fault[1].after_events), (FaultKind::Reset, 3));
    }

    /// `lines` stand behind the small scenario's own; the error must have `want` in it.
    #[track_caller]
    fn check_error(lines: &str, want: &str) {
        let error = Scenario::parse(&format!("{SMALL}{lines}")).expect_err(lines);
        assert!(error.contains(want), "{want:?} in {error:?}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        check_error("raet = 5\n", "line 5");
        check_error("[origin]\ngap = 5\n", "line 6");
        check_error("seconds = nan\n", "client.seconds is NaN");
        check_error("prompt_bytes = 1\n", "client.prompt_bytes is 1, must be from 256");
        check_error("[origin]\nevents = 0\n", "origin.events");
        check_error("[origin]\nanswer_bytes = 3\n", "origin.answer_bytes");
        check_error("[origin]\nwrites = \"coalesced\"\ngap_ms = 1\n", "coalesced");
        let fault = |lines: &str| format!("[[origin.member]]\n[[origin.member.fault]]\n{lines}");
        check_error(&fault("share = 1.5\nkind = \"stall\"\n"), "share is 1.5");
        check_error(&fault("share = 1.0\nkind = \"status\"\n"), "no status");
        check_error(&fault("share = 1.0\nkind = \"reset\"\nstatus = 500\n"), "only a fault of kind status");
        check_error(&fault("share = 1.0\nkind = \"status\"\nstatus = 200\n"), "fault.status is 200");
        let half = "share = 0.6\nkind = \"stall\"\n";
        check_error(&fault(&format!("{half}[[origin.member.fault]]\n{half}")), "the sum");
        let loads = SMALL.replace("{ closed = 2 }", "{ rate = 0.0 }");
        assert!(Scenario::parse(&loads).is_err());
    }
}
