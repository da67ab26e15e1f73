//! The figures of a usage object, in all the shapes in which servers of this dialect write them.
//!
//! | shape | who |
//! |---|---|
//! | `prompt_tokens`, `completion_tokens`, `total_tokens` | everybody |
//! | reasoning within the total only | xAI, Gemini's compatible API |
//! | `completion_tokens_details.reasoning_tokens`, or flat `reasoning_tokens` | OpenAI; Azure's models |
//! | `prompt_tokens_details.cached_tokens`, `.cache_write_tokens`, `.audio_tokens` | OpenAI, OpenRouter |
//! | `prompt_cache_hit_tokens`, `prompt_cache_miss_tokens` | DeepSeek |
//! | `cache_read_input_tokens`, `cache_creation_input_tokens`, `cache_creation` | gateways to Anthropic |
//! | `input_tokens`, `output_tokens` | gateways to the Responses API |
//!
//! Deliberately absent: where the object lies (`report`), and what becomes of a second report (`Usage`).

use super::Members;
use super::usual::{first_figures, first_reasoning};
use crate::base::record::Usage;

/// What one usage object says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Read {
    /// `None` when there is no figure at all.
    pub(super) usage: Option<Usage>,
    /// One past the object; `None` when it is broken.
    pub(super) end: Option<usize>,
    /// It has members of its own about money.
    pub(super) costed: bool,
}

/// Figures as they are written; those that a provider leaves out are `None`.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    written: Option<u64>,
    audio: Option<u64>,
    reasoning: Option<u64>,
    /// Read from a cache and not: the parts of the prompt where nobody says the whole.
    hit: Option<u64>,
    missed: Option<u64>,
    /// Read from and written to a cache, as Anthropic says it: beside the prompt's other tokens.
    read_beside: Option<u64>,
    written_beside: Option<u64>,
    /// Written for five minutes or so, and for an hour or longer.
    written_short: Option<u64>,
    written_long: Option<u64>,
}

/// Reads the usage object at `at`.
pub(super) fn read(text: &[u8], at: usize) -> Read {
    let mut figures = Figures::default();
    let Some(mut members) = Members::open(text, at, 1) else { return Read::default() };
    if let Some((first, end)) = first_figures(text, at)
        && let Some(()) = members.pass(Some(end))
    {
        [figures.prompt, figures.completion, figures.total] = first.map(Some);
    }
    let mut costed = false;
    while let Some(key) = members.next_key() {
        let object = members.value_starts_with(b'{');
        let place = match key {
            b"prompt_tokens_details" | b"input_tokens_details" if object => {
                let end = figures.read_prompt_details(text, members.at);
                let Some(()) = members.pass(end) else { break };
                continue;
            }
            b"completion_tokens_details" | b"output_tokens_details" if object => {
                let end = figures.read_completion_details(text, members.at);
                let Some(()) = members.pass(end) else { break };
                continue;
            }
            b"cache_creation" if object => {
                let end = figures.read_lifetimes(text, members.at);
                let Some(()) = members.pass(end) else { break };
                continue;
            }
            b"prompt_tokens" | b"input_tokens" => &mut figures.prompt,
            b"completion_tokens" | b"output_tokens" => &mut figures.completion,
            b"total_tokens" => &mut figures.total,
            b"reasoning_tokens" => &mut figures.reasoning,
            b"prompt_cache_hit_tokens" => &mut figures.hit,
            b"prompt_cache_miss_tokens" => &mut figures.missed,
            b"cache_read_input_tokens" => &mut figures.read_beside,
            b"cache_creation_input_tokens" => &mut figures.written_beside,
            _ => {
                costed |= matches!(key, b"cost" | b"cost_details" | b"is_byok");
                let Some(_) = members.skip_value() else { break };
                continue;
            }
        };
        let Some(figure) = members.figure() else { break };
        *place = figure.or(*place);
    }
    Read { usage: figures.settled(), end: members.ended.then_some(members.at), costed }
}

impl Figures {
    /// Each of these says where its object ends; `None` when it is broken.
    fn read_prompt_details(&mut self, text: &[u8], at: usize) -> Option<usize> {
        let mut members = Members::open(text, at, 2)?;
        while let Some(key) = members.next_key() {
            let place = match key {
                b"cached_tokens" => &mut self.cached,
                b"cache_write_tokens" | b"cache_creation_tokens" => &mut self.written,
                b"audio_tokens" => &mut self.audio,
                b"cache_write_tokens_details" if members.value_starts_with(b'{') => {
                    let end = self.read_lifetimes(text, members.at);
                    members.pass(end)?;
                    continue;
                }
                _ => {
                    members.skip_value()?;
                    continue;
                }
            };
            *place = members.figure()?.or(*place);
        }
        members.ended.then_some(members.at)
    }

    fn read_completion_details(&mut self, text: &[u8], at: usize) -> Option<usize> {
        if let Some((reasoning, end)) = first_reasoning(text, at) {
            self.reasoning = Some(reasoning);
            return Some(end);
        }
        let ([reasoning], end) = numbers(text, at, [b"reasoning_tokens"]);
        self.reasoning = reasoning.or(self.reasoning);
        end
    }

    fn read_lifetimes(&mut self, text: &[u8], at: usize) -> Option<usize> {
        const NAMES: [&[u8]; 4] = [
            b"ephemeral_5m_input_tokens",
            b"ttl_30m_tokens",
            b"ephemeral_1h_input_tokens",
            b"ttl_12h_tokens",
        ];
        let ([minutes, half_hour, hour, half_day], end) = numbers(text, at, NAMES);
        self.written_short = minutes.or(half_hour);
        self.written_long = hour.or(half_day);
        end
    }

    /// The figures as the ledger means them: caches within the prompt, reasoning within the completion.
    fn settled(self) -> Option<Usage> {
        let parts = self.hit.zip(self.missed).map(|(hit, missed)| hit.saturating_add(missed));
        let said = self.prompt.or(parts);
        said.or(self.completion).or(self.total)?;
        let (reported, total) = (self.completion.unwrap_or(0), self.total.unwrap_or(0));
        let mut prompt_tokens = said.unwrap_or_else(|| total.saturating_sub(reported));
        let split = self
            .written_short
            .or(self.written_long)
            .map(|_| self.written_short.unwrap_or(0).saturating_add(self.written_long.unwrap_or(0)));
        let beside = self.read_beside.unwrap_or(0).saturating_add(self.written_beside.unwrap_or(0));
        let with_beside = prompt_tokens.saturating_add(beside);
        // Most gateways have added these to the prompt; where they cannot be a part of it, or the total says
        // so, they have not.
        if beside > prompt_tokens || (beside > 0 && total == with_beside.saturating_add(reported)) {
            prompt_tokens = with_beside;
        }
        let mut completion_tokens = reported.max(total.saturating_sub(prompt_tokens));
        let mut reasoning_tokens = self.reasoning.unwrap_or(completion_tokens - reported);
        if self.total.is_none() && reasoning_tokens > reported {
            // Reasoning is no part of what was said, and nobody says the total.
            completion_tokens = reported.saturating_add(reasoning_tokens);
        }
        reasoning_tokens = reasoning_tokens.min(completion_tokens);
        let cached = self.cached.or(self.hit).or(self.read_beside);
        let written = self.written.or(self.written_beside).or(split);
        let cache_write_tokens = written.unwrap_or(0);
        Some(Usage {
            prompt_tokens,
            completion_tokens,
            cached_tokens: cached.unwrap_or(0),
            cache_write_tokens,
            cache_write_1h_tokens: self.written_long.unwrap_or(0).min(cache_write_tokens),
            reasoning_tokens,
            audio_tokens: self.audio.unwrap_or(0),
            images: 0,
        })
    }
}

/// The members of these names in the object at `at`, two levels down, as far as they are numbers. Also says
/// where the object ends; `None` when it is broken.
fn numbers<const COUNT: usize>(
    text: &[u8],
    at: usize,
    names: [&[u8]; COUNT],
) -> ([Option<u64>; COUNT], Option<usize>) {
    let mut found = [None; COUNT];
    let Some(mut members) = Members::open(text, at, 2) else { return (found, None) };
    while let Some(key) = members.next_key() {
        let Some(place) = names.iter().position(|name| *name == key) else {
            if members.skip_value().is_none() {
                break;
            }
            continue;
        };
        let Some(figure) = members.figure() else { break };
        found[place] = figure.or(found[place]);
    }
    (found, members.ended.then_some(members.at))
}
