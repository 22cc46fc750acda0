//! Configuration files: a tree of values with positions, read so that every mistake is reported at once.
//!
//! In comes the text of a file, JSON when its first non-blank character is `{`, else YAML. Out go typed values, or
//! [`Mistakes`]: all of them, sorted, each with file, line, column, the source line and what was meant. A program opens a
//! [`Reader`], walks its [`Section`]s, asks each [`Field`] for what it must be, and ends with [`Reader::finish`]. A section
//! that goes out of scope reports the keys that nobody asked for, so an unknown key is never silently ignored.
//!
//! Nothing here reads a file, waits, or knows what a key means, except for [`transformers`], which both programs have.

mod align;
pub mod asked;
mod field;
mod json;
mod mistakes;
mod reader;
mod section;
mod source;
mod transformers;
mod value;
mod yaml;

#[cfg(test)]
mod tests;

pub use field::Field;
pub use mistakes::{Mistake, Mistakes};
pub use reader::{Reader, Scalars};
pub use section::{Kinds, Section};
pub use source::Spot;
pub use transformers::transformers;

/// What a hostile or broken file may ask for, at most.
pub mod limits {
    /// Longest file, in bytes.
    pub const FILE_BYTES: usize = 8 << 20;
    /// Deepest nesting of lists and maps.
    pub const DEPTH: usize = 64;
    /// Most values, those that aliases repeat included.
    pub const VALUES: usize = 200_000;
    /// Most mistakes that are kept; further ones are counted.
    pub const MISTAKES: usize = 100;
}
