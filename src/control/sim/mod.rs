//! The built-in simulator: a real HTTP/1.1 upstream on real loopback sockets that speaks the OpenAI dialect,
//! so that a fresh installation answers without any provider's key, and so that failover can be seen at work.
//!
//! What an answer is made of is decided by fixed rules (`script`), so the same request always gets the same
//! text:
//!
//! | upstream model | what it does |
//! |---|---|
//! | `fast` | answers at once |
//! | `steady` | numbered words, one every 20 ms |
//! | `slow-start` | not a byte for 3 s, then the whole answer at once |
//! | `tools` | calls the first tool offered |
//! | `embed` | unit vectors from a hash of the input |
//! | `routed-…` | `fast`, at the endpoints of `sim/routed`, see [`routed`] |
//! | `cached-…` | `fast`, at those of `sim/cached`; all messages but the last come from a cache |
//! | `flaky` | `fast` behind two broken endpoints, see [`Listener`] |
//!
//! The first four and `flaky` take overrides in the request's `metadata`, as strings of decimal digits:
//! `tokens` (numbered words instead of a sentence, 1 to 10,000), `gap_ms` (between two tokens, up to 10,000)
//! and `first_ms` (before the first byte, up to 60,000).
//!
//! Deliberately absent: authentication (the listeners are loopback only), HTTP/2, TLS, and any knowledge of
//! Millrace's own data plane: it is an upstream like any other.

mod body;
mod embed;
mod render;
mod request;
pub mod routed;
mod script;
mod seen;
mod serve;
#[cfg(test)]
mod tests;
mod tool;

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::AbortHandle;

use crate::base::limits::Deadlines;
use crate::control::config::ModelEntry;
use crate::policy::catalog::{EndpointFacts, ModelFacts};
use crate::policy::strategy::StrategyName;

pub use seen::{Counts, Seen};

/// The path before the API's own on every listener, as a provider's `base_path`.
pub const BASE_PATH: &str = "/v1";

/// The simulator's addresses by behaviour. Each is a provider of its own to the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    /// Answers every model soundly.
    Main,
    /// A port that is bound and held but never listened on: connecting is refused.
    Refusing,
    /// Successive requests in turn: reset after the request was read, stall, 429, 500, an error inside a 200.
    Troubled,
}

impl Listener {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Main, Self::Refusing, Self::Troubled];

    /// The id of the internal provider that stands for this listener.
    #[must_use]
    pub const fn provider_id(self) -> &'static str {
        match self {
            Self::Main => "sim",
            Self::Refusing => "sim-refusing",
            Self::Troubled => "sim-troubled",
        }
    }

    /// The deadlines of requests to this listener. The troubled one stalls on purpose; 300 ms make that
    /// visible at once instead of after minutes.
    #[must_use]
    pub fn deadlines(self, configured: &Deadlines) -> Deadlines {
        match self {
            Self::Main | Self::Refusing => configured.clone(),
            Self::Troubled => Deadlines {
                response_head: TROUBLED_DEADLINE.min(configured.response_head),
                first_event: TROUBLED_DEADLINE.min(configured.first_event),
                answer: TROUBLED_DEADLINE.min(configured.answer),
                ..configured.clone()
            },
        }
    }
}

/// How long the troubled listener may stay silent before the next endpoint is tried.
const TROUBLED_DEADLINE: Duration = Duration::from_millis(300);

/// A model of the simulator as the snapshot should offer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulatedModel {
    /// The id clients ask for.
    pub id: &'static str,
    /// Where it is and under which upstream name, in the order they are to be tried.
    pub endpoints: &'static [(Listener, &'static str)],
    /// What a token of the prompt and one of the answer cost at each of them, in pico-dollars.
    pub prices: [i128; 2],
}

impl SimulatedModel {
    /// The model as a snapshot should offer it. Its endpoints are tried in their order, though their prices
    /// are the same.
    #[must_use]
    pub fn entry(&self) -> ModelEntry {
        let [prompt, completion] = self.prices;
        let endpoint = |&(listener, name): &(Listener, &str)| {
            routed::endpoint(listener, name, (prompt, completion), EndpointFacts::default())
        };
        let several = self.endpoints.len() > 1;
        let facts = ModelFacts { strategy: several.then_some(StrategyName::Order), ..ModelFacts::default() };
        ModelEntry { id: self.id.into(), facts, endpoints: self.endpoints.iter().map(endpoint).collect() }
    }
}

/// The simulator's models.
#[must_use]
pub const fn models() -> &'static [SimulatedModel] {
    const MODELS: &[SimulatedModel] = &[
        SimulatedModel { id: "sim/fast", endpoints: &[(Listener::Main, "fast")], prices: [100_000, 400_000] },
        SimulatedModel {
            id: "sim/steady",
            endpoints: &[(Listener::Main, "steady")],
            prices: [500_000, 2_000_000],
        },
        SimulatedModel {
            id: "sim/slow-start",
            endpoints: &[(Listener::Main, "slow-start")],
            prices: [500_000, 2_000_000],
        },
        SimulatedModel {
            id: "sim/tools",
            endpoints: &[(Listener::Main, "tools")],
            prices: [1_000_000, 4_000_000],
        },
        SimulatedModel { id: "sim/embed", endpoints: &[(Listener::Main, "embed")], prices: [20_000, 0] },
        SimulatedModel {
            id: "sim/flaky",
            endpoints: &[
                (Listener::Refusing, "flaky"),
                (Listener::Troubled, "flaky"),
                (Listener::Main, "flaky"),
            ],
            prices: [100_000, 400_000],
        },
    ];
    MODELS
}

/// Where the listeners are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// [`Listener::Main`]
    pub main: SocketAddr,
    /// [`Listener::Refusing`]
    pub refusing: SocketAddr,
    /// [`Listener::Troubled`]
    pub troubled: SocketAddr,
}

impl Addresses {
    /// The address of one listener.
    #[must_use]
    pub const fn of(&self, listener: Listener) -> SocketAddr {
        match listener {
            Listener::Main => self.main,
            Listener::Refusing => self.refusing,
            Listener::Troubled => self.troubled,
        }
    }
}

/// The running simulator. Dropping it closes its listeners and every connection.
#[derive(Debug)]
pub struct Simulator {
    /// What it has seen so far; also `GET /sim/stats` on the main listener.
    pub seen: Arc<Seen>,
    addresses: Addresses,
    /// Held open so that the refusing port cannot be given to anybody else.
    _refusing: TcpSocket,
    accepting: [AbortHandle; 2],
}

impl Simulator {
    /// Binds the listeners on ephemeral loopback ports and starts serving on the current tokio runtime.
    ///
    /// # Errors
    /// When a loopback port cannot be bound.
    pub async fn start() -> io::Result<Self> {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let main = TcpListener::bind(anywhere).await?;
        let troubled = TcpListener::bind(anywhere).await?;
        let refusing = TcpSocket::new_v4()?;
        refusing.bind(anywhere)?;
        let addresses = Addresses {
            main: main.local_addr()?,
            refusing: refusing.local_addr()?,
            troubled: troubled.local_addr()?,
        };
        let seen = Arc::new(Seen::default());
        let accepting = [
            tokio::spawn(serve::accept(main, serve::Site::sound(Arc::clone(&seen)))).abort_handle(),
            tokio::spawn(serve::accept(troubled, serve::Site::troubled(Arc::clone(&seen)))).abort_handle(),
        ];
        Ok(Self { seen, addresses, _refusing: refusing, accepting })
    }

    /// Where its listeners are.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in &self.accepting {
            task.abort();
        }
    }
}
