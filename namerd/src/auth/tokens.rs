//! Tokens and whose they are, asked once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::Denied;
use super::reviews::{Reviews, TokenUser, Verdict};

/// Longest wait for an answer, the wait for a free place included: below the five seconds in which a node wants its welcome.
const ANSWER: Duration = Duration::from_secs(4);
/// Questions at one time: 5,000 nodes that come at once are through in seconds, and the API server does not notice.
const QUESTIONS: usize = 32;
/// Answers kept: four times the nodes of a large cluster, some 10 MB.
const KEPT: usize = 20_000;
/// How long a refusal is believed: long enough to make a flood cheap, short enough for a pod that was just created.
const REFUSED: Duration = Duration::from_secs(10);
/// How long a token without an end of its own is believed.
const ENDLESS: Duration = Duration::from_secs(300);
/// A token that says to hold longer holds so long: a year.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Whose tokens these are.
pub(super) struct Tokens {
    reviews: Arc<dyn Reviews>,
    audiences: Vec<String>,
    known: Mutex<HashMap<[u8; 32], Known>>,
    room: Semaphore,
}

#[derive(Clone)]
struct Known {
    until: Instant,
    verdict: Result<Owner, String>,
}

/// Whose a token is, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) user: Arc<TokenUser>,
    /// The token's end, if it says one.
    pub(super) until: Option<Instant>,
}

impl Tokens {
    pub(super) fn new(reviews: Arc<dyn Reviews>, audiences: Vec<String>) -> Self {
        Self {
            reviews,
            audiences,
            known: Mutex::default(),
            room: Semaphore::new(QUESTIONS),
        }
    }

    pub(super) fn reviews(&self) -> &dyn Reviews {
        &*self.reviews
    }

    /// The owner of a token.
    pub(super) async fn owner(&self, token: &str) -> Result<Owner, Denied> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.known.lock().get(&key).cloned();
        let verdict = match known.filter(|known| known.until > Instant::now()) {
            Some(known) => known.verdict,
            None => self.ask(token, key).await?,
        };
        verdict.map_err(Denied::Unproven)
    }

    async fn ask(&self, token: &str, key: [u8; 32]) -> Result<Result<Owner, String>, Denied> {
        let asked = async {
            let _room = self.room.acquire().await;
            self.reviews.token(token, &self.audiences).await
        };
        let late = || Denied::Unchecked(format!("the token was not checked within {ANSWER:?}"));
        let answer = timeout(ANSWER, asked).await.map_err(|_| late())?;
        let verdict = answer.map_err(|e| {
            tracing::warn!(error = %e, "a token could not be checked");
            Denied::Unchecked(format!("the token cannot be checked now: {e}"))
        })?;
        let (holds, verdict) = match verdict {
            Verdict::User(user) => {
                let left = lifetime(token);
                let until = left.map(|left| Instant::now() + left);
                let user = Arc::new(user);
                (left.unwrap_or(ENDLESS), Ok(Owner { user, until }))
            }
            Verdict::No(why) => (REFUSED, Err(format!("the token is not accepted: {why}"))),
        };
        self.keep(key, holds, verdict.clone());
        Ok(verdict)
    }

    fn keep(&self, key: [u8; 32], holds: Duration, verdict: Result<Owner, String>) {
        let now = Instant::now();
        let mut known = self.known.lock();
        if known.len() >= KEPT {
            known.retain(|_, known| known.until > now);
        }
        if known.len() >= KEPT {
            // Any of them: who is forgotten is asked about again.
            let some: Vec<_> = known.keys().take(KEPT / 16).copied().collect();
            some.iter().for_each(|key| drop(known.remove(key)));
        }
        let until = now + holds;
        known.insert(key, Known { until, verdict });
    }
}

/// How long a token that was just accepted holds on, if it says so. Only such a one is read: before, anybody could have
/// written it.
fn lifetime(token: &str) -> Option<Duration> {
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap_or_default();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap_or_default();
    let end = Duration::from_secs(claims["exp"].as_u64()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    // No more than a clock can hold.
    Some(end.saturating_sub(now.unwrap_or_default()).min(LONGEST))
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("audiences", &self.audiences)
            .field("known", &self.known.lock().len())
            .finish_non_exhaustive()
    }
}
