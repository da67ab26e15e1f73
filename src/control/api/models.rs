//! Models in the shape that OpenAI's and OpenRouter's clients read.
//!
//! Deliberately absent: what Millrace does not know (context lengths, modalities, descriptions): such members
//! are null or missing, never guessed.

use serde_json::{Map, Value, json};

use crate::base::money::PicoDollars;
use crate::base::time::UnixSeconds;
use crate::policy::catalog::{Model, Snapshot};

/// Pico-dollars in a dollar.
const PICO: u128 = 1_000_000_000_000;
/// Decimals of a pico-dollar amount in dollars.
const PICO_DECIMALS: usize = 12;

/// `{"object":"list","data":[…],"total_count":n}`, in the snapshot's order.
pub(super) fn list(snapshot: &Snapshot, created: UnixSeconds) -> Value {
    let data: Vec<Value> = snapshot.models.iter().map(|model| describe(snapshot, model, created)).collect();
    json!({"object": "list", "total_count": data.len(), "data": data})
}

/// One model by its id.
pub(super) fn one(snapshot: &Snapshot, created: UnixSeconds, id: &str) -> Option<Value> {
    let row = snapshot.model_ids.get(id)?;
    Some(describe(snapshot, snapshot.models.get(row.index())?, created))
}

fn describe(snapshot: &Snapshot, model: &Model, created: UnixSeconds) -> Value {
    let first = model.endpoints.first().and_then(|endpoint| snapshot.endpoints.get(endpoint.index()));
    let owner = match (model.id.split_once('/'), first) {
        (Some((author, _)), _) => author,
        (None, Some(endpoint)) => &snapshot.providers[endpoint.provider.index()].id,
        (None, None) => "millrace",
    };
    json!({
        "id": model.id,
        "object": "model",
        "created": created.0,
        "owned_by": owner,
        "name": model.id,
        "context_length": null,
        "pricing": pricing(first.and_then(|endpoint| endpoint.facts.prices.as_ref())),
    })
}

/// The price of the endpoint that is tried first; empty when it is unknown, because unknown is never free.
fn pricing(price: Option<&crate::policy::catalog::PriceRules>) -> Value {
    let mut pricing = Map::new();
    let base = price.map(|price| price.base).unwrap_or_default();
    for (name, amount) in [("prompt", base.prompt), ("completion", base.completion)] {
        if let Some(amount) = amount {
            pricing.insert(name.to_owned(), Value::from(dollars(amount)));
        }
    }
    Value::Object(pricing)
}

/// An amount as an exact decimal text in USD, without trailing zeros.
fn dollars(amount: PicoDollars) -> String {
    let sign = if amount.0 < 0 { "-" } else { "" };
    let (whole, fraction) = (amount.0.unsigned_abs() / PICO, amount.0.unsigned_abs() % PICO);
    let text = format!("{sign}{whole}.{fraction:0PICO_DECIMALS$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (5_000_000, "0.000005"),
            (1_000_000_000_000, "1"),
            (10_500_000_000_000, "10.5"),
            (-5_000_000, "-0.000005"),
            (i128::MIN, "-170141183460469231731687303.715884105728"),
        ] {
            assert_eq!(dollars(PicoDollars(pico)), text);
        }
    }
}
