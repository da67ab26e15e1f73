//! The laws can be broken: each kind of lie about a run is found.
//!
//! Deliberately absent: runs that go wrong by themselves (the cases have them).

use super::{Case, Cut, Report, Tuning, World, laws, verify};
use crate::base::ids::ProviderId;
use crate::base::record::{AttemptRecord, Billed, Outcome};
use crate::exchange::sim::ledger::Settled;
use crate::exchange::sim::report::End;
use crate::wire::journal::{Ending, Flags, Source};

const STREAM: &str = r#"
[config]
model m = a/x b/y
[client]
post /v1/chat/completions {"model":"m","stream":true}
answer
[origin a]
answer 503 {}
[origin b]
head 200 events chunked
event {"choices":[1]}
event {"choices":[],"usage":{"prompt_tokens":1}}
event [DONE]
end
[expect]
status 200
event {"choices":[1]}
event [DONE]
complete
connection kept
record complete a=503/no b=served/yes usage 1+0
"#;

fn run(case: &Case) -> Report {
    World::new(case, Tuning { seed: 1, cut: Cut::Whole, log: None }).run()
}

#[track_caller]
fn found(lie: impl Fn(&mut Report), law: &str) {
    let case = Case::parse(STREAM).unwrap();
    let mut report = run(&case);
    assert_eq!((laws(&case, &report), verify(&case, &report)), (Ok(()), Ok(())));
    lie(&mut report);
    let verdict = laws(&case, &report).unwrap_err();
    assert!(verdict.contains(law), "{verdict}");
}

#[test]
fn every_lie_about_a_run_is_found() {
    let body = |report: &mut Report, body: &[u8]| report.clients[0].answers[0].body = body.to_vec();
    let mark = b"data: {\"choices\":[1]}\n\ndata: [DONE]\n\n";
    found(|report| report.bodies_bytes = 1, "still charged");
    found(|report| report.clients[0].flaw = Some("x".to_owned()), "not HTTP");
    found(|report| report.clients[0].awaits_answer = true, "waits for an answer");
    found(|report| report.clients[0].records.clear(), "has no record");
    found(|report| report.clients[0].answers.clear(), "got no answer");
    found(|report| report.clients[0].answers[0].complete = false, "does not end as one");
    found(|report| report.clients[0].answers[0].start = "HTTP/1.1 201 x".to_owned(), "status");
    found(|report| body(report, &mark[..23]), "not the origin's");
    found(|report| body(report, &[&mark[..], mark].concat()), "not the origin's");
    found(|report| body(report, &[&mark[..], b"data"].concat()), "what follows");
    found(|report| drop(report.attempts.remove(0)), "1 dials");
    found(|report| report.clients[0].records[0].outcome = Outcome::Refused(400), "of our own");
    found(|report| report.clients[0].records[0].outcome = Outcome::ClientGone, "has not left");
    let field = |report: &mut Report, value: &str| {
        let fields = &mut report.clients[0].answers[0].fields;
        fields.retain(|(name, _)| name != "x-millrace-attempts");
        fields.push(("x-millrace-attempts".to_owned(), value.to_owned()));
    };
    for value in ["b:200", "a:500,b:200", "a:503,b:201", "a:503,b:200,b:200", ""] {
        found(|report| field(report, value), "other attempts are told");
    }
    found(
        |report| report.clients[0].answers[0].fields.retain(|one| one.0 != "x-millrace-attempts"),
        "other attempts",
    );
    let again = |report: &mut Report| {
        let record = report.clients[0].records[0].clone();
        report.clients[0].records.push(record);
    };
    found(again, "two records");
    let attempts = |report: &mut Report, change: fn(&mut [AttemptRecord])| {
        change(&mut report.clients[0].records[0].attempts);
    };
    found(|report| attempts(report, |all| all[1].hedged = true), "nobody allows");
    found(
        |report| attempts(report, |all| all.iter_mut().for_each(|one| one.hedged = true)),
        "than one hedge",
    );
    found(|report| attempts(report, |all| all[0].fault = None), "not the last");
    found(|report| attempts(report, |all| all.swap(0, 1)), "not the last");
    found(|report| attempts(report, |all| all[1].provider = ProviderId(0)), "2 dials");
}

#[test]
fn every_lie_about_a_request_is_found() {
    let asked = |report: &mut Report, turn: usize, from: &str, to: &str| {
        let request = report.attempts[turn].request.as_mut().unwrap();
        let body = String::from_utf8_lossy(&request.body).replace(from, to);
        request.body = body.into_bytes();
        request.start = request.start.replace(from, to);
        for (_, value) in &mut request.fields {
            *value = value.replace(from, to);
        }
    };
    found(|report| asked(report, 0, "sk-origin-a", "sk-client-1"), "client's key");
    found(|report| asked(report, 1, "sk-origin-b", "sk-origin-a"), "credential");
    found(|report| asked(report, 1, "b.test", "a.test"), "wrong host");
    found(|report| asked(report, 0, "/v1/chat", "/chat"), "request line");
    found(|report| asked(report, 0, "\"model\":\"x\"", "\"model\":\"y\""), "not the client's");
}

#[test]
fn every_lie_about_the_ledger_is_found() {
    let settle = |lie: fn(&mut Settled), law: &str| found(|report| lie(&mut report.settles[0]), law);
    found(|report| report.settles.clear(), "settled 0 times");
    found(|report| report.settles.push(report.settles[0].clone()), "settled 2 times");
    found(|report| report.admits.clear(), "more is settled");
    found(|report| report.admits[0].reserved = -1, "below nothing");
    settle(|one| one.ending = Ending::Cut, "another ending");
    settle(|one| drop(one.attempts.pop()), "other attempts");
    settle(|one| one.attempts[1].billed = Billed::Maybe, "other attempts");
    settle(|one| one.attempts[0].fault.clear(), "other attempts");
    settle(|one| one.attempts[0].status = 0, "other attempts");
    settle(|one| one.attempts[0].tokens = [1, 0], "a refusal is charged");
    settle(|one| one.attempts[1].tokens = [1, 1], "other tokens");
    settle(|one| one.attempts[1].cost = 1, "another price");
    settle(|one| one.attempts[1].micros[1] = 60_000_000, "outlasts");
    settle(|one| one.source = Source::None, "from nowhere");
    settle(|one| one.flags = Flags::default(), "wrong thing of its price");
    settle(|one| one.cost.total = 7, "without a price");
    settle(|one| one.flags = Flags::UNPRICED.with(Flags::DRAINED, true), "its client still there");
    settle(|one| one.answer_bytes += 1, "other bytes");
}

#[test]
fn every_expectation_can_fail() {
    let (scenario, lines) = STREAM.split_once("[expect]\n").unwrap();
    for (turn, line) in lines.lines().enumerate() {
        let wrong = lines.replacen(line, &format!("{line}x"), 1);
        let text = format!("{scenario}[expect]\n{wrong}");
        let wrong = Case::parse(&text).map(|case| verify(&case, &run(&case)));
        assert!(matches!(wrong, Ok(Err(_))), "line {turn}: {line}");
        let text = format!("{scenario}[expect]\n{}", lines.replacen(&format!("{line}\n"), "", 1));
        let optional = matches!(line, "complete" | "connection kept");
        let case = Case::parse(&text).unwrap();
        assert!(optional || verify(&case, &run(&case)).is_err(), "without line {turn}: {line}");
    }
    let case = Case::parse(STREAM).unwrap();
    let mut report = run(&case);
    report.clients[0].end = End::Closed;
    assert!(verify(&case, &report).is_err());
}
