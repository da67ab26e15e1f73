//! The request, rendered once; each one differs in its number only. And where it is sent.
//!
//! Deliberately absent: connections.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};

use crate::origin::numbered;

/// Where requests without a path of their own go.
const PATH: &str = "/v1/chat/completions";

/// Somewhere to send to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// As in the URL.
    host: String,
    path: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Target {
    /// Reads `http://host:port[/path]` or `https://…`, which needs the certificate to trust.
    ///
    /// # Errors
    /// The URL is out of form, its host has no address, or the certificate cannot be read.
    pub(super) fn new(url: &str, certificate: Option<&Path>) -> Result<Self, String> {
        let (secure, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(format!("{url}: neither http:// nor https://")),
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = |byte: u8| byte.is_ascii_graphic();
        if host.is_empty() || !host.bytes().all(plain) || !path.bytes().all(plain) {
            return Err(format!("{url}: not a URL of visible ASCII"));
        }
        let named = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let (name, with_port) = match named {
            Some((name, _)) => (name, host.to_owned()),
            None => (host, format!("{host}:{}", if secure { 443 } else { 80 })),
        };
        let tls = if secure {
            let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
                .map_err(|error| format!("{url}: {error}"))?;
            let file = certificate.ok_or_else(|| format!("{url}: needs --certificate FILE"))?;
            Some((client_config(file)?, name))
        } else {
            None
        };
        Ok(Self {
            address: crate::scenario::resolve(&with_port)?,
            host: host.to_owned(),
            path: if path.len() > 1 { path.to_owned() } else { PATH.to_owned() },
            tls,
        })
    }

    /// A TLS session for a new connection, if there is TLS.
    pub(super) fn session(&self) -> Result<Option<Connection>, rustls::Error> {
        let Some((config, name)) = &self.tls else { return Ok(None) };
        Ok(Some(ClientConnection::new(Arc::clone(config), name.clone())?.into()))
    }
}

fn client_config(file: &Path) -> Result<Arc<ClientConfig>, String> {
    let read = || -> Result<ClientConfig, Box<dyn core::error::Error>> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&fs::read(file)?) {
            roots.add(certificate?)?;
        }
        Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth())
    };
    read().map(Arc::new).map_err(|error| format!("{}: {error}", file.display()))
}

/// A rendered request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Request {
    /// A request of a body of `body_bytes` (or the least that holds its numbers) with further `fields`.
    pub(super) fn new(
        target: &Target,
        model: &str,
        stream: bool,
        body_bytes: u64,
        fields: &[String],
    ) -> Self {
        let stream = if stream { "true,\"stream_options\":{\"include_usage\":true}" } else { "false" };
        let before =
            format!("{{\"model\":\"{model}\",\"stream\":{stream},\"messages\":[{{\"role\":\"user\",");
        let around = before.len() + "\"content\":\"\"}]}".len() + numbered::blank_prompt("").len();
        let words = usize::try_from(body_bytes).unwrap_or(usize::MAX).saturating_sub(around);
        let prompt = numbered::blank_prompt(&numbered::words(words));
        let body = format!("{before}\"content\":\"{prompt}\"}}]}}");
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             {fields}content-length: {}\r\n\r\n",
            target.path,
            target.host,
            body.len()
        );
        let number_at = head.len() + before.len() + numbered::PROMPT.len();
        Self { bytes: [head, body].concat().into_bytes(), number_at }
    }

    /// The bytes of request `number`.
    pub(super) fn numbered(&mut self, number: u64) -> &[u8] {
        let place = self.number_at..self.number_at + numbered::REQUEST_DIGITS;
        numbered::put(&mut self.bytes[place], number);
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_size_and_its_number() {
        let target = Target::new("http://127.0.0.1:9", None).expect("a target");
        for (size, stream) in [(300, true), (1536, false), (262_144, true)] {
            let key = ["authorization: Bearer x".to_owned()];
            let mut request = Request::new(&target, "m", stream, size, &key);
            let text = String::from_utf8(request.numbered(42).to_vec()).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(
                head.starts_with("POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:9\r\n"),
                "{head}"
            );
            assert!(head.contains(&format!("\r\ncontent-length: {size}")), "{head}");
            assert!(head.contains("\r\nauthorization: Bearer x\r\n"), "{head}");
            let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert_eq!((body.len() as u64, &json["stream"]), (size, &stream.into()));
            let words = numbered::words(1 << 20);
            assert_eq!(numbered::read_prompt(body.as_bytes(), words.as_bytes()), Ok(Some(42)));
        }
    }

    #[test]
    fn targets_are_read() {
        for (url, host, path) in [
            ("http://127.0.0.1:80", "127.0.0.1:80", PATH),
            ("http://127.0.0.1/", "127.0.0.1", PATH),
            ("http://[::1]:81/x/y", "[::1]:81", "/x/y"),
            ("http://[::1]", "[::1]", PATH),
        ] {
            let target = Target::new(url, None).expect(url);
            assert_eq!((target.host.as_str(), target.path.as_str()), (host, path), "{url}");
        }
        for url in ["127.0.0.1:80", "http://", "http:///x", "https://127.0.0.1:1", "http://a b:1"] {
            assert!(Target::new(url, None).is_err(), "{url}");
        }
    }
}
