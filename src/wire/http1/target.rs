//! Request targets and authorities.
//!
//! Deliberately absent: normalisation. A target is compared as it came, so what was authorised is what is
//! routed; `/v1/../x`, `%2e%2e` and `//v1` are just paths that no route has.

use super::{alphanumeric_and, only};
use crate::base::span::Span;
use crate::wire::block::{BLOCK, Block};
use crate::wire::flaw::Flaw;
use core::net::Ipv6Addr;
use memchr::memchr;

/// Longest host name in bytes (RFC 1035 §2.3.4).
const HOST_BYTES: usize = 255;

/// What RFC 3986 allows in a path or query, with the brackets that queries use and without `#`.
pub(super) static TARGET: [bool; 256] = alphanumeric_and(b"-._~:/?[]@!$&'()*+,;=%");

/// Letters of a host name. RFC 3986 allows more in a `reg-name`, such as commas and escapes; no host has
/// them.
static HOST: [bool; 256] = alphanumeric_and(b"-._~");

/// A target in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Path without the query; `/` when an absolute-form has none; `*` for asterisk-form.
    pub(super) path: Span,
    /// What follows the first `?`.
    pub(super) query: Option<Span>,
    /// The authority of an absolute-form, which replaces `Host` (RFC 9112 §3.2.2).
    pub(super) authority: Option<Span>,
}

/// Reads the target at `at` of `bytes`: origin-form, absolute-form, or `*` where `asterisk` allows it.
/// Authority-form is for CONNECT only, which we do not know.
pub(super) fn parse(bytes: &[u8], at: Span, asterisk: bool) -> Result<Target, Flaw> {
    let text = at.of(bytes);
    if !(only(&TARGET, text) && escapes_are_whole(text)) {
        return Err(Flaw::Target);
    }
    let (start, end) = (at.start as usize, at.end as usize);
    match text {
        [b'/', ..] => Ok(origin_form(text, start, end, None)),
        b"*" if asterisk => Ok(Target { path: at, query: None, authority: None }),
        _ => absolute_form(text, start, end),
    }
}

/// `absolute-path [ "?" query ]` between `start` and `end`.
fn origin_form(text: &[u8], start: usize, end: usize, authority: Option<Span>) -> Target {
    match memchr(b'?', text) {
        None => Target { path: Span::new(start, end), query: None, authority },
        Some(mark) => Target {
            path: Span::new(start, start + mark),
            query: Some(Span::new(start + mark + 1, end)),
            authority,
        },
    }
}

/// `http(s)://authority[path][?query]` between `start` and `end`.
#[cold]
fn absolute_form(text: &[u8], start: usize, end: usize) -> Result<Target, Flaw> {
    let colon = memchr(b':', text).ok_or(Flaw::Target)?;
    let scheme = &text[..colon];
    let known = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
    if !(known && text[colon..].starts_with(b"://")) {
        return Err(Flaw::Target);
    }
    let host = colon + 3;
    let path =
        text[host..].iter().position(|byte| matches!(byte, b'/' | b'?')).map_or(text.len(), |at| host + at);
    if !is_authority(&text[host..path]) {
        return Err(Flaw::Target);
    }
    let authority = Some(Span::new(start + host, start + path));
    let mut target = origin_form(&text[path..], start + path, end, authority);
    if target.path.is_empty() {
        // The empty path means `/` (RFC 9110 §4.2.3); the slash before the authority serves as its text.
        target.path = Span::new(start + host - 1, start + host);
    }
    Ok(target)
}

/// True when every `%` is followed by two hexadecimal digits.
fn escapes_are_whole(mut text: &[u8]) -> bool {
    while let Some(at) = memchr(b'%', text) {
        match text[at + 1..] {
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => text = &text[at + 3..],
            _ => return false,
        }
    }
    true
}

/// True for a host of at most sixteen letters, digits, hyphens and dots, with or without a port: the usual
/// ones, by one look at all their bytes. Says `false` where [`is_authority`] has to judge.
#[inline]
pub(super) fn is_usual_authority(bytes: &[u8], at: Span) -> bool {
    let (start, end) = (at.start as usize, at.end as usize);
    let Some(block) = Block::at(bytes, start) else { return false };
    let dots = block.equal(b'.');
    let name = ((block.not_word() & !dots) | 1 << BLOCK).trailing_zeros() as usize;
    let name = name.min(end - start);
    let empty_label = dots & (dots << 1 | 1) & ((1 << name) - 1) != 0;
    name > 0 && !empty_label && (start + name == end || is_port(&bytes[start + name..end]))
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), narrowed to host names, IPv4 and bracketed IPv6 addresses, and
/// ports from 1 to 65535.
pub(super) fn is_authority(text: &[u8]) -> bool {
    if let [b'[', rest @ ..] = text {
        let Some(close) = memchr(b']', rest) else { return false };
        let address =
            core::str::from_utf8(&rest[..close]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
        return address.is_some() && (rest.len() == close + 1 || is_port(&rest[close + 1..]));
    }
    let (name, port) = text.split_at(memchr(b':', text).unwrap_or(text.len()));
    only(&HOST, name)
        && name.len() <= HOST_BYTES
        && no_empty_label(name)
        && (port.is_empty() || is_port(port))
}

/// No dot at the front and no two in a row; one at the end is how a full name is written.
fn no_empty_label(name: &[u8]) -> bool {
    let mut after_dot = true;
    name.iter().all(|&byte| {
        let empty = after_dot && byte == b'.';
        after_dot = byte == b'.';
        !empty
    })
}

/// A colon and a number from 1 to 65535.
fn is_port(text: &[u8]) -> bool {
    let [b':', digits @ ..] = text else { return false };
    if !matches!(digits.len(), 1..=5) || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    matches!(number, 1..=65535)
}
