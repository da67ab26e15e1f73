//! What one case demands, compared with what came out.
//!
//! Deliberately absent: what must be true of every case (`check`).

use core::fmt::Write as _;

use crate::base::fault::Fault;
use crate::base::record::{Billed, Outcome, Record};
use crate::exchange::sim::case::{Case, Expect};
use crate::exchange::sim::http::{Block, Message, blocks};
use crate::exchange::sim::ledger::{agrees, settle_text};
use crate::exchange::sim::report::{ClientReport, End, Report};

/// Checks every expectation of a case.
///
/// # Errors
/// All that are not met, with what came instead.
pub fn verify(case: &Case, report: &Report) -> Result<(), String> {
    let mut wrong = String::new();
    if report.unscripted > 0 {
        let _ =
            writeln!(wrong, "{} dials or requests more than the case has sections for", report.unscripted);
    }
    for (index, client) in report.clients.iter().enumerate() {
        let lines: Vec<&Expect> = case.expect.iter().filter(|expect| expect.client == index).collect();
        if let Err(why) = Look::new(case, report, client).all(&lines) {
            let _ = writeln!(wrong, "client {}: {why}", index + 1);
            let _ = write!(wrong, "{}", outcome_of(case, report, client));
        }
        if !client.done {
            let _ = writeln!(wrong, "client {} is not done", index + 1);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// What a client got, in the words of a case's `[expect]` section.
#[must_use]
pub fn outcome_of(case: &Case, report: &Report, client: &ClientReport) -> String {
    let mut text = String::new();
    for answer in &client.answers {
        let _ = writeln!(text, "status {}", answer.status());
        for (name, value) in &answer.fields {
            let _ = writeln!(text, "field {name}: {value}");
        }
        if answer.is_events() {
            let (events, rest) = blocks(&answer.body);
            for block in &events {
                let _ = writeln!(text, "{}", block_text(block));
            }
            if !rest.is_empty() {
                let _ = writeln!(text, "rest {}", rest.escape_ascii());
            }
        } else {
            let shown = &answer.body[..answer.body.len().min(1000)];
            let _ = writeln!(text, "body {}", String::from_utf8_lossy(shown));
        }
        let _ = writeln!(text, "{}", if answer.complete { "complete" } else { "cut" });
    }
    let _ = writeln!(text, "connection {}", end_text(client.end));
    for record in &client.records {
        let _ = writeln!(text, "record {}", record_text(case, record));
    }
    for settle in report.settles.iter().filter(|one| is_of(client, &one.id)) {
        let _ = writeln!(text, "settle {}", settle_text(settle));
    }
    for admit in report.admits.iter().filter(|one| is_of(client, &one.id)) {
        let _ = writeln!(text, "admit {} {} {}", admit.reserved, admit.served[0], admit.served[1]);
    }
    text
}

fn is_of(client: &ClientReport, id: &str) -> bool {
    client.records.iter().any(|record| record.id.as_str() == id)
}

/// The state of a comparison: which answer and which record are next.
struct Look<'r> {
    case: &'r Case,
    report: &'r Report,
    client: &'r ClientReport,
    answer: usize,
    record: usize,
    /// Settlements, and admissions, that were named.
    settle: usize,
    admit: usize,
    /// Events of the answer in hand that were not named yet.
    events: Option<Vec<Block>>,
}

impl<'r> Look<'r> {
    const fn new(case: &'r Case, report: &'r Report, client: &'r ClientReport) -> Self {
        Self { case, report, client, answer: 0, record: 0, settle: 0, admit: 0, events: None }
    }

    fn all(mut self, lines: &[&Expect]) -> Result<(), String> {
        for line in lines {
            self.one(line).map_err(|why| format!("expected `{}`: {why}", line.line))?;
        }
        self.events_are_over()?;
        let (answers, records) = (self.client.answers.len(), self.client.records.len());
        if answers != self.answer {
            return Err(format!("{answers} answers, not {}", self.answer));
        }
        let (settles, admits) = (self.report.settles.len(), self.report.admits.len());
        if self.settle > 0 && settles != self.settle || self.admit > 0 && admits != self.admit {
            return Err(format!("{admits} admissions and {settles} settlements"));
        }
        if records != self.record {
            return Err(format!("{records} records, not {}", self.record));
        }
        Ok(())
    }

    fn one(&mut self, line: &Expect) -> Result<(), String> {
        let text = String::from_utf8_lossy(&line.text).into_owned();
        match &*line.word {
            "status" => {
                self.events_are_over()?;
                self.answer += 1;
                equal(&self.message()?.status().to_string(), &text)
            }
            "answers" => self.answers(&text),
            "field" => {
                let (name, value) = text.split_once(": ").ok_or("expected NAME: VALUE")?;
                equal(self.message()?.field(name).unwrap_or("(absent)"), value)
            }
            "no-field" => equal(self.message()?.field(&text).unwrap_or("(absent)"), "(absent)"),
            "event" => self.event(&format!("event {text}")),
            "event-has" => contains(&self.next_event()?, &text),
            "comment" => self.event(&format!("comment {text}")),
            "error-event" => self.event(&format!("error-event {text}")),
            "body" => equal(&String::from_utf8_lossy(&self.message()?.body), &text),
            "body-has" => contains(&String::from_utf8_lossy(&self.message()?.body), &text),
            "complete" => equal(if self.message()?.complete { "complete" } else { "cut" }, "complete"),
            "cut" => equal(if self.message()?.complete { "complete" } else { "cut" }, "cut"),
            "connection" => equal(end_text(self.client.end), &text),
            "record" => {
                let counted = text.strip_prefix('*').and_then(|rest| rest.split_once(' '));
                let (count, want) = counted.unwrap_or(("1", &text));
                for _ in 0..count.parse().map_err(|_| "expected *N")? {
                    let record = self.client.records.get(self.record).ok_or("no more records")?;
                    self.record += 1;
                    equal(&record_text(self.case, record), want)
                        .map_err(|got| format!("record {}: {got}", self.record))?;
                }
                Ok(())
            }
            "settle" => {
                let settle = self.report.settles.get(self.settle).ok_or("no more settlements")?;
                self.settle += 1;
                let got = settle_text(settle);
                if agrees(&got, &text) { Ok(()) } else { Err(format!("got `{got}`")) }
            }
            "admit" => {
                let admit = self.report.admits.get(self.admit).ok_or("no more admissions")?;
                self.admit += 1;
                let [model, provider, _] = &admit.served;
                equal(&format!("{} {model} {provider}", admit.reserved), &text)
            }
            "origin" => self.origin(&text),
            _ => Err("unknown expectation".to_owned()),
        }
    }

    /// `N STATUS TEXT`: so many answers that are alike.
    fn answers(&mut self, text: &str) -> Result<(), String> {
        let (count, rest) = text.split_once(' ').ok_or("expected N STATUS TEXT")?;
        let (status, part) = rest.split_once(' ').unwrap_or((rest, ""));
        for _ in 0..count.parse().map_err(|_| "expected a number")? {
            self.events_are_over()?;
            self.answer += 1;
            let answer = self.message().map_err(|why| format!("answer {}: {why}", self.answer))?;
            let at = |got: String| format!("answer {}: {got}", self.answer);
            equal(&answer.status().to_string(), status).map_err(at)?;
            equal(if answer.complete { "complete" } else { "cut" }, "complete").map_err(at)?;
            contains(&String::from_utf8_lossy(&answer.body), part).map_err(at)?;
        }
        Ok(())
    }

    fn message(&self) -> Result<&'r Message, String> {
        let at = self.answer.checked_sub(1).ok_or("begin with `status`")?;
        self.client.answers.get(at).ok_or_else(|| "no such answer".to_owned())
    }

    fn event(&mut self, want: &str) -> Result<(), String> {
        equal(&self.next_event()?, want)
    }

    fn next_event(&mut self) -> Result<String, String> {
        let message = self.message()?;
        let left = self.events.get_or_insert_with(|| blocks(&message.body).0);
        if left.is_empty() {
            return Err("no more events".to_owned());
        }
        Ok(block_text(&left.remove(0)))
    }

    fn events_are_over(&mut self) -> Result<(), String> {
        match self.events.take().and_then(|left| left.first().map(block_text)) {
            Some(next) => Err(format!("one more event: {next}")),
            None => Ok(()),
        }
    }

    /// `PROVIDER requests N`, `PROVIDER body TEXT`, `PROVIDER head-has TEXT`, `PROVIDER head-lacks TEXT`: of
    /// the last request that reached the provider.
    fn origin(&self, text: &str) -> Result<(), String> {
        let (name, rest) = text.split_once(' ').ok_or("expected a provider")?;
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let providers = &self.case.config.providers;
        let asked: Vec<&Message> = self
            .report
            .attempts
            .iter()
            .filter(|attempt| providers[attempt.provider].name == name)
            .filter_map(|attempt| attempt.request.as_ref())
            .collect();
        if word == "requests" {
            return equal(&asked.len().to_string(), rest);
        }
        let last = asked.last().ok_or("it was never asked")?;
        let mut head = format!("{}\n", last.start);
        for (name, value) in &last.fields {
            let _ = writeln!(head, "{name}: {value}");
        }
        match word {
            "body" => equal(&String::from_utf8_lossy(&last.body), rest),
            "head-has" => contains(&head, rest),
            "head-lacks" if head.contains(rest) => Err(head),
            "head-lacks" => Ok(()),
            _ => Err("unknown expectation".to_owned()),
        }
    }
}

fn equal(got: &str, want: &str) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("got `{got}`")) }
}

fn contains(got: &str, want: &str) -> Result<(), String> {
    if got.contains(want) { Ok(()) } else { Err(format!("got `{got}`")) }
}

const fn end_text(end: End) -> &'static str {
    match end {
        End::Kept => "kept",
        End::Closed => "closed",
        End::Reset => "reset",
    }
}

/// An event in the words of a case.
fn block_text(block: &Block) -> String {
    if block.is_router_error() {
        let data = block.data().unwrap_or_default();
        let text = String::from_utf8_lossy(&data).into_owned();
        let code = text.split("\"code\":").nth(1).unwrap_or_default();
        return format!("error-event {}", code.split(',').next().unwrap_or_default());
    }
    match block.data() {
        Some(data) => format!("event {}", String::from_utf8_lossy(&data)),
        None => {
            let line = block.lines.first().map(|line| String::from_utf8_lossy(line).into_owned());
            let line = line.unwrap_or_default();
            format!("comment {}", line.strip_prefix(": ").unwrap_or(&line))
        }
    }
}

/// A record in the words of a case.
fn record_text(case: &Case, record: &Record) -> String {
    let mut text = match record.outcome {
        Outcome::Complete => "complete".to_owned(),
        Outcome::Refused(status) => format!("refused-{status}"),
        Outcome::Failed(status) => format!("failed-{status}"),
        Outcome::Cut(fault) => format!("cut-{}", fault_text(fault)),
        Outcome::ClientGone => "client-gone".to_owned(),
    };
    for attempt in &record.attempts {
        let name = &case.config.providers[attempt.provider.index()].name;
        let fault = attempt.fault.map_or_else(|| "served".to_owned(), fault_text);
        let billed = match attempt.billed {
            Billed::Yes => "yes",
            Billed::No => "no",
            Billed::Maybe => "maybe",
            Billed::Estimated => "estimated",
        };
        let hedge = if attempt.hedged { "/hedge" } else { "" };
        let _ = write!(text, " {name}={fault}/{billed}{hedge}");
    }
    if let Some(usage) = record.usage {
        let _ = write!(text, " usage {}+{}", usage.prompt_tokens, usage.completion_tokens);
    }
    text
}

fn fault_text(fault: Fault) -> String {
    match fault {
        Fault::Status(status) => status.to_string(),
        other => other.word().to_owned(),
    }
}
