//! The rules for single values: texts, numbers, sizes, durations, addresses, choices.
//!
//! Deliberately absent: which key has which rule (`schema`), URLs and secrets (`url`, `secret`).

use core::str::FromStr;
use core::time::Duration;
use std::path::PathBuf;

use toml::de::DeValue;

use super::reader::Leaf;
use crate::base::address::Address;
use crate::base::limits::MODEL_NAME_BYTES;
use crate::base::money::{BadPrice, PicoDollars};
use crate::policy::hedge::When;

/// The text of a string value.
pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, &'static str> {
    value.as_str().ok_or("not a text in quotes")
}

/// A text whose characters are limited.
pub(super) struct Text {
    /// Longest, in bytes.
    most: usize,
    /// What it is, as a noun phrase.
    what: &'static str,
    /// Is this character allowed?
    allowed: fn(char) -> bool,
}

/// Id of a provider. No `/`: what stands before the first one in a model's name is the provider.
pub(super) const PROVIDER_ID: Text = Text {
    most: 64,
    what: "1 to 64 of a-z, 0-9, `-`, `_` and `.`",
    allowed: |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'),
};

/// Name of a model, here or at a provider. It is spliced into JSON and written to records, so nothing that
/// either would have to escape.
pub(super) const MODEL_NAME: Text = Text {
    most: MODEL_NAME_BYTES,
    what: "1 to 256 visible ASCII characters, without quotes and backslashes",
    allowed: |c| c.is_ascii_graphic() && !matches!(c, '"' | '\\'),
};

/// A name for records.
pub(super) const LABEL: Text =
    Text { most: 64, what: "1 to 64 bytes of text without control characters", allowed: |c| !c.is_control() };

/// The text of an SSE comment: one line (WHATWG HTML §9.2.6, `comment`).
pub(super) const COMMENT: Text =
    Text { most: 256, what: "one line of 1 to 256 bytes", allowed: |c| !c.is_control() };

/// Name of an environment variable.
pub(super) const VARIABLE: Text = Text {
    most: 128,
    what: "the name of an environment variable",
    allowed: |c| c.is_ascii_alphanumeric() || c == '_',
};

impl Text {
    /// Does `text` fit?
    pub(super) fn fits(&self, text: &str) -> bool {
        (1..=self.most).contains(&text.len()) && text.chars().all(self.allowed)
    }
}

impl Leaf for Text {
    type Out = Box<str>;

    fn parse(&self, value: &DeValue<'_>) -> Result<Box<str>, &'static str> {
        let text = text(value)?;
        if self.fits(text) { Ok(text.into()) } else { Err("") }
    }

    fn expected(&self) -> String {
        self.what.to_owned()
    }

    fn show(&self, value: &Box<str>) -> String {
        format!("\"{value}\"")
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Leaf for Flag {
    type Out = bool;

    fn parse(&self, value: &DeValue<'_>) -> Result<bool, &'static str> {
        value.as_bool().ok_or("")
    }

    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// A whole number.
fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A whole number in a range, both ends included.
pub(super) struct Count(pub(super) usize, pub(super) usize);

impl Leaf for Count {
    type Out = usize;

    fn parse(&self, value: &DeValue<'_>) -> Result<usize, &'static str> {
        let count = integer(value).and_then(|count| usize::try_from(count).ok()).ok_or("")?;
        if (self.0..=self.1).contains(&count) { Ok(count) } else { Err("out of range") }
    }

    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.0, self.1)
    }

    fn show(&self, value: &usize) -> String {
        value.to_string()
    }
}

/// How many worker threads to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// One per core the process may use.
    All,
    /// This many, at least one.
    Count(usize),
}

/// Most worker threads.
const CORES_MAX: usize = 1024;

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "all" => Ok(Self::All),
            Ok(count @ 1..=CORES_MAX) => Ok(Self::Count(count)),
            _ => Err(format!("expected {}", Leaf::expected(&CoresRule))),
        }
    }
}

/// `"all"` or a number.
pub(super) struct CoresRule;

impl Leaf for CoresRule {
    type Out = Cores;

    fn parse(&self, value: &DeValue<'_>) -> Result<Cores, &'static str> {
        match value.as_str() {
            Some("all") => Ok(Cores::All),
            _ => Count(1, CORES_MAX).parse(value).map(Cores::Count),
        }
    }

    fn expected(&self) -> String {
        format!("\"all\" or {}", Leaf::expected(&Count(1, CORES_MAX)))
    }

    fn show(&self, value: &Cores) -> String {
        match value {
            Cores::All => "\"all\"".to_owned(),
            Cores::Count(count) => count.to_string(),
        }
    }

    fn choices(&self) -> Vec<&'static str> {
        vec!["all"]
    }
}

/// A number with a unit behind it: `units` are tried in order, each with what one of it is worth.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, worth) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*worth)
}

/// The largest unit that divides `amount`.
fn in_units(amount: u64, units: &[(&str, u64)]) -> String {
    let (name, worth) = units
        .iter()
        .filter(|(_, worth)| amount.is_multiple_of(*worth) && (amount > 0 || *worth == units[0].1))
        .max_by_key(|(_, worth)| *worth)
        .unwrap_or(&units[0]);
    format!("{}{name}", amount / worth)
}

const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const TIME_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A size in bytes, in a range, both ends included.
pub(super) struct Bytes(pub(super) usize, pub(super) usize);

impl Leaf for Bytes {
    type Out = usize;

    fn parse(&self, value: &DeValue<'_>) -> Result<usize, &'static str> {
        let amount = match value.as_str() {
            Some(text) => with_unit(text, &SIZE_UNITS),
            None => integer(value).and_then(|bytes| u64::try_from(bytes).ok()),
        };
        let bytes = amount.and_then(|bytes| usize::try_from(bytes).ok()).ok_or("")?;
        if (self.0..=self.1).contains(&bytes) { Ok(bytes) } else { Err("out of range") }
    }

    fn expected(&self) -> String {
        let [least, most] = [self.0, self.1].map(|bytes| in_units(bytes as u64, &SIZE_UNITS));
        format!("a size such as \"32MiB\" (B, KiB, MiB, GiB) or a number of bytes, from {least} to {most}")
    }

    fn show(&self, value: &usize) -> String {
        format!("\"{}\"", in_units(*value as u64, &SIZE_UNITS))
    }
}

/// A duration in a range of milliseconds, both ends included.
pub(super) struct Time(pub(super) u64, pub(super) u64);

/// A day in milliseconds: the longest of any duration.
pub(super) const DAY_MS: u64 = 24 * 3_600_000;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Leaf for Time {
    type Out = Duration;

    fn parse(&self, value: &DeValue<'_>) -> Result<Duration, &'static str> {
        let ms = value.as_str().and_then(|text| with_unit(text, &TIME_UNITS)).ok_or("")?;
        if (self.0..=self.1).contains(&ms) { Ok(Duration::from_millis(ms)) } else { Err("out of range") }
    }

    fn expected(&self) -> String {
        let [least, most] = [self.0, self.1].map(|ms| in_units(ms, &TIME_UNITS));
        format!("a duration such as \"2s\" (ms, s, m, h), from {least} to {most}")
    }

    fn show(&self, value: &Duration) -> String {
        format!("\"{}\"", in_units(millis(*value), &TIME_UNITS))
    }
}

/// A duration, or `"off"`.
pub(super) struct TimeOrOff(pub(super) Time);

impl Leaf for TimeOrOff {
    type Out = Option<Duration>;

    fn parse(&self, value: &DeValue<'_>) -> Result<Self::Out, &'static str> {
        if value.as_str() == Some("off") { Ok(None) } else { self.0.parse(value).map(Some) }
    }

    fn expected(&self) -> String {
        format!("\"off\", or {}", Leaf::expected(&self.0))
    }

    fn show(&self, value: &Self::Out) -> String {
        value.map_or_else(|| "\"off\"".to_owned(), |delay| Leaf::show(&self.0, &delay))
    }
}

/// When a hedge is begun.
pub(super) struct WhenRule;

/// The times it takes.
const HEDGE_DELAY: Time = Time(1, DAY_MS);

impl Leaf for WhenRule {
    type Out = When;

    fn parse(&self, value: &DeValue<'_>) -> Result<When, &'static str> {
        match value.as_str() {
            Some("off") => Ok(When::Off),
            Some("p95") => Ok(When::P95),
            _ => HEDGE_DELAY.parse(value).map(When::After),
        }
    }

    fn expected(&self) -> String {
        format!("\"off\", \"p95\", or {}", Leaf::expected(&HEDGE_DELAY))
    }

    fn show(&self, value: &When) -> String {
        match value {
            When::Off => "\"off\"".to_owned(),
            When::P95 => "\"p95\"".to_owned(),
            When::After(delay) => Leaf::show(&HEDGE_DELAY, delay),
        }
    }
}

/// One of a few texts.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Clone + PartialEq> Leaf for Choice<T> {
    type Out = T;

    fn parse(&self, value: &DeValue<'_>) -> Result<T, &'static str> {
        let text = text(value)?;
        let found = self.0.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| choice.clone()).ok_or("")
    }

    fn expected(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        names.join(" or ")
    }

    fn show(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, choice)| choice == value);
        found.map_or_else(String::new, |(name, _)| format!("\"{name}\""))
    }

    fn choices(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

/// One address or a list of them.
pub(super) struct Addresses;

/// Most addresses to listen on.
const ADDRESSES_MAX: usize = 16;

impl Leaf for Addresses {
    type Out = Vec<Address>;

    fn parse(&self, value: &DeValue<'_>) -> Result<Vec<Address>, &'static str> {
        let one = |value: &DeValue<'_>| text(value)?.parse::<Address>();
        let addresses = match value.as_array() {
            None => vec![one(value)?],
            Some(list) if list.is_empty() => return Err("an empty list"),
            Some(list) => list.iter().map(|value| one(value.get_ref())).collect::<Result<_, _>>()?,
        };
        check_addresses(&addresses).map(|()| addresses)
    }

    fn expected(&self) -> String {
        "an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\", or a unix socket, such as \
         \"unix:/run/millrace.sock\" or \"unix:@millrace\", or a list of such texts"
            .to_owned()
    }

    fn show(&self, value: &Vec<Address>) -> String {
        let shown: Vec<String> = value.iter().map(|address| format!("\"{address}\"")).collect();
        match &shown[..] {
            [one] => one.clone(),
            list => format!("[{}]", list.join(", ")),
        }
    }
}

/// Each address once, and not too many. TCP addresses that are there twice would work and mean nothing.
pub(super) fn check_addresses(addresses: &[Address]) -> Result<(), &'static str> {
    if addresses.len() > ADDRESSES_MAX {
        return Err("more than 16 addresses");
    }
    let again = |(turn, address): (usize, &Address)| addresses[..turn].contains(address);
    // Port 0 asks for any port that is free, each time another one.
    let fixed = |address: &Address| address.inet().is_none_or(|address| address.port() != 0);
    let twice = addresses.iter().enumerate().any(|row| fixed(row.1) && again(row));
    if twice { Err("an address that is there twice") } else { Ok(()) }
}

/// Permissions of a file, as chmod(1) writes them.
pub(super) struct Mode;

impl Leaf for Mode {
    type Out = u32;

    fn parse(&self, value: &DeValue<'_>) -> Result<u32, &'static str> {
        let text = text(value)?;
        if !matches!(text.len(), 3 | 4) || !text.bytes().all(|digit| matches!(digit, b'0'..=b'7')) {
            return Err("");
        }
        let mode = u32::from_str_radix(text, 8).map_err(|_| "")?;
        if mode <= 0o777 { Ok(mode) } else { Err("more than the permissions of a file") }
    }

    fn expected(&self) -> String {
        "permissions as octal digits in quotes, such as \"0660\", at most \"0777\"".to_owned()
    }

    fn show(&self, value: &u32) -> String {
        format!("\"{value:04o}\"")
    }
}

/// A path of a file; relative ones start at the configuration file's directory.
pub(super) struct FilePath;

impl Leaf for FilePath {
    type Out = PathBuf;

    fn parse(&self, value: &DeValue<'_>) -> Result<PathBuf, &'static str> {
        let path = text(value)?;
        if path.is_empty() || path.contains('\0') { Err("") } else { Ok(path.into()) }
    }

    fn expected(&self) -> String {
        "the path of a file".to_owned()
    }

    fn show(&self, value: &PathBuf) -> String {
        format!("{:?}", value.display().to_string())
    }
}

/// A price per million tokens.
pub(super) struct Price;

impl Leaf for Price {
    type Out = PicoDollars;

    fn parse(&self, value: &DeValue<'_>) -> Result<PicoDollars, &'static str> {
        PicoDollars::per_token_from_usd_per_million(text(value)?).map_err(|bad| match bad {
            BadPrice::NotDecimal => "not a plain decimal",
            BadPrice::TooFine => "finer than six decimals",
            BadPrice::TooLarge => "more than a million dollars",
        })
    }

    fn expected(&self) -> String {
        "USD per million tokens as a text, such as \"5.00\"".to_owned()
    }

    fn show(&self, value: &PicoDollars) -> String {
        format!("\"{}.{:06}\"", value.0 / 1_000_000, value.0 % 1_000_000)
    }
}

/// SHA-256 of a client's key.
pub(super) struct Digest;

/// The digest of the empty text: a key nobody should be able to present.
const DIGEST_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl Leaf for Digest {
    type Out = [u8; 32];

    fn parse(&self, value: &DeValue<'_>) -> Result<[u8; 32], &'static str> {
        let text = text(value)?;
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err("");
        }
        if text.eq_ignore_ascii_case(DIGEST_OF_NOTHING) {
            return Err("this is the digest of an empty key");
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = core::str::from_utf8(pair).map_err(|_| "")?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| "")?;
        }
        Ok(digest)
    }

    fn expected(&self) -> String {
        "64 hexadecimal digits, as `millrace key new` prints them".to_owned()
    }

    fn show(&self, _value: &[u8; 32]) -> String {
        String::new()
    }

    /// People paste the key itself here.
    fn hides(&self, _value: &DeValue<'_>) -> bool {
        true
    }
}
