//! `tls` blocks of configuration files (control plane 3.6, node-proxy 14.1 and 14.2).

use std::path::PathBuf;

use l5d_config::{Field, Section};

use crate::{CIPHERS, ClientAuth, ClientTls, ServerTls, TlsVersion};

/// `tls` of a server; `None`: no TLS. `has_switch`: whether the key `enabled` exists.
pub fn server(field: Field<'_>, has_switch: bool) -> Option<ServerTls> {
    let section = field.section()?;
    let is_enabled = !has_switch || section.key("enabled").boolean().unwrap_or(true);
    let file = |key| section.key(key).string().map(PathBuf::from);
    let need = |key| match is_enabled {
        true => section.need(key).string(),
        false => section.key(key).string(),
    };
    let (cert, key) = (need("certPath"), need("keyPath"));
    let require = section.key("requireClientAuth");
    let require_spot = require.spot();
    let tls = ServerTls {
        cert: cert.unwrap_or_default().into(),
        key: key.unwrap_or_default().into(),
        intermediates: file("intermediateCertsPath"),
        ca: file("caCertPath"),
        require_client_auth: require.boolean().unwrap_or(false),
        ciphers: ciphers(&section),
        protocols: protocols(&section),
    };
    if tls.require_client_auth && tls.ca.is_none() {
        let message =
            "requireClientAuth needs caCertPath, the authority that clients are checked against";
        section.reader().mistake(require_spot, message, None);
    }
    is_enabled.then_some(tls)
}

/// `tls` towards a server; `None`: in clear text.
pub fn client(field: Field<'_>) -> Option<ClientTls> {
    let section = field.section()?;
    let is_enabled = section.key("enabled").boolean().unwrap_or(true);
    let is_unchecked = section.key("disableValidation").boolean().unwrap_or(false);
    let name = match is_enabled && !is_unchecked {
        true => section.need("commonName"),
        false => section.key("commonName"),
    };
    let tls = ClientTls {
        common_name: name.string(),
        is_unchecked,
        trust: trust(&section),
        client_auth: client_auth(&section, is_unchecked),
        protocols: protocols(&section),
    };
    is_enabled.then_some(tls)
}

/// The small form of `io.l5d.namerd`: `commonName` and `caCert` only.
pub fn small_client(field: Field<'_>) -> Option<ClientTls> {
    let section = field.section()?;
    let trust = section.key("caCert").string();
    Some(ClientTls {
        common_name: section.need("commonName").string(),
        trust: trust.map(PathBuf::from).into_iter().collect(),
        ..ClientTls::default()
    })
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

/// Unknown suites are left out with a warning (node-proxy 14.1): lists of earlier days name suites that are not spoken any
/// more. If none is left, all of the library's are spoken: none of them is weaker than what was listed.
fn ciphers(section: &Section<'_>) -> Vec<&'static str> {
    let Some(items) = section.key("ciphers").list() else {
        return Vec::new();
    };
    let mut known = Vec::new();
    for item in items {
        let spot = item.spot();
        let Some(name) = item.string() else { continue };
        match CIPHERS.into_iter().find(|cipher| *cipher == name) {
            Some(cipher) => known.push(cipher),
            None => {
                let message = format!(
                    "cipher suite `{}` is not spoken and is left out",
                    name.escape_debug()
                );
                let help = format!("suites: {}", CIPHERS.join(", "));
                section.reader().warn(spot, message, Some(help));
            }
        }
    }
    known
}

fn protocols(section: &Section<'_>) -> Vec<TlsVersion> {
    let items = section.key("protocols").list().unwrap_or_default();
    let mut versions = Vec::new();
    for item in items {
        let spot = item.spot();
        let Some(name) = item.string() else { continue };
        let found = [TlsVersion::V1_2, TlsVersion::V1_3]
            .into_iter()
            .find(|v| v.name() == name);
        match found {
            Some(version) => versions.push(version),
            None => {
                let message = format!(
                    "protocol `{}` is not spoken: TLSv1.2 and TLSv1.3 are",
                    name.escape_debug()
                );
                section.reader().mistake(spot, message, None);
            }
        }
    }
    versions
}
