//! The namers: fs, inet, rewrite, utility and Kubernetes.
