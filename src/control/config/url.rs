//! A provider's base URL, taken apart once so that no later floor has to.
//!
//! Deliberately absent: queries, fragments and user names (a base URL has none; a secret there would end in
//! logs), and normalisation beyond lower case of the host: the path is sent as written.

use core::net::{Ipv4Addr, Ipv6Addr};

use toml::de::DeValue;

use super::reader::Leaf;
use super::rules::text;
use crate::base::address::{UnixName, unix_text};

/// Scheme, host, port and path of an API; or a unix socket and the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// https.
    pub tls: bool,
    /// Name or address, lower case, without brackets; of a unix socket `unix:` and its name, as no host is
    /// called.
    pub host: Box<str>,
    /// TCP port, 1 to 65535; 0 for a unix socket.
    pub port: u16,
    /// The unix socket to connect to, in the clear and without DNS.
    pub unix: Option<UnixName>,
    /// Empty, or `/…` without a slash at the end.
    pub path: Box<str>,
}

/// Longest path in bytes.
const PATH_BYTES: usize = 1024;
const UNIX_FORM: &str = "a unix socket has no TLS and no scheme: write unix:/path";
const BAD_PORT: &str = "the port is not 1 to 65535";

impl BaseUrl {
    /// Reads a URL as of RFC 3986 §3, restricted to what a base URL needs; or `unix:/run/vllm.sock:/v1`, a
    /// unix socket, a colon and the path, as nginx writes it.
    ///
    /// # Errors
    /// Which part is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(text) = unix_text(text) {
            return Self::parse_unix(text);
        }
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, _)) if scheme.to_ascii_lowercase().contains("unix") => return Err(UNIX_FORM),
            _ => return Err("neither http:// nor https:// nor unix:"),
        };
        if rest.starts_with("unix:/") || rest.starts_with("unix:@") {
            return Err(UNIX_FORM);
        }
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        if rest.contains(['?', '#']) {
            return Err("a base URL has no query and no fragment");
        }
        if authority.contains('@') {
            return Err("the key goes into api_key, not into the URL");
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => default_port(tls),
            // `parse` alone would take a sign.
            Some(port) if !port.bytes().all(|byte| byte.is_ascii_digit()) => return Err(BAD_PORT),
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(BAD_PORT)?,
        };
        Ok(Self { tls, host: host_name(host)?, port, unix: None, path: base_path(path)? })
    }

    /// Reads what stands behind `unix:`.
    fn parse_unix(text: &str) -> Result<Self, &'static str> {
        let (name, path) = match text.split_once(':') {
            None => (text, ""),
            Some((name, path)) if path.starts_with('/') => (name, path),
            Some(_) => return Err("no path after the colon behind the socket's name"),
        };
        let name = UnixName::parse(name)?;
        let (host, path) = (name.to_string().into(), base_path(path)?);
        Ok(Self { tls: false, host, port: 0, unix: Some(name), path })
    }

    /// The `Host` field's value: RFC 9110 §7.2, the port only when it is not the scheme's own. A server
    /// behind a unix socket has no name; what others send to it is `localhost`.
    #[must_use]
    pub fn authority(&self) -> Box<str> {
        if self.unix.is_some() {
            return "localhost".into();
        }
        let bracketed = self.host.contains(':');
        let host = if bracketed { format!("[{}]", self.host) } else { self.host.to_string() };
        if self.port == default_port(self.tls) { host.into() } else { format!("{host}:{}", self.port).into() }
    }
}

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Splits `name:port` and `[v6]:port`; the brackets stay.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    if authority.starts_with('[') {
        let close = authority.find(']').ok_or("no `]` after the address")?;
        let (host, rest) = authority.split_at(close + 1);
        return match rest.strip_prefix(':') {
            None if rest.is_empty() => Ok((host, None)),
            None => Err("something else than a port after `]`"),
            Some(port) => Ok((host, Some(port))),
        };
    }
    Ok(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

fn host_name(host: &str) -> Result<Box<str>, &'static str> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| "not an IPv6 address between the brackets")?;
        return Ok(address.to_string().into());
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(address.to_string().into());
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let label = |label: &str| {
        let body = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        body && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err("not a host's name");
    }
    // 127.1 and 010.0.0.1 mean an address to some resolvers and a name to others.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return Err("neither a host's name nor a full IPv4 address");
    }
    Ok(name.into())
}

fn base_path(path: &str) -> Result<Box<str>, &'static str> {
    let path = path.trim_end_matches('/');
    // `pchar` of RFC 3986 §3.3 and the slash; anything else would have to be encoded first.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&byte);
    if path.len() > PATH_BYTES || !path.bytes().all(allowed) {
        return Err("a character in the path that does not belong there");
    }
    if path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("an empty, `.` or `..` segment in the path");
    }
    if path.ends_with("/chat/completions") || path.ends_with("/completions") || path.ends_with("/embeddings")
    {
        return Err("the API's own path is added: end before it");
    }
    Ok(path.into())
}

/// An `http://` or `https://` URL, or a unix socket.
pub(super) struct Url;

impl Leaf for Url {
    type Out = BaseUrl;

    fn parse(&self, value: &DeValue<'_>) -> Result<BaseUrl, &'static str> {
        BaseUrl::parse(text(value)?)
    }

    fn expected(&self) -> String {
        "an http:// or https:// URL such as \"https://api.openai.com/v1\", or a unix socket such as \
         \"unix:/run/vllm.sock:/v1\""
            .to_owned()
    }

    fn show(&self, value: &BaseUrl) -> String {
        if let Some(name) = &value.unix {
            let colon = if value.path.is_empty() { "" } else { ":" };
            return format!("\"{name}{colon}{}\"", value.path);
        }
        let scheme = if value.tls { "https" } else { "http" };
        format!("\"{scheme}://{}{}\"", value.authority(), value.path)
    }

    /// User names, passwords and `?key=…` are secrets.
    fn hides(&self, value: &DeValue<'_>) -> bool {
        value.as_str().is_none_or(|text| {
            let text = text.strip_prefix("unix:@").unwrap_or(text);
            text.contains(['@', '?', '#'])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let check = |text: &str, tls, host: &str, port, path: &str, authority: &str| {
            let url = BaseUrl::parse(text).expect(text);
            let unix = unix_text(host).map(|name| UnixName::parse(name).expect(host));
            assert_eq!(url, BaseUrl { tls, host: host.into(), port, unix, path: path.into() }, "{text}");
            if url.unix.is_some() {
                assert_eq!(BaseUrl::parse(Leaf::show(&Url, &url).trim_matches('"')), Ok(url.clone()));
            }
            assert_eq!(&*url.authority(), authority, "{text}");
        };
        check("https://api.openai.com/v1", true, "api.openai.com", 443, "/v1", "api.openai.com");
        check("HTTPS://API.Openai.com/v1/", true, "api.openai.com", 443, "/v1", "api.openai.com");
        check("http://gpu:8000", false, "gpu", 8000, "", "gpu:8000");
        check("http://gpu:80/", false, "gpu", 80, "", "gpu");
        check("https://gpu:80", true, "gpu", 80, "", "gpu:80");
        check("http://127.0.0.1:11434/v1", false, "127.0.0.1", 11434, "/v1", "127.0.0.1:11434");
        check("http://[::1]:8000/v1", false, "::1", 8000, "/v1", "[::1]:8000");
        check("https://[2001:DB8:0::1]/a/b", true, "2001:db8::1", 443, "/a/b", "[2001:db8::1]");
        check("https://example.com./v1", true, "example.com", 443, "/v1", "example.com");
        check("unix:/run/vllm.sock", false, "unix:/run/vllm.sock", 0, "", "localhost");
        check("unix:/run/vllm.sock:/v1/", false, "unix:/run/vllm.sock", 0, "/v1", "localhost");
        check("unix:/run/a b:/", false, "unix:/run/a b", 0, "", "localhost");
        check("unix:@vllm:/a:b", false, "unix:@vllm", 0, "/a:b", "localhost");
    }

    #[test]
    fn odd_urls_are_refused() {
        for text in [
            "",
            "https",
            "https://",
            "ftp://x",
            "//x",
            "api.openai.com/v1",
            "https:///v1",
            "https://:443",
            "https://a:0",
            "https://a:65536",
            "https://a:",
            "https://a:+1",
            "https://a:b",
            "https://u:p@h/v1",
            "https://h/v1?key=1",
            "https://h/v1#x",
            "https://h?x",
            "https://[::1",
            "https://[::1]x",
            "https://[1.2.3.4]",
            "https://::1",
            "https://-a",
            "https://a..b",
            "https://1.2.3",
            "https://1.2.3.256",
            "https://0x7f.0x1",
            "https://a b",
            "https://ä",
            "https://h/a b",
            "https://h/a//b",
            "https://h/../b",
            "https://h/a\r\nX: y",
            "https://h\\x",
            "https://h/v1/chat/completions",
            "https://h/v1/embeddings/",
            "unix:",
            "unix:run/vllm.sock",
            "unix:/run/vllm.sock:",
            "unix:/run/vllm.sock:v1",
            "unix:/run/vllm.sock:/v1?key=1",
            "unix:/run/vllm.sock:/v1/embeddings",
            "unix:/run/vllm.sock:/../v1",
            "unix://run/vllm/",
            "unix:@",
            "http+unix://%2Frun%2Fvllm.sock/v1",
            "https://unix:/run/vllm.sock",
            "http://unix:@vllm",
        ] {
            assert!(BaseUrl::parse(text).is_err(), "{text:?}");
        }
    }
}
