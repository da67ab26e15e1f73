//! The `auto-router` plugin of a request: which models the choice may fall on, and in which band of cost.
//!
//! The contract is OpenRouter's: `plugins: [{"id": "auto-router", "allowed_models": ["anthropic/*"],
//! "excluded_models": [..], "cost_tier": "low"}]`. Other plugins, and members that are not known, are
//! somebody else's. Patterns stay in the client's bytes.
//! Deliberately absent: any other plugin, and `pin_model` (a conversation keeps its model here anyway).

use super::pattern::matches;
use crate::policy::prefs::BadPreference;
use crate::wire::json::peek::{Key, Peek};
use crate::wire::json::scan::{Fields, Items};

/// The id of the plugin.
const ID: &[u8] = b"\"auto-router\"";
/// Most patterns of one list (OpenRouter's bound).
pub const PATTERNS_PER_LIST: usize = 1024;
/// Longest pattern in bytes.
pub const PATTERN_BYTES: usize = 256;

/// How dear a model may be among those that the choice may fall on, as a share of them ordered by price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CostTier {
    /// The cheapest fifth.
    Low,
    /// The cheaper two fifths.
    Medium,
    /// The cheaper three fifths.
    High,
    /// All but the dearest fifth.
    Xhigh,
    /// All of them, also those whose price is not known.
    #[default]
    Max,
}

impl CostTier {
    /// All of them, cheapest first.
    pub const ALL: &'static [Self] = &[Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max];

    /// Its name in requests and in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The hundredths of all models, cheapest first, that are within it.
    #[must_use]
    pub const fn percentile(self) -> u8 {
        match self {
            Self::Low => 20,
            Self::Medium => 40,
            Self::High => 60,
            Self::Xhigh => 80,
            Self::Max => u8::MAX,
        }
    }

    fn named(text: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name().as_bytes() == text)
    }
}

/// What a request allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes<'b> {
    /// Patterns of which a model must match one; empty allows all.
    allowed: Patterns<'b>,
    /// Patterns of which a model may match none.
    excluded: Patterns<'b>,
    /// The band of cost; the operator's own goes before if it is lower.
    pub cost_tier: CostTier,
}

/// A list of patterns, as the client wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Patterns<'b> {
    /// The array's text; empty when there is no list.
    list: &'b [u8],
}

impl<'b> Patterns<'b> {
    /// Checks a list. Forms send lists that nobody has filled in: an empty one says nothing.
    fn read(list: &'b [u8]) -> Option<Self> {
        let mut items = Items::open(list, 0, 3).ok()?;
        let mut count = 0;
        while let Some(item) = items.next_item().ok()? {
            let text = item.of(list).strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            let plain = text.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
            count += 1;
            if count > PATTERNS_PER_LIST || !plain || !(1..=PATTERN_BYTES).contains(&text.len()) {
                return None;
            }
        }
        Some(if count == 0 { Self::default() } else { Self { list } })
    }

    fn iter(self) -> impl Iterator<Item = &'b [u8]> {
        let mut items = Items::open(self.list, 0, 3).ok();
        core::iter::from_fn(move || {
            let item = items.as_mut()?.next_item().ok()??;
            self.list.get(item.start as usize + 1..item.end as usize - 1)
        })
    }

    /// The models that match one of the patterns, one bit each.
    fn matched<'m>(self, models: impl Iterator<Item = &'m str> + Clone) -> u128 {
        let mut matched = 0;
        for pattern in self.iter() {
            for (bit, model) in (0..u128::BITS).zip(models.clone()) {
                if matched & 1 << bit == 0 && matches(pattern, model.as_bytes()) {
                    matched |= 1 << bit;
                }
            }
        }
        matched
    }
}

const MALFORMED: BadPreference =
    BadPreference { field: "plugins", allowed: "a list of at most 32 objects, each with a text as id" };
const BAD_ALLOWED: BadPreference = BadPreference {
    field: "plugins.auto-router.allowed_models",
    allowed: "a list of at most 1024 names of models, in which * stands for any run of characters",
};
const BAD_EXCLUDED: BadPreference =
    BadPreference { field: "plugins.auto-router.excluded_models", ..BAD_ALLOWED };
const BAD_COST_TIER: BadPreference = BadPreference {
    field: "plugins.auto-router.cost_tier",
    allowed: "\"low\", \"medium\", \"high\", \"xhigh\" or \"max\"",
};

/// Most plugins of one request.
const PLUGINS: usize = 32;

impl<'b> Wishes<'b> {
    /// Reads the `plugins` member of a body that `peek` has read.
    ///
    /// # Errors
    /// [`BadPreference`] names the member that is malformed.
    pub fn read(peek: &Peek, body: &'b [u8]) -> Result<Self, BadPreference> {
        let Some(member) = peek.member(Key::Plugins) else { return Ok(Self::default()) };
        let list = member.field.value.of(body);
        if list == b"null" {
            return Ok(Self::default());
        }
        let mut wishes = Self::default();
        let mut plugins = Items::open(list, 0, 1).map_err(|_| MALFORMED)?;
        let mut count = 0;
        while let Some(plugin) = plugins.next_item().map_err(|_| MALFORMED)? {
            count += 1;
            if count > PLUGINS {
                return Err(MALFORMED);
            }
            let plugin = plugin.of(list);
            if is_ours(plugin).ok_or(MALFORMED)? {
                wishes.take(plugin)?;
            }
        }
        Ok(wishes)
    }

    fn take(&mut self, plugin: &'b [u8]) -> Result<(), BadPreference> {
        let mut fields = Fields::open(plugin, 0, 2).map_err(|_| MALFORMED)?;
        while let Some(field) = fields.next_field().map_err(|_| MALFORMED)? {
            let value = field.value.of(plugin);
            if value == b"null" {
                continue;
            }
            match field.key.of(plugin) {
                b"allowed_models" => self.allowed = Patterns::read(value).ok_or(BAD_ALLOWED)?,
                b"excluded_models" => self.excluded = Patterns::read(value).ok_or(BAD_EXCLUDED)?,
                b"cost_tier" => {
                    let text = value.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
                    self.cost_tier = text.and_then(CostTier::named).ok_or(BAD_COST_TIER)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Which of these models are allowed, one bit each: of at most 128.
    #[must_use]
    pub fn allowed<'m>(&self, models: impl Iterator<Item = &'m str> + Clone) -> u128 {
        let all = if self.allowed == Patterns::default() {
            u128::MAX
        } else {
            self.allowed.matched(models.clone())
        };
        all & !self.excluded.matched(models)
    }
}

/// Is this the plugin, and not switched off? `None` when it is no object.
fn is_ours(plugin: &[u8]) -> Option<bool> {
    let mut fields = Fields::open(plugin, 0, 2).ok()?;
    let (mut ours, mut on) = (false, true);
    while let Some(field) = fields.next_field().ok()? {
        let value = field.value.of(plugin);
        match field.key.of(plugin) {
            b"id" => ours = value == ID,
            b"enabled" => on = value != b"false",
            _ => {}
        }
    }
    Some(ours && on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::peek::peek;

    const MODELS: [&str; 4] = ["openai/gpt-mini", "openai/gpt", "anthropic/claude", "qwen/qwen-max"];

    /// The places of allowed models, and the band; or the field that is wrong.
    #[track_caller]
    fn check(plugins: &str, want: Result<(&[usize], CostTier), &str>) {
        let body = format!("{{\"plugins\":{plugins}}}");
        let peek = peek(body.as_bytes()).expect("a body");
        let wishes = Wishes::read(&peek, body.as_bytes());
        let got = wishes.map(|wishes| {
            let allowed = wishes.allowed(MODELS.iter().copied());
            ((0..MODELS.len()).filter(|bit| allowed & 1 << bit != 0).collect::<Vec<_>>(), wishes.cost_tier)
        });
        let want = want.map(|(places, tier)| (places.to_vec(), tier));
        assert_eq!(got.map_err(|bad| bad.field), want, "{plugins}");
    }

    #[test]
    fn the_plugin_restricts() {
        let all: &[usize] = &[0, 1, 2, 3];
        let auto = |members: &str| format!(r#"[{{"id":"web"}},{{"id":"auto-router"{members}}}]"#);
        check("null", Ok((all, CostTier::Max)));
        check("[]", Ok((all, CostTier::Max)));
        check(r#"[{"id":"web","allowed_models":3}]"#, Ok((all, CostTier::Max)));
        check(&auto(r#","allowed_models":["openai/*"]"#), Ok((&[0, 1], CostTier::Max)));
        check(&auto(r#","allowed_models":[],"excluded_models":null,"own":1"#), Ok((all, CostTier::Max)));
        check(
            &auto(r#","allowed_models":["openai/*","*/claude*"],"excluded_models":["*-mini"]"#),
            Ok((&[1, 2], CostTier::Max)),
        );
        check(&auto(r#","excluded_models":["*"],"cost_tier":"low""#), Ok((&[], CostTier::Low)));
        check(&auto(r#","enabled":false,"excluded_models":["*"]"#), Ok((all, CostTier::Max)));
        for (members, field) in [
            (r#","allowed_models":"x""#, BAD_ALLOWED.field),
            (r#","allowed_models":[1]"#, BAD_ALLOWED.field),
            (r#","allowed_models":[""]"#, BAD_ALLOWED.field),
            (r#","excluded_models":["a b"]"#, BAD_EXCLUDED.field),
            (r#","excluded_models":["a\"b"]"#, BAD_EXCLUDED.field),
            (r#","cost_tier":"cheap""#, BAD_COST_TIER.field),
            (r#","cost_tier":1"#, BAD_COST_TIER.field),
        ] {
            check(&auto(members), Err(field));
        }
        for malformed in ["{}", "3", "[3]", r#"["auto-router"]"#] {
            check(malformed, Err("plugins"));
        }
        let many = format!("[{}]", vec!["\"x\""; PATTERNS_PER_LIST + 1].join(","));
        check(&auto(&format!(",\"allowed_models\":{many}")), Err(BAD_ALLOWED.field));
        let many = format!("[{}]", vec!["{}"; PLUGINS + 1].join(","));
        check(&many, Err("plugins"));
    }

    #[test]
    fn bands_grow() {
        assert!(CostTier::ALL.is_sorted());
        assert!(CostTier::ALL.windows(2).all(|pair| pair[0].percentile() < pair[1].percentile()));
    }
}
