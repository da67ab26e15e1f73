//! How a provider is probed: what its table says, and what follows where it says nothing.
//!
//! Deliberately absent: the probing (`control::probe`).

use core::time::Duration;

use toml::de::DeValue;

use super::reader::Leaf;
use super::rules::text;
use super::schema::ProbeTable;
use super::url::BaseUrl;
use crate::policy::catalog::Credential;

/// How a provider's server is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is asked for with GET, from the server's root.
    pub path: Box<str>,
    /// Time between two probes.
    pub every: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
}

impl Probe {
    /// `None`: it is not. Nobody pays for the probes of a server that asks for no key, and nobody else looks
    /// after it.
    pub(super) fn of(table: ProbeTable, url: &BaseUrl, credential: &Credential) -> Option<Self> {
        let ProbeTable { enabled, path, every, timeout } = table;
        let path = path.unwrap_or_else(|| format!("{}/models", url.path).into());
        let is_private = matches!(credential, Credential::None);
        enabled.unwrap_or(is_private).then_some(Self { path, every, timeout })
    }
}

/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// The path of a URL, and a query if need be.
pub(super) struct UrlPath;

impl Leaf for UrlPath {
    type Out = Box<str>;

    fn parse(&self, value: &DeValue<'_>) -> Result<Box<str>, &'static str> {
        let path = text(value)?;
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#'));
        if path.starts_with('/') && plain && path.len() <= PATH_BYTES_MAX { Ok(path.into()) } else { Err("") }
    }

    fn expected(&self) -> String {
        "a path such as \"/health\": `/` first, then visible ASCII without quotes and `#`".to_owned()
    }

    fn show(&self, value: &Box<str>) -> String {
        format!("\"{value}\"")
    }
}
