//! Who may write dtabs, or read them.

use std::sync::Arc;

use super::reviews::{Access, Reviews};
use super::tokens::Tokens;
use super::{Denied, bearer};
use crate::config::{CallerAuth, CallerProof};
use crate::tls::ClientNames;

/// The proof that one HTTP controller wants of its callers.
#[derive(Debug)]
pub struct CallerGuard {
    wanted: CallerAuth,
    tokens: Option<Tokens>,
}

impl CallerGuard {
    /// `reviews` is needed where tokens are a proof.
    pub fn new(wanted: &CallerAuth, reviews: Option<Arc<dyn Reviews>>) -> Self {
        let audiences = wanted.tokens.audiences.clone();
        Self {
            wanted: wanted.clone(),
            tokens: reviews.map(|reviews| Tokens::new(reviews, audiences)),
        }
    }

    /// A guard that wants nothing.
    pub fn open() -> Self {
        Self::new(&CallerAuth::default(), None)
    }

    /// Whether somebody may do this, by a certificate and the value of `authorization`.
    pub async fn allow(
        &self,
        client: Option<&ClientNames>,
        authorization: Option<&[u8]>,
        access: &Access,
    ) -> Result<(), Denied> {
        let proofs = match access.verb {
            "get" | "list" => &self.wanted.reads,
            _ => &self.wanted.writes,
        };
        if proofs.is_empty() {
            return Ok(());
        }
        let mut reason = Denied::Unproven(String::new());
        if proofs.contains(&CallerProof::Certificate) {
            match self.certificate(client) {
                Ok(()) => return Ok(()),
                Err(why) => reason = why,
            }
        }
        if proofs.contains(&CallerProof::Token) {
            match self.token(authorization, access).await {
                Ok(()) => return Ok(()),
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }

    fn certificate(&self, client: Option<&ClientNames>) -> Result<(), Denied> {
        let client =
            client.ok_or_else(|| Denied::Unproven("a client certificate is wanted".to_owned()))?;
        let clients = &self.wanted.clients;
        let names = client.uris.iter().chain(&client.dns);
        let mut names = names.chain(&client.common_name);
        match clients.is_empty() || names.any(|name| clients.contains(name)) {
            true => Ok(()),
            false => Err(Denied::Forbidden(
                "no name of the client certificate is among `clients`".to_owned(),
            )),
        }
    }

    async fn token(&self, authorization: Option<&[u8]>, access: &Access) -> Result<(), Denied> {
        let token = bearer(authorization).ok_or_else(|| {
            Denied::Unproven("`Authorization: Bearer TOKEN` is wanted".to_owned())
        })?;
        let tokens = self.tokens.as_ref().ok_or_else(|| {
            Denied::Unchecked("this interface has nobody who checks tokens".to_owned())
        })?;
        let user = tokens.owner(token).await?.user;
        let answer = tokens.reviews().access(&user, access).await;
        let answer = answer.map_err(|e| {
            tracing::warn!(error = %e, "rights could not be checked");
            Denied::Unchecked(format!(
                "the rights of {} cannot be checked now: {e}",
                user.name
            ))
        })?;
        answer.map_err(|why| {
            let what = match &access.name {
                Some(name) => format!("{} the dtab `{}`", access.verb, name.escape_debug()),
                None => format!("{} dtabs", access.verb),
            };
            Denied::Forbidden(format!("{} may not {what}: {why}", user.name))
        })
    }
}
