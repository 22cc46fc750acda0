//! Segments of a name, gathered in memory that is used again.

/// Segments in order, each with its length in front: so that equal bytes are equal names, whatever is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    bytes: Vec<u8>,
}

const LENGTH: usize = size_of::<u32>();

impl Segments {
    /// Nothing.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// One more at the end. Requests have heads of bounded size, far below what a length can say.
    pub fn push(&mut self, segment: &[u8]) {
        let len = u32::try_from(segment.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(segment);
    }

    /// The same, in lower case (ASCII).
    pub fn push_lower(&mut self, segment: &[u8]) {
        self.push(segment);
        let from = self.bytes.len() - segment.len();
        self.bytes[from..].make_ascii_lowercase();
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first_chunk::<LENGTH>()?;
            let len = u32::from_be_bytes(*len) as usize;
            let (segment, behind) = behind.split_at_checked(len)?;
            rest = behind;
            Some(segment)
        })
    }

    /// As one key.
    pub fn key(&self) -> &[u8] {
        &self.bytes
    }
}
