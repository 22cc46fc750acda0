//! Evaluates a path: dtab, then namers, then system namers (naming 4).
