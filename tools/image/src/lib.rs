//! Container images of one static program each, made without a daemon, and their bills of materials.
//!
//! Comes in: a program as bytes and what is to be said of it; `cargo metadata` and `Cargo.lock`. Goes out: a folder in the
//! OCI image layout, the same as one archive, a CycloneDX document. Equal input gives equal bytes, wherever and whenever: no
//! clock, no owner, no path and no order of a folder is looked at.
//!
//! | module | answers |
//! |---|---|
//! | [`elf`] | whether a program is static |
//! | [`image`] | the image: configuration, manifest, index, archive |
//! | [`layer`] | the file system of an image |
//! | [`crates`] | what a program is linked from, as cargo says |
//! | [`sbom`] | the bill of materials |

pub mod crates;
pub mod elf;
pub mod image;
pub mod layer;
pub mod sbom;

use sha2::{Digest as _, Sha256};

/// The user and group that programs in images run as. A number, so that `runAsNonRoot` can be checked without names.
pub const USER: u64 = 65532;

/// A SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}
