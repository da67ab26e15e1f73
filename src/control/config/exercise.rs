//! The body of the fuzz target for configuration: any bytes are read without a panic, and every problem
//! points into them.
//!
//! Deliberately absent: what a right configuration means (the tests beside this hold that).

use std::io;
use std::path::Path;

use super::{Config, Overrides, Problem, Sources, check_exposure, load};
use crate::control::snapshot::{self, Extras, Interner};

/// Reads `data` as a configuration. Panics when a promise is broken: problems lie inside the file, a
/// configuration that was accepted builds a snapshot whose ids all point into its tables.
pub fn exercise_config(data: &[u8]) {
    let environment = |name: &str| name.len().is_multiple_of(2).then(|| format!("secret-of-{name}"));
    let read_file = |path: &Path| match path.extension() {
        Some(_) => Ok("-----BEGIN CERTIFICATE-----".to_owned()),
        None => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let sources = Sources { environment: &environment, read_file: &read_file };
    match load(Some((Path::new("fuzz.toml"), data)), Overrides::default(), sources) {
        Ok(config) => exercise_snapshot(&config),
        Err(problems) => {
            assert!(!problems.as_slice().is_empty());
            problems.as_slice().iter().for_each(|problem| exercise_problem(data, problem));
        }
    }
}

fn exercise_problem(data: &[u8], problem: &Problem) {
    let shown = problem.to_string();
    assert!(!shown.contains('\n') && !shown.contains("secret-of-"), "{shown:?}");
    if &*problem.file != "fuzz.toml" {
        return;
    }
    let at = problem.position.expect("invariant: a problem of the file has a place in it");
    let line = data.split(|byte| *byte == b'\n').nth(at.line - 1);
    let line = line.expect("invariant: the line exists");
    assert!((1..=line.len() + 1).contains(&at.column), "{shown}");
}

fn exercise_snapshot(config: &Config) {
    let Ok(exposure) = check_exposure(config) else { return };
    let built = snapshot::build(config, exposure, Extras::default(), &mut Interner::default());
    let snapshot = built.snapshot;
    for provider in &snapshot.providers {
        assert!(provider.host.index() < snapshot.hosts.len());
    }
    for endpoint in &snapshot.endpoints {
        assert!(endpoint.provider.index() < snapshot.providers.len());
    }
    for model in &snapshot.models {
        assert!(!model.endpoints.is_empty());
        assert!(model.endpoints.iter().all(|endpoint| endpoint.index() < snapshot.endpoints.len()));
    }
    assert!(!format!("{config:?}{snapshot:?}").contains("secret-of-"));
}
