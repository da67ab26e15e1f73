//! From a configuration file to the snapshot that the workers would serve with.
//!
//! What a simulation does not need is not asked for: variables and files with secrets need not be there, and
//! the environment has no say, so that a run depends on its files alone. A file that names providers has
//! those; one that names none has every provider that ships with Millrace.
//! Deliberately absent: the simulator's own providers, listeners, and DNS.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::control::catalog;
use crate::control::config::{self, Config, Exposure, Overrides, Problems, Sources};
use crate::control::snapshot::{Extras, Interner, build};
use crate::policy::catalog::Snapshot;

/// Stands for every variable and secret. It is the URL of a local server where one is asked for.
const PLACEHOLDER: &str = "http://127.0.0.1:1/v1";
/// Stands for a PEM file that is not there.
const PEM_PLACEHOLDER: &str = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n";

/// A policy, ready to be simulated.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What it is called in reports.
    pub name: String,
    /// What the workers would have.
    pub snapshot: Arc<Snapshot>,
}

impl Setup {
    /// Reads a configuration file: `path` is its name, `bytes` what is in it.
    ///
    /// # Errors
    /// Everything that is wrong with it, or with the shipped catalogue.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self, Problems> {
        let environment = |_: &str| Some(PLACEHOLDER.to_owned());
        let read_file = |path: &Path| {
            let is_pem =
                path.extension().is_some_and(|end| ["pem", "crt", "cer", "key"].iter().any(|e| end == *e));
            let absent = if is_pem { PEM_PLACEHOLDER } else { PLACEHOLDER };
            Ok(config::read_side_file(path).unwrap_or_else(|_| absent.to_owned()))
        };
        let sources = Sources { environment: &environment, read_file: &read_file };
        let mut config = config::load(Some((path, bytes)), Overrides::default(), sources)?;
        keep_named(&mut config, bytes);
        // Nobody connects to a simulation, however open the listener would be.
        let exposure = if config.keys.is_empty() { Exposure::Local } else { Exposure::Keys };
        let catalogue = catalog::shipped().map_err(Clone::clone)?;
        let extras = Extras { catalogue: Some(catalogue), ..Extras::default() };
        let built = build(&config, exposure, extras, &mut Interner::default());
        Ok(Self { name: path.display().to_string(), snapshot: Arc::new(built.snapshot) })
    }
}

/// Leaves only the providers that the file names, if it names any.
fn keep_named(config: &mut Config, bytes: &[u8]) {
    // The file has been read as a configuration before: it is text, and valid TOML.
    let Some(table) = core::str::from_utf8(bytes).ok().and_then(|text| text.parse::<toml::Table>().ok())
    else {
        return;
    };
    let providers = table.get("provider").and_then(toml::Value::as_array).into_iter().flatten();
    let named: HashSet<&str> = providers.filter_map(|one| one.get("id")?.as_str()).collect();
    if named.is_empty() {
        return;
    }
    let endpoints = config.models.iter().flat_map(|model| &model.endpoints);
    let used: HashSet<Box<str>> = endpoints.map(|endpoint| endpoint.provider.clone()).collect();
    config.upstreams.retain(|one| named.contains(&*one.id) || used.contains(&one.id));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers(text: &str) -> Vec<String> {
        let setup = Setup::read(Path::new("p.toml"), text.as_bytes()).unwrap();
        setup.snapshot.providers.iter().map(|one| one.id.to_string()).collect()
    }

    #[test]
    fn a_file_has_the_providers_it_names_or_all_that_ship() {
        let all = providers("");
        assert!(all.len() > 20 && all.contains(&"openai".to_owned()), "{all:?}");
        assert_eq!(providers("[[provider]]\nid = \"openai\"\n"), ["openai"]);
        let secrets = "[[provider]]\nid = \"groq\"\napi_key = \"file:/nowhere/at/all\"\n\
                       [[provider]]\nid = \"own\"\nbase_url = \"https://own.test/v1\"\n\
                       api_key = \"env:NOT_SET\"\nca_file = \"/nowhere/ca.pem\"\n";
        assert_eq!(providers(secrets), ["groq", "own"]);
        let used = "[[provider]]\nid = \"groq\"\n[[model]]\nid = \"a/b\"\n\
                    endpoint = [{ provider = \"together\", name = \"b\" }]\n";
        assert_eq!(providers(used), ["groq", "together"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let problems = Setup::read(Path::new("p.toml"), b"[retry]\nattempts = 0\n").unwrap_err().to_string();
        assert!(problems.contains("p.toml:2:12: retry.attempts"), "{problems}");
    }

    #[test]
    fn a_policy_need_not_be_one_that_may_listen() {
        let text = "[server]\nlisten = \"0.0.0.0:8080\"\n[[provider]]\nid = \"openai\"\n";
        assert_eq!(providers(text), ["openai"]);
    }
}
