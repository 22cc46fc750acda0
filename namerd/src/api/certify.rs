//! `Certify`: a node's proof and signing request to a certificate.

use std::sync::Arc;
use std::time::Duration;

use l5d_resolver::v1;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::accept::Peer;
use super::serve::Api;
use super::status;
use crate::ca::NotCertified;

/// Checks who asks, then signs.
pub(super) async fn certify(
    api: Api,
    request: Request<v1::CertifyRequest>,
) -> Result<Response<v1::Certified>, Status> {
    let Some(ca) = &api.ca else {
        return Err(Status::unimplemented(
            "this namerd is no certificate authority: its configuration has no `ca`",
        ));
    };
    let peer = request.extensions().get::<Peer>().cloned();
    let shown = request.metadata().get("authorization").cloned();
    let shown = shown.as_ref().map(MetadataValue::as_bytes);
    let client = peer.as_ref().and_then(|peer| peer.client.as_deref());
    let proven = api.nodes.prove(client, shown).await;
    let (proven, _) = proven.map_err(|denied| {
        tracing::warn!(addr = ?peer.as_ref().map(|peer| peer.addr), %denied, "not certified");
        status::of_end(&status::denied(denied))
    })?;
    let (ca, asked) = (Arc::clone(ca), request.into_inner());
    // Signing is some 100 microseconds of computing.
    let signed =
        tokio::task::spawn_blocking(move || ca.certify(&proven, &asked.node, &asked.request));
    let signed = signed
        .await
        .map_err(|_| Status::internal("signing has panicked"))?;
    let certified = signed.map_err(|why| of(&why))?;
    Ok(Response::new(v1::Certified {
        chain: certified.chain.into_iter().map(Into::into).collect(),
        roots: certified.roots.into_iter().map(Into::into).collect(),
        not_after: certified.not_after.max(0).unsigned_abs(),
    }))
}

fn of(why: &NotCertified) -> Status {
    let message = why.to_string();
    match why {
        NotCertified::Unproven => Status::failed_precondition(message),
        NotCertified::Forbidden(_) => Status::permission_denied(message),
        NotCertified::Bad(_) => Status::invalid_argument(message),
        NotCertified::NoRoot => retry(Status::unavailable(message), Duration::from_secs(1)),
        NotCertified::TooOften(wait) => retry(Status::resource_exhausted(message), *wait),
    }
}

fn retry(mut status: Status, wait: Duration) -> Status {
    let wait = wait.as_millis().max(1).to_string();
    if let Ok(wait) = wait.parse() {
        status.metadata_mut().insert("grpc-retry-pushback-ms", wait);
    }
    status
}
