//! From the key a client presents to the tenant it speaks for.
//!
//! Deliberately absent: the plaintext of any key, and what the tenant may do (later checks ask for a
//! `Tenant`).

use sha2::{Digest, Sha256};

use crate::base::ids::KeyId;
use crate::policy::catalog::{AuthMode, Snapshot};

/// Evidence that the caller may call: later steps demand it as a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The key; `None` when no key is needed.
    pub key: Option<KeyId>,
}

/// Why a caller may not call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No key was presented.
    Missing,
    /// The key is not one of ours.
    Unknown,
}

/// Looks up the presented key by its full SHA-256. The digest of an unknown key is as random as that of a
/// known one, so the time of the table look-up says nothing about any key's text.
///
/// # Errors
/// [`Denied`] when keys are demanded and none, or an unknown one, was presented.
pub fn tenant(snapshot: &Snapshot, presented: Option<&[u8]>) -> Result<Tenant, Denied> {
    match snapshot.auth {
        AuthMode::Open => Ok(Tenant { key: None }),
        AuthMode::Keys => {
            let presented = presented.filter(|key| !key.is_empty()).ok_or(Denied::Missing)?;
            let digest: [u8; 32] = Sha256::digest(presented).into();
            let key = snapshot.key_digests.get(&digest).ok_or(Denied::Unknown)?;
            Ok(Tenant { key: Some(*key) })
        }
    }
}
