//! Whether somebody who need not be a node may ask for names and addresses.

use tokio::time::Instant;

use super::nodes::end;
use super::{Denied, NodeGuard, bearer};
use crate::config::CallerProof;
use crate::tls::ClientNames;

impl NodeGuard {
    /// Whether tools and clients of Linkerd 1.x must show anything.
    pub fn asks_tools(&self) -> bool {
        !self.wanted.tools.is_empty()
    }

    /// Whether somebody may ask, by a certificate that the authority has vouched for, or by a token in the value of
    /// `authorization` that the API server accepts, whoever they are. Says when that ends: with what was shown.
    pub async fn let_ask(
        &self,
        client: Option<&ClientNames>,
        authorization: Option<&[u8]>,
    ) -> Result<Option<Instant>, Denied> {
        let tools = &self.wanted.tools;
        let by_certificate = tools.contains(&CallerProof::Certificate);
        if tools.is_empty() {
            return Ok(None);
        }
        let mut ended = None;
        match client.filter(|_| by_certificate).map(end) {
            Some(Ok(end)) => return Ok(end.instant()),
            Some(Err(why)) => ended = Some(why),
            None => {}
        }
        let (certificate, token) = (
            "a client certificate",
            "a token (metadata `authorization: Bearer TOKEN`)",
        );
        let shown = bearer(authorization).filter(|_| tools.contains(&CallerProof::Token));
        let Some(shown) = shown else {
            if let Some(why) = ended {
                return Err(why);
            }
            let wanted: Vec<_> = [
                (CallerProof::Certificate, certificate),
                (CallerProof::Token, token),
            ]
            .into_iter()
            .filter_map(|(proof, text)| tools.contains(&proof).then_some(text))
            .collect();
            let wanted = wanted.join(" or ");
            return Err(Denied::Unproven(format!(
                "whoever asks here must show {wanted}; auth.tools of the interface says so"
            )));
        };
        let tokens = self.tokens.as_ref().ok_or_else(|| {
            Denied::Unchecked("this interface has nobody who checks tokens".to_owned())
        })?;
        tokens.owner(shown).await.map(|owner| owner.until)
    }
}
