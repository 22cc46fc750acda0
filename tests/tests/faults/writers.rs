//! Writers of dtabs through both replicas' HTTP doors: each write is conditional, some are made twice at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::{Method, StatusCode};
use l5d_tests::client::ApiClient;
use parking_lot::Mutex;
use tokio::sync::RwLock;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::ground::{Doors, PATIENCE};
use crate::ledger::{Ledger, Outcome};

/// So long does a writer wait for an answer: less than a replica waits for its store.
const ANSWER: Duration = Duration::from_secs(3);
/// Between two writes of one writer.
const PACE: Duration = Duration::from_millis(40);
/// The address behind `/count`; the port is the number of the write.
pub(crate) const COUNTED: [u8; 4] = [10, 9, 0, 1];

/// One namespace and its writers' memory.
pub(crate) struct Namespace {
    pub(crate) name: String,
    doors: [ApiClient; 2],
    pub(crate) ledger: Mutex<Ledger>,
    next: AtomicU16,
}

impl Namespace {
    /// Creates it with number 1.
    pub(crate) async fn create(name: String, doors: [Doors; 2]) -> Result<Arc<Self>> {
        let doors = doors.map(|door| ApiClient::plain(door.http));
        let path = format!("/api/1/dtabs/{name}");
        let body = Some(("application/dtab", dtab(1).into()));
        let created = doors[0].send_as(Method::POST, &path, &[], body).await?;
        let status = created.status;
        ensure!(status == StatusCode::NO_CONTENT, "{name}: {status}");
        let token = created.headers.get("etag").context("a token")?.to_str()?;
        Ok(Arc::new(Self {
            name,
            doors,
            ledger: Mutex::new(Ledger::new(1, token)),
            next: AtomicU16::new(2),
        }))
    }

    /// Writes until dropped; each step holds `gate`. An error is something that can never be right.
    pub(crate) fn writer(
        self: &Arc<Self>,
        gate: &Arc<RwLock<()>>,
        mut random: fastrand::Rng,
    ) -> AbortOnDropHandle<Result<()>> {
        let (this, gate) = (Arc::clone(self), Arc::clone(gate));
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut token = None;
            loop {
                {
                    let _open = gate.read().await;
                    token = this.step(token.take(), &mut random).await?;
                }
                tokio::time::sleep(PACE).await;
            }
        }))
    }

    /// One or two writes upon one version. Gives the next token, if it is known.
    async fn step(
        &self,
        token: Option<String>,
        random: &mut fastrand::Rng,
    ) -> Result<Option<String>> {
        let (one, other) = if random.bool() { (0, 1) } else { (1, 0) };
        let token = match token.filter(|_| random.bool()) {
            Some(token) => token,
            None => match self.read(one).await? {
                Some((_, token)) => token,
                None => return Ok(None),
            },
        };
        if random.u8(0..3) > 0 {
            return self.write(one, &token).await;
        }
        let (a, b) = tokio::join!(self.write(one, &token), self.write(other, &token));
        Ok(a?.or(b?))
    }

    /// What a replica says is there, with its token; `None` if it does not answer.
    async fn read(&self, door: usize) -> Result<Option<(u16, String)>> {
        let path = format!("/api/1/dtabs/{}?exact=true", self.name);
        let headers = [("accept", "application/dtab")];
        let asked = self.doors[door].send(Method::GET, &path, &headers, None);
        let Ok(Ok(answer)) = timeout(ANSWER, asked).await else {
            return Ok(None);
        };
        if answer.status.is_server_error() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&answer.body);
        // Such as that there is none: none has ever been deleted.
        ensure!(
            answer.status == StatusCode::OK,
            "{} at replica {door}: {} {text}",
            self.name,
            answer.status
        );
        let number = number(&text).with_context(|| format!("a dtab of ours: {text}"))?;
        let token = answer.headers.get("etag").context("a token")?.to_str()?;
        self.ledger.lock().read(number, token)?;
        Ok(Some((number, token.to_owned())))
    }

    /// A conditional write with a number of its own.
    async fn write(&self, door: usize, expected: &str) -> Result<Option<String>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = format!("/api/1/dtabs/{}", self.name);
        let headers = [("If-Match", expected)];
        let body = Some(("application/dtab", dtab(number).into()));
        let asked = self.doors[door].send_as(Method::PUT, &path, &headers, body);
        let (outcome, token) = match timeout(ANSWER, asked).await {
            Ok(Ok(answer)) if answer.status == StatusCode::NO_CONTENT => {
                let token = answer.headers.get("etag").context("a token")?.to_str()?;
                (Outcome::Acknowledged, Some(token.to_owned()))
            }
            Ok(Ok(answer)) if answer.status == StatusCode::PRECONDITION_FAILED => {
                (Outcome::Refused, None)
            }
            // An API server that has just started does not know its own rules yet (403).
            Ok(Ok(answer))
                if !answer.status.is_server_error() && answer.status != StatusCode::FORBIDDEN =>
            {
                let text = String::from_utf8_lossy(&answer.body);
                bail!("{} at replica {door}: {} {text}", self.name, answer.status);
            }
            _ => (Outcome::Unknown, None),
        };
        let mut ledger = self.ledger.lock();
        ledger.wrote(number, expected, outcome, token.as_deref())?;
        Ok(token)
    }

    /// Writes until one is acknowledged and gives its number: no earlier write can be done after it.
    pub(crate) async fn seal(&self) -> Result<u16> {
        let began = Instant::now();
        for door in [0, 1].into_iter().cycle() {
            if let Some((_, token)) = self.read(door).await?
                && let Some(token) = self.write(door, &token).await?
            {
                let sealed = self.ledger.lock().number(&token);
                return sealed.context("a token of ours");
            }
            ensure!(began.elapsed() < PATIENCE, "{} takes no write", self.name);
            tokio::time::sleep(PACE).await;
        }
        bail!("the doors never end")
    }
}

fn dtab(number: u16) -> String {
    let [a, b, c, d] = COUNTED;
    format!("/svc => /#/io.l5d.k8s/default/http ; /count => /$/inet/{a}.{b}.{c}.{d}/{number} ;")
}

/// The number in a dtab of ours.
pub(crate) fn number(dtab: &str) -> Option<u16> {
    let [a, b, c, d] = COUNTED;
    let (_, rest) = dtab.split_once(&format!("/$/inet/{a}.{b}.{c}.{d}/"))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
