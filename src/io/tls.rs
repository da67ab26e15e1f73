//! TLS configurations: what an upstream must prove, and the certificate we show to clients, which can be
//! replaced while connections run. ALPN offers `http/1.1` only; versions are rustls's 1.2 and 1.3; there is
//! no way to switch verification off. Session tickets are shared by all cores, since the configuration is.
//!
//! Deliberately absent: driving a session (`session`), reading and watching the files (`control`).

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
pub use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
pub use rustls::{ClientConfig, ServerConfig};

/// The protocol we speak inside TLS (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// The configuration for upstreams: the system's roots, or those of `ca_pem` instead. A private server's own
/// authority is then the only one that can vouch for it.
///
/// # Errors
/// In words: `ca_pem` holds no certificate or a broken one; there is no root at all.
pub fn client_config(ca_pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca_pem {
        Some(pem) => {
            for certificate in certificates(pem, "the CA file")? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("the CA file: a certificate is not usable: {error}"))?;
            }
        }
        None => {
            let (system, complaints) = system_roots();
            roots.add_parsable_certificates(system.iter().cloned());
            if roots.is_empty() {
                return Err(format!(
                    "no trusted root certificates: install ca-certificates or name a CA file; {complaints}"
                ));
            }
        }
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The server side: one configuration for all cores whose certificate can be swapped.
#[derive(Debug)]
pub struct ServerTls {
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// From a PEM chain, the server's own certificate first, and its PEM private key.
    ///
    /// # Errors
    /// In words: which file is broken, or that the key belongs to another certificate.
    pub fn new(cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, String> {
        let shown = Arc::new(Shown(ArcSwap::from_pointee(certified(cert_pem, key_pem)?)));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Shown>::clone(&shown));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Tickets keep the state at the client, so a resumption works on whichever core it lands.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| format!("TLS tickets: {error}"))?;
        Ok(Self { shown, config: Arc::new(config) })
    }

    /// Shows another certificate from the next handshake on; running connections keep theirs. On an error the
    /// old one stays.
    ///
    /// # Errors
    /// As for [`ServerTls::new`].
    pub fn replace(&self, cert_pem: &[u8], key_pem: &[u8]) -> Result<(), String> {
        self.shown.0.store(Arc::new(certified(cert_pem, key_pem)?));
        Ok(())
    }

    /// The configuration; the same for the life of this value.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

/// The certificate shown to every client, whatever name it asks for.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified(cert_pem: &[u8], key_pem: &[u8]) -> Result<CertifiedKey, String> {
    let chain = certificates(cert_pem, "the certificate file")?;
    let key = PrivateKeyDer::from_pem_slice(key_pem)
        .map_err(|error| format!("the key file holds no usable PEM private key: {error}"))?;
    CertifiedKey::from_der(chain, key, &provider())
        .map_err(|error| format!("the certificate and its key cannot be used together: {error}"))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(format!("{what} holds no PEM certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{what} is not valid PEM: {error}")),
    }
}

/// The system's roots, read once per process, and what went wrong while reading them.
fn system_roots() -> &'static (Vec<CertificateDer<'static>>, String) {
    static ROOTS: OnceLock<(Vec<CertificateDer<'static>>, String)> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let complaints: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        (found.certs, complaints.join("; "))
    })
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}
