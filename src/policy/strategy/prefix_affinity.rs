//! The same prompts at the same endpoint, so that its cache of computed prefixes is hit: rendezvous hashing
//! over the beginning of the prompt, with bounded load.
//!
//! Each endpoint draws for each prefix, from a hash of both, so the order of preference of a prefix is always
//! the same, all endpoints are preferred by their share of prefixes, and an endpoint that goes takes only its
//! own prefixes with it. An endpoint that would carry more than 5/4 of an even share of the tokens in flight
//! goes behind those that would not: a popular prefix spills over to its second choice instead of drowning
//! the first (Mirrokni, Thorup and Zadimoghaddam: consistent hashing with bounded loads).
//! Deliberately absent: chance, and any memory of where a prefix went before.

use super::{Field, Rank, Strategy, Task, by_weight, fraction, minus_ln, spread};

/// Bytes of the prompt that count: a system prompt's beginning tells applications apart.
pub(super) const PREFIX_BYTES: usize = 2048;
/// How far above an even share of the load an endpoint may get.
const LOAD_FACTOR: f32 = 1.25;

pub(super) struct PrefixAffinity;

impl Strategy for PrefixAffinity {
    fn score(&self, task: &Task<'_>, field: &Field<'_>, ranks: &mut [Rank]) {
        let prefix = hash(&task.prefix[..task.prefix.len().min(PREFIX_BYTES)]);
        let own = task.prompt_tokens + task.output_tokens;
        let busy = |turn: usize| field.figures(turn).tokens_in_flight as f32;
        let turns = 0..ranks.len();
        let shares: f32 = turns.clone().map(|turn| field.weight(turn)).sum();
        let load: f32 = turns.map(busy).sum();
        for (turn, rank) in ranks.iter_mut().enumerate() {
            let weight = field.weight(turn);
            let share = weight / shares.max(f32::MIN_POSITIVE);
            let busy = busy(turn);
            // An idle endpoint always has room, however large the request.
            let full = busy > 0.0 && busy + own > LOAD_FACTOR * (load + own) * share;
            let chance = fraction((spread(prefix ^ field.identity(turn)) >> 32) as u32);
            let score = minus_ln(chance) / weight.max(1.0);
            *rank = if full { Rank::second(score) } else { by_weight(score, weight) };
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().map(|word| u64::from_le_bytes(*word)).chain([u64::from_le_bytes(last)]);
    words.fold(bytes.len() as u64, |hash, word| spread(hash ^ word))
}
