//! A provider's invoice against the ledger: what is in both, what only one of them has, where they differ.
//!
//! Lines with an id are looked up one by one, by the provider's id of an answer or by ours. Lines without one
//! are sums, and are compared with the sums of their day and model.
//! Deliberately absent: guesses. What cannot be matched is named, not forced.

mod invoice;

use std::collections::{BTreeMap, HashSet};

use rusqlite::Connection;

use super::read::{self, Generation, Scope};
use super::{LedgerError, Money, Tail};
use crate::control::calendar::{DAY, date};
pub use invoice::Invoice;
pub(super) use invoice::Line;

/// A figure that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// The line of the file, or the day and model of a sum.
    pub what: String,
    /// `prompt_tokens`, `completion_tokens` or `cost`.
    pub figure: &'static str,
    /// As the ledger has it.
    pub ledger: String,
    /// As the invoice has it.
    pub invoice: String,
}

/// What came of comparing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines that agree.
    pub matched: u64,
    /// Lines with something that does not.
    pub differing: Vec<Differing>,
    /// Lines of the invoice that the ledger knows nothing of.
    pub missing_here: Vec<String>,
    /// Requests of the invoice's time and provider that it does not name, though they may be billed.
    pub missing_there: Vec<String>,
    /// Sums of what both have.
    pub ledger_cost: Money,
    /// Likewise.
    pub invoice_cost: Money,
}

impl Report {
    /// Does everything agree?
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.differing.is_empty() && self.missing_here.is_empty() && self.missing_there.is_empty()
    }
}

/// Compares an invoice with the ledger and what is not folded yet (`tail`). `provider` is whose invoice it
/// is; without it, requests that it does not name are only looked for at the providers that it does name.
///
/// # Errors
/// When the database cannot be read.
pub fn reconcile(
    connection: &Connection,
    tail: Option<&Tail>,
    invoice: &Invoice,
    provider: Option<&str>,
    progress: &mut dyn FnMut(usize),
) -> Result<Report, LedgerError> {
    // A request is in one of them, never in both.
    let sources: Vec<&Connection> =
        core::iter::once(connection).chain(tail.map(|tail| &tail.0.connection)).collect();
    let mut report = Report::default();
    let mut seen = HashSet::new();
    let mut providers: HashSet<String> = provider.map(str::to_owned).into_iter().collect();
    let mut times: Option<(u64, u64)> = None;
    let mut sums: BTreeMap<(u64, String), Line> = BTreeMap::new();
    for (turn, line) in invoice.lines.iter().enumerate() {
        if turn % 4_096 == 0 {
            progress(turn);
        }
        if let Some(at) = line.at {
            let (first, last) = times.unwrap_or((at, at));
            times = Some((first.min(at), last.max(at)));
        }
        let Some(id) = &line.id else {
            match (line.at, &line.model) {
                (Some(at), Some(model)) => {
                    sums.entry((at / DAY * DAY, model.clone())).or_default().add(line);
                }
                _ => report
                    .missing_here
                    .push(format!("line {}: it has neither an id nor a day and a model", line.number)),
            }
            continue;
        };
        match find(&sources, id)? {
            Some(found) if provider.is_none_or(|provider| found.provider == provider) => {
                seen.insert(found.id.clone());
                providers.insert(found.provider.clone());
                let (first, last) = times.unwrap_or((found.created_at, found.created_at));
                times = Some((first.min(found.created_at), last.max(found.created_at)));
                report.compare(&format!("line {}: {id}", line.number), line, &Figures::of(&found));
            }
            _ => report.missing_here.push(format!("line {}: {id}", line.number)),
        }
    }
    for ((day, model), line) in &sums {
        let what = format!("{} {model}", date(*day));
        match Figures::of_day(&sources, *day, model, provider)? {
            Some(figures) => report.compare(&what, line, &figures),
            None => report.missing_here.push(what),
        }
    }
    if let Some(times) = times.filter(|_| !seen.is_empty()) {
        for source in &sources {
            report.missing_there.extend(unnamed(source, times, &providers, &seen)?);
        }
    }
    Ok(report)
}

fn find(sources: &[&Connection], id: &str) -> rusqlite::Result<Option<Generation>> {
    for source in sources {
        if let Some(found) = read::generation(source, id, &Scope::All)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What can be compared.
#[derive(Clone, Copy, Debug)]
struct Figures {
    prompt_tokens: i128,
    completion_tokens: i128,
    /// In pico-dollars; `None` when no price was known.
    cost: Option<i128>,
}

impl Figures {
    fn of(found: &Generation) -> Self {
        Self {
            prompt_tokens: found.prompt_tokens.into(),
            completion_tokens: found.completion_tokens.into(),
            cost: found.priced(found.upstream_cost).map(Into::into),
        }
    }

    /// Of a day and a model, by the model's id or by what is behind its slash.
    fn of_day(
        sources: &[&Connection],
        day: u64,
        model: &str,
        provider: Option<&str>,
    ) -> rusqlite::Result<Option<Self>> {
        let sql = format!(
            "SELECT sum(prompt_tokens), sum(completion_tokens), {} FROM days_teams
               JOIN served ON served.number = served
             WHERE start = ?1 AND (?3 IS NULL OR provider = ?3)
               AND (model = ?2 OR substr(model, instr(model, '/') + 1) = ?2)",
            read::halves("upstream_cost")
        );
        let day = i64::try_from(day).unwrap_or(i64::MAX);
        let mut sum: Option<Self> = None;
        for source in sources {
            let mut statement = source.prepare_cached(&sql)?;
            let mut rows = statement.query(rusqlite::params![day, model, provider])?;
            let Some(row) = rows.next()? else { continue };
            let Some(prompt) = row.get::<_, Option<i64>>(0)? else { continue };
            let cost = read::joined(row.get(2)?, row.get(3)?);
            let completion: i64 = row.get(1)?;
            let before = sum.unwrap_or(Self { prompt_tokens: 0, completion_tokens: 0, cost: Some(0) });
            sum = Some(Self {
                prompt_tokens: before.prompt_tokens + i128::from(prompt),
                completion_tokens: before.completion_tokens + i128::from(completion),
                cost: before.cost.map(|before| before + cost),
            });
        }
        Ok(sum)
    }
}

impl Report {
    fn compare(&mut self, what: &str, line: &Line, figures: &Figures) {
        let before = self.differing.len();
        let mut differs = |figure, ledger: String, invoice: String| {
            self.differing.push(Differing { what: what.to_owned(), figure, ledger, invoice });
        };
        for (figure, ours, theirs) in [
            ("prompt_tokens", figures.prompt_tokens, line.prompt_tokens),
            ("completion_tokens", figures.completion_tokens, line.completion_tokens),
        ] {
            if let Some(theirs) = theirs.filter(|theirs| *theirs != ours) {
                differs(figure, ours.to_string(), theirs.to_string());
            }
        }
        if let Some(theirs) = &line.cost {
            let ours = figures.cost;
            if ours.is_none_or(|ours| !theirs.is_rounded(ours)) {
                let ours = ours.map_or_else(|| "no price known".to_owned(), |ours| Money(ours).text());
                differs("cost", ours, Money(theirs.pico).text());
            }
            self.ledger_cost.0 += figures.cost.unwrap_or_default();
            self.invoice_cost.0 += theirs.pico;
        }
        if self.differing.len() == before {
            self.matched += 1;
        }
    }
}

/// Requests of these times and providers that are not among `seen`, as far as they may be billed: those whose
/// answer was read, at least in part.
fn unnamed(
    connection: &Connection,
    (first, last): (u64, u64),
    providers: &HashSet<String>,
    seen: &HashSet<String>,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT requests.id, provider, model, upstream_cost FROM requests
           JOIN served ON served.number = served
         WHERE requests.id >= ?1 AND requests.id < ?2 AND ending <> 1
         ORDER BY requests.id",
    )?;
    let edges = [first, last + 1].map(|edge| format!("gen-{edge:010}"));
    let mut rows = statement.query(edges)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, provider): (String, String) = (row.get(0)?, row.get(1)?);
        if providers.contains(&provider) && !seen.contains(&id) {
            let model: String = row.get(2)?;
            let cost = Money::from(row.get::<_, i64>(3)?).text();
            found.push(format!("{id} {provider} {model} {cost} USD"));
        }
    }
    Ok(found)
}
