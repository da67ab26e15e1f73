//! What is asked of the lanes: the bounds that endpoints must keep, and prices.
//!
//! Deliberately absent: the lanes themselves, and any decision.

use crate::policy::catalog::Parameters;
use crate::policy::rows::RowPrices;

/// What filters ask of rows, as plain numbers.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Bounds {
    /// Flags that exclude.
    pub(in crate::policy) forbidden: u16,
    /// Number formats that are taken.
    pub(in crate::policy) quantizations: u16,
    /// Kinds of content to be read.
    pub(in crate::policy) input: u8,
    /// Parameters to be known.
    pub(in crate::policy) parameters: Parameters,
    /// Tokens of the prompt, at least.
    pub(in crate::policy) prompt_tokens: u32,
    /// Tokens of the answer.
    pub(in crate::policy) output_tokens: u32,
}

impl Bounds {
    /// Tokens of prompt and answer together; saturating is right, since the most an endpoint can say is
    /// "without bound".
    pub(super) const fn room(&self) -> u32 {
        self.prompt_tokens.saturating_add(self.output_tokens)
    }
}

/// A price that the lanes know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Price {
    /// Per prompt token.
    Prompt,
    /// Per completion token.
    Completion,
    /// Per request.
    Request,
}

/// Base prices of a model's endpoints.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct BasePrices<'a> {
    pub(super) prompt: &'a [u32],
    pub(super) completion: &'a [u32],
    /// `None` where nobody has any.
    pub(super) fee: Option<&'a [u32]>,
}

impl BasePrices<'_> {
    /// Those of one of them.
    #[inline]
    pub(in crate::policy) fn at(&self, place: usize) -> RowPrices {
        RowPrices {
            prompt: f32::from_bits(self.prompt[place]),
            completion: f32::from_bits(self.completion[place]),
            request: self.fee.map_or(0.0, |fee| f32::from_bits(fee[place])),
        }
    }
}
