//! What a request's body asks of routing.
//!
//! Deliberately absent: the names of models (the caller hands them over one by one) and the key.

use crate::policy::catalog::{EndpointFacts, Parameter, Parameters};
use crate::policy::filter::{Needs, TierAsk};
use crate::policy::prefs::{BadPreference, Preferences, preferences};
use crate::policy::sticky::Conversation;
use crate::wire::json::peek::Peek;

/// Preferences and needs of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask<'b> {
    /// What its sender prefers.
    pub preferences: Preferences<'b>,
    /// What it needs.
    pub needs: Needs<'b>,
    /// Which conversation it belongs to.
    pub conversation: Conversation<'b>,
}

impl<'b> Ask<'b> {
    /// A request that asks for nothing but an answer.
    pub const NOTHING: Self = Self {
        preferences: Preferences::NONE,
        needs: Needs {
            parameters: Parameters::NONE,
            output_tokens: None,
            tier: TierAsk::Unsaid,
            prompt: &[],
        },
        conversation: Conversation::Unknown,
    };

    /// A request that asks for nothing in particular.
    pub const ANYTHING: Self =
        Self { preferences: Preferences::NONE, needs: Needs::NONE, conversation: Conversation::Unknown };

    /// Reads what `peek` has found in `body`. The conversation stays unknown: headers may name it.
    ///
    /// # Errors
    /// [`BadPreference`] names the member that is malformed.
    pub fn read(peek: &Peek, body: &'b [u8]) -> Result<Self, BadPreference> {
        let mut ask = Self::NOTHING;
        ask.fill(peek, body)?;
        Ok(ask)
    }

    /// As [`Ask::read`], into one that is [`Ask::NOTHING`]: it is large, and every request has one.
    ///
    /// # Errors
    /// As [`Ask::read`]; then nothing here may be used.
    pub fn fill(&mut self, peek: &Peek, body: &'b [u8]) -> Result<(), BadPreference> {
        if let Some(value) = peek.provider {
            self.preferences = preferences(value.of(body))?;
        }
        if let Some(route) = peek.route
            && route.of(body) != b"\"fallback\""
        {
            return Err(BadPreference { field: "route", allowed: "\"fallback\" or left out" });
        }
        let output_tokens = [peek.max_tokens, peek.max_completion_tokens].into_iter().flatten().max();
        self.needs.parameters = used_parameters(peek);
        self.needs.output_tokens = output_tokens.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
        if let Some(tier) = peek.service_tier {
            self.needs.tier = tier_ask(tier.of(body))?;
        }
        self.needs.prompt = peek.messages.map_or(&[], |messages| messages.of(body));
        Ok(())
    }
}

/// The parameters that a body uses: those that `peek` notes one by one, and those it has members for.
#[must_use]
pub fn used_parameters(peek: &Peek) -> Parameters {
    let mut parameters = Parameters(peek.parameters);
    let members = [
        (peek.max_tokens.is_some(), Parameter::MaxTokens),
        (peek.max_completion_tokens.is_some(), Parameter::MaxCompletionTokens),
        (peek.tools.is_some(), Parameter::Tools),
        (peek.response_format.is_some(), Parameter::ResponseFormat),
    ];
    for (present, parameter) in members {
        if present {
            parameters = parameters.with(parameter);
        }
    }
    parameters
}

/// Parameters that are never taken away: an answer without its bound may cost anything.
const BOUNDS: Parameters = Parameters::of(&[Parameter::MaxTokens, Parameter::MaxCompletionTokens]);

/// The parameters that an endpoint is sent; others are left out of its request.
#[must_use]
pub fn kept_parameters(facts: &EndpointFacts) -> Parameters {
    facts.parameters.map_or(Parameters::ALL, |taken| taken.union(BOUNDS))
}

/// Any other text is a tier of a provider's own: it is passed on, and asks for none of ours.
fn tier_ask(text: &[u8]) -> Result<TierAsk, BadPreference> {
    Ok(match text {
        b"\"default\"" => TierAsk::Default,
        b"\"flex\"" => TierAsk::Flex,
        b"\"priority\"" | b"\"fast\"" => TierAsk::Priority,
        _ if text.first() == Some(&b'"') => TierAsk::Unsaid,
        _ => {
            return Err(BadPreference {
                field: "service_tier",
                allowed: "a string; \"default\", \"flex\" and \"priority\" choose among endpoints",
            });
        }
    })
}
