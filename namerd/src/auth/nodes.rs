//! Which node somebody may follow as.

use std::sync::Arc;

use tokio::time::Instant;

use super::reviews::Reviews;
use super::tokens::Tokens;
use super::{Denied, bearer};
use crate::config::{NodeAuth, NodeProof};
use crate::tls::ClientNames;

/// The proof that one interface wants of nodes, and of others who ask.
#[derive(Debug)]
pub struct NodeGuard {
    pub(super) wanted: NodeAuth,
    pub(super) tokens: Option<Tokens>,
}

/// What was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proven {
    /// Nothing, which is enough here.
    Anybody,
    /// To be each of these nodes.
    Nodes(Vec<String>),
}

impl NodeGuard {
    /// `reviews` is needed where tokens are a proof.
    pub fn new(wanted: &NodeAuth, reviews: Option<Arc<dyn Reviews>>) -> Self {
        let audiences = wanted.tokens.audiences.clone();
        Self {
            wanted: wanted.clone(),
            tokens: reviews.map(|reviews| Tokens::new(reviews, audiences)),
        }
    }

    /// A guard that wants nothing.
    pub fn open() -> Arc<Self> {
        Arc::new(Self::new(&NodeAuth::default(), None))
    }

    /// Whether a token is among the proofs of nodes.
    pub fn asks_tokens(&self) -> bool {
        self.wanted.proofs.contains(&NodeProof::ServiceAccount)
    }

    /// The nodes that somebody may follow as, by a certificate and the value of `authorization`, and when that ends: with the
    /// token, unless a certificate proves as much.
    pub async fn prove(
        &self,
        client: Option<&ClientNames>,
        authorization: Option<&[u8]>,
    ) -> Result<(Proven, Option<Instant>), Denied> {
        if self.wanted.proofs.is_empty() {
            return Ok((Proven::Anybody, None));
        }
        let mut until = None;
        let mut names = Vec::new();
        let mut reason = None;
        if self.wanted.proofs.contains(&NodeProof::Certificate) {
            match client {
                Some(client) => names.extend(self.in_certificate(client)),
                None => reason = Some(Denied::Unproven("no client certificate was shown".into())),
            }
            if client.is_some() && names.is_empty() {
                reason = Some(Denied::Unproven(self.nameless()));
            }
        }
        if self.asks_tokens() {
            match self.in_token(authorization).await {
                Ok((name, end)) if !names.contains(&name) => {
                    names.push(name);
                    until = end;
                }
                Ok(_) => {}
                Err(why) => reason = Some(why),
            }
        }
        match reason {
            Some(why) if names.is_empty() => Err(why),
            _ => Ok((Proven::Nodes(names), until)),
        }
    }

    fn in_certificate<'a>(&'a self, client: &'a ClientNames) -> impl Iterator<Item = String> + 'a {
        let domain = self.wanted.trust_domain.as_deref();
        let ids = client.uris.iter().filter_map(move |uri| {
            let (id_domain, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
            let node = path.strip_prefix("node/")?;
            (Some(id_domain) == domain && !node.is_empty() && !node.contains('/'))
                .then(|| node.to_owned())
        });
        let dns = client.dns.iter().filter(move |_| domain.is_none()).cloned();
        ids.chain(dns)
    }

    fn nameless(&self) -> String {
        match &self.wanted.trust_domain {
            Some(domain) => {
                format!("the client certificate has no name spiffe://{domain}/node/NAME")
            }
            None => "the client certificate has no DNS name".to_owned(),
        }
    }

    async fn in_token(
        &self,
        authorization: Option<&[u8]>,
    ) -> Result<(String, Option<Instant>), Denied> {
        let token = bearer(authorization).ok_or_else(|| {
            Denied::Unproven(
                "no token was shown: metadata `authorization: Bearer TOKEN` is wanted".to_owned(),
            )
        })?;
        let tokens = self.tokens.as_ref().ok_or_else(|| {
            Denied::Unchecked("this interface has nobody who checks tokens".to_owned())
        })?;
        let owner = tokens.owner(token).await?;
        let user = owner.user;
        let account = user.service_account();
        let accounts = &self.wanted.service_accounts;
        if !accounts.is_empty() && !account.is_some_and(|account| accounts.contains(&account)) {
            return Err(Denied::Forbidden(format!(
                "{} is not among the service accounts of nodes",
                user.name
            )));
        }
        let node = user.node().ok_or_else(|| {
            Denied::Forbidden(format!(
                "the token of {} is not bound to a pod on a node",
                user.name
            ))
        })?;
        Ok((node.to_owned(), owner.until))
    }
}

impl Proven {
    /// Whether the name in `Hello` is one of those.
    pub fn allows(&self, node: &str) -> Result<(), Denied> {
        match self {
            Proven::Nodes(names) if !names.iter().any(|name| name.eq_ignore_ascii_case(node)) => {
                Err(Denied::Forbidden(format!(
                    "proved to be {}, which may not follow as `{}`",
                    names.join(" or "),
                    node.chars().take(253).collect::<String>().escape_debug()
                )))
            }
            _ => Ok(()),
        }
    }
}
