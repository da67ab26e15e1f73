//! A certificate for `localhost` and 127.0.0.1, signed by an authority that is made at start and forgotten
//! at the end: whoever is to trust it gets the authority as PEM.
//!
//! TLS 1.3 only, and one order of cipher suites for all peers, so that what is compared seals with the same
//! cipher. Deliberately absent: client certificates.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::version::TLS13;

/// What a server needs, and its authority as PEM.
///
/// # Errors
/// Keys or certificates could not be made.
pub(crate) fn server() -> Result<(Arc<ServerConfig>, String), String> {
    let text = |error: rcgen::Error| format!("the certificate: {error}");
    let mut authority = CertificateParams::new(Vec::<String>::new()).map_err(text)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "millrace-loadtest");
    let authority_key = KeyPair::generate().map_err(text)?;
    let authority_pem = authority.self_signed(&authority_key).map_err(text)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = KeyPair::generate().map_err(text)?;
    let leaf =
        CertificateParams::new(names).and_then(|names| names.signed_by(&key, &issuer)).map_err(text)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key));
    let mut config = config.map_err(|error| format!("TLS: {error}"))?;
    config.ignore_client_order = true;
    Ok((Arc::new(config), authority_pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_certificate_has_an_authority_of_its_own() {
        let (one, two) = (server().expect("keys").1, server().expect("keys").1);
        assert!(one.starts_with("-----BEGIN CERTIFICATE-----") && one != two, "{one}");
    }
}
