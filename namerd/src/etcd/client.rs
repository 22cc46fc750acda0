//! Calls to etcd: one channel, time limits, and errors in our words.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use l5d_etcd::v3::kv_client::KvClient;
use l5d_etcd::v3::watch_client::WatchClient;
use l5d_etcd::v3::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RangeResponse, RequestOp,
    ResponseHeader, TxnRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
    WatchResponse, compare, request_op, response_op, watch_request,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::follow::{Told, Watched};
use crate::dial::Dialer;

/// Covers an election of etcd's leader.
const CALL_TIME: Duration = Duration::from_secs(10);
/// etcd refuses pings that come faster than every 5 s.
const PING_GAP: Duration = Duration::from_secs(10);
const PING_TIME: Duration = Duration::from_secs(10);
/// All dtabs come in one answer.
const MOST_MESSAGE: usize = 64 << 20;

/// A channel to etcd; connects when it is first used, and again when the connection is lost. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    kv: KvClient<Channel>,
    watch: WatchClient<Channel>,
}

/// What became of a write with a condition.
pub(super) enum Outcome {
    /// Written, as this revision.
    Written(i64),
    /// The condition does not hold: the key as it is.
    Refused(Option<KeyValue>),
}

/// An open watch.
pub(super) struct Watch {
    asks: mpsc::Sender<WatchRequest>,
    says: Streaming<WatchResponse>,
}

impl Client {
    /// Must be called on a runtime, which does the channel's work.
    pub(super) fn new(dialer: &Arc<Dialer>) -> Self {
        let dialer = Arc::clone(dialer);
        let connector = tower::service_fn(move |_| {
            let dialer = Arc::clone(&dialer);
            async move { dialer.connect(b"h2").await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://etcd")
            .http2_keep_alive_interval(PING_GAP)
            .keep_alive_timeout(PING_TIME)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(connector);
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(MOST_MESSAGE),
            watch: WatchClient::new(channel).max_decoding_message_size(MOST_MESSAGE),
        }
    }

    /// A key as of a revision (0: now); `None`: it was absent.
    pub(super) async fn get(&self, key: Bytes, revision: i64) -> Result<Option<KeyValue>, Status> {
        let request = RangeRequest {
            key,
            revision,
            ..RangeRequest::default()
        };
        let answer = limited(self.kv.clone().range(request)).await?;
        Ok(answer.kvs.into_iter().next())
    }

    /// Writes whatever is there; gives the revision.
    pub(super) async fn put(&self, key: Bytes, value: Bytes) -> Result<i64, Status> {
        let answer = limited(self.kv.clone().put(PutRequest { key, value })).await?;
        revision(answer.header)
    }

    /// Writes if the key is absent (`None`) or was last written as this revision.
    pub(super) async fn put_if(
        &self,
        key: Bytes,
        value: Bytes,
        expected: Option<i64>,
    ) -> Result<Outcome, Status> {
        let (target, union) = match expected {
            None => (
                compare::Target::Create,
                compare::TargetUnion::CreateRevision(0),
            ),
            Some(at) => (compare::Target::Mod, compare::TargetUnion::ModRevision(at)),
        };
        let op = |request| RequestOp {
            request: Some(request),
        };
        let look = RangeRequest {
            key: key.clone(),
            ..RangeRequest::default()
        };
        let request = TxnRequest {
            compare: vec![Compare {
                result: compare::Result::Equal.into(),
                target: target.into(),
                key: key.clone(),
                target_union: Some(union),
            }],
            success: vec![op(request_op::Request::RequestPut(PutRequest {
                key,
                value,
            }))],
            failure: vec![op(request_op::Request::RequestRange(look))],
        };
        let answer = limited(self.kv.clone().txn(request)).await?;
        if answer.succeeded {
            return revision(answer.header).map(Outcome::Written);
        }
        let found = answer.responses.into_iter().find_map(|op| op.response);
        match found {
            Some(response_op::Response::ResponseRange(RangeResponse { kvs, .. })) => {
                Ok(Outcome::Refused(kvs.into_iter().next()))
            }
            _ => Err(Status::internal("etcd has left out a part of its answer")),
        }
    }

    /// Deletes; gives the revision, or `None` if the key was absent.
    pub(super) async fn delete(&self, key: Bytes) -> Result<Option<i64>, Status> {
        let request = DeleteRangeRequest {
            key,
            range_end: Bytes::new(),
        };
        let answer = limited(self.kv.clone().delete_range(request)).await?;
        let at = revision(answer.header)?;
        Ok((answer.deleted > 0).then_some(at))
    }
}

impl Watched for Client {
    type Watch = Watch;

    async fn list(&self, key: Bytes, end: Bytes) -> Result<(i64, Vec<KeyValue>), Status> {
        let request = RangeRequest {
            key,
            range_end: end,
            ..RangeRequest::default()
        };
        let answer = limited(self.kv.clone().range(request)).await?;
        Ok((revision(answer.header)?, answer.kvs))
    }

    async fn watch(&self, key: Bytes, end: Bytes, from: i64) -> Result<Watch, Status> {
        // The creation and one question about the progress; nothing else is ever asked.
        let (asks, rest) = mpsc::channel(2);
        let create = WatchCreateRequest {
            key,
            range_end: end,
            start_revision: from,
            progress_notify: true,
        };
        let create = watch_request::RequestUnion::CreateRequest(create);
        asks.try_send(asking(create))
            .expect("the channel is new and has room");
        let call = async { self.watch.clone().watch(ReceiverStream::new(rest)).await };
        let says = limited(call).await?;
        Ok(Watch { asks, says })
    }
}

impl Told for Watch {
    async fn next(&mut self) -> Result<WatchResponse, Status> {
        let said = self.says.message().await?;
        said.ok_or_else(|| Status::unavailable("etcd has ended the watch"))
    }

    fn ask_progress(&self) {
        let ask = watch_request::RequestUnion::ProgressRequest(WatchProgressRequest {});
        // If the last question is still on its way, another one tells nothing more.
        let _full = self.asks.try_send(asking(ask));
    }
}

fn asking(union: watch_request::RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(union),
    }
}

async fn limited<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match timeout(CALL_TIME, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => {
            let limit = CALL_TIME.as_secs();
            Err(Status::new(
                Code::DeadlineExceeded,
                format!("no answer within {limit} s"),
            ))
        }
    }
}

fn revision(header: Option<ResponseHeader>) -> Result<i64, Status> {
    let header = header.filter(|header| header.revision > 0);
    header
        .map(|header| header.revision)
        .ok_or_else(|| Status::internal("etcd has not said its revision"))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_is_given_up() {
        let began = Instant::now();
        let status = limited::<()>(pending()).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(status.message(), "no answer within 10 s");
        assert_eq!(began.elapsed().as_secs(), 10, "of the paused clock");
    }
}
