//! What tests and the demo share: the applications of the published example, the cluster double, the real API server.

pub mod app;
