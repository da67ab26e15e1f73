//! How quick it is, on a small scale; `MILLRACE_LEDGER_SCALE=1` makes it the full one (100 million requests,
//! two million records), to be run with `--release` and `--nocapture`.
//!
//! Deliberately absent: bounds that a busy machine would break.

use std::time::Instant;

use super::super::read::activity::{Query, activity};
use super::*;
use crate::control::calendar::DAY;

fn is_full() -> bool {
    std::env::var_os("MILLRACE_LEDGER_SCALE").is_some()
}

#[test]
fn the_fold_is_quick() {
    let requests = if is_full() { 1_000_000 } else { 5_000 };
    let mut list = Traffic::new(30).list(1, requests);
    let scratch = Scratch::new();
    let mut folder = Folder::open(&scratch.file(), 1, None).unwrap();
    let begun = Instant::now();
    let folded = fold_all(&mut folder, &mut list, 32_768);
    let rate = folded.records as f64 / begun.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(scratch.file()).unwrap().len() as f64 / folded.requests as f64;
    println!("fold: {} records, {rate:.0} records/s, {bytes:.0} bytes per request", folded.records);
    assert_eq!(folded.records, list.records.len());
    assert!(rate > 1_000.0, "{rate} records/s");
}

/// Roll-ups as this many requests would have made them: every day, model and key.
fn generated(folder: &Folder, days: u64, models: u64, keys: u64, requests: u64) -> u64 {
    let now = 1_790_000_000 / DAY * DAY + 3_600;
    let cells = days * models * keys;
    let mut script = "BEGIN;".to_owned();
    for model in 1..=models {
        script.push_str(&format!(
            "INSERT INTO served VALUES ({model}, 'author/model-{model}', 'p{p}', 'p{p}/e');",
            p = model % 9
        ));
    }
    script.push_str("INSERT INTO words VALUES (1, '');");
    for key in 1..=keys {
        script.push_str(&format!(
            "INSERT INTO callers VALUES ({key}, x'{}', 'key-{key}', '');",
            format!("{key:02x}").repeat(32)
        ));
    }
    let numbers = "WITH RECURSIVE
        d(day) AS (SELECT 1 UNION ALL SELECT day + 1 FROM d WHERE day < %D),
        m(model) AS (SELECT 1 UNION ALL SELECT model + 1 FROM m WHERE model < %M),
        k(key) AS (SELECT 1 UNION ALL SELECT key + 1 FROM k WHERE key < %K)"
        .replace("%D", &days.to_string())
        .replace("%M", &models.to_string())
        .replace("%K", &keys.to_string());
    let sums = |share: u64| vec![share.to_string(); COLUMNS.len()].join(", ");
    let today = now / DAY * DAY;
    script.push_str(&format!(
        "INSERT INTO days_keys {numbers} SELECT key, {today} - day * 86400, model, {} FROM k, d, m;",
        sums(requests / cells)
    ));
    script.push_str(&format!(
        "INSERT INTO days_teams {numbers} SELECT {today} - day * 86400, 1, model, {}
         FROM d, m, k WHERE key = 1;",
        sums(requests / cells * keys)
    ));
    script.push_str("COMMIT;");
    folder.connection.execute_batch(&script).unwrap();
    now
}

#[test]
fn activity_of_30_days_is_quick() {
    let (models, keys) = if is_full() { (400, 20) } else { (100, 5) };
    let scratch = Scratch::new();
    let folder = Folder::open(&scratch.file(), 1, None).unwrap();
    let now = generated(&folder, 60, models, keys, 200_000_000);
    let reader = super::super::open_reader(&scratch.file()).unwrap();
    for (name, query, rows) in [
        ("all", Query::default(), 30 * models),
        ("one key", Query { key: Some([3; 32]), ..Query::default() }, 30 * models),
        ("one day", Query { day: Some(now / DAY * DAY - DAY), ..Query::default() }, models),
        ("teams", Query { by_team: true, ..Query::default() }, 30 * models),
    ] {
        let begun = Instant::now();
        let found = activity(&reader, &query, now).unwrap();
        let took = begun.elapsed();
        let requests: i64 = found.iter().map(|row| row.requests).sum();
        println!("/activity, {name}: {} rows of {requests} requests in {took:?}", found.len());
        assert_eq!(found.len() as u64, rows);
        assert!(took.as_secs() < 5, "{took:?}");
    }
}
