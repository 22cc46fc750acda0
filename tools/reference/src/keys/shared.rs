//! Sections that both programs have.

use super::{Group, Key};

const fn key(name: &'static str, default: &'static str, says: &'static str) -> Key {
    Key {
        name,
        default,
        says,
    }
}

const PREFIX: Key = key(
    "prefix",
    "the kind's own",
    "stands before the id of what is changed",
);
const HOST_NETWORK: Key = key(
    "hostNetwork",
    "`false`",
    "pods have their hosts' addresses: nodes are told apart by name only",
);
const NETMASK: Key = key(
    "netmask",
    "255.255.255.0",
    "for endpoints without a node name: addresses that agree under it are of one node",
);

pub(super) const TRANSFORMERS: Group = Group {
    id: "transformers",
    title: "`transformers[]`, run in order, by `kind`; `io.l5d.localhost` has no keys but `prefix`",
    places: &["@interpreter.transformers[]{io.l5d.localhost}"],
    keys: &[PREFIX],
};

pub(super) const DAEMONSET: Group = Group {
    id: "daemonset",
    title: "`transformers[]`, kind `io.l5d.k8s.daemonset`: to the pod of a DaemonSet on the same node",
    places: &[],
    keys: &[
        key("namespace", "", "the Kubernetes namespace of its Service"),
        key("service", "", "its Service"),
        key("port", "", "the Service's port, by name or number"),
        key(
            "missingGateway",
            "`drop`",
            "endpoints on nodes without such a pod: `drop` or `direct`",
        ),
        HOST_NETWORK,
        NETMASK,
        PREFIX,
        key(
            "k8sHost",
            "",
            "namerd has its own access to the Kubernetes API",
        ),
        key(
            "k8sPort",
            "",
            "namerd has its own access to the Kubernetes API",
        ),
    ],
};

pub(super) const LOCALNODE: Group = Group {
    id: "localnode",
    title: "`transformers[]`, kind `io.l5d.k8s.localnode`: only endpoints of the node that asks",
    places: &[],
    keys: &[HOST_NETWORK, NETMASK, PREFIX],
};

pub(super) const PORT: Group = Group {
    id: "port",
    title: "`transformers[]`, kind `io.l5d.port`",
    places: &[],
    keys: &[
        key("port", "", "replaces the port of every endpoint"),
        PREFIX,
    ],
};

pub(super) const SPECIFIC_HOST: Group = Group {
    id: "specific-host",
    title: "`transformers[]`, kind `io.l5d.specificHost`",
    places: &[],
    keys: &[key("host", "", "only endpoints with this address"), PREFIX],
};

pub(super) const CONST: Group = Group {
    id: "const",
    title: "`transformers[]`, kinds `io.l5d.const` and `io.l5d.replace`",
    places: &[],
    keys: &[
        key("path", "", "the name whose endpoints are used instead"),
        PREFIX,
    ],
};

pub(super) const SERVER_TLS: Group = Group {
    id: "server-tls",
    title: "`tls` of servers; files are read again as they change",
    places: &[],
    keys: &[
        key("certPath", "", "the certificate, PEM"),
        key("keyPath", "", "its key, PEM"),
        key(
            "intermediateCertsPath",
            "",
            "certificates between it and the authority",
        ),
        key(
            "caCertPath",
            "",
            "the authority that clients' certificates are checked against",
        ),
        key("requireClientAuth", "`false`", "clients must show one"),
        key(
            "ciphers",
            "all",
            "names of cipher suites; unknown ones are left out with a warning",
        ),
        key("protocols", "both", "`TLSv1.2`, `TLSv1.3`"),
    ],
};

pub(super) const CLIENT_TLS: Group = Group {
    id: "client-tls",
    title: "`tls` towards a server",
    places: &[],
    keys: &[
        key("enabled", "`true`", "`false`: the section counts as absent"),
        key(
            "commonName",
            "",
            "the name that the server's certificate must have; needed unless `disableValidation`",
        ),
        key(
            "disableValidation",
            "`false`",
            "any certificate will do: for tests",
        ),
        key(
            "trustCerts",
            "those of the system",
            "files of authorities to trust",
        ),
        key(
            "trustCertsBundle",
            "those of the system",
            "one file of authorities to trust",
        ),
        key("clientAuth", "", "the certificate that is shown"),
        key("protocols", "both", "`TLSv1.2`, `TLSv1.3`"),
    ],
};

pub(super) const CLIENT_AUTH: Group = Group {
    id: "client-auth",
    title: "`tls.clientAuth`",
    places: &[],
    keys: &[
        key("certPath", "", "the certificate, PEM"),
        key("keyPath", "", "its key, PEM"),
        key(
            "intermediateCertsPath",
            "",
            "certificates between it and the authority",
        ),
    ],
};
