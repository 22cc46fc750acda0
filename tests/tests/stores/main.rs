//! Dtab stores: one suite for all of them, and what each does when the system behind it is unwell.

mod etcd;
mod files;
mod memory;
mod replicas;
