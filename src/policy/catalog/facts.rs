//! What is known about a model and about its endpoints: sizes, capabilities, prices, data policy. Unknown is
//! `None`, and never read as free, as unlimited or as private.
//!
//! Deliberately absent: where an endpoint is and how to reach it (`Endpoint`, `Provider`), live figures
//! (health is per core), and the choice among endpoints.

use crate::base::time::UnixSeconds;
use crate::policy::hedge::When;
use crate::policy::strategy::StrategyName;

pub use super::prices::{PriceRule, PriceRules, Prices, Window};

/// Declares a bit set over names, in the order of the bits.
macro_rules! names {
    (
        $(#[$about:meta])* $set:ident($bits:ty)
        $(#[$doc:meta])* $one:ident { $($variant:ident = $name:literal,)+ }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $one {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        impl $one {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in the API.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The one of this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }

        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $set(pub $bits);

        impl $set {
            /// None of them.
            pub const NONE: Self = Self(0);
            /// Every one that has a name.
            pub const ALL: Self = Self((1 << $one::ALL.len()) - 1);

            /// These.
            #[must_use]
            pub const fn of(list: &[$one]) -> Self {
                let mut bits = 0;
                let mut turn = 0;
                while turn < list.len() {
                    bits |= 1 << list[turn] as u8;
                    turn += 1;
                }
                Self(bits)
            }

            /// Is this one in it?
            #[must_use]
            pub const fn has(self, one: $one) -> bool {
                self.0 & 1 << one as u8 != 0
            }

            /// Are all of `other` in it?
            #[must_use]
            pub const fn has_all(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// With this one.
            #[must_use]
            pub const fn with(self, one: $one) -> Self {
                Self(self.0 | 1 << one as u8)
            }

            /// Without these.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// What is in either.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Those in it, in order.
            pub fn iter(self) -> impl Iterator<Item = $one> {
                $one::ALL.iter().copied().filter(move |one| self.has(*one))
            }
        }
    };
}

names! {
    /// Kinds of content.
    Modalities(u8)
    /// One kind of content, as OpenRouter's `architecture` names it.
    Modality {
        Text = "text",
        Image = "image",
        File = "file",
        Audio = "audio",
        Video = "video",
        Embeddings = "embeddings",
    }
}

names! {
    /// Request parameters.
    Parameters(u32)
    /// A request parameter of OpenRouter's `supported_parameters`.
    Parameter {
        Temperature = "temperature",
        TopP = "top_p",
        TopK = "top_k",
        MinP = "min_p",
        TopA = "top_a",
        FrequencyPenalty = "frequency_penalty",
        PresencePenalty = "presence_penalty",
        RepetitionPenalty = "repetition_penalty",
        MaxTokens = "max_tokens",
        MaxCompletionTokens = "max_completion_tokens",
        LogitBias = "logit_bias",
        Logprobs = "logprobs",
        TopLogprobs = "top_logprobs",
        Prediction = "prediction",
        Seed = "seed",
        ResponseFormat = "response_format",
        StructuredOutputs = "structured_outputs",
        Stop = "stop",
        Tools = "tools",
        ToolChoice = "tool_choice",
        ParallelToolCalls = "parallel_tool_calls",
        IncludeReasoning = "include_reasoning",
        Reasoning = "reasoning",
        ReasoningEffort = "reasoning_effort",
        WebSearchOptions = "web_search_options",
        Verbosity = "verbosity",
    }
}

names! {
    /// Number formats. A request's `quantizations` is one of these.
    Quantizations(u16)
    /// The number format an endpoint computes in; `Option::None` is `unknown`.
    Quantization {
        Int4 = "int4",
        Int8 = "int8",
        Fp4 = "fp4",
        Mxfp4 = "mxfp4",
        Nvfp4 = "nvfp4",
        Fp6 = "fp6",
        Fp8 = "fp8",
        Mxfp8 = "mxfp8",
        Fp16 = "fp16",
        Bf16 = "bf16",
        Fp32 = "fp32",
    }
}

names! {
    /// Service tiers.
    ServiceTiers(u8)
    /// What a provider promises about speed, at which price. An endpoint of another tier than `default` takes
    /// part only when it is asked for.
    ServiceTier {
        Default = "default",
        Flex = "flex",
        Priority = "priority",
    }
}

names! {
    /// Tokenizer families.
    Tokenizers(u32)
    /// Which vocabulary counts a model's tokens, as OpenRouter's `architecture.tokenizer` names it.
    Tokenizer {
        Gpt = "GPT",
        Claude = "Claude",
        Gemini = "Gemini",
        Grok = "Grok",
        Cohere = "Cohere",
        Nova = "Nova",
        Qwen = "Qwen",
        Qwen3 = "Qwen3",
        Yi = "Yi",
        DeepSeek = "DeepSeek",
        Mistral = "Mistral",
        Llama2 = "Llama2",
        Llama3 = "Llama3",
        Llama4 = "Llama4",
        Other = "Other",
    }
}

/// What a provider does with prompts and answers. Unknown counts as the worse case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataPolicy {
    /// Keeps them after the answer.
    pub retains: Option<bool>,
    /// May train on them.
    pub trains: Option<bool>,
    /// Promises zero data retention.
    pub zdr: Option<bool>,
}

impl DataPolicy {
    /// Keeps data, as far as anybody knows.
    #[must_use]
    pub fn retains(self) -> bool {
        self.retains.unwrap_or(!self.zdr())
    }

    /// May train on data, as far as anybody knows.
    #[must_use]
    pub fn trains(self) -> bool {
        self.trains.unwrap_or(!self.zdr())
    }

    /// Is zero data retention promised?
    #[must_use]
    pub fn zdr(self) -> bool {
        self.zdr == Some(true)
    }
}

/// What is known about a model wherever it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFacts {
    /// Name for people.
    pub name: Option<Box<str>>,
    /// Further names clients may use; none is the id of another model.
    pub aliases: Vec<Box<str>>,
    /// Tokens of prompt and answer together.
    pub context_tokens: Option<u32>,
    /// Tokens of an answer.
    pub output_tokens: Option<u32>,
    /// What it reads.
    pub input: Option<Modalities>,
    /// What it writes.
    pub output: Option<Modalities>,
    /// Parameters that its endpoints take unless they say otherwise; `None` is unknown, so none is taken
    /// away from a request.
    pub parameters: Option<Parameters>,
    /// How its tokens are counted.
    pub tokenizer: Option<Tokenizer>,
    /// When it was published.
    pub created: Option<UnixSeconds>,
    /// May its answers train other models?
    pub distillable: Option<bool>,
    /// How its endpoints are chosen unless a request says otherwise; `None` is the default way.
    pub strategy: Option<StrategyName>,
    /// When a second candidate is begun for a request that waits; `None` is as for all models.
    pub hedge: Option<When>,
}

/// What is known about a model at one provider. What is `None` is as the model says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointFacts {
    /// What it costs; `None` is unknown, never free.
    pub prices: Option<PriceRules>,
    /// Number format; `None` is unknown.
    pub quantization: Option<Quantization>,
    /// Where it computes: `eu`, `us`, or the provider's own name; `None` is unknown or anywhere.
    pub region: Option<Box<str>>,
    /// A second offer of the same model at the same provider, such as `turbo`.
    pub variant: Option<Box<str>>,
    /// Which tier; `None` is the default one.
    pub service_tier: Option<ServiceTier>,
    /// Tokens of prompt and answer together.
    pub context_tokens: Option<u32>,
    /// Tokens of a prompt.
    pub prompt_tokens: Option<u32>,
    /// Tokens of an answer.
    pub output_tokens: Option<u32>,
    /// Parameters it takes; `None` is unknown, so none is taken away from a request.
    pub parameters: Option<Parameters>,
    /// Data policy.
    pub data: DataPolicy,
    /// Its share beside the model's other endpoints where they are chosen by weight; `None` is 1.
    pub weight: Option<u32>,
}

impl EndpointFacts {
    /// Its tier, the default one unless another is known.
    #[must_use]
    pub fn tier(&self) -> ServiceTier {
        self.service_tier.unwrap_or(ServiceTier::Default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_bits() {
        for parameter in Parameter::ALL {
            assert_eq!(Parameter::named(parameter.name()), Some(*parameter));
            assert!(Parameters::NONE.with(*parameter).has(*parameter) && !Parameters::NONE.has(*parameter));
        }
        assert_eq!(Parameter::named("Tools"), None);
        let two = Parameters::of(&[Parameter::Tools, Parameter::Seed]);
        assert_eq!(two.iter().collect::<Vec<_>>(), [Parameter::Seed, Parameter::Tools]);
        assert!(Parameters::ALL.has_all(two) && !two.has_all(Parameters::ALL));
        assert!(!two.without(Parameters::of(&[Parameter::Tools])).has(Parameter::Tools));
    }

    #[test]
    fn an_unknown_data_policy_is_the_worst() {
        let policy = |retains, trains, zdr| DataPolicy { retains, trains, zdr };
        for (policy, want) in [
            (DataPolicy::default(), (true, true, false)),
            (policy(None, Some(false), None), (true, false, false)),
            (policy(None, None, Some(true)), (false, false, true)),
            (policy(Some(false), None, Some(false)), (false, true, false)),
        ] {
            assert_eq!((policy.retains(), policy.trains(), policy.zdr()), want, "{policy:?}");
        }
    }
}
