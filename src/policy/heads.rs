//! What every request to one provider begins with: request line, host, credential and the other fields that
//! do not change. Written once per provider, copied as one block per request.
//!
//! Deliberately absent: the fields that come from a client's head, and the length of the body.

use core::fmt;
use std::sync::OnceLock;

use crate::dialect::{Api, dialect};
use crate::policy::catalog::{Credential, Provider};
use crate::wire::http1::HeadWriter;

/// Room for what is not the provider's own text: method, field names, version.
const FIXED_BYTES: usize = 192;

/// The beginnings of a provider's request heads, written when the first one is needed. They follow from the
/// provider's other members, which must not change any more from then on; a clone writes its own.
#[derive(Default)]
pub struct Heads(OnceLock<Box<Blocks>>);

struct Blocks {
    chat_completions: Block,
    completions: Block,
    embeddings: Block,
    fields: Block,
}

/// Bytes of a head. They hold the credential, so they are neither printed nor left behind.
struct Block(Vec<u8>);

impl Drop for Block {
    /// Overwrites the bytes, so that a freed page or a core image does not carry them on.
    fn drop(&mut self) {
        self.0.fill(0);
        core::hint::black_box(&self.0);
    }
}

impl Clone for Heads {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heads(…)")
    }
}

impl Provider {
    /// The beginning of a request head for this API: complete lines, up to and including `content-type`. The
    /// end of the head is the caller's.
    #[must_use]
    pub fn head(&self, api: Api) -> &[u8] {
        let blocks = self.blocks();
        match api {
            Api::ChatCompletions => &blocks.chat_completions.0,
            Api::Completions => &blocks.completions.0,
            Api::Embeddings => &blocks.embeddings.0,
        }
    }

    /// The fields of a head without a body, whose request line is the caller's.
    #[must_use]
    pub fn head_fields(&self) -> &[u8] {
        &self.blocks().fields.0
    }

    fn blocks(&self) -> &Blocks {
        self.heads.0.get_or_init(|| {
            Box::new(Blocks {
                chat_completions: self.block(Some(Api::ChatCompletions)),
                completions: self.block(Some(Api::Completions)),
                embeddings: self.block(Some(Api::Embeddings)),
                fields: self.block(None),
            })
        })
    }

    fn block(&self, api: Option<Api>) -> Block {
        let path = api.map_or("", |api| dialect(self.dialect).path(api));
        let credential = match &self.credential {
            Credential::None => 0,
            Credential::Bearer(key) => key.expose().len(),
            Credential::Header { name, value } => name.len() + value.expose().len(),
        };
        // A path's bytes may be written as escapes of three. Enough room from the start: a growing vector
        // would leave a copy of the credential behind.
        let paths = 3 * (self.base_path.len() + path.len());
        let room = FIXED_BYTES + paths + self.authority.len() + credential;
        let mut block = Vec::with_capacity(room);
        let mut head = match api {
            Some(_) => HeadWriter::request(&mut block, "POST", &[&self.base_path, path]),
            None => HeadWriter::resumed(&mut block),
        };
        head.field("host", self.authority.as_bytes());
        match &self.credential {
            Credential::None => {}
            Credential::Bearer(key) => {
                head.joined("authorization", &[b"Bearer ", key.expose().as_bytes()]);
            }
            Credential::Header { name, value } => {
                head.field(name, value.expose().as_bytes());
            }
        }
        head.field("user-agent", concat!("millrace/", env!("CARGO_PKG_VERSION")).as_bytes());
        head.field("accept-encoding", b"identity");
        if api.is_some() {
            head.field("content-type", b"application/json");
        }
        head.pause();
        debug_assert!(block.len() <= room, "the block did not grow");
        Block(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{HostId, PoolId};
    use crate::base::limits::Deadlines;
    use crate::base::secret::Secret;
    use crate::dialect::{DialectName, StreamUsage};

    fn provider(credential: Credential) -> Provider {
        Provider {
            id: "acme".into(),
            dialect: DialectName::OpenAi,
            tls: true,
            host: HostId(0),
            port: 443,
            authority: "api.acme.test".into(),
            base_path: "/open ai/v1".into(),
            credential,
            stream_usage: StreamUsage::OnRequest,
            deadlines: Deadlines::default(),
            pool: PoolId(0),
            sticky_ttl: crate::base::limits::STICKY_TTL,
            on_client_gone: crate::policy::catalog::OnClientGone::Cut,
            passthrough: false,
            heads: Heads::default(),
        }
    }

    #[track_caller]
    fn check(credential: Credential, line: &str) {
        let provider = provider(credential);
        let agent = concat!("user-agent: millrace/", env!("CARGO_PKG_VERSION"), "\r\n");
        let fields = format!("host: api.acme.test\r\n{line}{agent}accept-encoding: identity\r\n");
        assert_eq!(core::str::from_utf8(provider.head_fields()), Ok(&*fields));
        for (api, path) in [
            (Api::ChatCompletions, "/chat/completions"),
            (Api::Completions, "/completions"),
            (Api::Embeddings, "/embeddings"),
        ] {
            let want =
                format!("POST /open%20ai/v1{path} HTTP/1.1\r\n{fields}content-type: application/json\r\n");
            assert_eq!(core::str::from_utf8(provider.head(api)), Ok(&*want));
        }
        assert_eq!(provider.clone().head(Api::Embeddings), provider.head(Api::Embeddings));
    }

    #[test]
    fn a_head_begins_with_what_the_provider_wants() {
        check(Credential::None, "");
        check(Credential::Bearer(Secret::new("sk-1")), "authorization: Bearer sk-1\r\n");
        let header = |value| Credential::Header { name: "api-key".into(), value: Secret::new(value) };
        check(header("sk-2"), "api-key: sk-2\r\n");
        // A line end in a key ends no line.
        check(header("a\r\nb: c"), "api-key: a  b: c\r\n");
    }

    #[test]
    fn a_changed_clone_writes_its_own() {
        let one = provider(Credential::None);
        assert!(one.head_fields().starts_with(b"host: api.acme.test\r\n"));
        let other = Provider { authority: "other.test".into(), ..one.clone() };
        assert!(other.head_fields().starts_with(b"host: other.test\r\n"));
        assert!(one.head_fields().starts_with(b"host: api.acme.test\r\n"));
    }

    #[test]
    fn debug_shows_no_key() {
        let provider = provider(Credential::Bearer(Secret::new("sk-live-123")));
        let _ = provider.head_fields();
        assert!(!format!("{provider:?}").contains("sk-live"));
    }
}
