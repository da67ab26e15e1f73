//! Questions, and judging their answers: what is whole, what is a clear error, what is a lie.

use super::faults::{Effect, FAULTS, Fault, Way};
use crate::harness::{Answer, document, event_stream, message};

/// Attempts and ambiguous failovers that the configuration allows.
const ATTEMPTS: usize = 8;
const AMBIGUOUS: usize = 1;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// Found in every piece of text of its answer.
    pub(super) nonce: String,
    pub(super) stream: bool,
    /// The answer is longer than what is held back.
    pub(super) long: bool,
}

impl Question {
    pub(super) fn body(&self, model: &str) -> String {
        message(model, self.stream, &format!("{} {}", self.nonce, if self.long { "long" } else { "short" }))
    }

    /// Back from a request's body.
    pub(super) fn read(body: &str) -> Self {
        let words = body.split(['<', '>']).nth(1).unwrap_or_default();
        let (nonce, length) = words.split_once(' ').unwrap_or_default();
        Self { nonce: nonce.to_owned(), stream: body.contains("\"stream\":true"), long: length == "long" }
    }

    fn words(&self) -> Vec<String> {
        let (count, filling) = if self.long { (90, 1000) } else { (6, 3) };
        (0..count).map(|turn| format!("{} {turn} {} ", self.nonce, "y".repeat(filling))).collect()
    }

    pub(super) fn document(&self, from: &str) -> String {
        document(from, &self.words().concat())
    }

    pub(super) fn events(&self, from: &str) -> Vec<String> {
        let words = self.words();
        event_stream(from, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// What an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The whole answer of this provider, to the byte.
    Complete(&'static str),
    /// A status and a JSON error.
    Error,
    /// The front of one provider's answer, visibly unfinished; a stream says so with an error event.
    Cut,
    /// A stream that carries the provider's own error event.
    Told,
    /// None of these.
    Lie(String),
}

/// Which outcomes a chain of providers may have. Providers that have failed before may be known to be unwell
/// by now, each for itself, and those that are go behind the others.
pub(super) fn expected(chain: &[&'static Fault], stream: bool) -> Vec<Outcome> {
    let may_be_unwell = |fault: &Fault| !matches!(fault.effect, Effect::Answer | Effect::Final);
    let mut outcomes = Vec::new();
    for known in 0..1_u32 << chain.len() {
        let is_behind = |place: usize| known >> place & 1 == 1;
        if (0..chain.len()).any(|place| is_behind(place) && !may_be_unwell(chain[place])) {
            continue;
        }
        let part = |behind: bool| (0..chain.len()).filter(move |place| is_behind(*place) == behind);
        let order: Vec<&'static Fault> = part(false).chain(part(true)).map(|place| chain[place]).collect();
        outcomes.extend(expected_in_order(&order, part(false).count(), stream));
    }
    outcomes
}

/// As `expected`, of a chain in this order; from number `well` on its providers are known to be unwell, and
/// only the first of them is sure to be tried, if there is nobody else.
fn expected_in_order(chain: &[&'static Fault], well: usize, stream: bool) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut ambiguous = AMBIGUOUS;
    for (turn, fault) in chain.iter().enumerate() {
        let last = turn + 1 == chain.len() || turn + 1 == ATTEMPTS;
        match fault.effect {
            Effect::Answer => {
                outcomes.push(Outcome::Complete(fault.name));
                return outcomes;
            }
            Effect::Final => break,
            Effect::Told if stream => {
                outcomes.push(Outcome::Told);
                return outcomes;
            }
            Effect::AmbiguousOrCut => {
                outcomes.push(Outcome::Cut);
                if stream && matches!(fault.way, Way::StallInside) {
                    // Behind the end marker nothing but the last chunk is left to come: the router waits a
                    // moment for it, then ends the answer itself, which is whole to the byte.
                    outcomes.push(Outcome::Complete(fault.name));
                }
            }
            Effect::Free | Effect::Ambiguous | Effect::Told => {}
        }
        if last {
            break;
        }
        if turn + 1 >= well {
            // The budget for tries at unwell providers may be used up.
            outcomes.push(Outcome::Error);
        }
        if fault.effect != Effect::Free {
            if ambiguous == 0 {
                break;
            }
            ambiguous -= 1;
        }
    }
    outcomes.push(Outcome::Error);
    outcomes
}

/// Looks at an answer.
pub(super) fn judge(question: &Question, answer: &Answer) -> Outcome {
    if answer.is_clear_error() {
        return Outcome::Error;
    }
    if answer.status != 200 {
        return Outcome::Lie(format!("status {} without an error", answer.status));
    }
    let text = answer.text();
    let Some(from) = FAULTS.iter().find(|fault| text.contains(&format!("\"model\":\"{}\"", fault.name)))
    else {
        return Outcome::Lie("nobody's answer".to_owned());
    };
    if !question.stream {
        let expected = question.document(from.name);
        return match answer.whole {
            true if text == expected => Outcome::Complete(from.name),
            false if expected.starts_with(&text) => Outcome::Cut,
            whole => Outcome::Lie(format!("not {}'s document (whole: {whole})", from.name)),
        };
    }
    let expected = question.events(from.name).concat();
    if answer.whole && text == expected {
        return Outcome::Complete(from.name);
    }
    // All of it but the last chunk: nothing is left to be told.
    if !answer.whole && text == expected {
        return Outcome::Cut;
    }
    let Some((front, error)) = text.trim_end_matches('\n').rsplit_once("\n\n") else {
        return Outcome::Lie("a single event".to_owned());
    };
    let error: serde_json::Value =
        serde_json::from_str(error.trim_start_matches("data: ")).unwrap_or_default();
    let front = format!("{front}\n\n");
    match (answer.whole, error["error"].is_object(), expected.starts_with(&front)) {
        (false, true, true) if error["choices"][0]["finish_reason"] == "error" => Outcome::Cut,
        (true, true, true) => Outcome::Told,
        what => Outcome::Lie(format!("{}'s stream (whole, error, front): {what:?}", from.name)),
    }
}
