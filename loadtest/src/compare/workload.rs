//! The workloads: what each asks of a contender, and who takes part.
//!
//! Deliberately absent: how clients do it (`rig`).

use std::time::Duration;

use super::contender::Kind;
use super::rig::Load;

/// Bytes of an ordinary and of a large chat request.
const BODY_BYTES: usize = 1500;
const LARGE_BODY_BYTES: usize = 256 * 1024;

/// A workload, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// As many chat requests as go through.
    Chat,
    /// Chat requests at a tenth of the rate of the slowest contender.
    Low,
    /// The same at half of it.
    Half,
    /// The same at four fifths of it.
    High,
    /// As `Chat`, with a large prompt.
    Large,
    /// Slow streams.
    Stream,
    /// Streams flat out.
    Burst,
    /// As `Chat`, with TLS to the origin.
    TlsChat,
    /// As `Stream`, with TLS to the origin.
    TlsStream,
    /// As `Chat`, beside gateways that run in an interpreter.
    Gateways,
}

impl Workload {
    pub(super) const ALL: [Self; 10] = [
        Self::Chat,
        Self::Low,
        Self::Half,
        Self::High,
        Self::Large,
        Self::Stream,
        Self::Burst,
        Self::TlsChat,
        Self::TlsStream,
        Self::Gateways,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Low => "low",
            Self::Half => "half",
            Self::High => "high",
            Self::Large => "large",
            Self::Stream => "stream",
            Self::Burst => "burst",
            Self::TlsChat => "tls-chat",
            Self::TlsStream => "tls-stream",
            Self::Gateways => "gateways",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Chat => "1.5 KB prompt, 1 KB answer, 32 connections, as fast as it goes",
            Self::Low => "the same, open loop at 10 % of the rate of the slowest",
            Self::Half => "the same, open loop at 50 % of the rate of the slowest",
            Self::High => "the same, open loop at 80 % of the rate of the slowest",
            Self::Large => "256 KiB prompt, 1 KB answer, 8 connections, as fast as it goes",
            Self::Stream => "200 streams, an event each 10 ms",
            Self::Burst => "32 streams, each event sent when the one before has arrived",
            Self::TlsChat => "chat with TLS to the origin",
            Self::TlsStream => "stream with TLS to the origin",
            Self::Gateways => "chat, beside gateways that are programs of an interpreter",
        }
    }

    /// What is counted.
    pub(super) fn unit(self) -> &'static str {
        if matches!(self, Self::Stream | Self::Burst | Self::TlsStream) { "event" } else { "request" }
    }

    /// True where the origin speaks TLS.
    pub(super) fn is_secure(self) -> bool {
        matches!(self, Self::TlsChat | Self::TlsStream)
    }

    /// Whose figures the others are divided by, and the one that differs from it by noise alone.
    pub(super) fn base(self) -> [Kind; 2] {
        if self.is_secure() { [Kind::Nginx, Kind::NginxAgain] } else { [Kind::Floor, Kind::FloorAgain] }
    }

    /// True where latencies say something about the contender: in a closed loop they are connections ÷ rate.
    pub(super) fn has_latencies(self) -> bool {
        matches!(self, Self::Low | Self::Half | Self::High | Self::Stream | Self::TlsStream)
    }

    /// How much longer than usual its windows are: hundreds of requests per second, not ten thousands.
    pub(super) fn stretch(self) -> u32 {
        if self == Self::Gateways { 6 } else { 1 }
    }

    /// Who takes part: the floor has no TLS, and direct has nothing to tell but latencies.
    pub(super) fn takes(self, kind: Kind) -> bool {
        match kind {
            Kind::Direct => self.has_latencies() && !self.is_secure(),
            Kind::Floor | Kind::FloorAgain => !self.is_secure(),
            Kind::NginxAgain => self.is_secure(),
            Kind::Millrace => true,
            Kind::Nginx | Kind::Haproxy => self != Self::Gateways,
            Kind::Litellm | Kind::Portkey => self == Self::Gateways,
        }
    }

    /// What it asks, if the slowest contender's rate is `rate` requests per second.
    pub(super) fn load(self, rate: f64) -> Load {
        let share = |share| Load::Rate { connections: 128, per_second: rate * share, body_bytes: BODY_BYTES };
        match self {
            Self::Chat | Self::TlsChat | Self::Gateways => {
                Load::Closed { connections: 32, body_bytes: BODY_BYTES }
            }
            Self::Low => share(0.1),
            Self::Half => share(0.5),
            Self::High => share(0.8),
            Self::Large => Load::Closed { connections: 8, body_bytes: LARGE_BODY_BYTES },
            Self::Stream | Self::TlsStream => {
                Load::Streams { count: 200, gap: Some(Duration::from_millis(10)) }
            }
            Self::Burst => Load::Streams { count: 32, gap: None },
        }
    }
}
