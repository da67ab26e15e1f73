//! Field names we know and what their values mean for framing and for the connection.
//!
//! Deliberately absent: `Host` and targets (`target`), the values we only carry, and every name not listed
//! here.

use super::{TCHAR, only, trim};
use crate::wire::flaw::Flaw;

/// Protocol version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: one exchange per connection, no chunked coding.
    Http10,
    /// HTTP/1.1, and any later 1.x, which RFC 9110 §2.5 lets us read as 1.1.
    Http11,
}

/// Reads `HTTP/1.x`; another version in the same form is `Flaw::Version`, anything else is `malformed`.
pub(super) fn version(text: &[u8], malformed: Flaw) -> Result<Version, Flaw> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Flaw::Version),
        _ => Err(malformed),
    }
}

/// Request fields that are kept, each with the value as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestField {
    /// `Authorization`
    Authorization,
    /// `X-Api-Key`
    XApiKey,
    /// `Api-Key`
    ApiKey,
    /// `Content-Type`
    ContentType,
    /// `Content-Encoding`
    ContentEncoding,
    /// `Accept`
    Accept,
    /// `Idempotency-Key`
    IdempotencyKey,
    /// `OpenAI-Beta`
    OpenAiBeta,
    /// `X-Session-Id`
    XSessionId,
    /// A conversation's id as harnesses name it: `X-Claude-Code-Session-Id`, `Session-Id` or `session_id`
    /// (Codex), `X-Session-Affinity`
    HarnessSession,
    /// `HTTP-Referer`: the calling application's address
    HttpReferer,
    /// `X-Title` or `X-OpenRouter-Title`: the calling application's name
    XTitle,
    /// `User-Agent`
    UserAgent,
    /// `Anthropic-Version`
    AnthropicVersion,
    /// `X-OpenRouter-Metadata` or `X-OpenRouter-Experimental-Metadata`: tell how the request was routed
    XOpenRouterMetadata,
    /// `X-Millrace-Debug`: tell it in full
    XMillraceDebug,
    /// `X-Millrace-Hedge`: whether, or when, a second candidate is begun
    XMillraceHedge,
}

impl RequestField {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 17] = [
        Self::Authorization,
        Self::XApiKey,
        Self::ApiKey,
        Self::ContentType,
        Self::ContentEncoding,
        Self::Accept,
        Self::IdempotencyKey,
        Self::OpenAiBeta,
        Self::XSessionId,
        Self::HarnessSession,
        Self::HttpReferer,
        Self::XTitle,
        Self::UserAgent,
        Self::AnthropicVersion,
        Self::XOpenRouterMetadata,
        Self::XMillraceDebug,
        Self::XMillraceHedge,
    ];

    /// Its place in a set of fields.
    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// True when a second one is harmless and ignored: a preference or an attribution, or one thing under
    /// several names. The others decide who pays and what is meant, so a second one is refused.
    pub(super) const fn first_wins(self) -> bool {
        matches!(
            self,
            Self::Accept
                | Self::HarnessSession
                | Self::HttpReferer
                | Self::XTitle
                | Self::UserAgent
                | Self::AnthropicVersion
                | Self::XOpenRouterMetadata
                | Self::XMillraceDebug
        )
    }
}

/// Response fields that are kept, each with the value as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseField {
    /// `Content-Type`
    ContentType,
    /// `Content-Encoding`
    ContentEncoding,
    /// `Retry-After`: seconds or a date
    RetryAfter,
    /// `Retry-After-Ms`: milliseconds
    RetryAfterMs,
    /// `X-Should-Retry`: `true` or `false`
    XShouldRetry,
    /// `X-RateLimit-Remaining-Requests`, or Anthropic's and Together's names for it: a number
    RemainingRequests,
    /// `X-RateLimit-Remaining-Tokens`, or Anthropic's name for it: a number
    RemainingTokens,
    /// `X-RateLimit-Reset-Requests`, likewise: a duration or a time
    ResetRequests,
    /// `X-RateLimit-Reset-Tokens`, likewise: a duration or a time
    ResetTokens,
}

impl ResponseField {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::ContentType,
        Self::ContentEncoding,
        Self::RetryAfter,
        Self::RetryAfterMs,
        Self::XShouldRetry,
        Self::RemainingRequests,
        Self::RemainingTokens,
        Self::ResetRequests,
        Self::ResetTokens,
    ];

    /// True when a second one is ignored. A second content type or coding would change what the body is.
    pub(super) const fn first_wins(self) -> bool {
        !matches!(self, Self::ContentType | Self::ContentEncoding)
    }
}

/// What a field name says to us; `F` is the kind of fields kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<F> {
    /// The value is kept for the caller.
    Kept(F),
    /// `Host`
    Host,
    /// `Content-Length`
    ContentLength,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Connection`
    Connection,
    /// `Expect`
    Expect,
    /// A framing field written with underscores, which some servers read as the real one.
    Underscore,
    /// Not known: checked and dropped.
    Other,
}

/// Names of a request; length and first letter leave one to compare with. What few requests carry is told
/// apart out of line.
#[inline(always)]
pub(super) fn request_name(name: &[u8]) -> Name<RequestField> {
    use RequestField as R;
    let Some(first) = name.first() else { return Name::Other };
    match (name.len(), first | 0x20) {
        (4, b'h') if is_name(name, b"host") => Name::Host,
        (6, b'a') if is_name(name, b"accept") => Name::Kept(R::Accept),
        (10, b'c') if is_name(name, b"connection") => Name::Connection,
        (10, b'u') if is_name(name, b"user-agent") => Name::Kept(R::UserAgent),
        (12, b'c') if is_name(name, b"content-type") => Name::Kept(R::ContentType),
        (13, b'a') if is_name(name, b"authorization") => Name::Kept(R::Authorization),
        (14, b'c') if is_name(name, b"content-length") => Name::ContentLength,
        // OpenAI's libraries send nine names that begin with `x-stainless-`.
        (7 | 9 | 12 | 16 | 18 | 21 | 24 | 34, b'x') if name[3] | 0x20 != b't' => rare_request_name(name),
        (6, b'e')
        | (7, b'a')
        | (10, b's')
        | (11, b'o')
        | (12, b'h')
        | (14 | 16, b'c')
        | (15, b'i')
        | (17, b'a' | b't') => rare_request_name(name),
        _ => Name::Other,
    }
}

/// Names that few requests carry, those of harnesses and of framing that no client of ours needs among them.
#[inline(never)]
fn rare_request_name(name: &[u8]) -> Name<RequestField> {
    use RequestField as R;
    let Some(first) = name.first() else { return Name::Other };
    match (name.len(), first | 0x20) {
        (6, b'e') if is_name(name, b"expect") => Name::Expect,
        (7, b'a') if is_name(name, b"api-key") => Name::Kept(R::ApiKey),
        (7, b'x') if is_name(name, b"x-title") => Name::Kept(R::XTitle),
        (9, b'x') if is_name(name, b"x-api-key") => Name::Kept(R::XApiKey),
        (11, b'o') if is_name(name, b"openai-beta") => Name::Kept(R::OpenAiBeta),
        (12, b'h') if is_name(name, b"http-referer") => Name::Kept(R::HttpReferer),
        (12, b'x') if is_name(name, b"x-session-id") => Name::Kept(R::XSessionId),
        (14, b'c') if imitates(name, b"content-length") => Name::Underscore,
        (15, b'i') if is_name(name, b"idempotency-key") => Name::Kept(R::IdempotencyKey),
        (16, b'c') if is_name(name, b"content-encoding") => Name::Kept(R::ContentEncoding),
        (16, b'x') if is_name(name, b"x-millrace-debug") => Name::Kept(R::XMillraceDebug),
        (16, b'x') if is_name(name, b"x-millrace-hedge") => Name::Kept(R::XMillraceHedge),
        (17, b'a') if is_name(name, b"anthropic-version") => Name::Kept(R::AnthropicVersion),
        (17, b't') if is_name(name, b"transfer-encoding") => Name::TransferEncoding,
        (17, b't') if imitates(name, b"transfer-encoding") => Name::Underscore,
        (18, b'x') if is_name(name, b"x-openrouter-title") => Name::Kept(R::XTitle),
        (21, b'x') if is_name(name, b"x-openrouter-metadata") => Name::Kept(R::XOpenRouterMetadata),
        (34, b'x') if is_name(name, b"x-openrouter-experimental-metadata") => {
            Name::Kept(R::XOpenRouterMetadata)
        }
        (10, b's') | (18 | 24, b'x') if is_harness_session(name) => Name::Kept(R::HarnessSession),
        _ => Name::Other,
    }
}

/// Names of a response.
#[inline(always)]
pub(super) fn response_name(name: &[u8]) -> Name<ResponseField> {
    use ResponseField as R;
    let Some(first) = name.first() else { return Name::Other };
    match (name.len(), first | 0x20) {
        (10, b'c') if is_name(name, b"connection") => Name::Connection,
        (11, b'r') if is_name(name, b"retry-after") => Name::Kept(R::RetryAfter),
        (12, b'c') if is_name(name, b"content-type") => Name::Kept(R::ContentType),
        (14, b'c') if is_name(name, b"content-length") => Name::ContentLength,
        (14, b'r') if is_name(name, b"retry-after-ms") => Name::Kept(R::RetryAfterMs),
        (14, b'x') if is_name(name, b"x-should-retry") => Name::Kept(R::XShouldRetry),
        (16, b'c') if is_name(name, b"content-encoding") => Name::Kept(R::ContentEncoding),
        (17, b't') if is_name(name, b"transfer-encoding") => Name::TransferEncoding,
        (17, b'x') if is_name(name, b"x-ratelimit-reset") => Name::Kept(R::ResetRequests),
        (21, b'x') if is_name(name, b"x-ratelimit-remaining") => Name::Kept(R::RemainingRequests),
        (24, b'x') if is_name(name, b"x-ratelimit-reset-tokens") => Name::Kept(R::ResetTokens),
        (26, b'x') if is_name(name, b"x-ratelimit-reset-requests") => Name::Kept(R::ResetRequests),
        (28, b'x') if is_name(name, b"x-ratelimit-remaining-tokens") => Name::Kept(R::RemainingTokens),
        (30, b'x') if is_name(name, b"x-ratelimit-remaining-requests") => Name::Kept(R::RemainingRequests),
        (32, b'a') if is_name(name, b"anthropic-ratelimit-tokens-reset") => Name::Kept(R::ResetTokens),
        (34, b'a') if is_name(name, b"anthropic-ratelimit-requests-reset") => Name::Kept(R::ResetRequests),
        (36, b'a') if is_name(name, b"anthropic-ratelimit-tokens-remaining") => {
            Name::Kept(R::RemainingTokens)
        }
        (38, b'a') if is_name(name, b"anthropic-ratelimit-requests-remaining") => {
            Name::Kept(R::RemainingRequests)
        }
        _ => Name::Other,
    }
}

/// How coding harnesses name a conversation. Few requests get here, and the names before are the quicker for
/// it.
#[inline(never)]
fn is_harness_session(name: &[u8]) -> bool {
    let names = ["session-id", "session_id", "x-session-affinity", "x-claude-code-session-id"];
    names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// True when `name`, made of `tchar`, is `known`, which is as long and made of lower-case letters and
/// hyphens. Setting bit 5 folds case there: the only `tchar` it turns into a letter or hyphen is that
/// letter's capital. Words are compared, not bytes: this runs for every field of every message. They may
/// overlap.
#[inline(always)]
fn is_name(name: &[u8], known: &[u8]) -> bool {
    let differ = |at: usize| match (name[at..].first_chunk::<8>(), known[at..].first_chunk::<8>()) {
        (Some(a), Some(b)) => (u64::from_ne_bytes(*a) | 0x2020_2020_2020_2020) != u64::from_ne_bytes(*b),
        _ => true,
    };
    debug_assert_eq!(name.len(), known.len());
    if name.len() != known.len() {
        return false;
    }
    let half = |at: usize| match (name[at..].first_chunk::<4>(), known[at..].first_chunk::<4>()) {
        (Some(a), Some(b)) => (u32::from_ne_bytes(*a) | 0x2020_2020) != u32::from_ne_bytes(*b),
        _ => true,
    };
    match known.len() {
        length @ 4..=7 => !half(0) && !half(length - 4),
        length @ 8..=16 => !differ(0) && !differ(length - 8),
        length @ 17..=24 => !differ(0) && !differ(8) && !differ(length - 8),
        _ => name.eq_ignore_ascii_case(known),
    }
}

/// True when `name` is `real` with underscores for hyphens.
#[cold]
fn imitates(name: &[u8], real: &[u8]) -> bool {
    let alike = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || (*a == b'_' && *b == b'-');
    name.len() == real.len() && name.iter().zip(real).all(alike)
}

/// Framing and connection fields of one message, as they come in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    length: Option<u64>,
    chunked: bool,
    /// `Connection: close` was there.
    pub(super) close: bool,
}

impl Framing {
    /// Takes a `Content-Length`. RFC 9110 §8.6 would let equal values collapse; one number is what we accept.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), Flaw> {
        let length = decimal(value).ok_or(Flaw::ContentLength)?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Flaw::ContentLength),
        }
    }

    /// Takes a `Transfer-Encoding`: `chunked`, once, in HTTP/1.1 (RFC 9112 §6.1).
    pub(super) fn transfer_encoding(&mut self, value: &[u8], version: Version) -> Result<(), Flaw> {
        if self.chunked || version == Version::Http10 {
            return Err(Flaw::TransferEncoding);
        }
        self.chunked = true;
        if value.eq_ignore_ascii_case(b"chunked") { Ok(()) } else { Err(coding_flaw(value)) }
    }

    /// Takes a `Connection`: `close` counts, keep-alive is the default, and `nominate` judges each other
    /// name.
    #[inline]
    pub(super) fn connection(
        &mut self,
        value: &[u8],
        nominate: impl Fn(&[u8]) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        if value == b"keep-alive" {
            return Ok(());
        }
        // RFC 9110 §5.6.1.2: empty elements of a list are to be ignored.
        for option in value.split(|&byte| byte == b',').map(trim).filter(|option| !option.is_empty()) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if !option.eq_ignore_ascii_case(b"keep-alive") {
                nominate(option)?;
            }
        }
        Ok(())
    }

    /// The length, or chunked, or neither. Both together is how requests are smuggled (RFC 9112 §6.3).
    pub(super) const fn settle(self) -> Result<Settled, Flaw> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Flaw::LengthAndChunked),
            (Some(length), false) => Ok(Settled::Length(length)),
            (None, true) => Ok(Settled::Chunked),
            (None, false) => Ok(Settled::Unframed),
        }
    }
}

/// How a message says its body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// By `Content-Length`, in bytes.
    Length(u64),
    /// By the chunked coding.
    Chunked,
    /// Not at all.
    Unframed,
}

/// Fewer bytes than this make a number that fits, whatever each of them is.
const DIGITS_FIT: usize = 16;

/// `1*DIGIT` below 2^64; leading zeros are decimal zeros.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    if text.len() < DIGITS_FIT {
        let (mut number, mut fine) = (0_u64, true);
        for byte in text {
            let digit = byte.wrapping_sub(b'0');
            fine &= digit < 10;
            number = number * 10 + u64::from(digit);
        }
        return fine.then_some(number);
    }
    text.iter().try_fold(0_u64, |number, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Malformed, or just not implemented? RFC 9112 §6.1 asks for a 501 for codings that are not understood; §6.3
/// for a 400 where chunked is there but not last.
#[cold]
fn coding_flaw(value: &[u8]) -> Flaw {
    let mut chunked = 0;
    let mut last_is_chunked = false;
    for coding in value.split(|&byte| byte == b',').map(trim) {
        if !only(&TCHAR, coding) {
            return Flaw::TransferEncoding;
        }
        last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        chunked += usize::from(last_is_chunked);
    }
    match chunked {
        0 => Flaw::TransferEncodingUnknown,
        1 if last_is_chunked => Flaw::TransferEncodingUnknown,
        _ => Flaw::TransferEncoding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_digits_and_fit() {
        for length in 1..=20 {
            let text = &"12345678901234567890"[..length];
            assert_eq!(decimal(text.as_bytes()), text.parse().ok(), "{text}");
            for at in 0..length {
                for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
                    let mut other = text.as_bytes().to_vec();
                    other[at] = byte;
                    assert_eq!(decimal(&other), None, "{byte} in {text}");
                }
            }
        }
        let most = [(&b"18446744073709551615"[..], Some(u64::MAX)), (b"18446744073709551616", None)];
        most.into_iter().for_each(|(text, want)| assert_eq!(decimal(text), want));
        assert_eq!((decimal(b""), decimal(b"007"), decimal(&[0xff; 15])), (None, Some(7), None));
    }

    #[test]
    fn every_name_is_found_and_has_its_slot() {
        let names = [
            "authorization x-api-key api-key content-type content-encoding accept idempotency-key",
            "openai-beta x-session-id session-id http-referer x-title user-agent anthropic-version",
            "x-openrouter-metadata x-millrace-debug x-millrace-hedge",
        ];
        let names = names.iter().flat_map(|line| line.split(' '));
        for (slot, (name, field)) in names.zip(RequestField::ALL).enumerate() {
            assert_eq!((request_name(name.as_bytes()), field as usize), (Name::Kept(field), slot));
            assert_eq!(request_name(name.to_uppercase().as_bytes()), Name::Kept(field));
        }
        for name in ["session_id", "Session_Id", "x-session-affinity", "X-Claude-Code-Session-Id"] {
            assert_eq!(request_name(name.as_bytes()), Name::Kept(RequestField::HarnessSession), "{name}");
        }
        for name in ["session.id", "session_ie", "x_session_affinity", "x-claude-code-session_id"] {
            assert_eq!(request_name(name.as_bytes()), Name::Other, "{name}");
        }
        let names = [
            "content-type content-encoding retry-after retry-after-ms x-should-retry",
            "x-ratelimit-remaining-requests x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-requests x-ratelimit-reset-tokens",
        ];
        let names = names.iter().flat_map(|line| line.split(' '));
        for (slot, (name, field)) in names.zip(ResponseField::ALL).enumerate() {
            assert_eq!((response_name(name.as_bytes()), field as usize), (Name::Kept(field), slot));
        }
    }

    #[test]
    fn limits_are_found_under_every_name() {
        for (name, field) in [
            ("anthropic-ratelimit-requests-remaining", ResponseField::RemainingRequests),
            ("anthropic-ratelimit-requests-reset", ResponseField::ResetRequests),
            ("anthropic-ratelimit-tokens-remaining", ResponseField::RemainingTokens),
            ("Anthropic-RateLimit-Tokens-Reset", ResponseField::ResetTokens),
            ("x-ratelimit-remaining", ResponseField::RemainingRequests),
            ("x-ratelimit-reset", ResponseField::ResetRequests),
        ] {
            assert_eq!(response_name(name.as_bytes()), Name::Kept(field), "{name}");
        }
        assert_eq!(response_name(b"anthropic-ratelimit-requests-limit"), Name::Other);
    }
}
