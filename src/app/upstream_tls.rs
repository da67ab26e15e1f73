//! TLS settings of the upstreams: one client configuration per set of roots, shared by all cores so that
//! session tickets are too.
//!
//! Deliberately absent: handshakes (`io`), and which providers there are (`control`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::control::snapshot::TlsTrust;
use crate::io::tls::{ClientConfig, ServerName};
use crate::io::{TlsTarget, tls};
use crate::policy::catalog::Snapshot;
use crate::worker::UpstreamTls;

/// Builds the settings of every pool that uses TLS. A pool whose roots cannot be read has none: requests to
/// it fail over, and the returned texts say why.
pub(super) fn build(snapshot: &Snapshot, trust: &TlsTrust) -> (UpstreamTls, Vec<String>) {
    let mut configs: HashMap<Option<PathBuf>, Result<Arc<ClientConfig>, String>> = HashMap::new();
    let mut targets = UpstreamTls::new();
    let mut problems = Vec::new();
    for provider in snapshot.providers.iter().filter(|provider| provider.tls) {
        let ca_file = trust.ca_file(provider.pool).map(PathBuf::from);
        let config = configs.entry(ca_file.clone()).or_insert_with(|| match &ca_file {
            None => tls::client_config(None),
            Some(path) => std::fs::read(path)
                .map_err(|error| format!("{}: {error}", path.display()))
                .and_then(|pem| tls::client_config(Some(&pem))),
        });
        let host = &snapshot.hosts[provider.host.index()].name;
        let target = config.clone().and_then(|config| {
            let server_name = ServerName::try_from(host.to_string()).map_err(|error| error.to_string())?;
            Ok(TlsTarget { config, server_name })
        });
        match target {
            Ok(target) => {
                if targets.len() <= provider.pool.index() {
                    targets.resize(provider.pool.index() + 1, None);
                }
                targets[provider.pool.index()] = Some(target);
            }
            Err(error) => problems.push(format!("provider {}: no TLS: {error}", provider.id)),
        }
    }
    (targets, problems)
}
