//! The second step: everything that needs more than one value. Fills in shipped providers, reads secrets,
//! checks that names exist and are unique.
//!
//! Deliberately absent: single values (`rules`) and the environment itself (`Sources` are functions).

mod entries;

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::auto;
use super::listeners;
use super::problem::{Problem, Problems, did_you_mean};
use super::reader::{Leaf, Places};
use super::schema::{File, ProbeTable, ProviderTable, Server, ServerAuth, Tls};
use super::secret::{AuthStyle, SecretSource, fits_header};
use super::shipped::{Shipped, shipped};
use super::url::{BaseUrl, Url};
use super::{Config, Probe, Sources, TlsFiles, Upstream};
use crate::base::limits::Deadlines;
use crate::base::secret::Secret;
use crate::dialect::{DialectName, StreamUsage};
use crate::policy::catalog::Credential;

/// What is known about a provider's id.
enum Standing {
    /// Usable.
    Active,
    /// Switched off: its endpoints are left out.
    Disabled,
    /// Something is wrong with it that has been reported.
    Broken,
    /// Shipped, but nothing activates it.
    Idle(&'static Shipped),
}

struct Resolver<'a> {
    sources: Sources<'a>,
    /// Relative paths start here.
    directory: &'a Path,
    places: Places,
    problems: Vec<Problem>,
    standings: HashMap<Box<str>, Standing>,
    deadlines: Deadlines,
    passthrough: bool,
    sticky_ttl: Duration,
    /// A provider's id could not be read: an unknown name may be that one.
    ids_unsure: bool,
}

/// Turns the tables as written into a configuration.
pub(super) fn resolve(
    file: File,
    (problems, places, broken): (Vec<Problem>, Places, bool),
    directory: &Path,
    sources: Sources<'_>,
) -> Result<Config, Problems> {
    let mut resolver = Resolver {
        sources,
        directory,
        places,
        problems,
        standings: HashMap::new(),
        deadlines: file.deadlines.clone(),
        passthrough: file.server.passthrough,
        sticky_ttl: file.sticky.ttl,
        ids_unsure: false,
    };
    // In a text that is not valid TOML whole tables may be missing; names would only seem to be unknown.
    let config = if broken { None } else { Some(resolver.config(file)) };
    match (Problems::new(resolver.problems), config) {
        (None, Some(config)) => Ok(config),
        (Some(problems), _) => Err(problems),
        (None, None) => Err(resolver.places.problem("", None, "not valid TOML").into()),
    }
}

impl Resolver<'_> {
    fn config(&mut self, file: File) -> Config {
        let File { server, tls, mut limits, deadlines, waiting, sticky, retry, hedge, .. } = file;
        let File { provider, model, alias, key, auto, ledger, .. } = file;
        limits.attempts = retry.attempts;
        if limits.bodies_bytes_per_core < limits.body_bytes {
            let (all, one) = (limits.bodies_bytes_per_core, limits.body_bytes);
            let message =
                format!("{all} bytes are fewer than one body may have (limits.body_bytes, {one} bytes)");
            self.report("limits.bodies_bytes_per_core", None, message);
        }
        let tls = self.tls(tls);
        let mut upstreams = self.named_upstreams(provider);
        upstreams.extend(self.upstreams_of_the_environment());
        self.listeners(&server, tls.is_some(), &upstreams);
        let models = self.models(model, &key);
        let aliases = self.aliases(alias, &models);
        self.unique("key", "name", key.iter().map(|key| Some(key.name.to_string())), true);
        self.unique("key", "sha256", key.iter().map(|key| Some(format!("{:?}", key.sha256))), false);
        if server.auth == Some(ServerAuth::None) && !key.is_empty() {
            let message = "keys are configured: leave this out, or remove every [[key]]";
            self.report("server.auth", Some("none"), message);
        }
        for (key, value, message) in auto::problems(&auto) {
            if !self.reported(&key) {
                self.report(&key, value.as_deref(), message);
            }
        }
        Config {
            server,
            tls,
            limits,
            deadlines,
            waiting,
            sticky,
            retry,
            hedge,
            ledger,
            upstreams,
            models,
            aliases,
            keys: key,
            auto,
            places: self.places.clone(),
        }
    }

    fn report(&mut self, key: &str, value: Option<&str>, message: impl Into<Box<str>>) {
        let problem = self.places.problem(key, value, message);
        self.problems.push(problem);
    }

    /// Has something at exactly this key been reported already? Then its absence is no news.
    fn reported(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| &*problem.key == key)
    }

    /// Reports each value that was there before. `None` values have no name to be equal by.
    fn unique(&mut self, table: &str, key: &str, values: impl Iterator<Item = Option<String>>, show: bool) {
        let mut first: HashMap<String, usize> = HashMap::new();
        for (index, value) in values.enumerate() {
            let path = format!("{table}[{index}].{key}");
            let Some(value) = value.filter(|_| !self.reported(&path)) else { continue };
            match first.get(&value) {
                Some(first) => {
                    let message = format!("the same as {table}[{first}].{key}: each must be there only once");
                    self.report(&path, show.then_some(value.as_str()), message);
                }
                None => {
                    first.insert(value, index);
                }
            }
        }
    }

    fn tls(&mut self, tls: Tls) -> Option<TlsFiles> {
        let Tls { cert, key } = tls;
        let absent = match (&cert, &key) {
            (None, None) => return None,
            (None, Some(_)) => Some("tls.cert"),
            (Some(_), None) => Some("tls.key"),
            (Some(_), Some(_)) => None,
        };
        if let Some(absent) = absent.filter(|absent| !self.reported(absent)) {
            self.report(absent, None, "missing: certificate and key belong together");
        }
        let cert = cert.and_then(|path| self.pem("tls.cert", &path, "BEGIN CERTIFICATE-----"));
        let key = key.and_then(|path| self.pem("tls.key", &path, "PRIVATE KEY-----"));
        Some(TlsFiles { cert: cert?, key: key? })
    }

    /// The full path of a PEM file that can be read and holds what it should.
    fn pem(&mut self, key: &str, path: &Path, marker: &str) -> Option<PathBuf> {
        let path = self.directory.join(path);
        let shown = path.display().to_string();
        match (self.sources.read_file)(&path) {
            Err(error) => self.report(key, Some(&shown), format!("cannot be read: {error}")),
            Ok(text) if !text.contains(marker) => {
                self.report(key, Some(&shown), format!("not a PEM file with \"{marker}\""));
            }
            Ok(_) => return Some(path),
        }
        None
    }

    /// The providers of the file.
    fn named_upstreams(&mut self, tables: Vec<ProviderTable>) -> Vec<Upstream> {
        self.unique("provider", "id", tables.iter().map(|table| Some(table.id.to_string())), true);
        let mut upstreams = Vec::with_capacity(tables.len());
        for (index, table) in tables.into_iter().enumerate() {
            let path = format!("provider[{index}]");
            self.ids_unsure |= table.id.is_empty();
            let id = table.id.clone();
            let standing = if table.enabled {
                let upstream = self.named_upstream(&path, table);
                let standing = if upstream.is_some() { Standing::Active } else { Standing::Broken };
                upstreams.extend(upstream);
                standing
            } else {
                Standing::Disabled
            };
            self.standings.insert(id, standing);
        }
        upstreams
    }

    fn named_upstream(&mut self, path: &str, table: ProviderTable) -> Option<Upstream> {
        let known = shipped().iter().find(|shipped| shipped.id == table.id);
        let url = self.url_of(path, table.base_url, known);
        let auth = table.auth.unwrap_or_else(|| match known {
            // A local server needs no key, but one that was given is sent.
            Some(known) if table.api_key.is_none() || known.auth != AuthStyle::None => known.auth.clone(),
            _ => AuthStyle::Bearer,
        });
        let credential = self.credential_of(path, auth, table.api_key, known);
        let ca_file = match (table.ca_file, &url) {
            (Some(_), Some(url)) if !url.tls => {
                self.report(&format!("{path}.ca_file"), None, "only an https:// provider has a certificate");
                None
            }
            (Some(file), _) => self.pem(&format!("{path}.ca_file"), &file, "BEGIN CERTIFICATE-----"),
            (None, _) => None,
        };
        let probe = url.as_ref().zip(credential.as_ref());
        let probe = probe.and_then(|(url, credential)| Probe::of(table.probe, url, credential));
        let own = table.deadlines;
        let general = &self.deadlines;
        Some(Upstream {
            id: table.id,
            dialect: table.dialect,
            url: url?,
            credential: credential?,
            ca_file,
            stream_usage: table
                .stream_usage
                .unwrap_or_else(|| known.map_or(StreamUsage::OnRequest, |known| known.stream_usage)),
            passthrough: table.passthrough.unwrap_or(self.passthrough),
            sticky_ttl: table
                .sticky_ttl
                .or(known.and_then(|known| known.sticky_ttl))
                .unwrap_or(self.sticky_ttl),
            on_client_gone: table
                .on_client_gone
                .or(known.map(|known| known.on_client_gone))
                .unwrap_or_default(),
            deadlines: Deadlines {
                connect: own.connect.unwrap_or(general.connect),
                response_head: own.response_head.unwrap_or(general.response_head),
                first_event: own.first_event.unwrap_or(general.first_event),
                answer: own.answer.unwrap_or(general.answer),
                idle: own.idle.unwrap_or(general.idle),
                upstream_idle: own.upstream_idle.unwrap_or(general.upstream_idle),
                ..general.clone()
            },
            probe,
        })
    }

    fn url_of(&mut self, path: &str, own: Option<BaseUrl>, known: Option<&Shipped>) -> Option<BaseUrl> {
        let key = format!("{path}.base_url");
        if own.is_some() || self.reported(&key) {
            return own;
        }
        if let Some((variable, text)) = known.and_then(|known| self.variable(known.base_url_env.as_deref())) {
            return self.url_of_variable(variable, &text);
        }
        let shipped = known.and_then(|known| known.base_url.clone());
        if shipped.is_none() && !self.reported(&format!("{path}.id")) {
            let message = "missing: no shipped provider has this id, so its URL must be written out";
            self.report(&key, None, message);
        }
        shipped
    }

    /// Name and value of a variable that is set and not empty.
    fn variable<'n>(&self, name: Option<&'n str>) -> Option<(&'n str, String)> {
        let value = (self.sources.environment)(name?)?;
        (!value.trim_ascii().is_empty()).then_some((name?, value))
    }

    fn url_of_variable(&mut self, variable: &str, text: &str) -> Option<BaseUrl> {
        match BaseUrl::parse(text.trim_ascii()) {
            Ok(url) => Some(url),
            Err(detail) => {
                let message = format!("{detail}; expected {}", Leaf::expected(&Url));
                self.problems.push(Places::named("environment").problem(variable, None, message));
                None
            }
        }
    }

    fn credential_of(
        &mut self,
        path: &str,
        auth: AuthStyle,
        api_key: Option<SecretSource>,
        known: Option<&Shipped>,
    ) -> Option<Credential> {
        let key = format!("{path}.api_key");
        if auth == AuthStyle::None {
            if api_key.is_some() {
                let message = "given, but auth = \"none\" says that none is sent: remove one of the two";
                self.report(&key, None, message);
            }
            return Some(Credential::None);
        }
        let variable = known.and_then(|known| known.key_env.clone());
        let Some(source) = api_key.or_else(|| variable.map(SecretSource::Environment)) else {
            if !["api_key", "auth", "id"].iter().any(|key| self.reported(&format!("{path}.{key}"))) {
                let message =
                    "missing: \"env:NAME\", \"file:PATH\" or the key; or auth = \"none\" if it needs none";
                self.report(&key, None, message);
            }
            return None;
        };
        match self.secret(&source) {
            Ok(secret) => Some(auth.credential(secret)),
            Err(message) => {
                if !self.reported(&key) {
                    self.report(&key, None, message);
                }
                None
            }
        }
    }

    /// Reads a secret. The error names its source, never its value.
    fn secret(&self, source: &SecretSource) -> Result<Secret, String> {
        let (secret, source) = match source {
            SecretSource::Value(secret) => (secret.clone(), "the key".to_owned()),
            SecretSource::Environment(name) => {
                let source = format!("environment variable `{name}`");
                let value = (self.sources.environment)(name).ok_or_else(|| format!("{source} is not set"))?;
                (Secret::new(value.trim_ascii()), source)
            }
            SecretSource::File(path) => {
                let path = self.directory.join(path);
                let source = format!("file `{}`", path.display());
                let text = (self.sources.read_file)(&path);
                let text = text.map_err(|error| format!("{source} cannot be read: {error}"))?;
                (Secret::new(text.trim_ascii()), source)
            }
        };
        match secret.expose() {
            "" => Err(format!("{source} is empty")),
            text if !fits_header(text) => Err(format!(
                "{source} holds a space, or a character that is not visible ASCII: no key has one"
            )),
            _ => Ok(secret),
        }
    }

    /// The shipped providers that the file does not name and the environment activates.
    fn upstreams_of_the_environment(&mut self) -> Vec<Upstream> {
        let mut upstreams = Vec::new();
        for known in shipped() {
            if self.standings.contains_key(&known.id) {
                continue;
            }
            let key = self.variable(known.key_env.as_deref()).map(|(name, _)| name);
            let url = self.variable(known.base_url_env.as_deref());
            let standing = match (key, url) {
                (None, None) => Standing::Idle(known),
                (key, url) => match self.upstream_of_the_environment(known, key, url) {
                    None => Standing::Broken,
                    Some(upstream) => {
                        upstreams.push(upstream);
                        Standing::Active
                    }
                },
            };
            self.standings.insert(known.id.clone(), standing);
        }
        upstreams
    }

    fn upstream_of_the_environment(
        &mut self,
        known: &Shipped,
        key: Option<&str>,
        url: Option<(&str, String)>,
    ) -> Option<Upstream> {
        let url = match url {
            Some((variable, text)) => self.url_of_variable(variable, &text)?,
            None => known.base_url.clone()?,
        };
        let credential = match key {
            None => Credential::None,
            Some(name) => match self.secret(&SecretSource::Environment(name.into())) {
                Ok(secret) => known.auth.clone().credential(secret),
                Err(message) => {
                    self.problems.push(Places::named("environment").problem(name, None, message));
                    return None;
                }
            },
        };
        Some(Upstream {
            id: known.id.clone(),
            dialect: DialectName::OpenAi,
            probe: Probe::of(ProbeTable::default(), &url, &credential),
            url,
            credential,
            ca_file: None,
            stream_usage: known.stream_usage,
            passthrough: self.passthrough,
            sticky_ttl: known.sticky_ttl.unwrap_or(self.sticky_ttl),
            on_client_gone: known.on_client_gone,
            deadlines: self.deadlines.clone(),
        })
    }

    /// Checks the listener's addresses against the rest.
    fn listeners(&mut self, server: &Server, tls: bool, upstreams: &[Upstream]) {
        let mut complaints = listeners::loops(server, upstreams);
        // An address on the command line is for this run only; the file need not fit it.
        if !self.places.is_elsewhere("server.listen") {
            complaints.extend(listeners::idle_keys(server, tls));
        }
        for (key, value, message) in complaints {
            if !self.reported(key) {
                self.report(key, value.as_deref(), message);
            }
        }
    }

    /// May an endpoint name this provider? Reports why not, unless that has been reported or is the
    /// operator's wish. `asked`: idle providers that an endpoint has named before; one report of a missing
    /// key is enough.
    fn usable(&mut self, path: &str, provider: &str, asked: &mut HashSet<&'static str>) -> bool {
        let message = match self.standings.get(provider) {
            Some(Standing::Active) => return true,
            Some(Standing::Disabled | Standing::Broken) => return false,
            Some(Standing::Idle(known)) => {
                if !asked.insert(&known.id) {
                    return false;
                }
                match (&known.key_env, &known.base_url_env) {
                    (Some(variable), _) => {
                        format!(
                            "has no key: set environment variable `{variable}`, or write a [[provider]] with \
                             api_key"
                        )
                    }
                    (None, variable) => {
                        let variable = variable.as_deref().unwrap_or_default();
                        format!(
                            "not active: set environment variable `{variable}`, or write a [[provider]] with \
                             this id"
                        )
                    }
                }
            }
            None if provider.is_empty() || self.ids_unsure => return false,
            None => {
                let near = did_you_mean(provider, self.standings.keys().map(|id| &**id));
                format!("no provider has this id{near}")
            }
        };
        self.report(path, Some(provider), message);
        false
    }
}
