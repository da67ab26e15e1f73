//! Admission: what a request may cost is written down before anything of it is sent.
//!
//! Deliberately absent: budgets that the reservation is charged to, and what becomes of a request without
//! room for its record (`request` refuses it).

use super::{Account, Entry, caller, served};
use crate::base::time::UnixSeconds;
use crate::dialect::Api;
use crate::exchange::Cx;
use crate::exchange::attempt::Attempt;
use crate::exchange::receipt::created;
use crate::exchange::request::Subject;
use crate::policy::catalog::{Modalities, Snapshot};
use crate::policy::filter::Needs;
use crate::policy::price;
use crate::policy::route::Candidate;
use crate::wire::journal::{Admit, Full};
use crate::wire::json::peek::Peek;

/// From so many tokens on it is worth looking whether the prompt's bytes are text at all.
const LONG_PROMPT_TOKENS: u32 = 4_000;

impl Account {
    /// Writes down that the request is about to be sent to the candidate in hand. Nothing is written where
    /// nobody keeps a journal, and of what is no inference.
    ///
    /// # Errors
    /// [`Full`] when the journal has no room: then nothing may be sent.
    pub(in crate::exchange) fn admit(
        &mut self,
        cx: &mut Cx<'_>,
        attempt: &Attempt,
        (peek, body): (&Peek, &[u8]),
    ) -> Result<(), Full> {
        let (Some(journal), Subject::Inference { api, stream, .. }) =
            (&mut cx.core.journal, attempt.request.subject)
        else {
            return Ok(());
        };
        debug_assert!(self.open.is_none(), "one request at a time");
        let held = attempt.snapshot.as_ref().expect("an attempt that is under way holds its snapshot");
        let (request, first) = (&attempt.request, attempt.candidate());
        let entry = Entry {
            held: held.clone(),
            id: request.id,
            key: request.tenant.key,
            user_hash: super::user::user_hash(peek, body),
            api,
            streamed: stream,
            began: request.began,
            first,
            prompt_tokens: request.prompt_tokens,
            minute: UnixSeconds(created(request.id.as_str())).minute_of_day(),
        };
        if first.endpoint.is_none() {
            self.pass_through(first, Some(peek), body);
        }
        let asked = asked_completion(api, peek);
        let tried = attempt.plan.candidates(held).take(held.limits.attempts);
        let of_each = tried.filter_map(|one| most_cost(held, one, &entry, asked));
        let admit = Admit {
            id: entry.id,
            at: cx.unix,
            caller: caller(held, entry.key, entry.user_hash),
            served: served(held, first, self.passed.as_deref()),
            prompt_tokens: entry.prompt_tokens,
            most_completion_tokens: asked.or_else(|| longest(held, first)).unwrap_or(0),
            reserved: of_each.max().unwrap_or(0),
        };
        journal.admit(&admit)?;
        self.open = Some(entry);
        Ok(())
    }
}

/// What the request may cost at one candidate; `None` where nobody knows a price.
fn most_cost(snapshot: &Snapshot, one: Candidate, entry: &Entry, asked: Option<u32>) -> Option<i64> {
    let rules = snapshot.endpoints[one.endpoint?.index()].facts.prices.as_ref()?;
    let longest = longest(snapshot, one).unwrap_or(u32::MAX);
    let completion_tokens = asked.unwrap_or(snapshot.ledger.reserve_completion_tokens).min(longest);
    price::most_cost(rules, entry.prompt_tokens, completion_tokens, entry.minute)
}

/// The longest answer of a candidate, in tokens, if that is known.
fn longest(snapshot: &Snapshot, one: Candidate) -> Option<u32> {
    snapshot.endpoints[one.endpoint?.index()].facts.output_tokens
}

/// Most tokens of the answer as the request says; embeddings have none.
fn asked_completion(api: Api, peek: &Peek) -> Option<u32> {
    match api {
        Api::Embeddings => Some(0),
        Api::ChatCompletions | Api::Completions => {
            let most = peek.max_tokens.max(peek.max_completion_tokens)?;
            Some(u32::try_from(most).unwrap_or(u32::MAX))
        }
    }
}

/// About how many tokens a prompt has, by its bytes: messages and tools, or all of a body that has no
/// messages. Images and files in it are no text, so what is long is looked into.
pub(in crate::exchange) fn prompt_tokens(peek: &Peek, body: &[u8]) -> u32 {
    let Some(messages) = peek.messages else {
        return Needs { prompt: body, ..Needs::NONE }.prompt_tokens(Modalities::NONE);
    };
    let needs = |prompt| Needs { prompt, ..Needs::NONE };
    let prompt = needs(messages.of(body));
    let tools = peek.tools.map_or(0, |tools| needs(tools.of(body)).prompt_tokens(Modalities::NONE));
    let tokens = prompt.prompt_tokens(Modalities::NONE);
    let tokens = if tokens > LONG_PROMPT_TOKENS { prompt.prompt_tokens(prompt.content()) } else { tokens };
    tokens.saturating_add(tools)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::peek::peek;

    #[test]
    fn a_prompt_is_measured_by_its_text() {
        let check = |body: String, want: u32| {
            let peek = peek(body.as_bytes()).expect("a body");
            assert_eq!(prompt_tokens(&peek, body.as_bytes()), want, "{}", &body[..body.len().min(80)]);
        };
        // The brackets of the messages count, what is around them does not.
        check(format!("{{\"model\":\"m\",\"messages\":[{}]}}", "1,".repeat(99) + "1"), 201 / 4);
        check(format!("{{\"messages\":[{}1],\"tools\":[22222]}}", "1,".repeat(19)), 41 / 4 + 7 / 4);
        check(format!("{{\"model\":\"m\",\"prompt\":\"{}\"}}", "p".repeat(100)), 125 / 4);
        let image = |bytes: usize| {
            let data = "A".repeat(bytes);
            let part = format!("{{\"type\":\"image_url\",\"image_url\":{{\"url\":\"{data}\"}}}}");
            format!("{{\"messages\":[{{\"content\":[{part}]}}]}}")
        };
        check(image(1_000_000), LONG_PROMPT_TOKENS);
        check(format!("{{\"messages\":[\"{}\"]}}", "t".repeat(400_000)), 100_001);
    }

    #[test]
    fn an_answer_is_bounded_by_the_larger_of_what_is_said() {
        for (api, body, want) in [
            (Api::ChatCompletions, "{\"max_tokens\":5}", Some(5)),
            (Api::ChatCompletions, "{\"max_tokens\":5,\"max_completion_tokens\":7}", Some(7)),
            (Api::Completions, "{}", None),
            (Api::Completions, "{\"max_tokens\":99999999999}", Some(u32::MAX)),
            (Api::Embeddings, "{\"max_tokens\":5}", Some(0)),
        ] {
            let peek = peek(body.as_bytes()).expect("a body");
            assert_eq!(asked_completion(api, &peek), want, "{body}");
        }
    }
}
