//! `io.l5d.fs` as a store: dtabs in files. Not in 1.x, whose interpreter of this kind had `dtabFile`.

use std::path::{Path, PathBuf};

use l5d_config::Section;

use crate::config::FilesStorage;

pub(super) fn read(section: &Section<'_>) -> FilesStorage {
    let (folder, file) = (section.key("rootDir"), section.key("dtabFile"));
    let spot = folder.spot();
    let (folder, file) = (folder.string(), file.string());
    let reader = section.reader();
    match (folder, file) {
        (Some(folder), None) => {
            let folder = PathBuf::from(folder);
            if reader.is_good() && !folder.is_dir() {
                let message = format!("rootDir {} is not an existing directory", folder.display());
                reader.mistake(spot, message, None);
            }
            FilesStorage::Folder(folder)
        }
        (None, Some(file)) => FilesStorage::One(PathBuf::from(file)),
        (folder, _) => {
            let message = match folder {
                Some(_) => "rootDir and dtabFile cannot both be given",
                None => {
                    "rootDir (a directory, each file a namespace) or dtabFile (one file, the namespace default) is required in storage"
                }
            };
            reader.mistake(spot, message, None);
            FilesStorage::Folder(Path::new("/").to_owned())
        }
    }
}
