//! The report as JSON: everything that was counted, the timeline included.
//!
//! Amounts of money are exact decimal texts in USD, times are in milliseconds, shares are from 0 to 1.
//! Deliberately absent: single requests.

use serde_json::{Value, json};

use super::{Run, share};
use crate::control::simulate::Tally;
use crate::control::simulate::histogram::Histogram;
use crate::control::simulate::tally::{Part, Slot};

/// The report as a document.
#[must_use]
pub fn json(run: &Run) -> Value {
    json!({
        "traffic": run.traffic,
        "start_unix_s": run.start as f64 / 1e9,
        "length_s": run.length.as_secs_f64(),
        "seed": run.seed,
        "cores": run.cores,
        "policies": run.tallies.iter().map(policy).collect::<Vec<_>>(),
    })
}

fn policy(tally: &Tally) -> Value {
    let used = |parts: &[Part]| -> Vec<Value> {
        parts.iter().filter(|part| part.attempts > 0).map(|one| part(one, tally)).collect()
    };
    json!({
        "policy": tally.name,
        "requests": tally.requests,
        "served": tally.served,
        "failed": tally.failed,
        "cut": tally.cut,
        "refused": tally.refused,
        "visible_failures": tally.visible(),
        "attempts": tally.attempts,
        "attempts_failed": tally.attempts_failed,
        "limited": tally.limited,
        "failovers": tally.failovers,
        "failovers_ambiguous": tally.failovers_ambiguous,
        "retries_denied": tally.retries_denied,
        "unpriced": tally.unpriced,
        "cost_usd": tally.cost.as_usd(),
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "ttft_ms": milliseconds(&tally.ttft_us),
        "answer_ms": milliseconds(&tally.answer_us),
        "tokens_per_second": speeds(&tally.speed),
        "providers": used(&tally.providers),
        "models": used(&tally.models),
        "failures": tally.faults,
        "refusals": tally.refusals,
        "timeline": {
            "slot_s": tally.slot_nanos as f64 / 1e9,
            "slots": tally.slots.iter().map(|one| slot(one, tally)).collect::<Vec<_>>(),
        },
    })
}

fn part(part: &Part, tally: &Tally) -> Value {
    json!({
        "id": part.name,
        "attempts": part.attempts,
        "attempts_failed": part.attempts_failed,
        "limited": part.limited,
        "served": part.served,
        "share": share(part.served, tally.served),
        "visible_failures": part.visible,
        "cost_usd": part.cost.as_usd(),
        "ttft_ms": milliseconds(&part.ttft_us),
        "tokens_per_second": speeds(&part.speed),
        "under_way_most": part.under_way_most,
    })
}

fn slot(slot: &Slot, tally: &Tally) -> Value {
    let providers =
        tally.providers.iter().zip(&slot.providers).filter(|(_, cell)| cell.attempts + cell.served > 0);
    let cells = providers.map(|(part, cell)| {
        let counts = json!({
            "attempts": cell.attempts,
            "attempts_failed": cell.failed,
            "limited": cell.limited,
            "served": cell.served,
            "under_way_most": cell.under_way_most,
        });
        (part.name.clone(), counts)
    });
    json!({
        "visible_failures": slot.visible,
        "cost_usd": slot.cost.as_usd(),
        "ttft_ms": milliseconds(&slot.ttft_us),
        "providers": cells.collect::<serde_json::Map<_, _>>(),
    })
}

fn milliseconds(histogram: &Histogram) -> Value {
    let at = |share: f64| histogram.quantile(share).map(|micros| micros / 1_000.0);
    json!({ "count": histogram.count(), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99) })
}

/// Higher percentiles are lower speeds, which more answers reach.
fn speeds(histogram: &Histogram) -> Value {
    let at = |share: f64| histogram.quantile(1.0 - share).map(|thousandths| thousandths / 1_000.0);
    json!({ "count": histogram.count(), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99) })
}
