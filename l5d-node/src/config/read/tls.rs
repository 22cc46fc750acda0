//! `tls` towards namerd (node-proxy 14.2).

use std::path::PathBuf;

use l5d_config::{Field, Section};

use crate::config::{ClientAuth, ClientTls, TlsVersions};

/// `None`: in clear text. `is_small`: the form of `io.l5d.namerd`, `commonName` and `caCert` only.
pub(super) fn read(field: Field<'_>, is_small: bool) -> Option<ClientTls> {
    let section = field.section()?;
    if is_small {
        return Some(ClientTls {
            common_name: section.need("commonName").string(),
            trust: section
                .key("caCert")
                .string()
                .map(PathBuf::from)
                .into_iter()
                .collect(),
            ..ClientTls::default()
        });
    }
    let is_enabled = section.key("enabled").boolean().unwrap_or(true);
    let is_unchecked = section.key("disableValidation").boolean().unwrap_or(false);
    let name = match is_enabled && !is_unchecked {
        true => section.need("commonName"),
        false => section.key("commonName"),
    };
    let common_name = name.string();
    let tls = ClientTls {
        common_name,
        is_unchecked,
        trust: trust(&section),
        client_auth: client_auth(&section, is_unchecked),
        versions: versions(&section),
        ..ClientTls::default()
    };
    is_enabled.then_some(tls)
}

fn trust(section: &Section<'_>) -> Vec<PathBuf> {
    let list = section.key("trustCerts");
    let (spot, has_list) = (list.spot(), list.is_present());
    let list = list.strings().unwrap_or_default();
    let bundle = section.key("trustCertsBundle").string();
    if has_list && bundle.is_some() {
        let message = "trustCerts and trustCertsBundle cannot both be given";
        let help = "put all certificates into one file and name it in trustCertsBundle";
        section
            .reader()
            .mistake(spot, message, Some(help.to_owned()));
    }
    list.into_iter().chain(bundle).map(PathBuf::from).collect()
}

fn client_auth(section: &Section<'_>, is_unchecked: bool) -> Option<ClientAuth> {
    let field = section.key("clientAuth");
    let spot = field.spot();
    let auth = field.section()?;
    if is_unchecked {
        let message = "clientAuth and disableValidation exclude each other: nobody would know who is shown the certificate";
        section.reader().mistake(spot, message, None);
    }
    let file = |text: Option<String>| PathBuf::from(text.unwrap_or_default());
    let intermediates = auth.key("intermediateCertsPath").string();
    Some(ClientAuth {
        certificate: file(auth.need("certPath").string()),
        key: file(auth.need("keyPath").string()),
        intermediates: intermediates.map(PathBuf::from),
    })
}

fn versions(section: &Section<'_>) -> TlsVersions {
    let mut versions = Vec::new();
    for item in section.key("protocols").list().unwrap_or_default() {
        let spot = item.spot();
        let Some(name) = item.string() else { continue };
        if !["TLSv1.2", "TLSv1.3"].contains(&name.as_str()) {
            let message = format!(
                "protocol `{}` is not spoken: TLSv1.2 and TLSv1.3 are",
                name.escape_debug()
            );
            section.reader().mistake(spot, message, None);
        }
        versions.push(name);
    }
    let has = |name: &str| versions.iter().any(|v| v == name);
    match (has("TLSv1.2"), has("TLSv1.3")) {
        (true, false) => TlsVersions::Only12,
        (false, true) => TlsVersions::Only13,
        _ => TlsVersions::Both,
    }
}
