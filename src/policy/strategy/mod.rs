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

/// An endpoint that may serve a request, in sixteen bytes: what every request looks at. The rest is asked of
/// the [`Field`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contender {
    /// What the request would cost there, in pico-dollars; NaN is unknown.
    pub cost: f32,
    /// Its live figures in one number.
    pub brief: Brief,
    /// Within a tier the lower goes first; not negative, not NaN.
    pub score: f32,
    /// What the planner knows beside the strategy, in its own bits.
    pub(super) standing: u16,
    /// Its place among the model's endpoints.
    pub place: u8,
    /// Of two tiers (0 and 1) the lower goes first, whatever the scores.
    pub tier: u8,
}

const _: () = assert!(size_of::<Contender>() == 16);

impl Contender {
    /// Nobody: fills places that are not used.
    pub const NOBODY: Self =
        Self { cost: 0.0, brief: Brief::UNKNOWN, score: 0.0, standing: 0, place: 0, tier: 0 };
}

/// What else is known of a model's contenders.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub(super) lanes: Lanes<'a>,
    pub(super) live: Live<'a>,
}

impl<'a> Field<'a> {
    /// Live figures.
    #[must_use]
    pub fn figures(&self, contender: &Contender) -> &'a Figures {
        self.live.of(self.lanes.id(usize::from(contender.place)))
    }

    /// What stays the same when other endpoints come and go.
    #[must_use]
    pub fn identity(&self, contender: &Contender) -> u64 {
        self.lanes.identity(usize::from(contender.place))
    }

    /// The configured share.
    #[must_use]
    pub fn weight(&self, contender: &Contender) -> f32 {
        self.lanes.weight(usize::from(contender.place))
    }
}

/// One way to order the endpoints of a model. Implementations are stateless.
pub trait Strategy: Sync {
    /// Gives every contender its tier and score. Allocates nothing.
    fn score(&self, task: &Task<'_>, field: &Field<'_>, contenders: &mut [Contender]);
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
fn fraction(word: u64) -> f32 {
    ((word >> 41) as f32 + 0.5) / (1_u32 << 23) as f32
}

/// -ln(u) for 0 < u < 1, to about one part in a thousand: enough for a draw, at a tenth of the cost. The
/// exponent is the whole part of log₂, and a parabola through both ends is close to the rest of it.
fn minus_ln(u: f32) -> f32 {
    let bits = u.to_bits();
    let exponent = (bits >> 23) as f32 - 127.0;
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000) - 1.0;
    let log2 = exponent + mantissa * (1.423_1 + mantissa * (-0.587_7 + mantissa * 0.164_6));
    (-core::f32::consts::LN_2 * log2).max(f32::MIN_POSITIVE)
}

/// The random word of contender number `turn`: a Weyl step and a folded product (wyrand), both halves of
/// which reach all bits.
#[inline]
const fn draw(random: u64, turn: usize) -> u64 {
    let word = random.wrapping_add((turn as u64 + 1).wrapping_mul(0xa076_1d64_78bd_642f));
    let product = (word as u128).wrapping_mul((word ^ 0xe703_7ed1_a0b4_28db) as u128);
    (product >> 64) as u64 ^ product as u64
}

/// What an endpoint without a figure scores, as a share of its peers' average: a little less, so that beside
/// a single peer with a figure it goes first, whatever their places, and so gets measured.
const UNMEASURED: f32 = 0.99;

/// Scores by a figure of which lower is better and 0 is "not measured". Who has none is taken for a peer
/// slightly better than the average.
fn by_figure(contenders: &mut [Contender], field: &Field<'_>, figure: impl Fn(&Figures) -> f32) {
    let (mut sum, mut count) = (0.0_f32, 0.0_f32);
    for contender in &mut *contenders {
        contender.score = figure(field.figures(contender));
        if contender.score > 0.0 {
            (sum, count) = (sum + contender.score, count + 1.0);
        }
    }
    let unmeasured = if count > 0.0 { sum / count * UNMEASURED } else { 1.0 };
    for contender in contenders {
        contender.score = if contender.score > 0.0 { contender.score } else { unmeasured }.min(f32::MAX);
    }
}
