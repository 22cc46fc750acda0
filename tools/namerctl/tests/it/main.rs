//! The program itself against a running namerd: answers byte for byte, exit codes, what goes to which output.

mod ctl;
mod dtabs;
mod migrated;
mod names;
mod original;
mod settings;
