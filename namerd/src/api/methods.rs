//! The methods of the gRPC ports, and what each of them is for those who count, limit and guard.

/// What a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Health and reflection: tell no names and no addresses.
    Free,
    /// What only nodes ask for, with a proof and limits of its own.
    Node,
    /// One question and its answer.
    Call,
    /// A question whose answers go on until the client leaves.
    Stream,
}

/// All of them. A test holds this against the descriptors.
const METHODS: [(&str, Use); 26] = [
    ("grpc.health.v1.Health/Check", Use::Free),
    ("grpc.health.v1.Health/Watch", Use::Free),
    (
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Use::Free,
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Use::Free,
    ),
    ("l5d.resolver.v1.Resolver/Follow", Use::Node),
    ("l5d.resolver.v1.Resolver/Certify", Use::Node),
    ("l5d.resolver.v1.Resolver/Resolve", Use::Call),
    ("l5d.resolver.v1.Resolver/Watch", Use::Stream),
    ("l5d.resolver.v1.Resolver/Explain", Use::Call),
    ("l5d.resolver.v1.Resolver/Nodes", Use::Call),
    ("l5d.resolver.v1.Resolver/Ingresses", Use::Call),
    ("io.linkerd.mesh.Interpreter/GetBoundTree", Use::Call),
    ("io.linkerd.mesh.Interpreter/StreamBoundTree", Use::Stream),
    ("io.linkerd.mesh.Resolver/GetReplicas", Use::Call),
    ("io.linkerd.mesh.Resolver/StreamReplicas", Use::Stream),
    ("io.linkerd.mesh.Delegator/GetDtab", Use::Call),
    ("io.linkerd.mesh.Delegator/StreamDtab", Use::Stream),
    ("io.linkerd.mesh.Delegator/GetDelegateTree", Use::Call),
    ("io.linkerd.mesh.Delegator/StreamDelegateTree", Use::Stream),
    ("io.linkerd.mesh.Codec/ReadDtab", Use::Call),
    ("io.linkerd.mesh.Codec/ShowDtab", Use::Call),
    ("io.linkerd.mesh.Codec/ReadPath", Use::Call),
    ("io.linkerd.mesh.Codec/ShowPath", Use::Call),
    ("io.linkerd.proxy.destination.Destination/Get", Use::Stream),
    (
        "io.linkerd.proxy.destination.Destination/GetProfile",
        Use::Stream,
    ),
    (OTHER, Use::Call),
];

/// Stands for whatever name somebody made up. It is guarded as a call: a method that is forgotten here is not open.
const OTHER: &str = "other";

/// The method that a request's path names, without its first slash, and what it is.
pub(super) fn of(path: &str) -> (&'static str, Use) {
    let name = path.strip_prefix('/').unwrap_or(path);
    let known = METHODS.iter().find(|(known, _)| *known == name);
    known.copied().unwrap_or((OTHER, Use::Call))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_that_is_served_stands_in_the_table() {
        let mut served = vec![OTHER.to_owned()];
        for set in [
            l5d_resolver::DESCRIPTORS,
            l5d_mesh::DESCRIPTORS,
            l5d_destination::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            let set = FileDescriptorSet::decode(set).expect("descriptors");
            for file in set.file {
                for service in &file.service {
                    let methods = service.method.iter();
                    let name = |m: &prost_types::MethodDescriptorProto| {
                        format!("{}.{}/{}", file.package(), service.name(), m.name())
                    };
                    served.extend(methods.map(name));
                }
            }
        }
        let mut known = METHODS.map(|(name, _)| name.to_owned()).to_vec();
        served.sort_unstable();
        served.dedup();
        known.sort_unstable();
        assert_eq!(served, known);
        assert_eq!(of("/x/y"), (OTHER, Use::Call));
        assert_eq!(of("/grpc.health.v1.Health/Check").1, Use::Free);
    }
}
