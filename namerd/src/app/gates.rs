//! The gates of all servers.

use std::sync::Arc;

use super::build::BuildError;
use crate::config::{Config, InterfaceKind, Server};
use crate::tls::{Alpn, Gate};

/// One gate for each server.
#[derive(Clone)]
pub(super) struct Gates {
    pub(super) admin: Arc<Gate>,
    /// In the order of the configuration.
    pub(super) interfaces: Vec<Arc<Gate>>,
}

impl Gates {
    /// Reads the files of every `tls` block.
    pub(super) fn build(config: &Config) -> Result<Self, BuildError> {
        let interfaces = config.interfaces.iter().enumerate();
        let interfaces = interfaces.map(|(i, interface)| {
            let alpn = match interface.kind {
                InterfaceKind::Mesh(_) => Alpn::H2OrHttp1,
                InterfaceKind::Destination(_) => Alpn::H2,
                // ThriftMux negotiates nothing there.
                InterfaceKind::HttpController | InterfaceKind::Thrift(_) => Alpn::Http1,
            };
            let who = format!("interfaces[{i}] ({})", interface.kind.name());
            gate(who, &interface.server, alpn)
        });
        Ok(Self {
            interfaces: interfaces.collect::<Result<_, _>>()?,
            admin: gate("admin".to_owned(), &config.admin.server, Alpn::Http1)?,
        })
    }

    /// With the name of each server, for metrics.
    pub(super) fn named(&self, config: &Config) -> Vec<(String, Arc<Gate>)> {
        let names = config.interfaces.iter().enumerate();
        let names = names.map(|(i, interface)| format!("{}/{i}", interface.kind.name()));
        let interfaces = names.zip(self.interfaces.iter().cloned());
        let admin = ("admin".to_owned(), Arc::clone(&self.admin));
        std::iter::once(admin).chain(interfaces).collect()
    }
}

fn gate(who: String, server: &Server, alpn: Alpn) -> Result<Arc<Gate>, BuildError> {
    Gate::new(server, alpn).map_err(|source| BuildError::Tls { who, source })
}
