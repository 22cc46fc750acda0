//! `io.linkerd.mesh`, the gRPC API of the 1.x generation, beside the resolver API on one port (control plane 4).
//!
//! [`add`] puts the four services into a port's routes; [`Manners`] gives their answers the form that old clients know.
//! Bindings are shared with all other doors; nothing is kept here.

mod codec;
mod delegator;
mod errors;
mod interpreter;
mod resolver;
#[cfg(test)]
mod tests;

use l5d_mesh::v1::codec_server::CodecServer;
use l5d_mesh::v1::delegator_server::DelegatorServer;
use l5d_mesh::v1::interpreter_server::InterpreterServer;
use l5d_mesh::v1::resolver_server::ResolverServer;
use tonic::service::Routes;

pub(super) use self::errors::Manners;
use super::serve::Api;
use crate::bind::Binder;
use crate::stream::Doors;

/// What the services share.
#[derive(Clone, Debug)]
struct Mesh {
    binder: Binder,
    doors: Doors,
    /// Longest path of a question, in bytes.
    path_bytes: usize,
}

/// Longest request, in bytes: a dtab and what goes with it.
const REQUEST_BYTES: usize = (1 << 20) + (64 << 10);

/// Adds the services.
pub(super) fn add(routes: Routes, api: &Api, doors: &Doors) -> Routes {
    let mesh = Mesh {
        binder: api.hub.binder().clone(),
        doors: doors.clone(),
        path_bytes: api.limits.path_bytes,
    };
    let interpreter = InterpreterServer::new(interpreter::Service(mesh.clone()));
    let resolver = ResolverServer::new(resolver::Service(mesh.clone()));
    let delegator = DelegatorServer::new(delegator::Service(mesh));
    let codec = CodecServer::new(codec::Service);
    routes
        .add_service(interpreter.max_decoding_message_size(REQUEST_BYTES))
        .add_service(resolver.max_decoding_message_size(REQUEST_BYTES))
        .add_service(delegator.max_decoding_message_size(REQUEST_BYTES))
        .add_service(codec.max_decoding_message_size(REQUEST_BYTES))
}
