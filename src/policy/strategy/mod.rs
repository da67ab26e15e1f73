//! Strategies: in which order the endpoints of one model are tried. One file each, over one trait.
//!
//! A strategy gives every contender a score; lower goes first. It is handed all of a model's contenders at
//! once, because most figures mean something only beside those of peers. Random order is made of scores too:
//! a contender of weight w gets -ln(u)/w with a fresh random u, and sorting by that is the same as drawing by
//! weight, again and again, from those left (Efraimidis and Spirakis). So a failed attempt is followed by a
//! draw among the others without any further work.
//!
//! What holds for all of them is tested over the table: every contender gets a score, the same input gives
//! the same order, and who is worse in everything never goes first more often.
//! Deliberately absent: who may be asked at all (`filter`), and health: an endpoint that is not well goes
//! behind the others whatever its score (`route`).

mod balanced;
mod latency;
mod least_busy;
mod order;
mod prefix_affinity;
mod price;
mod throughput;
mod weighted;

#[cfg(test)]
mod tests;

use crate::policy::live::{Brief, Figures, Live};
use crate::policy::rows::Lanes;

/// What a request is like, as far as strategies care.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Task<'a> {
    /// A fresh random word.
    pub random: u64,
    /// About how many tokens the prompt has.
    pub prompt_tokens: f32,
    /// About how many tokens the answer will have.
    pub output_tokens: f32,
    /// The beginning of the prompt.
    pub prefix: &'a [u8],
}

/// What a strategy says of a contender: of two tiers (0 and 1) the lower goes first, and within a tier the
/// lower score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(u32);

/// The bit above those of a score, which is not negative.
const TIER: u32 = 1 << 31;

impl Rank {
    /// Before all others.
    pub const FIRST: Self = Self(0);

    /// Of the first tier. A score is not negative and not NaN, so it sorts by its bits.
    #[inline]
    pub(super) const fn first(score: f32) -> Self {
        Self(score.to_bits() & !TIER)
    }

    /// Of the second tier.
    #[inline]
    pub(super) const fn second(score: f32) -> Self {
        Self(score.to_bits() | TIER)
    }

    /// The tier, 0 or 1.
    #[must_use]
    pub const fn tier(self) -> u8 {
        (self.0 >> 31) as u8
    }

    /// The score.
    #[must_use]
    pub const fn score(self) -> f32 {
        f32::from_bits(self.0 & !TIER)
    }

    /// Both in one word, which sorts as they do.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// The endpoints of a model that may serve a request, by turns, and what is known of them.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub(super) lanes: Lanes<'a>,
    pub(super) live: Live<'a>,
    /// What the request would cost there, in pico-dollars; NaN is unknown.
    pub(super) costs: &'a [f32],
    /// Live figures in one number.
    pub(super) briefs: &'a [Brief],
    /// Places among the model's endpoints.
    pub(super) places: &'a [u8],
}

impl<'a> Field<'a> {
    /// All of one turn's live figures.
    #[inline]
    fn figures(&self, turn: usize) -> &'a Figures {
        self.live.of(self.lanes.id(usize::from(self.places[turn])))
    }

    /// What stays the same when other endpoints come and go.
    fn identity(&self, turn: usize) -> u64 {
        self.lanes.identity(usize::from(self.places[turn]))
    }

    /// The configured share.
    fn weight(&self, turn: usize) -> f32 {
        self.lanes.weight(usize::from(self.places[turn]))
    }
}

/// One way to order the endpoints of a model. Implementations are stateless.
pub trait Strategy: Sync {
    /// Gives every contender its rank; there are as many as the field has turns. Allocates nothing.
    fn score(&self, task: &Task<'_>, field: &Field<'_>, ranks: &mut [Rank]);
}

macro_rules! strategies {
    ($($(#[$doc:meta])* $variant:ident = $name:literal: $one:expr,)*) => {
        /// The strategies.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum StrategyName { $($(#[$doc])* $variant,)* }

        impl StrategyName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name as in the configuration.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The one of this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// The strategy.
            #[must_use]
            pub fn strategy(self) -> &'static dyn Strategy {
                match self { $(Self::$variant => &$one,)* }
            }
        }
    };
}

strategies! {
    /// Cheap, fast and reliable endpoints more often.
    Default = "default": balanced::Balanced,
    /// Cheapest first.
    Price = "price": price::Price,
    /// Most tokens per second first.
    Throughput = "throughput": throughput::Throughput,
    /// Shortest time to the first token first.
    Latency = "latency": latency::Latency,
    /// Fewest tokens in flight first.
    LeastBusy = "least-busy": least_busy::LeastBusy,
    /// The same prompts at the same endpoint.
    PrefixAffinity = "prefix-affinity": prefix_affinity::PrefixAffinity,
    /// By configured shares.
    Weighted = "weighted": weighted::Weighted,
    /// As configured.
    Order = "order": order::Order,
}

/// Spreads a word over all its bits (the last steps of splitmix64).
#[must_use]
pub const fn spread(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A number above 0 and below 1, from the high bits of a word.
const fn fraction(word: u32) -> f32 {
    // No number of 23 bits has a sign: this way round the conversion is one instruction.
    ((word >> 9) as i32 as f32 + 0.5) * (1.0 / (1 << 23) as f32)
}

/// -ln(u) for 0 < u < 1, to about one part in a thousand: enough for a draw, at a tenth of the cost. The
/// exponent is the whole part of log₂, and a parabola through both ends is close to the rest of it.
#[inline]
fn minus_ln(u: f32) -> f32 {
    let bits = u.to_bits();
    let exponent = (bits >> 23) as i32 as f32 - 127.0;
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000) - 1.0;
    let log2 = exponent + mantissa * (1.423_1 + mantissa * (-0.587_7 + mantissa * 0.164_6));
    let found = -core::f32::consts::LN_2 * log2;
    if found > f32::MIN_POSITIVE { found } else { f32::MIN_POSITIVE }
}

/// A chance above 0 and below 1 for each turn of a random word: a Weyl sequence through a mixer of 32 bits
/// (Wellons, "hash-prospector"), with the word's other half in its middle. Four of them are made at a time.
#[inline]
const fn chance(random: u64, turn: u32) -> f32 {
    let mut word = (random as u32).wrapping_add(turn.wrapping_mul(0x9e37_79b9));
    word = (word ^ (word >> 16)).wrapping_mul(0x21f0_aaad) ^ (random >> 32) as u32;
    word = (word ^ (word >> 15)).wrapping_mul(0xd35a_2d97);
    fraction(word ^ (word >> 15))
}

/// Who has no share stands by, behind the others.
fn by_weight(score: f32, weight: f32) -> Rank {
    if weight > 0.0 { Rank::first(score) } else { Rank::second(score) }
}

/// What an endpoint without a figure scores, as a share of its peers' average: a little less, so that beside
/// a single peer with a figure it goes first, whatever their places, and so gets measured.
const UNMEASURED: f32 = 0.99;

/// Scores by a figure of which lower is better and 0 is "not measured". Who has none is taken for a peer
/// slightly better than the average.
fn by_figure(ranks: &mut [Rank], field: &Field<'_>, figure: impl Fn(&Figures) -> f32) {
    let (mut sum, mut count) = (0.0_f32, 0.0_f32);
    for (turn, rank) in ranks.iter_mut().enumerate() {
        let score = figure(field.figures(turn));
        if score > 0.0 {
            (sum, count) = (sum + score, count + 1.0);
        }
        *rank = Rank::first(score);
    }
    let unmeasured = if count > 0.0 { sum / count * UNMEASURED } else { 1.0 };
    for rank in ranks {
        let score = rank.score();
        *rank = Rank::first(if score > 0.0 { score } else { unmeasured }.min(f32::MAX));
    }
}
