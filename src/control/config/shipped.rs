//! The providers that ship with Millrace: `catalog/providers.toml`, read by the same reader as the
//! configuration.
//!
//! Deliberately absent: models and prices, and whether a provider is active (`resolve`).

use core::time::Duration;
use std::sync::LazyLock;

use super::reader::{Optional, Reader, Required, section, tables};
use super::rules::{LABEL, PROVIDER_ID, VARIABLE};
use super::schema::{ON_CLIENT_GONE, STICKY, STREAM_USAGE};
use super::secret::{AuthRule, AuthStyle};
use super::url::{BaseUrl, Url};
use crate::dialect::StreamUsage;
use crate::policy::catalog::OnClientGone;

const CATALOGUE: &str = include_str!("../../../catalog/providers.toml");

section! {
    /// The shipped catalogue.
    pub(super) struct Catalogue {
        /// Its providers.
        provider: Vec<Shipped> = Vec::new(), tables(1_000);
    }
}

section! {
    /// What is known about a provider without any configuration.
    pub(super) struct Shipped {
        /// Id.
        id: Box<str> = "".into(), Required(PROVIDER_ID);
        /// Name for people.
        name: Box<str> = "".into(), Required(LABEL);
        /// Where; the code that reads it demands it.
        base_url: Option<BaseUrl> = None, Optional(Url);
        /// How its key is sent.
        auth: AuthStyle = AuthStyle::Bearer, AuthRule;
        /// Variable that holds its key.
        key_env: Option<Box<str>> = None, Optional(VARIABLE);
        /// Variable that says where a local server is.
        base_url_env: Option<Box<str>> = None, Optional(VARIABLE);
        /// How usage comes on streams.
        stream_usage: StreamUsage = StreamUsage::OnRequest, STREAM_USAGE;
        /// How long its prompt cache may live.
        sticky_ttl: Option<Duration> = None, Optional(STICKY);
        /// What becomes of its answer when the client has left.
        on_client_gone: OnClientGone = OnClientGone::Cut, ON_CLIENT_GONE;
    }
}

/// The shipped providers, in the catalogue's order. A test holds that the catalogue has no problem, so none
/// is looked for here.
pub(super) fn shipped() -> &'static [Shipped] {
    static SHIPPED: LazyLock<Vec<Shipped>> =
        LazyLock::new(|| Reader::parse::<Catalogue>("catalog/providers.toml", CATALOGUE).0.provider);
    &SHIPPED
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_catalogue_is_sound() {
        let (catalogue, reader) = Reader::parse::<Catalogue>("catalog/providers.toml", CATALOGUE);
        let (problems, _, _) = reader.finish();
        assert_eq!(problems, []);
        let all = catalogue.provider;
        assert!(all.len() >= 24, "{}", all.len());
        let mut seen = HashSet::new();
        for provider in &all {
            let Shipped { id, base_url, auth, key_env, base_url_env, .. } = provider;
            let url = base_url.as_ref().unwrap_or_else(|| panic!("{id} has no base_url"));
            assert!(seen.insert(format!("id {id}")), "{id} twice");
            assert!(seen.insert(format!("url {url:?}")), "{id}: the same base_url twice");
            for variable in [key_env, base_url_env].into_iter().flatten() {
                assert!(seen.insert(format!("variable {variable}")), "{id}: {variable} twice");
            }
            // Either a hosted service with a key over TLS, or a server of one's own.
            match auth {
                AuthStyle::None => {
                    assert!(key_env.is_none() && base_url_env.is_some(), "{id}");
                    assert!(!url.tls && &*url.host == "127.0.0.1", "{id}: only a local server needs no key");
                }
                AuthStyle::Bearer | AuthStyle::Header(_) => {
                    assert!(key_env.is_some() && base_url_env.is_none(), "{id}");
                    assert!(url.tls, "{id}: a key must not travel in the clear");
                }
            }
        }
    }
}
