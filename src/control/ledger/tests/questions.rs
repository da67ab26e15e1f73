//! Questions, exports and invoices over a small ledger whose sums are known.
//!
//! Deliberately absent: HTTP.

use serde_json::{Value, json};

use super::super::read::activity::{Query as ActivityQuery, Row as ActivityRow, activity};
use super::super::read::analytics::{GRANULARITIES, METRICS, answer};
use super::super::read::ask::Query;
use super::super::read::{user_of, user_text};
use super::super::{Export, Format, Invoice, Money, Tail, reconcile};
use super::*;
use crate::base::record::Usage;
use crate::control::calendar::{DAY, read_moment};
use crate::wire::journal::{Caller, Cost, Ending, Served, Source};

/// 2026-11-20 is today here.
fn now() -> u64 {
    read_moment("2026-11-20T12:00:00Z").unwrap().0
}

const ONE: Caller<'_> = Caller { key_digest: [1; 32], key: "one", team: "red", user_hash: 0 };
const TWO: Caller<'_> = Caller { key_digest: [2; 32], key: "two", team: "blue", user_hash: 7 };
const GPT: Served<'_> =
    Served { model: "openai/gpt-x", provider: "openai", endpoint: "openai", price_version: 3 };
const OWN: Served<'_> = Served { model: "acme/own", provider: "acme", endpoint: "acme/eu", price_version: 1 };

/// Settled requests: when, who, what, cost in pico-dollars, tokens in and out.
const REQUESTS: [(&str, Caller<'_>, Served<'_>, i64, u64, u64); 6] = [
    ("2026-11-18T10:00:05Z", ONE, GPT, 1_234_567_890_123, 100, 10),
    ("2026-11-18T10:59:59Z", ONE, GPT, 1, 200, 20),
    ("2026-11-18T11:00:00Z", TWO, GPT, 2_000_000_000_000, 300, 30),
    ("2026-11-19T23:59:59Z", TWO, OWN, 5, 400, 40),
    ("2026-11-20T00:00:00Z", ONE, OWN, 70_000_000, 500, 50),
    ("2026-10-01T00:00:00Z", ONE, GPT, 9_000_000_000_000, 600, 60),
];

pub(super) fn settled(list: &mut List) {
    let mut traffic = Traffic::new(40);
    for (turn, (at, caller, served, cost, prompt_tokens, completion_tokens)) in
        REQUESTS.into_iter().enumerate()
    {
        traffic.settle(list, 0, read_moment(at).unwrap(), |settle| {
            (settle.caller, settle.served) = (caller, served);
            settle.upstream_id = ["up-0", "up-1", "up-2", "up-3", "up-4", "up-5"][turn];
            settle.usage = Usage { prompt_tokens, completion_tokens, ..Usage::default() };
            settle.cost = Cost { total: cost, upstream: cost, ..Cost::default() };
            settle.flags = Flags::STREAMED;
            settle.ending = if turn == 1 { Ending::ClientGone } else { Ending::Complete };
            settle.source = Source::Reported;
            settle.counted_tokens = completion_tokens as u32 * 2;
            (settle.first_byte_micros, settle.took_micros) = (1_000_000, 2_000_000);
            settle.attempts.to_mut().clear();
        });
    }
}

fn ledger() -> Folder {
    let mut list = List::default();
    settled(&mut list);
    let mut folder = Folder::open(":memory:".as_ref(), 1, None).unwrap();
    fold_all(&mut folder, &mut list, 100);
    folder
}

#[track_caller]
fn check(question: Value, want: Value) {
    let folder = ledger();
    let query = Query::read(&question, now()).unwrap();
    let answer = answer(&folder.connection, &query).unwrap();
    let got: Value = serde_json::from_str(&serde_json::to_string(&answer.rows).unwrap()).unwrap();
    assert_eq!(got, want, "{question}");
}

#[test]
fn questions_have_their_answers() {
    let days = json!({"start": "2026-11-18T00:00:00Z", "end": "2026-11-20T00:00:00Z"});
    check(
        json!({"metrics": ["request_count", "total_usage"], "time_range": days}),
        json!([{"request_count": 4, "total_usage": 3.234567890129}]),
    );
    check(
        json!({
            "metrics": ["request_count"], "dimensions": ["model"], "granularity": "day", "time_range": days,
        }),
        json!([
            {"date": "2026-11-18T00:00:00Z", "model": "openai/gpt-x", "request_count": 3},
            {"date": "2026-11-19T00:00:00Z", "model": "acme/own", "request_count": 1},
        ]),
    );
    check(
        json!({"metrics": ["tokens_prompt", "cancelled_count"], "granularity": "hour", "time_range": days}),
        json!([
            {"date": "2026-11-18T10:00:00Z", "tokens_prompt": 300, "cancelled_count": 1},
            {"date": "2026-11-18T11:00:00Z", "tokens_prompt": 300, "cancelled_count": 0},
            {"date": "2026-11-19T23:00:00Z", "tokens_prompt": 400, "cancelled_count": 0},
        ]),
    );
    check(
        json!({
            "metrics": ["request_count"], "granularity": "minute", "dimensions": ["api_key_id"],
            "time_range": {"start": "2026-11-18T10:00:00Z", "end": "2026-11-18T10:59:59Z"},
        }),
        json!([{"date": "2026-11-18T10:00:00Z", "api_key_id": "one", "request_count": 1}]),
    );
    check(
        json!({"metrics": ["request_count"], "granularity": "week", "dimensions": ["workspace"]}),
        json!([
            {"date": "2026-11-16T00:00:00Z", "workspace": "blue", "request_count": 2},
            {"date": "2026-11-16T00:00:00Z", "workspace": "red", "request_count": 3},
        ]),
    );
    check(
        json!({
            "metrics": ["total_usage"], "granularity": "month", "dimensions": [],
            "time_range": {"start": "2026-01-01", "end": "2027-01-01"},
        }),
        json!([
            {"date": "2026-10-01T00:00:00Z", "total_usage": 9},
            {"date": "2026-11-01T00:00:00Z", "total_usage": 3.234637890129},
        ]),
    );
    check(
        json!({
            "metrics": ["request_count", "latency", "generation_time", "throughput", "count_ratio"],
            "dimensions": ["external_user"],
        }),
        json!([{
            "external_user": "0000000000000007", "request_count": 2, "latency": 1000.0,
            "generation_time": 1000.0, "throughput": 35.0, "count_ratio": 2.0,
        }]),
    );
}

#[test]
fn filters_orders_and_limits_hold() {
    let both = ["api_key_id", "model"];
    let ask = |filters: Value| json!({"metrics": ["request_count"], "dimensions": both, "filters": filters});
    let row = |key: &str, model: &str, n: u64| json!({"api_key_id": key, "model": model, "request_count": n});
    let filter =
        |field: &str, operator: &str, v: Value| json!({"field": field, "operator": operator, "value": v});
    let (gpt, own) = ("openai/gpt-x", "acme/own");
    check(
        ask(json!([])),
        json!([row("one", own, 1), row("one", gpt, 2), row("two", own, 1), row("two", gpt, 1)]),
    );
    check(ask(json!([filter("model", "eq", json!(gpt))])), json!([row("one", gpt, 2), row("two", gpt, 1)]));
    check(
        ask(json!([filter("provider", "neq", json!("acme"))])),
        json!([row("one", gpt, 2), row("two", gpt, 1)]),
    );
    check(
        ask(json!([
            filter("model", "in", json!([own, "gone"])),
            filter("workspace", "not_in", json!(["red"]))
        ])),
        json!([row("two", own, 1)]),
    );
    check(ask(json!([filter("request_count", "gt", json!(1))])), json!([row("one", gpt, 2)]));
    check(ask(json!([filter("total_usage", "gte", json!(2))])), json!([row("two", gpt, 1)]));
    check(
        ask(json!([filter("api_key_hash", "eq", json!("02".repeat(32)))])),
        json!([row("two", own, 1), row("two", gpt, 1)]),
    );
    check(
        ask(json!([filter("external_user", "eq", json!("0000000000000007"))])),
        json!([row("two", own, 1), row("two", gpt, 1)]),
    );
    check(ask(json!([filter("model", "eq", json!("'; DROP TABLE requests; --"))])), json!([]));
    let ordered = json!({
        "metrics": ["request_count"], "dimensions": ["model"], "limit": 1,
        "order_by": {"field": "total_usage", "direction": "desc"},
    });
    check(ordered, json!([{"model": gpt, "request_count": 3}]));
    let grouped = json!({
        "metrics": ["request_count"], "dimensions": ["model"], "granularity": "hour", "group_limit": 1,
        "order_by": {"field": "request_count", "direction": "desc"},
    });
    check(
        grouped,
        json!([
            {"date": "2026-11-18T10:00:00Z", "model": gpt, "request_count": 2},
            {"date": "2026-11-19T23:00:00Z", "model": own, "request_count": 1},
        ]),
    );
}

#[test]
fn every_metric_and_granularity_is_answered_and_a_limit_is_told() {
    let folder = ledger();
    let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    for (granularity, _) in GRANULARITIES {
        for dimension in ["model", "workspace", "api_key_id", "external_user"] {
            let question = json!({
                "metrics": names, "dimensions": [dimension], "granularity": granularity, "limit": 1,
                "time_range": {"start": "2026-11-18T00:00:00Z", "end": "2026-11-20T00:00:00Z"},
                "order_by": {"field": "count_ratio"},
            });
            let query = Query::read(&question, now()).unwrap();
            let answer = answer(&folder.connection, &query).unwrap();
            assert_eq!(answer.rows.len(), 1);
            assert_eq!(
                answer.truncated,
                dimension != "external_user" || granularity != "week" && granularity != "month"
            );
            assert_eq!(answer.rows[0].0.len(), 2 + names.len());
        }
    }
    let question = json!({
        "metrics": ["request_count"],
        "time_range": {"start": "2026-11-18T10:30:00Z", "end": "2026-11-18T10:31:00Z"},
    });
    let answer = answer(&folder.connection, &Query::read(&question, now()).unwrap()).unwrap();
    assert!(answer.warnings[0].starts_with("the time range was widened"), "{:?}", answer.warnings);
}

#[test]
fn what_is_wrong_with_a_question_is_named() {
    let check = |question: Value, want: &str| {
        let wrong = Query::read(&question, now()).expect_err("it is wrong");
        assert!(wrong.starts_with(want), "{question}: {wrong}");
    };
    let with = |member: &str, value: Value| {
        let mut question = json!({"metrics": ["request_count"]});
        question[member] = value;
        question
    };
    check(json!([]), "the body:");
    check(json!({}), "metrics: expected at least one name");
    check(
        json!({"metrics": ["request_count", "nonsense"]}),
        "metrics[1]: nonsense is not known; there are request_count",
    );
    check(json!({"metrics": "request_count"}), "metrics: expected a list");
    check(with("dimensions", json!(["model", "nonsense"])), "dimensions[1]: nonsense is not known");
    check(with("dimensions", json!(["model", "model"])), "dimensions[1]: model is there already");
    check(
        with("dimensions", json!(["model", "provider", "endpoint"])),
        "dimensions: expected a list of at most 2",
    );
    check(with("granularity", json!("year")), "granularity: expected one of minute, hour");
    check(with("time_range", json!({"start": "now"})), "time_range.start: expected a moment");
    check(
        with("time_range", json!({"start": "2026-11-02", "end": "2026-11-01"})),
        "time_range: start must be before",
    );
    let long = json!({
        "metrics": ["request_count"], "granularity": "minute",
        "time_range": {"start": "2020-01-01", "end": "2026-01-01"},
    });
    check(long, "time_range: 3156480 buckets are more than");
    check(with("order_by", json!({"field": "date"})), "order_by.field:");
    check(with("order_by", json!({"field": "request_count", "direction": "up"})), "order_by.direction:");
    check(with("limit", json!(0)), "limit: expected a whole number from 1");
    check(with("limit", json!(1.5)), "limit: expected a whole number from 1");
    check(with("group_limit", json!("x")), "group_limit:");
    check(with("filters", json!({})), "filters: expected a list of at most 20");
    check(with("filters", json!(vec![json!({}); 21])), "filters: expected a list of at most 20");
    check(with("filters", json!([{"field": "x"}])), "filters[0].field:");
    check(
        with("filters", json!([{"field": "model", "operator": "like", "value": "x"}])),
        "filters[0].operator:",
    );
    check(
        with("filters", json!([{"field": "model", "operator": "in", "value": "x"}])),
        "filters[0].value: expected a list",
    );
    check(
        with("filters", json!([{"field": "model", "operator": "eq", "value": ["x"]}])),
        "filters[0].value: expected a text",
    );
    check(
        with("filters", json!([{"field": "model", "operator": "eq", "value": 5}])),
        "filters[0].value: eq of this field compares texts",
    );
    check(
        with("filters", json!([{"field": "request_count", "operator": "gt", "value": "5"}])),
        "filters[0].value:",
    );
    check(with("frobnicate", json!(1)), "frobnicate: not known here");
    check(with("classifier_filters", json!({"a": 1})), "classifier_filters: there are no classifiers");
    assert!(Query::read(&with("classifier_dimensions", Value::Null), now()).is_ok());
}

#[test]
fn activity_is_of_days_that_are_over() {
    let folder = ledger();
    let ask = |query: &ActivityQuery| -> Vec<String> {
        let rows = activity(&folder.connection, query, now()).unwrap();
        let line = |row: &ActivityRow| {
            let team = row.team.as_deref().unwrap_or("-");
            format!("{} {} {} {} {}", row.date, row.model, team, row.requests, row.cost.text())
        };
        rows.iter().map(line).collect()
    };
    let all = ActivityQuery::default();
    assert_eq!(
        ask(&all),
        ["2026-11-19 acme/own - 1 0.000000000005", "2026-11-18 openai/gpt-x - 3 3.234567890124"]
    );
    let day = ActivityQuery { day: Some(now() / DAY * DAY - 2 * DAY), ..all.clone() };
    assert_eq!(ask(&day), ["2026-11-18 openai/gpt-x - 3 3.234567890124"]);
    let key = ActivityQuery { key: Some([1; 32]), ..all.clone() };
    assert_eq!(ask(&key), ["2026-11-18 openai/gpt-x - 2 1.234567890124"]);
    let user = ActivityQuery { user: Some(7), by_team: true, ..all.clone() };
    assert_eq!(ask(&user), ["2026-11-19 acme/own blue 1 0.000000000005", "2026-11-18 openai/gpt-x blue 1 2"]);
    let teams = ActivityQuery { by_team: true, day: day.day, ..all.clone() };
    assert_eq!(
        ask(&teams),
        ["2026-11-18 openai/gpt-x blue 1 2", "2026-11-18 openai/gpt-x red 2 1.234567890124"]
    );
    let team = ActivityQuery { team: Some("blue".into()), ..all };
    assert_eq!(ask(&team), ["2026-11-19 acme/own - 1 0.000000000005", "2026-11-18 openai/gpt-x - 1 2"]);
}

#[test]
fn what_a_key_used_is_of_its_day_week_and_month() {
    let folder = ledger();
    let (used, byok) = read::totals::of_key(&folder.connection, &[1; 32], now()).unwrap();
    let texts = [used.day, used.week, used.month, used.all].map(Money::text);
    assert_eq!(texts, ["0.00007", "1.234637890124", "1.234637890124", "10.234637890124"]);
    assert_eq!(byok, read::totals::Used::default());
    assert_eq!(read::totals::everything(&folder.connection).unwrap().text(), "12.234637890129");
}

#[test]
fn users_are_named_by_their_hash() {
    assert_eq!(user_of("a").cast_unsigned(), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(user_of("af63dc4c8601ec8c"), user_of("a"));
    assert_eq!(user_text(user_of("a")).as_deref(), Some("af63dc4c8601ec8c"));
    assert_eq!((user_of(""), user_text(0)), (0, None));
}

fn exported(format: Format, since: &str) -> Vec<u8> {
    let (mut list, scratch) = (List::default(), Scratch::new());
    settled(&mut list);
    // Half of it is only in the journal.
    let (mut first, _) = list.clone().half();
    let mut folder = Folder::open(&scratch.file(), 1, None).unwrap();
    fold_all(&mut folder, &mut first, 100);
    let tail = Tail::read(&folder.connection, &mut list).unwrap();
    let export = Export { since: read_moment(since).unwrap().0, until: u64::MAX, format };
    let mut out = Vec::new();
    export.run(&folder.connection, Some(&tail), &mut out, &mut |_, _| {}).unwrap();
    out
}

#[test]
fn every_format_has_the_same_digits() {
    let csv = String::from_utf8(exported(Format::Csv, "2026-11-18T10:30:00Z")).unwrap();
    let names: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let place = |name: &str| names.iter().position(|other| *other == name).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows.iter().map(|row| row[place(name)]).collect::<Vec<_>>();
    assert_eq!(column("cost"), ["0.000000000001", "2", "0.000000000005", "0.00007"]);
    assert_eq!(column("upstream_id"), ["up-1", "up-2", "up-3", "up-4"]);
    assert_eq!(column("created_at")[0], "2026-11-18T10:59:59Z");
    assert!(rows.iter().all(|row| row.len() == names.len()));

    let json = String::from_utf8(exported(Format::JsonLines, "2026-11-18")).unwrap();
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[0].contains("\"cost\":1.234567890123,"), "{}", lines[0]);
    assert!(lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));

    let parquet = exported(Format::Parquet, "2026-11-18");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let has = |bytes: &[u8]| parquet.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(&1_234_567_890_123_i64.to_le_bytes()) && has(b"\x04\0\0\0up-3"));
}

#[test]
fn an_invoice_is_compared_line_by_line() {
    let folder = ledger();
    let check = |invoice: &str, provider: Option<&str>, want: &str| {
        let invoice = Invoice::read(invoice).unwrap();
        let report = reconcile(&folder.connection, None, &invoice, provider, &mut |_| {}).unwrap();
        let differing: Vec<String> = report
            .differing
            .iter()
            .map(|one| format!("{} {} {}≠{}", one.what, one.figure, one.ledger, one.invoice))
            .collect();
        let there = report.missing_there.iter().map(|line| line[36..].to_owned());
        let got = format!(
            "{} / {} / {} / {}",
            report.matched,
            differing.join(", "),
            report.missing_here.join(", "),
            there.collect::<Vec<_>>().join(", ")
        );
        assert_eq!(got, want, "{invoice:?}");
    };
    let head = "id,input_tokens,output_tokens,cost\n";
    // Rounded to the digits that the invoice shows.
    check(&format!("{head}up-0,100,10,1.2346\nup-1,200,20,0\nup-2,300,30,2.00\n"), None, "3 /  /  / ");
    check(
        &format!("{head}up-0,100,11,1.2346\nup-9,1,1,1\nup-2,300,30,2.01\n"),
        Some("openai"),
        "0 / line 2: up-0 completion_tokens 10≠11, line 4: up-2 cost 2≠2.01 / line 3: up-9 / \
         openai openai/gpt-x 0.000000000001 USD",
    );
    // What another provider served is none of this one's.
    check(&format!("{head}up-3,400,40,0\n"), Some("openai"), "0 /  / line 2: up-3 / ");
    let sums = "date,model,input_tokens,output_tokens,cost\n";
    check(
        &format!(
            "{sums}2026-11-18,gpt-x,400,40,2.234568\n2026-11-18,openai/gpt-x,600,60,3.234568\n\
             2026-11-17,gpt-x,1,1,1\n"
        ),
        None,
        "1 / 2026-11-18 gpt-x prompt_tokens 600≠400, 2026-11-18 gpt-x completion_tokens 60≠40, \
         2026-11-18 gpt-x cost 3.234567890124≠2.234568 / 2026-11-17 gpt-x / ",
    );
}
