//! Dtab stores: one suite for all of them, and what each does when the system behind it is unwell.

mod consul;
mod etcd;
mod files;
mod k8s;
mod kills;
mod memory;
mod replicas;
mod tls;
