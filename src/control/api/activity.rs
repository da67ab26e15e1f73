//! `GET /activity`: what was used each day, by model and endpoint, over the last 30 days that are over, as
//! OpenRouter tells it; and what was used so far today, for who asks for that day by name.
//!
//! Deliberately absent: other lengths of time (`/analytics/query` has them).

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::key::{Admin, Data, Parameters, asked, bad};
use crate::control::calendar::{DAY, date, read_moment};
use crate::control::config::shipped_provider_name;
use crate::control::ledger::Money;
use crate::control::ledger::read::activity::{DAYS, Query, Row, activity};
use crate::control::ledger::read::user_of;

#[derive(Serialize)]
struct Item {
    date: String,
    model: String,
    model_permaslug: String,
    endpoint_id: String,
    provider_name: String,
    usage: Money,
    byok_usage_inference: Money,
    requests: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    reasoning_tokens: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_id: Option<String>,
}

impl From<Row> for Item {
    fn from(row: Row) -> Self {
        let provider_name = shipped_provider_name(&row.provider).unwrap_or(&row.provider).to_owned();
        Self {
            date: row.date,
            model_permaslug: row.model.clone(),
            model: row.model,
            endpoint_id: row.endpoint,
            provider_name,
            usage: row.cost,
            byok_usage_inference: row.byok_cost,
            requests: row.requests,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            reasoning_tokens: row.reasoning_tokens,
            workspace_id: row.team,
        }
    }
}

pub(super) async fn list(Admin(caller): Admin, parameters: Parameters) -> Response {
    let now = caller.now;
    let query = match read(&parameters, now) {
        Ok(query) => query,
        Err(wrong) => return bad(&wrong),
    };
    match asked(move || caller.ledger.read(|connection| activity(connection, &query, now))).await {
        Ok(rows) => {
            let data: Vec<Item> = rows.into_iter().map(Item::from).collect();
            Json(Data { data }).into_response()
        }
        Err(response) => response,
    }
}

fn read(parameters: &Parameters, now: u64) -> Result<Query, String> {
    let today = now / DAY * DAY;
    let day = match parameters.value("date") {
        None => None,
        Some(text) => {
            let day = read_moment(text).filter(|_| text.len() == 10).map(|moment| moment.0);
            let is_shown = |day: &u64| *day <= today && *day + DAYS * DAY >= today;
            Some(day.filter(is_shown).ok_or_else(|| {
                format!(
                    "date: expected today or one of the {DAYS} days before it, in UTC, as {}",
                    date(today)
                )
            })?)
        }
    };
    let key = match parameters.value("api_key_hash") {
        None => None,
        Some(text) => {
            Some(digest(text).ok_or("api_key_hash: expected 64 hexadecimal digits, SHA-256 of a key")?)
        }
    };
    let by_team = match parameters.value("group_by") {
        None => false,
        Some("workspace") => true,
        Some(_) => return Err("group_by: expected workspace".to_owned()),
    };
    Ok(Query {
        day,
        key,
        user: parameters.value("user_id").map(user_of),
        by_team,
        team: parameters.value("workspace_id").map(str::to_owned),
    })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(digest)
}
