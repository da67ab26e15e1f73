//! `GET /credits`: what everything has cost. Nobody buys credits here, so there are as many as were used.
//!
//! Deliberately absent: balances.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::key::{Admin, Data, asked};
use crate::control::ledger::Money;
use crate::control::ledger::read::totals;

#[derive(Serialize)]
struct Credits {
    total_credits: Money,
    total_usage: Money,
}

pub(super) async fn credits(Admin(caller): Admin) -> Response {
    match asked(move || caller.ledger.read(totals::everything)).await {
        Ok(total) => {
            Json(Data { data: Credits { total_credits: total, total_usage: total } }).into_response()
        }
        Err(response) => response,
    }
}
