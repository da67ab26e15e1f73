//! From the key a client presents to the tenant it speaks for.
//!
//! A key is looked up by its SHA-256. Clients present the same key with every request, so each core remembers
//! the keys it has found lately, by their lengths and sums under secret words (`sum`): neither the key nor
//! its digest is kept. Nobody is ever told a sum or anything that follows from it, so each guess at a text
//! with the sum of another costs a request and succeeds with a chance of 2⁻⁶⁴.
//!
//! Deliberately absent: the plaintext of any key, and what the tenant may do (later checks ask for a
//! `Tenant`).

pub(super) mod sum;
pub(super) mod tag;

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
    /// It is a management key, which is for no inference.
    Management,
}

/// Keys that are remembered: a power of two, 8 KiB in all.
const FAMILIAR: usize = 256;
/// A longer key is looked up every time.
const TEXT_BYTES: usize = 256;

/// A key that was found: its text's sum and length, and whose it is.
#[derive(Clone, Copy, Debug)]
struct Row {
    sum: u128,
    length: u32,
    key: Option<KeyId>,
}

/// Keys that were found lately in one snapshot. Each sum has one place; the newest key there stays.
#[derive(Debug)]
pub struct Familiar {
    /// Made of `seed` when the first key is presented; empty until then.
    secret: Vec<u64>,
    seed: [u64; 2],
    /// Empty until the first key is found.
    rows: Vec<Row>,
}

impl Familiar {
    /// Knows nobody. `seed` comes from the kernel's randomness and is told nobody.
    #[must_use]
    pub const fn new(seed: [u64; 2]) -> Self {
        Self { secret: Vec::new(), seed, rows: Vec::new() }
    }

    /// Forgets everybody: another snapshot may know other keys.
    pub fn forget(&mut self) {
        self.rows.clear();
    }

    /// As [`tenant`], which it asks for keys that it does not remember. What it remembers must come from this
    /// snapshot.
    ///
    /// # Errors
    /// As [`tenant`].
    pub fn tenant(&mut self, snapshot: &Snapshot, presented: Option<&[u8]>) -> Result<Tenant, Denied> {
        let Some(presented) = presented.filter(|_| snapshot.auth == AuthMode::Keys) else {
            return tenant(snapshot, presented);
        };
        if presented.len() > TEXT_BYTES {
            return tenant(snapshot, Some(presented));
        }
        if self.secret.is_empty() {
            self.secret = sum::secret_words::<{ TEXT_BYTES / 8 }>(self.seed).into();
        }
        let (sum, length) = (sum::sum(&self.secret, presented), presented.len() as u32);
        let place = (sum >> 64) as usize % FAMILIAR;
        if let Some(row) = self.rows.get(place)
            && (row.sum, row.length) == (sum, length)
            && row.key.is_some()
        {
            return Ok(Tenant { key: row.key });
        }
        let found = tenant(snapshot, Some(presented))?;
        if self.rows.is_empty() {
            self.rows.resize(FAMILIAR, Row { sum: 0, length: 0, key: None });
        }
        self.rows[place] = Row { sum, length, key: found.key };
        Ok(found)
    }
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

/// The tenant, if it may ask for an inference.
///
/// # Errors
/// [`Denied::Management`] for a management key.
pub fn inference(snapshot: &Snapshot, tenant: Tenant) -> Result<Tenant, Denied> {
    let key = tenant.key.and_then(|key| snapshot.keys.get(key.index()));
    if key.is_some_and(|key| key.management) { Err(Denied::Management) } else { Ok(tenant) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::catalog::Key;

    const KEY: &[u8] = b"sk-mr-a-key-of-ours";

    fn snapshot(keys: &[&[u8]]) -> Snapshot {
        let digests = keys.iter().map(|key| Sha256::digest(key).into()).zip((0..).map(KeyId));
        Snapshot { auth: AuthMode::Keys, key_digests: digests.collect(), ..Snapshot::bare() }
    }

    #[test]
    fn a_familiar_key_means_what_a_strange_one_does() {
        let names: Vec<Vec<u8>> = (0..3 * FAMILIAR).map(|turn| format!("key-{turn}").into()).collect();
        let keys: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let (ours, theirs) = keys.split_at(2 * FAMILIAR);
        let snapshot = snapshot(ours);
        let mut familiar = Familiar::new([1, 2]);
        for _ in 0..3 {
            for (turn, key) in (0..).zip(ours) {
                let want = Ok(Tenant { key: Some(KeyId(turn)) });
                assert_eq!(familiar.tenant(&snapshot, Some(key)), want);
                assert_eq!(familiar.tenant(&snapshot, Some(key)), want, "remembered");
            }
            for key in theirs {
                assert_eq!(familiar.tenant(&snapshot, Some(key)), Err(Denied::Unknown));
            }
            assert_eq!(familiar.tenant(&snapshot, None), Err(Denied::Missing));
            assert_eq!(familiar.tenant(&snapshot, Some(b"")), Err(Denied::Missing));
            assert_eq!(familiar.rows.len(), FAMILIAR);
        }
    }

    /// A key is one text of one length: with what is missing of its last words filled up it is another one.
    #[test]
    fn a_key_cut_or_filled_up_is_strange() {
        let known = snapshot(&[KEY]);
        let mut familiar = Familiar::new([1, 2]);
        assert!(familiar.tenant(&known, Some(KEY)).is_ok());
        for length in 0..KEY.len() {
            assert!(familiar.tenant(&known, Some(&KEY[..length])).is_err(), "{length}");
        }
        for zeros in 1..=TEXT_BYTES {
            let filled = [KEY, &vec![0; zeros]].concat();
            assert_eq!(familiar.tenant(&known, Some(&filled)), Err(Denied::Unknown), "{zeros}");
        }
        let long = [b'k'; TEXT_BYTES + 1];
        let known = snapshot(&[&long, &long[1..]]);
        familiar.forget();
        for _ in 0..2 {
            assert_eq!(familiar.tenant(&known, Some(&long)), Ok(Tenant { key: Some(KeyId(0)) }));
            assert_eq!(familiar.tenant(&known, Some(&long[1..])), Ok(Tenant { key: Some(KeyId(1)) }));
            assert_eq!(familiar.tenant(&known, Some(&long[2..])), Err(Denied::Unknown));
        }
    }

    #[test]
    fn what_is_remembered_answers_without_the_table_until_it_is_forgotten() {
        let (known, other) = (snapshot(&[KEY]), snapshot(&[]));
        let mut familiar = Familiar::new([1, 2]);
        let found = familiar.tenant(&known, Some(KEY));
        assert_eq!(found, Ok(Tenant { key: Some(KeyId(0)) }));
        assert_eq!(familiar.tenant(&other, Some(KEY)), found, "not hashed again");
        familiar.forget();
        assert_eq!(familiar.tenant(&other, Some(KEY)), Err(Denied::Unknown));
    }

    #[test]
    fn a_management_key_is_for_no_inference() {
        let mut snapshot = snapshot(&[KEY, b"other"]);
        let key = |management| Key {
            name: "k".into(),
            sha256: [0; 32],
            debug: false,
            regions: Box::default(),
            management,
        };
        snapshot.keys = vec![key(false), key(true)];
        let ask = |text: &[u8]| tenant(&snapshot, Some(text)).and_then(|found| inference(&snapshot, found));
        assert_eq!(ask(KEY), Ok(Tenant { key: Some(KeyId(0)) }));
        assert_eq!(ask(b"other"), Err(Denied::Management));
        let nobody = Tenant { key: None };
        assert_eq!(inference(&snapshot, nobody), Ok(nobody));
    }

    #[test]
    fn an_open_house_asks_nobody() {
        let open = Snapshot { auth: AuthMode::Open, ..Snapshot::bare() };
        let mut familiar = Familiar::new([1, 2]);
        assert_eq!(familiar.tenant(&open, Some(KEY)), Ok(Tenant { key: None }));
        assert!(familiar.rows.is_empty());
    }
}
