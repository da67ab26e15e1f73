//! Who can reach the listener, and whether they need a key: a public address without keys must have been
//! meant.
//!
//! Deliberately absent: opening the listener, and anything about single keys.

use core::net::SocketAddr;

use super::{Config, Problem, ServerAuth};
use crate::base::address::Address;
use crate::policy::catalog::AuthMode;

/// How open the listener is. Building a snapshot asks for it as evidence that the check was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Client keys are configured and demanded.
    Keys,
    /// No keys, but only this machine can connect: loopback addresses and unix sockets.
    Local,
    /// `auth = "none"` was written out: whoever reaches this address (the first of them) may use it.
    Open(SocketAddr),
}

impl Exposure {
    /// What the operator should see once at start; `None` when keys are demanded.
    #[must_use]
    pub fn notice(self) -> Option<String> {
        match self {
            Self::Keys => None,
            Self::Local => Some("no keys configured: serving this machine only".to_owned()),
            Self::Open(address) => {
                Some(format!("auth = \"none\": everybody who can reach {address} may use it"))
            }
        }
    }

    /// Who may call.
    #[must_use]
    pub const fn auth_mode(self) -> AuthMode {
        match self {
            Self::Keys => AuthMode::Keys,
            Self::Local | Self::Open(_) => AuthMode::Open,
        }
    }
}

/// Decides how open the listener may be.
///
/// # Errors
/// A [`Problem`] when an address is neither loopback nor a unix socket, no keys are configured, and
/// `auth = "none"` is not written out.
pub fn check_exposure(config: &Config) -> Result<Exposure, Problem> {
    // Keys go first: `auth = "none"` beside keys is refused when the configuration is read.
    if !config.keys.is_empty() {
        return Ok(Exposure::Keys);
    }
    let open = config.server.listen.iter().filter(|address| !address.is_local()).find_map(Address::inet);
    let Some(open) = open else { return Ok(Exposure::Local) };
    match config.server.auth {
        Some(ServerAuth::None) => Ok(Exposure::Open(open)),
        None => Err(config.places.problem(
            "server.listen",
            Some(&open.to_string()),
            "not loopback, and no keys are configured: add a [[key]] (`millrace key new` prints one), \
             listen on 127.0.0.1 or a unix socket, or write auth = \"none\" in [server] to let everybody in",
        )),
    }
}
