//! `identity` (node-proxy 14.3): see [`crate::config::NodeIdentity`].

use std::path::PathBuf;

use l5d_config::{Field, Kinds, Section};

use super::interpreter::destinations;
use crate::config::{ClientAuth, Issuer, NodeIdentity, Plaintext};

const KINDS: Kinds = Kinds {
    what: "identity",
    known: &["io.l5d.files", "io.l5d.namerd"],
    others: &[],
};

/// `None`: the node is nobody in particular.
pub(super) fn read(field: Field<'_>) -> Option<NodeIdentity> {
    if !field.is_present() {
        return None;
    }
    let mut section = field.section()?;
    let kind = section.kind(&KINDS)?;
    let plaintext = plaintext(&section);
    let issuer = match kind {
        "io.l5d.files" => files(&section),
        _ => Issuer::Namerd {
            dst: match section.key("dst").is_present() {
                true => destinations(&section, "io.l5d.mesh").unwrap_or_default(),
                false => Vec::new(),
            },
            tls: l5d_tls::read::client(section.key("tls")),
            token_file: section.key("tokenFile").string().map(PathBuf::from),
        },
    };
    Some(NodeIdentity { issuer, plaintext })
}

fn files(section: &Section<'_>) -> Issuer {
    let need = |key| PathBuf::from(section.need(key).string().unwrap_or_default());
    Issuer::Files {
        certificate: ClientAuth {
            certificate: need("certPath"),
            key: need("keyPath"),
            intermediates: section
                .key("intermediateCertsPath")
                .string()
                .map(PathBuf::from),
        },
        trust: need("caCertPath"),
    }
}

fn plaintext(section: &Section<'_>) -> Plaintext {
    let field = section.key("plaintext");
    let spot = field.spot();
    match field.string().as_deref() {
        None | Some("refused") => Plaintext::Refused,
        Some("allowed") => {
            let message = "`plaintext: allowed` is for the time of a change: peers without an identity are taken too";
            section.reader().warn(spot, message, None);
            Plaintext::Allowed
        }
        Some(_) => {
            let message = "plaintext must be refused or allowed";
            section.reader().mistake(spot, message, None);
            Plaintext::Refused
        }
    }
}
