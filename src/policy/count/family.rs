//! Which vocabulary counts a model's tokens, and how what it counts becomes what the model's provider bills:
//! `k · count + c0`.
//!
//! The figures are measured on recorded answers (docs/counting.md). A family whose own vocabulary is here has
//! k = 1, and c0 is the end mark that providers bill. The others go by OpenAI's.
//! Deliberately absent: how k is corrected by what providers report (`fit`), and the vocabularies.

use super::VocabularyName;
use crate::base::ids::EndpointId;
use crate::policy::catalog::{Snapshot, Tokenizer};
use crate::policy::health::layout::endpoint_tag;

/// Models whose tokens are counted alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// OpenAI since GPT-4o.
    Gpt,
    /// OpenAI's open weights: their answers have a frame of about ten tokens.
    GptOss,
    /// OpenAI before GPT-4o.
    GptOld,
    /// Claude up to 4.6: no vocabulary of it is public.
    ClaudeOld,
    /// Claude from 4.7 on, with another one that is not public.
    Claude,
    /// Gemini and Gemma.
    Gemini,
    /// Mistral.
    Mistral,
    /// DeepSeek.
    DeepSeek,
    /// Llama 3 and 4: their vocabulary comes with terms of its own and is not here.
    Llama,
    /// Qwen.
    Qwen,
    /// GLM.
    Glm,
    /// Amazon Nova.
    Nova,
    /// Everything else.
    #[default]
    Other,
}

/// How many tokens are billed for those that were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Billed tokens per counted one, times [`Rate::ONE`].
    pub(super) k: u32,
    /// Further tokens of every answer.
    pub(super) fixed: u16,
    /// Further ones of an answer that shows its reasoning.
    pub(super) fixed_reasoning: u16,
    /// Bytes of text per 100 counted tokens, where nothing can be counted.
    pub(super) bytes_per_100: u16,
}

impl Rate {
    /// The scale of `k`.
    pub(super) const ONE: u32 = 1 << 16;

    /// What is counted is what is billed.
    pub(super) const PLAIN: Self = Self::of(1000, 0, 0, 440);

    const fn of(k_thousandths: u32, fixed: u16, fixed_reasoning: u16, bytes_per_100: u16) -> Self {
        let k = (k_thousandths * Self::ONE + 500) / 1000;
        Self { k, fixed, fixed_reasoning, bytes_per_100 }
    }

    /// What is billed for an answer of so many counted tokens; nothing for none.
    pub(super) fn billed(self, tokens: u64, shows_reasoning: bool) -> u32 {
        if tokens == 0 {
            return 0;
        }
        let fixed = self.fixed + if shows_reasoning { self.fixed_reasoning } else { 0 };
        self.billed_part(tokens).saturating_add(fixed.into())
    }

    /// The share of it that belongs to so many of its tokens.
    pub(super) fn billed_part(self, tokens: u64) -> u32 {
        let scaled = u128::from(tokens) * u128::from(self.k) + u128::from(Self::ONE / 2);
        u32::try_from(scaled / u128::from(Self::ONE)).unwrap_or(u32::MAX)
    }

    /// What would be counted of so many bytes of text, as a guess.
    pub(super) fn tokens_of_bytes(self, bytes: u64) -> u64 {
        bytes.saturating_mul(100).div_ceil(self.bytes_per_100.into())
    }
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Gpt,
        Self::GptOss,
        Self::GptOld,
        Self::ClaudeOld,
        Self::Claude,
        Self::Gemini,
        Self::Mistral,
        Self::DeepSeek,
        Self::Llama,
        Self::Qwen,
        Self::Glm,
        Self::Nova,
        Self::Other,
    ];

    /// The vocabulary it is counted with.
    #[must_use]
    pub const fn vocabulary(self) -> VocabularyName {
        match self {
            Self::Gpt
            | Self::GptOss
            | Self::ClaudeOld
            | Self::Claude
            | Self::Llama
            | Self::Nova
            | Self::Other => VocabularyName::O200k,
            Self::GptOld => VocabularyName::Cl100k,
            Self::Gemini => VocabularyName::Gemma4,
            Self::Mistral => VocabularyName::Mistral,
            Self::DeepSeek => VocabularyName::DeepSeek,
            Self::Qwen => VocabularyName::Qwen,
            Self::Glm => VocabularyName::Glm,
        }
    }

    /// Is that vocabulary its own?
    #[must_use]
    pub const fn is_own(self) -> bool {
        !matches!(self, Self::ClaudeOld | Self::Claude | Self::Llama | Self::Nova | Self::Other)
    }

    /// The rate before any report.
    #[must_use]
    pub(super) const fn rate(self) -> Rate {
        match self {
            Self::Gpt => Rate::of(1000, 1, 0, 480),
            Self::GptOss => Rate::of(1000, 10, 0, 430),
            Self::GptOld => Rate::of(1000, 0, 0, 450),
            Self::ClaudeOld => Rate::of(1129, 0, 0, 474),
            Self::Claude => Rate::of(1447, 0, 0, 415),
            Self::Gemini => Rate::of(1000, 0, 0, 464),
            Self::Mistral => Rate::of(1000, 1, 0, 455),
            Self::DeepSeek => Rate::of(1000, 1, 0, 434),
            Self::Llama => Rate::of(1018, 1, 0, 490),
            Self::Qwen => Rate::of(1000, 1, 4, 347),
            Self::Glm => Rate::of(1000, 2, 0, 358),
            Self::Nova => Rate::of(1008, 0, 0, 495),
            Self::Other => Rate::PLAIN,
        }
    }

    /// The family of a model, by its name (an author before a `/` is not looked at) and the tokenizer that
    /// the catalogue knows it has.
    #[must_use]
    pub fn of(name: &str, tokenizer: Option<Tokenizer>) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        match tokenizer {
            Some(Tokenizer::Gpt) => gpt(&name).unwrap_or(Self::Gpt),
            Some(Tokenizer::Claude) => claude(&name),
            Some(Tokenizer::Gemini) => Self::Gemini,
            Some(Tokenizer::Nova) => Self::Nova,
            Some(Tokenizer::Qwen | Tokenizer::Qwen3) => Self::Qwen,
            Some(Tokenizer::DeepSeek) => distilled(&name).unwrap_or(Self::DeepSeek),
            Some(Tokenizer::Mistral) => Self::Mistral,
            Some(Tokenizer::Llama2 | Tokenizer::Llama3 | Tokenizer::Llama4) => Self::Llama,
            Some(Tokenizer::Grok | Tokenizer::Cohere | Tokenizer::Yi) => Self::Other,
            Some(Tokenizer::Other) | None => by_name(&name),
        }
    }
}

/// Names begin with these.
const NAMES: &[(&str, Family)] = &[
    ("gemini", Family::Gemini),
    ("gemma", Family::Gemini),
    ("mistral", Family::Mistral),
    ("mixtral", Family::Mistral),
    ("ministral", Family::Mistral),
    ("magistral", Family::Mistral),
    ("codestral", Family::Mistral),
    ("devstral", Family::Mistral),
    ("pixtral", Family::Mistral),
    ("voxtral", Family::Mistral),
    ("open-mi", Family::Mistral),
    ("deepseek", Family::DeepSeek),
    ("llama", Family::Llama),
    ("meta-llama", Family::Llama),
    ("qwen", Family::Qwen),
    ("qwq", Family::Qwen),
    ("qvq", Family::Qwen),
    ("glm", Family::Glm),
    ("nova", Family::Nova),
];

fn by_name(name: &str) -> Family {
    if name.contains("claude") {
        return claude(name);
    }
    let known = || NAMES.iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, family)| *family);
    gpt(name).or_else(|| distilled(name)).or_else(known).unwrap_or_default()
}

fn gpt(name: &str) -> Option<Family> {
    const OLD: [&str; 7] =
        ["gpt-4-", "gpt-3.5", "gpt-35", "text-embedding", "text-davinci", "davinci", "babbage"];
    if name.contains("gpt-oss") {
        return Some(Family::GptOss);
    }
    if name == "gpt-4" || OLD.iter().any(|old| name.starts_with(old)) {
        return Some(Family::GptOld);
    }
    let new = ["gpt-", "chatgpt", "codex", "o1", "o3", "o4", "computer-use"];
    new.iter().any(|new| name.starts_with(new)).then_some(Family::Gpt)
}

/// A model that was taught by another has the tokenizer it had before.
fn distilled(name: &str) -> Option<Family> {
    let (_, student) = name.split_once("-distill-")?;
    NAMES.iter().find(|(begin, _)| student.starts_with(begin)).map(|(_, family)| *family)
}

/// `claude-3-5-sonnet-20241022`, `claude-opus-4.8`, `claude-sonnet-5`: the first number of at most two
/// digits is the version, and one right behind it its second part.
fn claude(name: &str) -> Family {
    let mut numbers = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(|part| part.parse::<u32>().ok())
        .filter(|number| *number < 100);
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (4, 7) { Family::Claude } else { Family::ClaudeOld }
}

/// The family of each endpoint of a snapshot, and the tag under which its rate is corrected.
#[derive(Debug)]
pub struct Families(Box<[(Family, u64)]>);

impl Families {
    pub(in crate::policy) fn new(snapshot: &Snapshot) -> Self {
        let endpoints = snapshot.endpoints.iter().map(|endpoint| {
            let model = snapshot.models.get(endpoint.model.index());
            let tokenizer = model.and_then(|model| model.facts.tokenizer);
            let by_id = model.map_or(Family::Other, |model| Family::of(&model.id, tokenizer));
            let family = match by_id {
                // A name that says nothing here may be an alias of one that does there.
                Family::Other => Family::of(&endpoint.name, tokenizer),
                known => known,
            };
            let provider = snapshot.providers.get(endpoint.provider.index());
            (family, endpoint_tag(provider.map_or("", |provider| &provider.id), &endpoint.name))
        });
        Self(endpoints.collect())
    }

    /// Of an endpoint of that snapshot.
    #[must_use]
    pub fn of(&self, endpoint: EndpointId) -> (Family, u64) {
        self.0.get(endpoint.index()).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tokenizers_say_the_family() {
        use Tokenizer as T;
        for (name, tokenizer, want) in [
            ("openai/gpt-4o-mini", None, Family::Gpt),
            ("openai/gpt-5.2", Some(T::Gpt), Family::Gpt),
            ("openai/gpt-4.1", None, Family::Gpt),
            ("openai/o3-mini", None, Family::Gpt),
            ("openai/gpt-4", Some(T::Gpt), Family::GptOld),
            ("openai/gpt-4-turbo", None, Family::GptOld),
            ("gpt-3.5-turbo", None, Family::GptOld),
            ("openai/gpt-oss-120b", Some(T::Gpt), Family::GptOss),
            ("anthropic/claude-3-5-sonnet-20241022", None, Family::ClaudeOld),
            ("anthropic/claude-opus-4-20250514", Some(T::Claude), Family::ClaudeOld),
            ("anthropic/claude-opus-4.6", None, Family::ClaudeOld),
            ("anthropic/claude-opus-4-8", None, Family::Claude),
            ("us.anthropic.claude-sonnet-5-20261001-v1:0", None, Family::Claude),
            ("google/gemini-3-pro", None, Family::Gemini),
            ("google/gemma-3-27b-it", None, Family::Gemini),
            ("mistralai/codestral-2508", None, Family::Mistral),
            ("deepseek/deepseek-chat-v3.1", None, Family::DeepSeek),
            ("deepseek/deepseek-r1-distill-llama-70b", Some(T::DeepSeek), Family::Llama),
            ("deepseek/deepseek-r1-distill-qwen-32b", None, Family::Qwen),
            ("meta-llama/Llama-3.3-70B-Instruct", None, Family::Llama),
            ("qwen/qwq-32b", None, Family::Qwen),
            ("z-ai/glm-4.6", None, Family::Glm),
            ("amazon/nova-pro-v1", None, Family::Nova),
            ("x-ai/grok-4", Some(T::Grok), Family::Other),
            ("my/model", Some(T::Qwen3), Family::Qwen),
            ("my/model", Some(T::Other), Family::Other),
            ("", None, Family::Other),
        ] {
            assert_eq!(Family::of(name, tokenizer), want, "{name}");
        }
    }

    #[test]
    fn rates_are_whole_numbers() {
        for (family, tokens, want) in [
            (Family::Gpt, 0, 0),
            (Family::Gpt, 1, 2),
            (Family::Gpt, 1_000_000, 1_000_001),
            (Family::GptOss, 100, 110),
            (Family::ClaudeOld, 1000, 1129),
            (Family::Claude, 1000, 1447),
            (Family::Qwen, 10, 11),
            (Family::Other, 77, 77),
            (Family::Claude, u64::MAX, u32::MAX),
        ] {
            assert_eq!(family.rate().billed(tokens, false), want, "{family:?}");
        }
        assert_eq!(Family::Qwen.rate().billed(10, true), 15);
        assert_eq!(Rate::PLAIN.tokens_of_bytes(44), 10);
        assert_eq!(Rate::PLAIN.tokens_of_bytes(1), 1);
    }
}
