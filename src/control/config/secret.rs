//! Where a provider's key comes from, and how a provider wants it.
//!
//! Deliberately absent: reading the environment or a file (`resolve` asks the functions it was given), and
//! any way to show a value: what is written at these keys never appears in a problem.

use std::path::PathBuf;

use toml::de::DeValue;

use super::reader::Leaf;
use super::rules::{VARIABLE, text};
use crate::base::secret::Secret;
use crate::policy::catalog::Credential;

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub(super) enum SecretSource {
    /// `env:NAME`
    Environment(Box<str>),
    /// `file:PATH`; its content without surrounding white space.
    File(PathBuf),
    /// The value itself.
    Value(Secret),
}

/// `env:NAME`, `file:PATH` or the value.
pub(super) struct SecretRule;

impl Leaf for SecretRule {
    type Out = SecretSource;

    fn parse(&self, value: &DeValue<'_>) -> Result<SecretSource, &'static str> {
        let text = text(value)?;
        if let Some(name) = text.strip_prefix("env:") {
            let named = VARIABLE.fits(name);
            return if named {
                Ok(SecretSource::Environment(name.into()))
            } else {
                Err("not a variable's name after `env:`")
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            let named = !path.is_empty() && !path.contains('\0');
            return if named { Ok(SecretSource::File(path.into())) } else { Err("no path after `file:`") };
        }
        match text.as_bytes() {
            [] => Err("empty"),
            [b'$', ..] => Err("`$` is not expanded here"),
            _ => Ok(SecretSource::Value(Secret::new(text))),
        }
    }

    fn expected(&self) -> String {
        "\"env:NAME\", \"file:PATH\" or the key itself".to_owned()
    }

    fn show(&self, _value: &SecretSource) -> String {
        String::new()
    }

    fn hides(&self, _value: &DeValue<'_>) -> bool {
        true
    }
}

/// How a provider wants its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AuthStyle {
    /// Not at all.
    None,
    /// `Authorization: Bearer <key>`
    Bearer,
    /// A header of its own; lower-case field name.
    Header(Box<str>),
}

impl AuthStyle {
    /// The credential that a secret is under this style.
    pub(super) fn credential(self, secret: Secret) -> Credential {
        match self {
            Self::None => Credential::None,
            Self::Bearer => Credential::Bearer(secret),
            Self::Header(name) => Credential::Header { name, value: secret },
        }
    }
}

/// `"bearer"`, `"none"` or `{ header = "api-key" }`.
pub(super) struct AuthRule;

/// Fields that Millrace writes itself: a credential there would break the message or be overwritten.
const OWN_FIELDS: [&str; 10] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
];

impl Leaf for AuthRule {
    type Out = AuthStyle;

    fn parse(&self, value: &DeValue<'_>) -> Result<AuthStyle, &'static str> {
        let Some(table) = value.as_table() else {
            return match text(value)? {
                "bearer" => Ok(AuthStyle::Bearer),
                "none" => Ok(AuthStyle::None),
                _ => Err(""),
            };
        };
        let mut entries = table.iter();
        let (Some((key, name)), None) = (entries.next(), entries.next()) else { return Err("") };
        if key.get_ref() != "header" {
            return Err("the only key here is `header`");
        }
        let name = text(name.get_ref())?.to_ascii_lowercase();
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_token) {
            return Err("not a header's name");
        }
        if OWN_FIELDS.contains(&name.as_str()) {
            return Err("Millrace writes this header itself");
        }
        Ok(AuthStyle::Header(name.into()))
    }

    fn expected(&self) -> String {
        "\"bearer\", \"none\" or { header = \"api-key\" }".to_owned()
    }

    fn show(&self, value: &AuthStyle) -> String {
        match value {
            AuthStyle::None => "\"none\"".to_owned(),
            AuthStyle::Bearer => "\"bearer\"".to_owned(),
            AuthStyle::Header(name) => format!("{{ header = \"{name}\" }}"),
        }
    }

    fn choices(&self) -> Vec<&'static str> {
        vec!["bearer", "none"]
    }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// May `secret` stand in a header field as it is? Visible ASCII only: RFC 9110 §5.5 allows spaces inside a
/// value, but no provider's key has one, and one that does was pasted wrong.
pub(super) fn fits_header(secret: &str) -> bool {
    !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic())
}
