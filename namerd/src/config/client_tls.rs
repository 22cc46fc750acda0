//! `tls` blocks of stores and namers: TLS to a system that namerd asks (control plane 3.6).

use std::path::PathBuf;

use l5d_config::Field;

/// How a server is checked, and as whom namerd appears to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// The name that its certificate must have; `None`: it is not checked at all.
    pub common_name: Option<String>,
    /// Files of the authorities to trust; empty: those of the system.
    pub trust: Vec<PathBuf>,
    /// The client certificate, if one is shown.
    pub client_auth: Option<ClientAuth>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Certificates between it and the authority.
    pub intermediates: Option<PathBuf>,
}

/// `None`: no TLS.
pub(super) fn read(field: Field<'_>) -> Option<ClientTls> {
    let section = field.section()?;
    let is_enabled = section.key("enabled").boolean().unwrap_or(true);
    let is_checked = !section.key("disableValidation").boolean().unwrap_or(false);
    section.legacy(
        "protocols",
        "TLS 1.2 and 1.3 are spoken, whichever the server has",
    );
    let name = if is_enabled && is_checked {
        section.need("commonName")
    } else {
        section.key("commonName")
    };
    let common_name = name.string().filter(|_| is_checked);
    let list = section.key("trustCerts");
    let (list_spot, has_list) = (list.spot(), list.is_present());
    let list = list.strings().unwrap_or_default();
    let bundle = section.key("trustCertsBundle").string();
    if has_list && bundle.is_some() {
        let message = "trustCerts and trustCertsBundle cannot both be given";
        let help = "put all certificates into one file and name it in trustCertsBundle";
        section
            .reader()
            .mistake(list_spot, message, Some(help.to_owned()));
    }
    let client_auth = section.key("clientAuth").section().map(|auth| {
        let file = |text: Option<String>| PathBuf::from(text.unwrap_or_default());
        ClientAuth {
            certificate: file(auth.need("certPath").string()),
            key: file(auth.need("keyPath").string()),
            intermediates: auth
                .key("intermediateCertsPath")
                .string()
                .map(PathBuf::from),
        }
    });
    is_enabled.then(|| ClientTls {
        common_name,
        trust: list.into_iter().chain(bundle).map(PathBuf::from).collect(),
        client_auth,
    })
}
