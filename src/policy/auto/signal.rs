//! What is noticed about a request, one bit each, and how much each of them weighs.
//!
//! A request's score is the sum of the weights of its bits, so whatever adds a bit never lowers the score,
//! and the bits are the whole explanation of it. Two kinds: what speaks for a strong model has a weight; what
//! speaks for a weak one has none, and only permits a tier below the default one.
//! Deliberately absent: how signals are found (`read`, `text`), and what follows from a score (`choose`).

/// Most that a score counts.
pub const SCORE_MAX: u16 = 100;

macro_rules! signals {
    (
        light { $($(#[doc = $light_doc:literal])+ $light:ident = $light_name:literal;)+ }
        heavy { $($(#[doc = $doc:literal])+ $heavy:ident = $field:ident, $weight:literal;)+ }
    ) => {
        /// One thing that is noticed about a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Signal {
            $($(#[doc = $light_doc])+ $light,)+
            $($(#[doc = $doc])+ $heavy,)+
        }

        impl Signal {
            /// All of them: first those that speak for a weak model.
            pub const ALL: &'static [Self] = &[$(Self::$light,)+ $(Self::$heavy,)+];
            /// Those that speak for a weak model.
            pub const LIGHT: &'static [Self] = &[$(Self::$light,)+];

            /// Its word in reasons; of the heavy ones also the key of its weight.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$light => $light_name,)+
                    $(Self::$heavy => stringify!($field),)+
                }
            }
        }

        /// How much each heavy signal adds to the score, 0 to 100; 0 ignores it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Weights {
            $($(#[doc = $doc])+ pub $field: usize,)+
        }

        impl Default for Weights {
            fn default() -> Self {
                Self { $($field: $weight,)+ }
            }
        }

        impl Weights {
            /// The weight of one signal.
            #[must_use]
            pub fn of(&self, signal: Signal) -> u16 {
                let weight = match signal {
                    $(Signal::$light => 0,)+
                    $(Signal::$heavy => self.$field,)+
                };
                weight.min(usize::from(SCORE_MAX)) as u16
            }
        }
    };
}

signals! {
    light {
        /// The last turn begins as a plain task: a greeting, a translation, a summary, an extraction.
        Plain = "plain";
        /// The answer may have 64 tokens at most.
        ShortAnswer = "short_answer";
        /// Little or no reasoning is asked for.
        LowEffort = "low_effort";
    }
    heavy {
        /// Tools are offered.
        Tools = tools, 20;
        /// Ten tools or more, or 8 KiB of their descriptions.
        ManyTools = many_tools, 10;
        /// A quarter of the prompt, or three messages, are results of tools: an agent at work.
        ToolResults = tool_results, 15;
        /// Code in the last turn, or words about it.
        Code = code, 20;
        /// A diff in the last turn.
        Diff = diff, 15;
        /// A stack trace in the last turn.
        StackTrace = stack_trace, 20;
        /// Formulas in the last turn, or words about mathematics.
        Math = math, 25;
        /// Words in the last turn that ask for thought: prove, derive, design, compare.
        HardWords = hard_words, 20;
        /// A table in the last turn.
        Table = table, 10;
        /// JSON in the last turn.
        Json = json, 5;
        /// Many figures in the last turn.
        Digits = digits, 5;
        /// Three questions or more in the last turn.
        Questions = questions, 5;
        /// A quarter of the last turn, or more, is in letters that are not Latin.
        Script = script, 5;
        /// The last turn has 1 KiB or more.
        LongTurn = long_turn, 10;
        /// The prompt has 8 KiB or more, images written into it included.
        LongPrompt = long_prompt, 10;
        /// The prompt has 64 KiB or more.
        HugePrompt = huge_prompt, 10;
        /// The system's instructions have 4 KiB or more.
        Instructions = instructions, 5;
        /// Six turns of the user or more.
        ManyTurns = many_turns, 5;
        /// Images, files or sound in the prompt.
        Content = content, 10;
        /// The answer must follow a JSON schema.
        Schema = schema, 10;
        /// The answer may have more than 8,192 tokens.
        LongAnswer = long_answer, 5;
        /// Reasoning is asked for.
        Reasoning = reasoning, 15;
        /// Much reasoning is asked for.
        HighEffort = high_effort, 20;
    }
}

const _: () = assert!(Signal::ALL.len() <= u32::BITS as usize);

/// A set of signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(pub u32);

impl Signals {
    /// Nothing was noticed.
    pub const NONE: Self = Self(0);

    /// These signals and one more.
    #[must_use]
    pub const fn with(self, signal: Signal) -> Self {
        Self(self.0 | 1 << signal as u32)
    }

    /// These signals, and `signal` too if `seen`.
    #[must_use]
    pub const fn with_if(self, signal: Signal, seen: bool) -> Self {
        if seen { self.with(signal) } else { self }
    }

    /// Is this one among them?
    #[must_use]
    pub const fn has(self, signal: Signal) -> bool {
        self.0 & 1 << signal as u32 != 0
    }

    /// Those of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Does one of them speak for a weak model?
    #[must_use]
    pub fn any_light(self) -> bool {
        Signal::LIGHT.iter().any(|signal| self.has(*signal))
    }

    /// The signals, in the order of [`Signal::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::ALL.iter().copied().filter(move |signal| self.has(*signal))
    }

    /// The sum of their weights, at most [`SCORE_MAX`].
    #[must_use]
    pub fn score(self, weights: &Weights) -> u16 {
        self.iter().fold(0, |score, signal| (score + weights.of(signal)).min(SCORE_MAX))
    }
}
