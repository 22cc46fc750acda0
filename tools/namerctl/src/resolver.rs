//! The resolver API of one replica or another: connecting, and its errors in words. The only importer of gRPC here.

use anyhow::{Context as _, bail};
use hyper_util::rt::TokioIo;
use l5d_resolver::v1::resolver_client::ResolverClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};
use tower::service_fn;

use crate::fail::Failure;
use crate::output::remark;
use crate::settings::Settings;
use crate::tls::Target;

/// A connected client.
pub(crate) type Client = ResolverClient<InterceptedService<Channel, Bearer>>;

/// Sends the token along, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Connects to the first replica that can be reached, in the order given.
pub(crate) async fn connect(settings: &Settings) -> anyhow::Result<Client> {
    let mut last = None;
    for address in &settings.resolvers {
        match connect_to(settings, address).await {
            Ok(client) => return Ok(client),
            Err(error) => {
                if let Some(before) = last.replace(error) {
                    remark(&format!("{before:#}"));
                }
            }
        }
    }
    Err(last.context("no resolver API is named: --resolver")?)
}

/// Connects to one replica: `HOST:PORT` in the clear, or a URL with scheme http or https.
pub(crate) async fn connect_to(settings: &Settings, address: &str) -> anyhow::Result<Client> {
    let target = target(address)?;
    let endpoint = format!("http://{}", address.rsplit('/').next().unwrap_or(address));
    let endpoint =
        Endpoint::from_shared(endpoint).with_context(|| format!("{address} is not HOST:PORT"))?;
    let tls = settings.tls.clone();
    let connector = service_fn(move |_: Uri| {
        let (target, tls) = (target.clone(), tls.clone());
        async move {
            let stream = target.connect(&tls, "h2").await;
            stream.map(TokioIo::new).map_err(Connecting)
        }
    });
    let channel = endpoint.connect_with_connector(connector).await;
    let channel = channel.map_err(|error| refused(address, &error))?;
    let token = settings.token.as_ref().map(|token| {
        let value = MetadataValue::try_from(format!("Bearer {token}"));
        value.context("the token has characters that cannot be sent")
    });
    Ok(ResolverClient::with_interceptor(
        channel,
        Bearer(token.transpose()?),
    ))
}

/// Carries our own words through the channel's error.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Connecting(anyhow::Error);

fn refused(address: &str, error: &tonic::transport::Error) -> anyhow::Error {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(Connecting(ours)) = cause.downcast_ref::<Connecting>() {
            let hint = "is namerd running there, and is this its resolver API (port 4321; --resolver)? In a cluster: \
                        kubectl port-forward deployment/namerd 4321";
            return Failure::new(format!("{ours:#}")).hint(hint).into();
        }
        match cause.source() {
            Some(next) => cause = next,
            None => break,
        }
    }
    let what = format!("cannot speak with the resolver API at {address}: {cause}");
    Failure::new(what).into()
}

fn target(address: &str) -> anyhow::Result<Target> {
    let url = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let uri: Uri = url
        .parse()
        .with_context(|| format!("{address} is not HOST:PORT"))?;
    let Some(target) = Target::of(&uri, [4321, 4321]) else {
        bail!("{address} is not HOST:PORT, or a URL with http or https");
    };
    Ok(target)
}

/// The server's own words, with the status in front.
pub(crate) fn words(status: &Status) -> anyhow::Error {
    let what = format!("{}: {}", status.code().description(), status.message());
    let failure = Failure::new(what);
    match status.code() {
        Code::Unimplemented => failure.hint(
            "this namerd has no resolver API (an old one?): `namerctl delegate PATH` asks its HTTP controller",
        ),
        Code::DeadlineExceeded => failure.hint("--wait-ms waits longer"),
        Code::Unauthenticated | Code::PermissionDenied => {
            failure.hint("a token goes with --token, a certificate with --tls-cert and --tls-key")
        }
        _ => failure,
    }
    .into()
}

/// Whether it is the connection or the replica that went away, so that another try may find another answer.
pub(crate) fn is_lost(status: &Status) -> bool {
    // A connection that breaks has no status of its own.
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
    )
}
