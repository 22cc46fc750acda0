//! `auth` of an interface: who may follow as which node, who may ask for names and addresses, who may write dtabs.
//!
//! ```yaml
//! - kind: io.l5d.mesh
//!   auth:                        # or `auth: none`
//!     nodes: serviceAccount      # none, certificate, serviceAccount, or a list of the last two: any one of them will do
//!     tools: token               # what all other calls must show that tell names and addresses, those of Linkerd 1.x too:
//!                                # none, certificate, token, or a list of the last two, of anybody whom the authority or
//!                                # the API server knows; left out: a certificate or a token, as of nodes
//!     audience: namerd           # of the token; a text or a list (serviceAccount)
//!     serviceAccounts: [linkerd/l5d]  # whose pods may be nodes; left out: anybody's (serviceAccount)
//!     trustDomain: cluster.local # nodes are spiffe://cluster.local/node/NAME; left out: DNS names (certificate)
//!     host: localhost            # API server that checks tokens, as for namers; left out in a pod: the cluster's own
//!     port: 8001
//! - kind: io.l5d.httpController
//!   auth:
//!     writes: token              # none, certificate, token, or a list of the last two
//!     reads: none                # the same for everything that changes nothing
//!     clients: [deployer]        # names in client certificates that may; left out: all of the authority (certificate)
//!     audience: namerd           # left out: the API server's own (token)
//! - kind: io.l5d.destination
//!   auth:
//!     callers: certificate       # none, certificate, token, or a list of the last two; host, port, audience as above
//! - kind: io.l5d.thriftNameInterpreter
//!   auth:
//!     callers: certificate       # or none: thrift has no place for a token
//! ```
//!
//! Left out as a whole, nobody has to prove anything, as in 1.x. On an address that others can reach, that is warned about
//! at the start and on `/admin/lint`, unless `none` is written.

use l5d_config::{Field, Section};

use super::kubernetes::api_server;
use super::{ApiServer, Env, Server};

/// What nodes must show before they may follow, and others before they may ask. Without a proof in a list: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAuth {
    /// `nodes`: any one of these will do.
    pub proofs: Vec<NodeProof>,
    /// `tools`: what everybody else must show who asks for names or addresses; any one of these will do. Whoever has it is
    /// let in: nobody asks what they may.
    pub tools: Vec<CallerProof>,
    /// `trustDomain`: only SPIFFE ids of this domain name nodes. `None`: DNS names do.
    pub trust_domain: Option<String>,
    /// `serviceAccounts`: as `namespace/name`. Empty: all.
    pub service_accounts: Vec<String>,
    /// Who checks tokens.
    pub tokens: TokenCheck,
}

/// How a node proves its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeProof {
    /// A client certificate with the node's name.
    Certificate,
    /// A bound service-account token of a pod on the node.
    ServiceAccount,
}

/// What callers of an HTTP controller must show. Without a proof in a list: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerAuth {
    /// `writes`: to create, replace or delete dtabs; any one of these will do.
    pub writes: Vec<CallerProof>,
    /// `reads`: for everything else.
    pub reads: Vec<CallerProof>,
    /// `clients`: names in certificates; empty: all that the authority has vouched for.
    pub clients: Vec<String>,
    /// Who checks tokens.
    pub tokens: TokenCheck,
}

/// How a caller proves that it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerProof {
    /// A client certificate.
    Certificate,
    /// A bearer token; for dtabs, one whose owner may do the same to `dtabs` of `l5d.io`.
    Token,
}

/// Which API server checks tokens, and for whom they must have been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCheck {
    /// The API server.
    pub api: ApiServer,
    /// Any one of these; empty: the API server's own.
    pub audiences: Vec<String>,
}

impl Default for TokenCheck {
    fn default() -> Self {
        Self {
            api: ApiServer::InCluster,
            audiences: Vec::new(),
        }
    }
}

/// For whom tokens of nodes are made, unless the configuration says otherwise: not for the API server, so that nobody who
/// holds one can do more with it than follow.
const NODE_AUDIENCE: &str = "namerd";

const NODE_PROOFS: [(&str, NodeProof); 2] = [
    ("certificate", NodeProof::Certificate),
    ("serviceAccount", NodeProof::ServiceAccount),
];
const CALLER_PROOFS: [(&str, CallerProof); 2] = [
    ("certificate", CallerProof::Certificate),
    ("token", CallerProof::Token),
];

/// `auth` of `io.l5d.mesh`.
pub(super) fn nodes(section: &Section<'_>, server: &Server, env: Env<'_>) -> NodeAuth {
    let Some(auth) = block(section, server, "nodes can follow as any other node") else {
        return NodeAuth::default();
    };
    let proofs = proofs(auth.key("nodes"), &auth, &NODE_PROOFS);
    needs_authority(&proofs, NodeProof::Certificate, &auth, server);
    let tools = auth.key("tools");
    let tools = match tools.is_present() {
        true => self::proofs(tools, &auth, &CALLER_PROOFS),
        false => proofs.iter().map(|proof| proof.of_anybody()).collect(),
    };
    if !proofs.contains(&NodeProof::Certificate) {
        needs_authority(&tools, CallerProof::Certificate, &auth, server);
    }
    NodeAuth {
        trust_domain: auth.key("trustDomain").string(),
        service_accounts: service_accounts(&auth),
        tokens: token_check(&auth, env, &[NODE_AUDIENCE]),
        tools,
        proofs,
    }
}

/// `auth` of `io.l5d.destination`: what Linkerd 2 proxies must show.
pub(super) fn proxies(section: &Section<'_>, server: &Server, env: Env<'_>) -> NodeAuth {
    let Some(auth) = block(section, server, "anybody can ask for names and addresses") else {
        return NodeAuth::default();
    };
    let tools = proofs(auth.key("callers"), &auth, &CALLER_PROOFS);
    needs_authority(&tools, CallerProof::Certificate, &auth, server);
    NodeAuth {
        tokens: token_check(&auth, env, &[NODE_AUDIENCE]),
        tools,
        ..NodeAuth::default()
    }
}

/// `auth` of `io.l5d.thriftNameInterpreter`, whose protocol has no place for a token.
pub(super) fn interpreters(section: &Section<'_>, server: &Server) -> NodeAuth {
    let Some(auth) = block(section, server, "anybody can ask for names and addresses") else {
        return NodeAuth::default();
    };
    let field = auth.key("callers");
    let spot = field.spot();
    let mut tools = proofs(field, &auth, &CALLER_PROOFS);
    if tools.contains(&CallerProof::Token) {
        let message = format!(
            "{}.callers: a token cannot be shown over thrift",
            auth.name()
        );
        let help = "use `certificate`, or the interpreter io.l5d.mesh in the node's configuration and io.l5d.mesh here";
        auth.reader().mistake(spot, message, Some(help.to_owned()));
    }
    tools.retain(|proof| *proof == CallerProof::Certificate);
    needs_authority(&tools, CallerProof::Certificate, &auth, server);
    NodeAuth {
        tools,
        ..NodeAuth::default()
    }
}

/// `auth` of `io.l5d.httpController`.
pub(super) fn callers(section: &Section<'_>, server: &Server, env: Env<'_>) -> CallerAuth {
    let Some(auth) = block(section, server, "anybody can change dtabs") else {
        return CallerAuth::default();
    };
    let writes = proofs(auth.key("writes"), &auth, &CALLER_PROOFS);
    let reads = proofs(auth.key("reads"), &auth, &CALLER_PROOFS);
    for proofs in [&writes, &reads] {
        needs_authority(proofs, CallerProof::Certificate, &auth, server);
    }
    CallerAuth {
        writes,
        reads,
        clients: auth.key("clients").strings().unwrap_or_default(),
        tokens: token_check(&auth, env, &[]),
    }
}

/// The block. `None`: nothing has to be proved, of which there is a warning where others can come in and nobody has said so.
fn block<'a>(section: &Section<'a>, server: &Server, danger: &str) -> Option<Section<'a>> {
    let field = section.key("auth");
    if field.is_text("none") {
        return None;
    }
    if !field.is_present() && !server.addr.ip().is_loopback() {
        let message = format!(
            "{} listens on {} without `auth`: {danger}",
            section.name(),
            server.addr.ip()
        );
        let help = "say who must prove what with `auth`, or write `auth: none` if the network keeps others out";
        section
            .reader()
            .warn(section.spot(), message, Some(help.to_owned()));
    }
    field.section()
}

/// `none`, one of the known, or a list of these.
fn proofs<P: Copy + PartialEq>(
    field: Field<'_>,
    section: &Section<'_>,
    known: &[(&str, P)],
) -> Vec<P> {
    let fields = match field.is_list() {
        true => field.list().unwrap_or_default(),
        false if field.is_present() => vec![field],
        false => Vec::new(),
    };
    let is_alone = fields.len() == 1;
    let mut found = Vec::new();
    for field in fields {
        let (spot, name) = (field.spot(), field.name().to_owned());
        let Some(text) = field.string() else { continue };
        match known.iter().find(|(known, _)| *known == text) {
            Some((_, proof)) if found.contains(proof) => {}
            Some((_, proof)) => found.push(*proof),
            None if text == "none" && is_alone => {}
            None => {
                let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
                let message = format!(
                    "{name} must be none, {}, or a list of the last {}",
                    names.join(", "),
                    names.len()
                );
                section.reader().mistake(spot, message, None);
            }
        }
    }
    found
}

/// Without an authority no client is ever asked for a certificate.
fn needs_authority<P: Copy + PartialEq>(
    proofs: &[P],
    certificate: P,
    section: &Section<'_>,
    server: &Server,
) {
    let has_authority = server.tls.as_ref().is_some_and(|tls| tls.ca.is_some());
    if proofs.contains(&certificate) && !has_authority {
        let message = format!(
            "{}: certificates can only be checked with `tls` and its caCertPath",
            section.name()
        );
        section.reader().mistake(section.spot(), message, None);
    }
}

fn service_accounts(section: &Section<'_>) -> Vec<String> {
    let mut accounts = Vec::new();
    for item in section.key("serviceAccounts").list().unwrap_or_default() {
        let spot = item.spot();
        let Some(text) = item.string() else { continue };
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                accounts.push(text);
            }
            _ => {
                let message = format!("`{}` is not NAMESPACE/NAME", text.escape_debug());
                section.reader().mistake(spot, message, None);
            }
        }
    }
    accounts
}

fn token_check(section: &Section<'_>, env: Env<'_>, default: &[&str]) -> TokenCheck {
    let audience = section.key("audience");
    let given = match audience.is_list() {
        true => audience.strings(),
        false => audience.string().map(|audience| vec![audience]),
    };
    let default = default.iter().map(|audience| (*audience).to_owned());
    TokenCheck {
        api: api_server(section, env),
        audiences: given.unwrap_or_else(|| default.collect()),
    }
}

impl NodeProof {
    /// As in the file.
    pub fn name(self) -> &'static str {
        NODE_PROOFS[self as usize].0
    }

    /// The same from somebody who need not be a node.
    fn of_anybody(self) -> CallerProof {
        match self {
            NodeProof::Certificate => CallerProof::Certificate,
            NodeProof::ServiceAccount => CallerProof::Token,
        }
    }
}

impl CallerProof {
    /// As in the file.
    pub fn name(self) -> &'static str {
        CALLER_PROOFS[self as usize].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_tables() {
        for (name, proof) in NODE_PROOFS {
            assert_eq!(proof.name(), name);
        }
        for (name, proof) in CALLER_PROOFS {
            assert_eq!(proof.name(), name);
        }
    }
}
