//! What the tests and the demo share: a cluster double, the real API server, processes that die with their test, the
//! applications of the published example.
//!
//! Comes in: Kubernetes objects and faults as a test or the demo wishes. Goes out: an API address for `namerd`, and counts of
//! what it asked. Nothing here is linked into `namerd` or `l5d-node`.
//!
//! | module | answers |
//! |---|---|
//! | [`app`] | the applications `hello` and `world` |
//! | [`cable`] | a way between two programs that can be cut |
//! | [`client`] | a bare HTTP client for API servers, so that facts are asserted without our own watch code |
//! | [`consul`] | a real Consul agent, killed and started again at will |
//! | [`etcd`] | a real etcd alone, killed and started again at will |
//! | [`follower`] | a node's side of `Follow`, for counting |
//! | [`browser`] | Chromium without a window, driven through a pipe |
//! | [`front`] | plain HTTP in front of the real API server |
//! | [`helm`] | the chart as Helm renders it, and kubectl |
//! | [`hosts`] | hosts as network namespaces, or as loopback subnets |
//! | [`images`] | images as `cargo xtask image` writes them, unpacked and run |
//! | [`moody`] | an application that behaves as the path says |
//! | [`objects`] | services, slices and nodes as controllers write them |
//! | [`cluster`] | one handle over the double and the real API server |
//! | [`control`] | namerd's parts in this process, with their counters |
//! | [`double`] | the API server's list, watch and writes in this process, with faults on demand |
//! | [`real`] | kube-apiserver and etcd as processes |
//! | [`pki`] | certificates of an authority of the test's own |
//! | [`port`] | a port that stays ours while its server is down |
//! | [`process`] | a program that ends with its owner, whatever happens to the owner |
//! | [`store_suite`] | what every dtab store must do |
//! | [`watching`] | dashboards and alerts, made from the tables of metrics, and a real Prometheus |

pub mod app;
pub mod browser;
pub mod cable;
pub mod client;
pub mod cluster;
pub mod consul;
pub mod control;
pub mod double;
pub mod etcd;
pub mod follower;
pub mod front;
pub mod helm;
pub mod hosts;
pub mod images;
pub mod moody;
pub mod objects;
pub mod pki;
pub mod port;
pub mod process;
pub mod real;
pub mod store_suite;
pub mod watching;
