//! Models, their endpoints and aliases against the rest of the file: the names that they use must exist.
//!
//! Deliberately absent: single values (`rules`), and whether a provider may be used (`resolve`).

use std::collections::HashSet;

use super::Resolver;
use crate::control::catalog;
use crate::control::config::models::{AliasTable, EndpointTable, ModelTable, price_problems};
use crate::control::config::problem::did_you_mean;
use crate::control::config::schema::KeyTable;
use crate::control::config::{AliasEntry, ModelEntry};

impl Resolver<'_> {
    pub(super) fn models(&mut self, tables: Vec<ModelTable>, keys: &[KeyTable]) -> Vec<ModelEntry> {
        self.unique("model", "id", tables.iter().map(|table| Some(table.id.to_string())), true);
        let mut models = Vec::with_capacity(tables.len());
        let mut asked = HashSet::new();
        for (index, mut table) in tables.into_iter().enumerate() {
            let path = format!("model[{index}].endpoint");
            let inherits =
                table.endpoint.is_empty() && catalog::shipped().is_ok_and(|all| all.has(&table.id));
            if table.endpoint.is_empty() && !inherits && !self.reported(&path) {
                self.report(&path, None, "missing: at least one [[model.endpoint]]");
            }
            let mut endpoints = Vec::with_capacity(table.endpoint.len());
            for (turn, endpoint) in core::mem::take(&mut table.endpoint).into_iter().enumerate() {
                let path = format!("{path}[{turn}]");
                self.endpoint(&path, &endpoint, keys);
                if self.usable(&format!("{path}.provider"), &endpoint.provider, &mut asked) {
                    endpoints.push(endpoint.into());
                }
            }
            if inherits || !endpoints.is_empty() {
                models.push(ModelEntry { endpoints, ..table.into() });
            }
        }
        models
    }

    /// Reports what is wrong with an endpoint's price and with the keys it is private to.
    fn endpoint(&mut self, path: &str, endpoint: &EndpointTable, keys: &[KeyTable]) {
        for (key, message) in endpoint.price.iter().flat_map(price_problems) {
            self.report(&format!("{path}.price.{key}"), None, message);
        }
        for name in endpoint.private_to.iter().flatten() {
            if !keys.iter().any(|key| key.name == *name) {
                let near = did_you_mean(name, keys.iter().map(|key| &*key.name));
                self.report(&format!("{path}.private_to"), Some(name), format!("no key has this name{near}"));
            }
        }
    }

    pub(super) fn aliases(&mut self, tables: Vec<AliasTable>, models: &[ModelEntry]) -> Vec<AliasEntry> {
        let aliases: Vec<AliasEntry> = tables.into_iter().map(Into::into).collect();
        let known = |id: &str| {
            models.iter().any(|model| &*model.id == id) || catalog::shipped().is_ok_and(|all| all.names(id))
        };
        for (key, value, message) in catalog::alias_problems(models, &aliases, known) {
            if !self.reported(&key) {
                self.report(&key, Some(&value), message);
            }
        }
        aliases
    }
}
