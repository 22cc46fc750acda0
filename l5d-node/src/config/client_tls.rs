//! `tls` towards namerd (node-proxy 14.2): names of files and choices, nothing is opened here.

use std::path::PathBuf;

use l5d_config::{Field, Section};

/// How namerd is checked, and as whom this node appears to it. The files are read again for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// The name that the certificate must have, and that is asked for.
    pub common_name: Option<String>,
    /// `disableValidation`: the certificate is not checked.
    pub is_unchecked: bool,
    /// Authorities to trust; empty: those of the system.
    pub trust: Vec<PathBuf>,
    /// The certificate that is shown.
    pub client_auth: Option<ClientAuth>,
    /// `TLSv1.3` only, if so.
    pub only_1_3: bool,
    /// `TLSv1.2` only, if so.
    pub only_1_2: bool,
}

/// A client certificate, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Certificates between it and the authority.
    pub intermediates: Option<PathBuf>,
}

/// `None`: in clear text. `is_small`: the form of `io.l5d.namerd`, `commonName` and `caCert` only.
pub(super) fn read(field: Field<'_>, is_small: bool) -> Option<ClientTls> {
    let section = field.section()?;
    if is_small {
        return Some(ClientTls {
            common_name: section.need("commonName").string(),
            is_unchecked: false,
            trust: section
                .key("caCert")
                .string()
                .map(PathBuf::from)
                .into_iter()
                .collect(),
            client_auth: None,
            only_1_3: false,
            only_1_2: false,
        });
    }
    let is_enabled = section.key("enabled").boolean().unwrap_or(true);
    let is_unchecked = section.key("disableValidation").boolean().unwrap_or(false);
    let name = match is_enabled && !is_unchecked {
        true => section.need("commonName"),
        false => section.key("commonName"),
    };
    let common_name = name.string();
    let versions = versions(&section);
    let tls = ClientTls {
        common_name,
        is_unchecked,
        trust: trust(&section),
        client_auth: client_auth(&section, is_unchecked),
        only_1_3: versions == ["TLSv1.3"],
        only_1_2: versions == ["TLSv1.2"],
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

fn versions(section: &Section<'_>) -> Vec<String> {
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
    versions.sort();
    versions.dedup();
    versions
}
