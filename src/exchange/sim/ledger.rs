//! The simulator's journal, kept in memory, and the laws of the ledger: each request is admitted before a
//! byte of it is sent and settled once, with every attempt of its record, at the price of its tokens.
//!
//! ```text
//! settle ENDING[-FAULT] SOURCE P+C cost TOTAL/UPSTREAM PROVIDER=BILLED/P+C/COST … FLAG …
//! ```
//!
//! Deliberately absent: files, and reading a journal back.

use core::cell::RefCell;
use core::fmt::Write as _;
use std::rc::Rc;

use crate::base::record::{Billed, Outcome, Record, Usage};
use crate::exchange::sim::case::{Case, Config};
use crate::exchange::sim::report::{ClientReport, End, Report};
use crate::policy::catalog::UnknownPrice;
use crate::wire::journal::{Admit, Attempt, Cost, Ending, Flags, Full, Journal, Sequence, Settle, Source};

/// An admission, as it was written down.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The request.
    pub id: String,
    /// Estimated tokens of the prompt.
    pub prompt_tokens: u32,
    /// Most tokens of the answer.
    pub most_completion_tokens: u32,
    /// What it is charged with should it never settle.
    pub reserved: i64,
    /// Who was to serve it: model, provider, endpoint.
    pub served: [String; 3],
}

/// One attempt of a settlement.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Id of the provider.
    pub provider: String,
    /// HTTP status; 0 when there was none.
    pub status: u16,
    /// Word of its fault.
    pub fault: String,
    /// May it be charged?
    pub billed: Billed,
    /// It was a hedge.
    pub hedged: bool,
    /// Microseconds: its begin and its end.
    pub micros: [u32; 2],
    /// Tokens of prompt and answer.
    pub tokens: [u32; 2],
    /// What they cost.
    pub cost: i64,
}

/// A settlement, as it was written down.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The request.
    pub id: String,
    /// How it ended.
    pub ending: Ending,
    /// The status that the client got.
    pub status: u16,
    /// Word of the fault that ended it.
    pub fault: String,
    /// Figures.
    pub usage: Usage,
    /// Where they come from.
    pub source: Source,
    /// What they cost.
    pub cost: Cost,
    /// Facts.
    pub flags: Flags,
    /// Answer bytes sent to the client.
    pub answer_bytes: u64,
    /// Microseconds to the first byte and to the end.
    pub micros: [u32; 2],
    /// Every attempt.
    pub attempts: Vec<Tried>,
}

/// What the journal of a world holds.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) admits: Vec<Admitted>,
    pub(super) settles: Vec<Settled>,
    /// Requests that there is room for.
    room: Option<usize>,
}

impl Book {
    /// This request is admitted and not settled.
    pub(super) fn owes(&self, id: &str) -> bool {
        let settled = self.settles.iter().any(|one| one.id == id);
        self.admits.iter().any(|one| one.id == id) && !settled
    }
}

/// The end of it that the core writes to.
#[derive(Debug)]
pub(super) struct Pen(Rc<RefCell<Book>>);

impl Pen {
    pub(super) fn new(config: &Config) -> (Self, Rc<RefCell<Book>>) {
        let book = Rc::new(RefCell::new(Book { room: config.journal_room, ..Book::default() }));
        (Self(Rc::clone(&book)), book)
    }
}

impl Journal for Pen {
    fn admit(&mut self, admit: &Admit<'_>) -> Result<Sequence, Full> {
        let mut book = self.0.borrow_mut();
        if book.room.is_some_and(|room| book.admits.len() >= room) {
            return Err(Full);
        }
        let id = admit.id.as_str().to_owned();
        assert!(book.admits.iter().all(|one| one.id != id), "{id} is admitted twice");
        let served = admit.served;
        book.admits.push(Admitted {
            id,
            prompt_tokens: admit.prompt_tokens,
            most_completion_tokens: admit.most_completion_tokens,
            reserved: admit.reserved,
            served: [served.model, served.provider, served.endpoint].map(str::to_owned),
        });
        Ok(Sequence((book.admits.len() + book.settles.len()) as u64))
    }

    fn settle(&mut self, settle: &Settle<'_>) -> Sequence {
        let mut book = self.0.borrow_mut();
        let id = settle.id.as_str().to_owned();
        assert!(book.owes(&id), "{id} is settled without being owed");
        let tried = |one: &Attempt<'_>| Tried {
            provider: one.provider.to_owned(),
            status: one.status,
            fault: one.fault.to_owned(),
            billed: one.billed,
            hedged: one.hedged,
            micros: [one.began_micros, one.began_micros.saturating_add(one.took_micros)],
            tokens: [one.prompt_tokens, one.completion_tokens],
            cost: one.cost,
        };
        book.settles.push(Settled {
            id,
            ending: settle.ending,
            status: settle.status,
            fault: settle.fault.to_owned(),
            usage: settle.usage,
            source: settle.source,
            cost: settle.cost,
            flags: settle.flags,
            answer_bytes: settle.answer_bytes,
            micros: [settle.first_byte_micros, settle.took_micros],
            attempts: settle.attempts.iter().map(tried).collect(),
        });
        Sequence((book.admits.len() + book.settles.len()) as u64)
    }
}

type Verdict = Result<(), String>;

fn require(holds: bool, otherwise: &str) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// Checks the laws of the ledger.
pub(super) fn laws(case: &Case, report: &Report) -> Verdict {
    for admit in &report.admits {
        let settled = report.settles.iter().filter(|one| one.id == admit.id).count();
        let id = &admit.id;
        require(settled == 1, &format!("{id} is admitted and settled {settled} times"))?;
        require(admit.reserved >= 0, "a reservation below nothing")?;
    }
    require(report.settles.len() == report.admits.len(), "more is settled than was admitted")?;
    for client in &report.clients {
        for record in &client.records {
            of_record(case, client, record, report)
                .map_err(|why| format!("the ledger: {why}: {record:?}: {:?}", settle_of(record, report)))?;
        }
    }
    Ok(())
}

fn settle_of<'r>(record: &Record, report: &'r Report) -> Option<&'r Settled> {
    report.settles.iter().find(|one| one.id == record.id.as_str())
}

fn of_record(case: &Case, client: &ClientReport, record: &Record, report: &Report) -> Verdict {
    let Some(settle) = settle_of(record, report) else {
        let control = |provider: usize| case.config.control == Some(provider);
        let for_control = !record.attempts.is_empty()
            && record.attempts.iter().all(|attempt| control(attempt.provider.index()));
        let unasked = matches!(record.outcome, Outcome::Refused(_));
        let may = unasked || for_control || case.config.control.is_some();
        return require(may, "an inference without a settlement");
    };
    require(!matches!(record.outcome, Outcome::Refused(_)), "what was refused is settled")?;
    let ending = match record.outcome {
        Outcome::Complete => Ending::Complete,
        Outcome::Refused(_) | Outcome::Failed(_) => Ending::Failed,
        Outcome::Cut(_) => Ending::Cut,
        Outcome::ClientGone => Ending::ClientGone,
    };
    // With strict durability an answer is settled before its last bytes leave, whoever takes them.
    let early = case.config.ledger.strict && settle.ending == Ending::Complete;
    require(settle.ending == ending || early, "another ending")?;
    require(settle.attempts.len() == record.attempts.len(), "other attempts")?;
    for (turn, (one, want)) in settle.attempts.iter().zip(&record.attempts).enumerate() {
        let name = &case.config.providers[want.provider.index()].name;
        let is_last = turn + 1 == settle.attempts.len();
        let same = one.provider == *name && one.hedged == want.hedged && one.status == want.status;
        let fault = one.fault == want.fault.map_or("", |fault| fault.word()) && one.billed == want.billed;
        require(same && (fault || (early && is_last)), "other attempts")?;
        require(one.billed != Billed::No || (one.tokens, one.cost) == ([0, 0], 0), "a refusal is charged")?;
        require(one.micros[1] <= settle.micros[1].saturating_add(1), "an attempt outlasts its request")?;
        let served = is_last && matches!(one.billed, Billed::Yes | Billed::Estimated);
        let cached = if served { settle.usage.cached_tokens } else { 0 };
        require(priced(&case.config, name, one.tokens, cached) == one.cost, "an attempt at another price")?;
        let usage = [settle.usage.prompt_tokens, settle.usage.completion_tokens];
        require(!served || one.tokens.map(u64::from) == usage, "the last attempt has other tokens")?;
    }
    sound(case, settle)?;
    let given = client.end != End::Kept || settle.answer_bytes == record.answer_bytes || early;
    require(given, "other bytes were given")
}

/// What must be true of any settlement, whatever its record says.
fn sound(case: &Case, settle: &Settled) -> Verdict {
    let (usage, cost, flags) = (settle.usage, settle.cost, settle.flags);
    let nothing = usage == Usage::default() && cost == Cost::default();
    require(settle.source != Source::None || nothing, "figures from nowhere")?;
    let whole = settle.ending == Ending::Complete;
    require(!whole || settle.source != Source::None, "an answer without figures")?;
    let price = settle.attempts.last().map(|last| price(&case.config, &last.provider));
    let unpriced = settle.source != Source::None && price == Some(None);
    require(flags.has(Flags::UNPRICED) == unpriced, "it says the wrong thing of its price")?;
    require(!unpriced || cost == Cost::default(), "a cost without a price")?;
    require(!unpriced || case.config.ledger.unknown_price == UnknownPrice::Allow, "an endpoint was denied")?;
    let insured = flags.has(Flags::INSURED);
    require(!insured || usage.completion_tokens == 0 && cost.total == 0, "insured, and charged")?;
    require(insured || cost.total == cost.upstream, "charged another amount than it costs")?;
    let drained = flags.has(Flags::DRAINED);
    require(!drained || settle.ending == Ending::ClientGone, "read on with its client still there")?;
    let last = settle.attempts.last().map(|last| last.billed);
    let guessed = last == Some(Billed::Estimated);
    require(
        !guessed || matches!(settle.ending, Ending::Cut | Ending::ClientGone),
        "a guess of a whole answer",
    )?;
    require(!drained || last == Some(Billed::Yes), "read to its end, and not billed")
}

/// What a token of the prompt and one of the answer cost at a provider.
fn price(config: &Config, provider: &str) -> Option<[i128; 2]> {
    let known = config.providers.iter().find(|one| one.name == provider)?;
    known.price.or(known.cached.then_some([1_000_000, 5_000_000]))
}

/// What so many tokens cost there, so many of the prompt's from a cache. A cached one costs a tenth where it
/// has a price of its own.
fn priced(config: &Config, provider: &str, [prompt, completion]: [u32; 2], cached: u64) -> i64 {
    let Some([prompt_price, completion_price]) = price(config, provider) else { return 0 };
    let one = config.providers.iter().find(|one| one.name == provider);
    let has_cache = one.is_some_and(|one| one.cached && one.price.is_none());
    let cached = if has_cache { i128::from(cached).min(i128::from(prompt)) } else { 0 };
    let prompt_cost = prompt_price * (i128::from(prompt) - cached) + prompt_price / 10 * cached;
    (prompt_cost + completion_price * i128::from(completion)) as i64
}

/// A settlement in the words of a case.
pub(super) fn settle_text(settle: &Settled) -> String {
    let ending = match settle.ending {
        Ending::Complete => "complete".to_owned(),
        Ending::Failed => format!("failed-{}", settle.status),
        Ending::Cut => format!("cut-{}", settle.fault),
        Ending::ClientGone => "client-gone".to_owned(),
    };
    let source = match settle.source {
        Source::None => "none",
        Source::Reported => "reported",
        Source::Mixed => "mixed",
        Source::Counted => "counted",
        Source::Bytes => "bytes",
    };
    let (usage, cost) = (settle.usage, settle.cost);
    let mut text = format!(
        "{ending} {source} {}+{} cost {}/{}",
        usage.prompt_tokens, usage.completion_tokens, cost.total, cost.upstream
    );
    for one in &settle.attempts {
        let billed = match one.billed {
            Billed::Yes => "yes",
            Billed::No => "no",
            Billed::Maybe => "maybe",
            Billed::Estimated => "estimated",
        };
        let _ = write!(text, " {}={billed}/{}+{}/{}", one.provider, one.tokens[0], one.tokens[1], one.cost);
    }
    for (flag, word) in
        [(Flags::UNPRICED, "unpriced"), (Flags::INSURED, "insured"), (Flags::DRAINED, "drained")]
    {
        if settle.flags.has(flag) {
            let _ = write!(text, " {word}");
        }
    }
    text
}

/// Does the text of a settlement agree with what a case says? A `*` stands for any number.
pub(super) fn agrees(got: &str, want: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split_inclusive([' ', '+', '/', '=']).map(str::to_owned).collect()
    };
    let (got, want) = (words(got), words(want));
    let same = |(got, want): (&String, &String)| match want.strip_prefix('*') {
        Some(rest) => {
            got.trim_end_matches(rest).bytes().all(|byte| byte.is_ascii_digit()) && got.ends_with(rest)
        }
        None => got == want,
    };
    got.len() == want.len() && got.iter().zip(&want).all(same)
}

/// Reads a line of `[config]` that speaks of the ledger.
pub(super) fn setting(config: &mut Config, word: &str, rest: &str) -> Verdict {
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("not a number: {text}"));
    match word {
        "strict" => config.ledger.strict = rest == "on",
        "unknown-price" if rest == "deny" => config.ledger.unknown_price = UnknownPrice::Deny,
        "reserve" => config.ledger.reserve_completion_tokens = number(rest)? as u32,
        "drain" => {
            let at = config.provider(rest);
            config.providers[at].drains = true;
        }
        "drain-bytes" => config.ledger.drain_bytes = number(rest)?,
        "drains" => config.ledger.drains_per_core = number(rest)? as usize,
        "journal" => config.journal_room = Some(number(rest)? as usize),
        "price" => {
            let mut words = rest.split_whitespace();
            let at = config.provider(words.next().ok_or("expected a provider")?);
            let [prompt, completion] = [words.next(), words.next()].map(|word| number(word.unwrap_or("-")));
            config.providers[at].price = Some([i128::from(prompt?), i128::from(completion?)]);
        }
        _ => return Err("unknown setting".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_a_number() {
        for (got, want, same) in [
            ("cut bytes 7+12 a=yes/7+1/3", "cut bytes 7+* a=yes/7+*/3", true),
            ("cut bytes 7+12 a=yes/7+1/3", "cut bytes 7+* a=yes/7+2/3", false),
            ("cut bytes 7+12", "cut * 7+12", false),
            ("cut 7", "cut 7 more", false),
            ("cut 7/8", "cut */*", true),
        ] {
            assert_eq!(agrees(got, want), same, "{got} as {want}");
        }
    }
}
