//! The program itself against a running namerd: answers byte for byte, exit codes, what goes to which output.

mod cluster;
mod ctl;
mod dtabs;
mod migrated;
mod names;
mod old;
mod original;
mod settings;
mod shell;
mod tls;
