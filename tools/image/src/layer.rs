//! The file system of an image. Comes in: folders and one program. Goes out: a tar archive, and the same compressed.
//!
//! Entries are sorted, all times are one given time, owners are numbers without names.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// A layer.
#[derive(Debug)]
pub struct Layer {
    /// As it is unpacked.
    pub tar: Vec<u8>,
    /// As it is stored: gzip.
    pub packed: Vec<u8>,
}

/// What stands at a path.
enum Entry<'a> {
    Folder { mode: u32, owner: u64 },
    Program(&'a [u8]),
}

/// A layer of a program at `path` (from the root, without a leading slash) and of folders that `owner` alone may write.
/// `time` is in seconds since 1970.
pub fn layer(
    path: &str,
    program: &[u8],
    folders: &[&str],
    owner: u64,
    time: u64,
) -> std::io::Result<Layer> {
    let mut entries = BTreeMap::new();
    for leaf in folders.iter().chain([&path]) {
        for (slash, _) in leaf.match_indices('/') {
            let (mode, owner) = (0o755, 0);
            entries.insert(&leaf[..slash], Entry::Folder { mode, owner });
        }
    }
    for folder in folders {
        entries.insert(folder, Entry::Folder { mode: 0o700, owner });
    }
    entries.insert(path, Entry::Program(program));
    let mut tar = Builder::new(Vec::new());
    for (path, entry) in entries {
        append(&mut tar, path, &entry, time)?;
    }
    let tar = tar.into_inner()?;
    let packed = compress(&tar)?;
    Ok(Layer { tar, packed })
}

fn append(
    tar: &mut Builder<Vec<u8>>,
    path: &str,
    entry: &Entry<'_>,
    time: u64,
) -> std::io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_mtime(time);
    let (name, content) = match entry {
        Entry::Folder { mode, owner } => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(*mode);
            header.set_uid(*owner);
            header.set_gid(*owner);
            (format!("{path}/"), &[][..])
        }
        Entry::Program(content) => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o755);
            header.set_uid(0);
            header.set_gid(0);
            (path.to_owned(), *content)
        }
    };
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content)
}

/// The header that is written has no name and no time.
fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::default());
    gzip.write_all(bytes)?;
    gzip.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn listed(layer: &Layer) -> Vec<(String, u32, u64, u64)> {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&*layer.packed)
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, layer.tar);
        let mut archive = tar::Archive::new(&*layer.tar);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            let path = entry.path().unwrap().display().to_string();
            let mode = header.mode().unwrap();
            (path, mode, header.uid().unwrap(), header.mtime().unwrap())
        });
        entries.collect()
    }

    #[test]
    fn parents_come_before_their_children_and_nobody_but_the_owner_gets_the_folders() {
        let layer = layer("bin/it", b"it", &["var/lib/it"], 7, 11).unwrap();
        let entry = |path: &str, mode, uid| (path.to_owned(), mode, uid, 11);
        let wanted = [
            entry("bin/", 0o755, 0),
            entry("bin/it", 0o755, 0),
            entry("var/", 0o755, 0),
            entry("var/lib/", 0o755, 0),
            entry("var/lib/it/", 0o700, 7),
        ];
        assert_eq!(listed(&layer), wanted);
    }
}
