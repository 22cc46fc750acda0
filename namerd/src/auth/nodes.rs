//! Which node somebody may follow as.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

    /// Whether nodes must show anything, which then has an end.
    pub fn asks_nodes(&self) -> bool {
        !self.wanted.proofs.is_empty()
    }

    fn asks_tokens(&self) -> bool {
        self.wanted.proofs.contains(&NodeProof::ServiceAccount)
    }

    /// The nodes that somebody may follow as, by a certificate and the value of `authorization`, and when that ends: with what
    /// was shown; with the later of the two where both prove the same, and with the earlier where they do not.
    pub async fn prove(
        &self,
        client: Option<&ClientNames>,
        authorization: Option<&[u8]>,
    ) -> Result<(Proven, Option<Instant>), Denied> {
        if self.wanted.proofs.is_empty() {
            return Ok((Proven::Anybody, None));
        }
        let mut until = End::Never;
        let mut names = Vec::new();
        let mut reason = None;
        if self.wanted.proofs.contains(&NodeProof::Certificate) {
            match client.map(|client| (client, end(client))) {
                Some((client, Ok(end))) => {
                    names.extend(self.in_certificate(client));
                    until = end;
                }
                Some((_, Err(why))) => reason = Some(why),
                None => reason = Some(Denied::Unproven("no client certificate was shown".into())),
            }
            if reason.is_none() && names.is_empty() {
                reason = Some(Denied::Unproven(self.nameless()));
            }
        }
        if self.asks_tokens() {
            match self.in_token(authorization).await {
                Ok((name, end)) => {
                    let end = end.map_or(End::Never, End::At);
                    until = match (names.is_empty(), names.contains(&name)) {
                        (true, _) => end,
                        (_, true) => until.max(end),
                        (_, false) => until.min(end),
                    };
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                Err(why) => reason = Some(why),
            }
        }
        match reason {
            Some(why) if names.is_empty() => Err(why),
            _ => Ok((Proven::Nodes(names), until.instant())),
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

/// When a proof ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    At(Instant),
    Never,
}

/// A proof that holds for longer than this has no end that anybody waits for.
const LONG: Duration = Duration::from_secs(365 * 86_400);

/// When what a certificate proves ends. A connection may be older than the end of what was shown when it began.
pub(super) fn end(client: &ClientNames) -> Result<End, Denied> {
    let Some(not_after) = client.not_after else {
        return Ok(End::Never);
    };
    let not_after = UNIX_EPOCH + Duration::from_secs(not_after.max(0).unsigned_abs());
    match not_after.duration_since(SystemTime::now()) {
        Ok(left) if left > LONG => Ok(End::Never),
        Ok(left) => Ok(End::At(Instant::now() + left)),
        Err(_) => Err(Denied::Unproven(
            "the client certificate of this connection has ended; come again with a new one".into(),
        )),
    }
}

impl End {
    pub(super) fn instant(self) -> Option<Instant> {
        match self {
            Self::At(end) => Some(end),
            Self::Never => None,
        }
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
