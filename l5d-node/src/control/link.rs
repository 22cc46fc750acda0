//! One open stream: a [`Session`] with its two ends.

use std::net::SocketAddr;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use l5d_resolver::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status};

use super::dial::{Connection, Downs};
use super::session::{Fault, Session};

/// Messages handed over and not yet sent; what does not fit stays gathered in the session.
const UPS: usize = 4;

pub(crate) struct Link {
    pub(crate) addr: SocketAddr,
    pub(crate) session: Session,
    ups: mpsc::Sender<v1::Up>,
    downs: Stage,
}

enum Stage {
    Opening(BoxFuture<'static, Result<Downs, Status>>),
    Open(Downs),
}

/// Why a link has ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Status),
    #[error("the stream ended without a status")]
    Closed,
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Link {
    pub(crate) fn new(addr: SocketAddr, connection: Box<dyn Connection>, session: Session) -> Self {
        let (ups, rest) = mpsc::channel(UPS);
        Self {
            addr,
            session,
            ups,
            downs: Stage::Opening(connection.follow(rest)),
        }
    }

    /// Sends what there is to send, waits for one thing to happen and takes it in. Cancel safe.
    pub(crate) async fn step(&mut self) -> Result<(), End> {
        let now = Instant::now();
        self.session.check(now)?;
        let is_full = loop {
            let Ok(permit) = self.ups.try_reserve() else {
                break true;
            };
            match self.session.next_up(now) {
                Some(up) => permit.send(up),
                None => break false,
            }
        };
        let wake_at = if is_full {
            self.session.deadline()
        } else {
            self.session.wake_at()
        };
        tokio::select! {
            down = self.downs.next() => {
                if let Some(down) = down? {
                    self.session.apply(down, Instant::now())?;
                }
            }
            room = self.ups.reserve(), if is_full && !self.ups.is_closed() => drop(room),
            () = sleep_until(wake_at) => {}
        }
        Ok(())
    }
}

impl Stage {
    /// The next message; `None` when the stream has been opened. Cancel safe.
    async fn next(&mut self) -> Result<Option<v1::Down>, End> {
        match self {
            Stage::Opening(opening) => {
                let downs = opening.await.map_err(End::Status)?;
                *self = Stage::Open(downs);
                Ok(None)
            }
            Stage::Open(downs) => match downs.next().await {
                Some(Ok(down)) => Ok(Some(down)),
                Some(Err(status)) => Err(End::Status(status)),
                None => Err(End::Closed),
            },
        }
    }
}

impl End {
    /// The status that the stream ended with, if it was that.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            End::Status(status) => Some(status.code()),
            End::Closed | End::Fault(_) => None,
        }
    }
}
