//! The namers: what is built in under `/$`, and what configurations name under `/#`.

mod addresses;
mod dnssrv;
mod external;
mod follow;
mod fs;
mod inet;
mod k8s;
mod rewrite;
mod system;
mod transformed;
mod utility;

use l5d_naming::{Elem, Path};

pub(crate) use addresses::Line;
pub use dnssrv::DnsSrvNamer;
pub use external::K8sExternalNamer;
pub(crate) use follow::{Followed, Sink, Source};
pub use fs::FsNamer;
pub use k8s::K8sNamer;
pub use rewrite::{BadRewrite, RewriteNamer};
pub use system::System;
pub use transformed::TransformedNamer;

/// A path of a text's parts; empty parts are left out.
fn path_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Path {
    Path::from_elems(parts.into_iter().filter_map(Elem::new))
}

/// Where a configured namer answers: `/#` and its prefix (naming 4.4).
pub(crate) fn under_hash(prefix: &Path) -> Path {
    path_of(["#"]).concat(prefix)
}
