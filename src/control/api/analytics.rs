//! `GET /analytics/meta` and `POST /analytics/query`.
//!
//! Deliberately absent: what questions mean (`ledger::read`).

use std::time::Instant;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::key::{Admin, Data, asked, bad};
use crate::control::ledger::read::analytics::{
    DIMENSIONS, GRANULARITIES, Kind, Line, METRICS, OPERATORS, answer,
};
use crate::control::ledger::read::ask::Query;

pub(super) async fn meta(Admin(_): Admin) -> Json<Value> {
    let metrics: Vec<Value> = METRICS
        .iter()
        .map(|metric| {
            let is_rate = matches!(metric.kind, Kind::Rate(..));
            json!({
                "name": metric.name, "display_label": metric.label, "is_rate": is_rate,
                "display_format": metric.format,
            })
        })
        .collect();
    let named = |name: &str, label: &str| json!({"name": name, "display_label": label});
    let dimensions: Vec<Value> = DIMENSIONS.iter().map(|one| named(one.name, one.label)).collect();
    let operators: Vec<Value> = OPERATORS
        .iter()
        .map(|(name, _)| {
            let kind = if matches!(*name, "in" | "not_in") { "array" } else { "scalar" };
            json!({"name": name, "value_type": kind})
        })
        .collect();
    let granularities: Vec<Value> = GRANULARITIES
        .iter()
        .map(|(name, _)| named(name, &format!("{}{}", name[..1].to_uppercase(), &name[1..])))
        .collect();
    Json(json!({"data": {
        "metrics": metrics, "dimensions": dimensions, "operators": operators,
        "granularities": granularities,
    }}))
}

#[derive(Serialize)]
struct Answered {
    data: Vec<Line>,
    metadata: Metadata,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Metadata {
    query_time_ms: u64,
    row_count: usize,
    truncated: bool,
}

pub(super) async fn query(Admin(caller): Admin, body: String) -> Response {
    let read = serde_json::from_str::<Value>(&body).map_err(|flaw| format!("the body: {flaw}"));
    let query = match read.and_then(|body| Query::read(&body, caller.now)) {
        Ok(query) => query,
        Err(wrong) => return bad(&wrong),
    };
    let begun = Instant::now();
    match asked(move || caller.ledger.read(|connection| answer(connection, &query))).await {
        Ok(answer) => {
            let metadata = Metadata {
                query_time_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                row_count: answer.rows.len(),
                truncated: answer.truncated,
            };
            let data = Answered { data: answer.rows, metadata, warnings: answer.warnings };
            Json(Data { data }).into_response()
        }
        Err(response) => response,
    }
}
