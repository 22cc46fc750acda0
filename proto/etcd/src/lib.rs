//! What namerd needs of etcd's API, version 3: messages and clients generated from `etcd.proto`.
//!
//! Only the wire is etcd's: names of services, numbers of fields. Fields that namerd does not use are left out; protobuf
//! skips them when it reads and etcd takes their defaults when it is asked.

/// Messages and clients.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod v3 {
    tonic::include_proto!("etcdserverpb");
}
