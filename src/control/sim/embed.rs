//! Embeddings: unit vectors that depend on nothing but the input and the number of dimensions.
//!
//! Deliberately absent: any likeness of meaning; only equal inputs have equal vectors.

use bytes::Bytes;
use serde_json::{Value, json};

use super::request::{Embedding, Prompt, Refusal};
use super::script::words;

/// Length of a vector when the request does not say.
const DIMENSIONS: u64 = 256;
/// Longest vector.
const DIMENSIONS_MAX: u64 = 4096;
/// Most inputs of one request, as in OpenAI's API.
const INPUTS_MAX: usize = 2048;
/// Most numbers of one answer: it is built in memory.
const NUMBERS_MAX: u64 = 1 << 20;

/// One input: what to hash, and its tokens by the rule of `script`.
struct Input {
    hash: u64,
    tokens: u64,
}

/// Answers an embeddings request.
///
/// # Errors
/// A refusal as a provider would give it.
pub(super) fn answer(request: &Embedding) -> Result<Bytes, Refusal> {
    if request.model != "embed" {
        return Err(Refusal::no_model(&request.model));
    }
    let base64 = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            return Err(Refusal::bad("encoding_format", "`encoding_format` must be `float` or `base64`."));
        }
    };
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return Err(Refusal::bad("dimensions", format!("`dimensions` must be from 1 to {DIMENSIONS_MAX}.")));
    }
    let inputs = inputs(&request.input)?;
    if dimensions.saturating_mul(inputs.len() as u64) > NUMBERS_MAX {
        return Err(Refusal::bad(
            "input",
            format!("The answer must not hold more than {NUMBERS_MAX} numbers."),
        ));
    }
    let tokens: u64 = inputs.iter().map(|input| input.tokens).sum();
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = unit_vector(input.hash, dimensions as usize);
            let embedding = if base64 { json!(base64_of(&vector)) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let answer = json!({
        "object": "list",
        "data": data,
        "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    });
    Ok(Bytes::from(answer.to_string()))
}

fn inputs(prompt: &Prompt) -> Result<Vec<Input>, Refusal> {
    let text = |text: &String| Input { hash: hash(text.bytes()), tokens: words(text).max(1) };
    let ids = |ids: &Vec<i64>| Input {
        hash: hash(ids.iter().flat_map(|id| id.to_le_bytes())),
        tokens: ids.len() as u64,
    };
    let (inputs, empty): (Vec<Input>, bool) = match prompt {
        Prompt::Text(one) => (vec![text(one)], one.is_empty()),
        Prompt::Ids(one) => (vec![ids(one)], one.is_empty()),
        Prompt::Texts(many) => (many.iter().map(text).collect(), many.iter().any(String::is_empty)),
        Prompt::IdLists(many) => (many.iter().map(ids).collect(), many.iter().any(Vec::is_empty)),
    };
    if empty || inputs.is_empty() || inputs.len() > INPUTS_MAX {
        let message = format!("`input` must be 1 to {INPUTS_MAX} inputs that are not empty.");
        return Err(Refusal::bad("input", message));
    }
    Ok(inputs)
}

/// FNV-1a, 64 bits: stable over versions and machines, which the standard hasher is not.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A vector of length 1 from a SplitMix64 sequence.
fn unit_vector(seed: u64, dimensions: usize) -> Vec<f32> {
    let mut state = seed;
    let mut vector: Vec<f64> = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        // The top 53 bits as a number in [0, 1), moved to [-1, 1); the half step keeps it from ever being 0.
        let unit = ((mixed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        vector.push(unit * 2.0 - 1.0);
    }
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    vector.iter().map(|x| (x / length) as f32).collect()
}

/// The vector's little-endian bytes in base64 (RFC 4648 §4, padded), as OpenAI's `encoding_format` has it.
fn base64_of(vector: &[f32]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut word = 0_u32;
        for position in 0..3 {
            word = (word << 8) | u32::from(group.get(position).copied().unwrap_or(0));
        }
        for position in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * position)) as usize & 63];
            text.push(if position <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
