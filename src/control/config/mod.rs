//! Configuration: from the bytes of a TOML file and the environment to a [`Config`] in which everything is
//! checked, or to every problem at once, each with its place.
//!
//! Two steps. `reader` walks the table that `schema` describes and reads single values with the rules of
//! `rules`, `url` and `secret`; `resolve` then does what needs more than one value: it fills in the providers
//! that ship with Millrace (`shipped`), reads secrets, and checks that names exist. `reference` prints the
//! key reference from the same table.
//!
//! Deliberately absent: access to the process's environment (it is passed in as a function), the building of
//! snapshots (`control::snapshot`), and watching a file for changes.

mod auto;
mod exercise;
mod exposure;
mod listeners;
mod models;
mod names;
mod probe;
mod problem;
mod reader;
mod reference;
mod resolve;
mod rules;
mod schema;
mod secret;
mod shipped;
mod url;

#[cfg(test)]
mod tests;

use core::time::Duration;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use auto::{AutoTable, TierTable};
#[doc(hidden)]
pub use exercise::exercise_config;
pub use exposure::{Exposure, check_exposure};
pub use models::{CatalogueText, read_catalogue};
pub use probe::Probe;
pub use problem::{Position, Problem, Problems};
pub use reference::reference;
pub(crate) use schema::DRIVERS;
pub use schema::{Cores, Driver, Hedge, KeyTable, Ledger, Retry, Server, ServerAuth, Sticky, Waiting};
pub use url::BaseUrl;

use crate::base::address::Address;
use crate::base::limits::{Deadlines, Limits};
use crate::dialect::{DialectName, StreamUsage};
use crate::policy::catalog::{Credential, EndpointFacts, ModelFacts, OnClientGone};
use reader::{Leaf, Places, Reader};

/// Largest configuration file, in bytes.
pub const CONFIG_BYTES_MAX: usize = 16 << 20;
/// Largest secret or PEM file, in bytes.
pub const SIDE_FILE_BYTES_MAX: u64 = 1 << 20;

/// What configuration may look at outside its own text. Functions, so that a test needs no process.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The value of an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file; [`read_side_file`] in the product.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// Reads a text file of at most [`SIDE_FILE_BYTES_MAX`] bytes.
///
/// # Errors
/// When the file cannot be read, is larger, or is not UTF-8.
pub fn read_side_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(SIDE_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > SIDE_FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(text)
}

/// Everything the process is told, checked. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// The listener and the process.
    pub server: Server,
    /// TLS for clients; `None` is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Bounds.
    pub limits: Limits,
    /// Deadlines of the client side, and of providers that have none of their own.
    pub deadlines: Deadlines,
    /// Comments on streams that wait.
    pub waiting: Waiting,
    /// Conversations that come back.
    pub sticky: Sticky,
    /// Failover. `attempts` stands in `limits` too, where the data plane looks.
    pub retry: Retry,
    /// Second candidates for requests that wait.
    pub hedge: Hedge,
    /// What is written down of every request.
    pub ledger: Ledger,
    /// Active providers: first those of the file in its order, then shipped ones whose key is in the
    /// environment.
    pub upstreams: Vec<Upstream>,
    /// Models of the file, with at least one endpoint at an active provider or known to the shipped
    /// catalogue.
    pub models: Vec<ModelEntry>,
    /// Further names of models.
    pub aliases: Vec<AliasEntry>,
    /// Client keys.
    pub keys: Vec<KeyTable>,
    /// The tiers of `millrace/auto`.
    pub auto: AutoTable,
    places: Places,
}

/// Certificate and key for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file with the chain, leaf first.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// An active provider.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name.
    pub id: Box<str>,
    /// API it speaks.
    pub dialect: DialectName,
    /// Where.
    pub url: BaseUrl,
    /// How to authenticate.
    pub credential: Credential,
    /// Who may sign its certificate, instead of the system's list.
    pub ca_file: Option<PathBuf>,
    /// How usage comes on streams.
    pub stream_usage: StreamUsage,
    /// Takes `<id>/<name>` as is.
    pub passthrough: bool,
    /// How long after a success a conversation comes back to it.
    pub sticky_ttl: Duration,
    /// What becomes of its answer when the client has left.
    pub on_client_gone: OnClientGone,
    /// Its deadlines, complete.
    pub deadlines: Deadlines,
    /// How its server is probed; `None` is not at all.
    pub probe: Option<Probe>,
}

/// A model clients can ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelEntry {
    /// Name clients use.
    pub id: Box<str>,
    /// What is known about it.
    pub facts: ModelFacts,
    /// Where it runs, in the order to try. Empty: where the shipped catalogue says.
    pub endpoints: Vec<EndpointEntry>,
}

/// A model at a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointEntry {
    /// Id of the provider.
    pub provider: Box<str>,
    /// The provider's own name of the model.
    pub name: Box<str>,
    /// What is known about it.
    pub facts: EndpointFacts,
    /// Names of the only keys that may use it; `None` is everybody.
    pub private_to: Option<Vec<Box<str>>>,
}

/// A further name of a model, or of another alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasEntry {
    /// Name clients use.
    pub name: Box<str>,
    /// What it stands for.
    pub model: Box<str>,
}

/// The ids of the providers that ship with Millrace.
pub fn shipped_provider_ids() -> impl Iterator<Item = &'static str> {
    shipped::shipped().iter().map(|provider| &*provider.id)
}

/// The name for people of a provider that ships with Millrace.
#[must_use]
pub fn shipped_provider_name(id: &str) -> Option<&'static str> {
    shipped::shipped().iter().find(|provider| &*provider.id == id).map(|provider| &*provider.name)
}

/// What the command line says on top of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `server.listen`; empty leaves it as it is.
    pub listen: Vec<Address>,
    /// `server.cores`
    pub cores: Option<Cores>,
    /// `server.driver`
    pub driver: Option<Driver>,
    /// `ledger.data_dir`
    pub data_dir: Option<PathBuf>,
}

impl Overrides {
    /// Puts the command line's word over the file's.
    fn apply(self, server: &mut Server, places: Places) -> Places {
        server.cores = self.cores.unwrap_or(server.cores);
        server.driver = self.driver.unwrap_or(server.driver);
        if self.listen.is_empty() {
            return places;
        }
        server.listen = self.listen;
        places.without("server.listen", "command line")
    }
}

/// Reads a configuration. `file` is its name and its bytes; without one everything is as by default, and the
/// shipped providers whose key is in the environment are active. `overrides` go before the file. Relative
/// paths in it start at the file's directory.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub fn load(
    file: Option<(&Path, &[u8])>,
    overrides: Overrides,
    sources: Sources<'_>,
) -> Result<Config, Problems> {
    let (path, bytes) = file.unwrap_or((Path::new(""), &[]));
    let name = if file.is_some() { path.display().to_string() } else { "defaults".to_owned() };
    let text = checked_text(&name, bytes)?;
    let (mut table, reader) = Reader::parse::<schema::File>(&name, text);
    let (problems, places, broken) = reader.finish();
    let told = overrides.data_dir.clone();
    let places = overrides.apply(&mut table.server, places);
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut config = resolve::resolve(table, (problems, places, broken), directory, sources)?;
    let configured = config.ledger.data_dir.take().map(|path| directory.join(path));
    config.ledger.data_dir = told.or_else(|| data_dir(configured, sources.environment));
    Ok(config)
}

/// Where data is kept, when the command line does not say. A relative path of the base directory
/// specification is to be ignored.
fn data_dir(configured: Option<PathBuf>, variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let base = |name: &str, below: &str| {
        set(name).map(PathBuf::from).filter(|path| path.is_absolute()).map(|path| path.join(below))
    };
    // systemd names all directories of a unit, with colons between them.
    let of_unit = || set("STATE_DIRECTORY").and_then(|all| Some(PathBuf::from(all.split(':').next()?)));
    set("MILLRACE_DATA_DIR")
        .map(PathBuf::from)
        .or(configured)
        .or_else(of_unit)
        .or_else(|| base("XDG_STATE_HOME", "millrace"))
        .or_else(|| base("HOME", ".local/state/millrace"))
}

/// A name that `key.name` accepts, for the command line.
///
/// # Errors
/// What is expected instead.
pub fn key_name(text: &str) -> Result<String, String> {
    if rules::LABEL.fits(text) { Ok(text.to_owned()) } else { Err(Leaf::expected(&rules::LABEL)) }
}

/// Addresses of the command line, as `server.listen` accepts them.
///
/// # Errors
/// What is wrong with them together.
pub fn check_listen(addresses: &[Address]) -> Result<(), &'static str> {
    rules::check_addresses(addresses)
}

/// A `[[key]]` table to paste into a configuration file.
#[must_use]
pub fn key_table(name: &str, sha256: &[u8; 32]) -> String {
    let digest: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    // The `toml` crate knows how to quote a name.
    let name = toml::Value::String(name.to_owned());
    format!("[[key]]\nname = {name}\nsha256 = \"{digest}\"\n")
}

/// The bytes as text, if they may be a configuration at all.
fn checked_text<'b>(name: &str, bytes: &'b [u8]) -> Result<&'b str, Problems> {
    let refuse = |position, message: &str| {
        Problems::from(Problem {
            file: name.into(),
            position: Some(position),
            key: "".into(),
            value: None,
            message: message.into(),
        })
    };
    if bytes.len() > CONFIG_BYTES_MAX {
        return Err(refuse(Position { line: 1, column: 1 }, "larger than 16 MiB"));
    }
    core::str::from_utf8(bytes).map_err(|error| {
        let valid = core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        refuse(Position::of(valid, valid.len()), "not UTF-8 here")
    })
}
