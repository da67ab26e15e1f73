//! The table `[auto]`: the tiers of `millrace/auto`, what belongs to them, and the weights of signals.
//!
//! Deliberately absent: which models the patterns match (`control::auto`), and what signals are
//! (`policy::auto`).

use super::names::{Named, Texts};
use super::reader::{Optional, Required, section, table, tables};
use super::rules::{Count, Flag, MODEL_NAME, PROVIDER_ID, Price};
use crate::base::money::PicoDollars;
use crate::policy::auto::{CostTier, SCORE_MAX, TIERS, Weights};

/// Most patterns of one list.
const PATTERNS_MAX: usize = 64;
const PATTERNS: Texts = Texts(&MODEL_NAME, PATTERNS_MAX);
const WEIGHT: Count = Count(0, SCORE_MAX as usize);

section! {
    /// `millrace/auto` (also `openrouter/auto`): a model is chosen for each request (docs/auto.md).
    pub struct AutoTable {
        /// `false`: the two names are names like any other.
        enabled: bool = true, Flag;
        /// The tier of requests about which nothing was noticed.
        default_tier: Box<str> = "standard".into(), PROVIDER_ID;
        /// Names of models that may be chosen; `*` stands for any run of characters. Empty is all.
        allowed_models: Vec<Box<str>> = Vec::new(), PATTERNS;
        /// Names of models that may not.
        excluded_models: Vec<Box<str>> = Vec::new(), PATTERNS;
        /// How dear a model may be among those of all tiers. A request may ask for less, not for more.
        cost_tier: CostTier = CostTier::Max, Named(CostTier::ALL, CostTier::name);
        /// The tiers, weakest first. Absent: `light`, `standard` and `strong`, as docs/auto.md lists them.
        tier: Vec<TierTable> = TierTable::shipped(), tables(TIERS);
        /// What each signal adds to the score.
        weights: Weights = Weights::default(), table();
    }
}

section! {
    /// A class of models of `millrace/auto`.
    pub struct TierTable {
        /// Its name.
        name: Box<str> = "".into(), Required(PROVIDER_ID);
        /// The lowest score it serves; the first tier's is 0, and they ascend.
        from_score: usize = 0, WEIGHT;
        /// Names of its models, `*` for any run of characters. Of equally cheap ones the first listed goes
        /// first, of one pattern's the last by name.
        models: Vec<Box<str>> = Vec::new(), PATTERNS;
        /// Models of the simulator that serve it as long as no provider is configured.
        stand_ins: Vec<Box<str>> = Vec::new(), PATTERNS;
        /// Leave out models that cost more per million prompt tokens, or whose price is not known.
        max_prompt_price: Option<PicoDollars> = None, Optional(Price);
        /// Likewise per million completion tokens.
        max_completion_price: Option<PicoDollars> = None, Optional(Price);
    }
}

section! {
    /// What each signal adds to the score of a request, 0 to 100; 0 ignores it.
    for Weights {
        /// Tools are offered.
        tools: WEIGHT;
        /// Ten tools or more, or 8 KiB of their descriptions.
        many_tools: WEIGHT;
        /// A quarter of the prompt, or three messages, are results of tools.
        tool_results: WEIGHT;
        /// Code in the last turn of the user, or words about it.
        code: WEIGHT;
        /// A diff in the last turn.
        diff: WEIGHT;
        /// A stack trace in the last turn.
        stack_trace: WEIGHT;
        /// Formulas in the last turn, or words about mathematics.
        math: WEIGHT;
        /// Words in the last turn that ask for thought.
        hard_words: WEIGHT;
        /// A table in the last turn.
        table: WEIGHT;
        /// JSON in the last turn.
        json: WEIGHT;
        /// Many figures in the last turn.
        digits: WEIGHT;
        /// Three questions or more in the last turn.
        questions: WEIGHT;
        /// A quarter of the last turn, or more, is not in Latin letters.
        script: WEIGHT;
        /// The last turn has 1 KiB or more.
        long_turn: WEIGHT;
        /// The prompt has 8 KiB or more.
        long_prompt: WEIGHT;
        /// The prompt has 64 KiB or more, beside `long_prompt`.
        huge_prompt: WEIGHT;
        /// The system's instructions have 4 KiB or more.
        instructions: WEIGHT;
        /// Six turns of the user or more.
        many_turns: WEIGHT;
        /// Images, files or sound in the prompt.
        content: WEIGHT;
        /// The answer must follow a JSON schema.
        schema: WEIGHT;
        /// The answer may have more than 8,192 tokens.
        long_answer: WEIGHT;
        /// Reasoning is asked for.
        reasoning: WEIGHT;
        /// Much reasoning is asked for, beside `reasoning`.
        high_effort: WEIGHT;
    }
}

/// The shipped tiers: name, least score, patterns, stand-ins. Small and fast models, those for everyday work,
/// and the best of each family, as of the date of the catalogue.
const SHIPPED: [(&str, usize, &[&str], &[&str]); 3] = [
    (
        "light",
        0,
        &[
            "openai/gpt-*-luna",
            "anthropic/claude-haiku-*",
            "google/gemini-3*-flash-lite",
            "deepseek/deepseek-v4*-flash",
            "qwen/qwen3.*-flash",
            "mistralai/mistral-small-latest",
            "z-ai/glm-*-flash",
            "minimax/minimax-m3*-flash",
            "openai/gpt-oss-20b",
        ],
        &["sim/fast"],
    ),
    (
        "standard",
        15,
        &[
            "openai/gpt-6*-sol",
            "anthropic/claude-sonnet-*",
            "google/gemini-3.*-flash",
            "deepseek/deepseek-v4-pro*",
            "qwen/qwen3.*-plus",
            "mistralai/mistral-large-4",
            "z-ai/glm-5.2",
            "moonshotai/kimi-k2.6",
            "minimax/minimax-m3",
            "x-ai/grok-4.3",
            "openai/gpt-oss-120b",
        ],
        &["sim/routed"],
    ),
    (
        "strong",
        45,
        &[
            "openai/gpt-*-astra",
            "anthropic/claude-opus-5*",
            "google/gemini-3*-pro*",
            "qwen/qwen3.*-max",
            "moonshotai/kimi-k3",
            "z-ai/glm-5.3",
            "x-ai/grok-4.7",
        ],
        &["sim/tools"],
    ),
];

impl TierTable {
    fn shipped() -> Vec<Self> {
        let texts = |list: &[&str]| list.iter().map(|text| Box::from(*text)).collect();
        let tier = |(name, from_score, models, stand_ins): &(&str, usize, &[&str], &[&str])| Self {
            name: Box::from(*name),
            from_score: *from_score,
            models: texts(models),
            stand_ins: texts(stand_ins),
            ..Self::default()
        };
        SHIPPED.iter().map(tier).collect()
    }
}

impl AutoTable {
    /// The place of the default tier.
    #[must_use]
    pub fn default_tier(&self) -> Option<usize> {
        self.tier.iter().position(|tier| tier.name == self.default_tier)
    }
}

/// What is wrong with the table as a whole: key, value and message.
pub(super) fn problems(auto: &AutoTable) -> Vec<(String, Option<String>, &'static str)> {
    let mut problems = Vec::new();
    if auto.default_tier().is_none() {
        let value = Some(auto.default_tier.to_string());
        problems.push(("auto.default_tier".to_owned(), value, "no [[auto.tier]] has this name"));
    }
    for (turn, tier) in auto.tier.iter().enumerate() {
        let before = &auto.tier[..turn];
        if before.iter().any(|other| other.name == tier.name) {
            let key = format!("auto.tier[{turn}].name");
            problems.push((key, Some(tier.name.to_string()), "another tier has this name"));
        }
        let score = match before.last() {
            None if tier.from_score > 0 => "the first tier serves from score 0 on",
            Some(weaker) if tier.from_score <= weaker.from_score => "not above that of the tier before it",
            _ => continue,
        };
        problems.push((format!("auto.tier[{turn}].from_score"), None, score));
    }
    problems
}
