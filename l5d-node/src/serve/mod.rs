mod buffer;
mod context;
mod stats;
mod wire;
