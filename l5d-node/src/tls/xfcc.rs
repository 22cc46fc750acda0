//! `x-forwarded-client-cert` (node-proxy 8.8).

use std::fmt::Write as _;

use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Name;

/// What is said of a client's certificate: hash, URI and DNS names, subject as RFC 2253 writes it. Nothing that could end the
/// header or forge a further part gets through: names that hold more than printable ASCII, a `;` or a `"` are left out.
pub fn forwarded_cert(certificate: &CertificateDer<'_>) -> String {
    let mut value = "Hash=".to_owned();
    for byte in Sha256::digest(certificate) {
        // Writing to a string does not fail.
        let _ = write!(value, "{byte:02X}");
    }
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return value;
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    for name in names {
        match name {
            GeneralName::URI(uri) if is_plain(uri) => {
                let _ = write!(value, ";SAN={uri}");
            }
            GeneralName::DNSName(name) if is_plain(name) => {
                let _ = write!(value, ";DNS={name}");
            }
            _ => {}
        }
    }
    let _ = write!(value, ";Subject=\"{}\"", subject(parsed.subject()));
    value
}

fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b';' | b'"' | b','))
}

/// RFC 2253 2.1: the last part first.
fn subject(name: &X509Name<'_>) -> String {
    let mut shown = Vec::new();
    for part in name.iter_rdn() {
        let attributes = part.iter().map(|attribute| {
            let kind = x509_parser::objects::oid2abbrev(
                attribute.attr_type(),
                x509_parser::objects::oid_registry(),
            );
            let kind = kind.map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
            let value = attribute.as_str().unwrap_or_default();
            format!("{kind}={}", escape(value))
        });
        shown.push(attributes.collect::<Vec<_>>().join("+"));
    }
    shown.reverse();
    shown.join(",")
}

/// RFC 2253 2.4, with everything outside of printable ASCII as hexadecimal pairs, and quotes too, since the whole stands in
/// some.
fn escape(value: &str) -> String {
    let mut escaped = String::new();
    let last = value.len().saturating_sub(1);
    for (i, byte) in value.bytes().enumerate() {
        let is_edge = byte == b' ' && (i == 0 || i == last) || byte == b'#' && i == 0;
        let _ = match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => write!(escaped, "\\{byte:02X}"),
            b',' | b'+' | b'<' | b'>' | b';' => write!(escaped, "\\{}", byte as char),
            _ if is_edge => write!(escaped, "\\{}", byte as char),
            _ => write!(escaped, "{}", byte as char),
        };
    }
    escaped
}
