//! An image: one program from scratch. Comes in: what it is. Goes out: a folder in the OCI image layout and an archive of it.
//!
//! Sources: OCI image-spec 1.1 (layout, index, manifest, configuration, annotations). The archive has `manifest.json` too, so
//! that what reads the older format of `docker save` takes it; `io.containerd.image.name` is what containerd and podman name
//! the image by.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::layer::{Layer, layer};
use crate::{USER, sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What an image is made of.
#[derive(Debug)]
pub struct Image<'a> {
    /// The program's name, also that of its file in `/bin`.
    pub program: &'a str,
    /// The program.
    pub content: &'a [u8],
    /// Its name in registries, such as `l5d/namerd`.
    pub name: &'a str,
    /// The tag.
    pub version: &'a str,
    /// As OCI calls it: `amd64`, `arm64`.
    pub architecture: &'a str,
    /// When its source was committed, in seconds since 1970: the time of everything within.
    pub created: u64,
    /// Labels besides those that the other fields make: `org.opencontainers.image.*`.
    pub labels: BTreeMap<&'a str, String>,
    /// Ports that it usually listens on.
    pub ports: &'a [u16],
    /// Folders that the program may write: the places of volumes. From the root, without a leading slash.
    pub folders: &'a [&'a str],
}

/// What was packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Name and tag.
    pub reference: String,
    /// Of the manifest: what `name@sha256:...` pins.
    pub digest: String,
    /// Bytes of the program.
    pub unpacked: u64,
    /// Bytes that are pulled: layer, configuration and manifest.
    pub packed: u64,
}

/// A blob and what points to it.
struct Blob {
    digest: String,
    media: &'static str,
    content: Vec<u8>,
}

/// The files of a layout, by path within.
type Files = BTreeMap<String, Vec<u8>>;

/// The time as images say it, RFC 3339 in UTC.
pub fn timestamp(seconds: u64) -> anyhow::Result<String> {
    let seconds = i64::try_from(seconds).context("a time after the year 292 billion")?;
    Ok(jiff::Timestamp::from_second(seconds)?.to_string())
}

impl Image<'_> {
    /// Writes the layout into the folder `folder/PROGRAM` and the archive to `folder/PROGRAM.tar`; what stood there goes.
    pub fn write(&self, folder: &Path) -> anyhow::Result<Packed> {
        let (files, packed) = self.files()?;
        let layout = folder.join(self.program);
        if layout.exists() {
            fs::remove_dir_all(&layout)
                .with_context(|| format!("cannot remove {}", layout.display()))?;
        }
        for (path, content) in &files {
            let path = layout.join(path);
            let parent = path.parent().context("a file in a folder")?;
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make the folder {}", parent.display()))?;
            fs::write(&path, content)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let archive = folder.join(format!("{}.tar", self.program));
        let written = fs::File::create(&archive)
            .map_err(anyhow::Error::from)
            .and_then(|mut file| Ok(file.write_all(&self.archive(files)?)?));
        written.with_context(|| format!("cannot write {}", archive.display()))?;
        Ok(packed)
    }

    /// Name and tag.
    pub fn reference(&self) -> String {
        format!("{}:{}", self.name, self.version)
    }

    fn files(&self) -> anyhow::Result<(Files, Packed)> {
        let path = format!("bin/{}", self.program);
        let layer = layer(&path, self.content, self.folders, USER, self.created)
            .context("cannot make the layer")?;
        let config = Blob::new(CONFIG, bytes(&self.config(&layer)?)?);
        let layer = Blob::new(LAYER, layer.packed);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
            "annotations": self.labels()?,
        });
        let manifest = Blob::new(MANIFEST, bytes(&manifest)?);
        let packed = Packed {
            reference: self.reference(),
            digest: manifest.digest.clone(),
            unpacked: self.content.len() as u64,
            packed: [&layer, &config, &manifest].map(Blob::size).iter().sum(),
        };
        let mut files = Files::new();
        files.insert(
            "oci-layout".to_owned(),
            bytes(&json!({"imageLayoutVersion": "1.0.0"}))?,
        );
        files.insert("index.json".to_owned(), bytes(&self.index(&manifest))?);
        files.insert(
            "manifest.json".to_owned(),
            bytes(&json!([{
                "Config": config.path(),
                "RepoTags": [self.reference()],
                "Layers": [layer.path()],
            }]))?,
        );
        for blob in [layer, config, manifest] {
            files.insert(blob.path(), blob.content);
        }
        Ok((files, packed))
    }

    fn config(&self, layer: &Layer) -> anyhow::Result<Value> {
        let created = timestamp(self.created)?;
        let ports: BTreeMap<_, _> = self
            .ports
            .iter()
            .map(|port| (format!("{port}/tcp"), json!({})))
            .collect();
        Ok(json!({
            "created": created,
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "User": format!("{USER}:{USER}"),
                "ExposedPorts": ports,
                "Entrypoint": [format!("/bin/{}", self.program)],
                // Who starts it without arguments is told what it takes.
                "Cmd": ["--help"],
                "WorkingDir": "/",
                "Labels": self.labels()?,
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer.tar))]},
            "history": [{"created": created, "created_by": "cargo xtask image"}],
        }))
    }

    fn index(&self, manifest: &Blob) -> Value {
        let mut descriptor = manifest.descriptor();
        descriptor["platform"] = json!({"architecture": self.architecture, "os": "linux"});
        descriptor["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/{}", self.reference()),
            "org.opencontainers.image.ref.name": self.version,
        });
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]})
    }

    fn labels(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let own = [
            ("title", self.program.to_owned()),
            ("version", self.version.to_owned()),
            ("created", timestamp(self.created)?),
        ];
        let given = self.labels.iter().map(|(key, value)| (*key, value.clone()));
        Ok(own
            .into_iter()
            .chain(given)
            .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value))
            .collect())
    }

    /// All of the layout in one file.
    fn archive(&self, files: Files) -> std::io::Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        let mut append = |path: &str, kind, mode, content: &[u8]| {
            let mut header = Header::new_ustar();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(self.created);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content)
        };
        for folder in ["blobs/", "blobs/sha256/"] {
            append(folder, EntryType::Directory, 0o755, &[])?;
        }
        for (path, content) in files {
            append(&path, EntryType::Regular, 0o644, &content)?;
        }
        archive.into_inner()
    }
}

impl Blob {
    fn new(media: &'static str, content: Vec<u8>) -> Self {
        let digest = format!("sha256:{}", sha256(&content));
        Self {
            digest,
            media,
            content,
        }
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media, "digest": self.digest, "size": self.size()})
    }
}

/// Keys stand in the order of `serde_json`'s maps, which is that of the code or of the alphabet.
fn bytes(value: &Value) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image<'a>(content: &'a [u8]) -> Image<'a> {
        Image {
            program: "it",
            content,
            name: "l5d/it",
            version: "1.2.3",
            architecture: "amd64",
            created: 1_000_000_000,
            labels: BTreeMap::from([("licenses", "Apache-2.0".to_owned())]),
            ports: &[80, 443],
            folders: &["var/lib/it"],
        }
    }

    fn read(layout: &Path, path: &str) -> Value {
        serde_json::from_slice(&fs::read(layout.join(path)).unwrap()).unwrap()
    }

    /// The blob that a descriptor points to, after its size and digest were found to be true.
    fn follow(layout: &Path, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blob = fs::read(layout.join("blobs/sha256").join(hex)).unwrap();
        assert_eq!(sha256(&blob), hex);
        assert_eq!(descriptor["size"], blob.len());
        blob
    }

    #[test]
    fn packing_twice_gives_equal_bytes() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, two] = folders.each_ref().map(|folder| {
            let packed = image(b"program").write(folder.path()).unwrap();
            let archive = fs::read(folder.path().join("it.tar")).unwrap();
            (packed, archive)
        });
        assert_eq!(one, two);
        let other = image(b"another").write(folders[0].path()).unwrap();
        assert_ne!(other.digest, one.0.digest);
        assert_eq!(
            fs::read_dir(folders[0].path().join("it/blobs/sha256"))
                .unwrap()
                .count(),
            3,
            "nothing is left of the image that stood there"
        );
    }

    #[test]
    fn every_descriptor_of_the_layout_leads_to_its_blob() {
        let folder = tempfile::tempdir().unwrap();
        let packed = image(b"program").write(folder.path()).unwrap();
        let layout = folder.path().join("it");
        assert_eq!(read(&layout, "oci-layout")["imageLayoutVersion"], "1.0.0");
        let index = read(&layout, "index.json");
        let first = &index["manifests"][0];
        assert_eq!(first["digest"], packed.digest);
        assert_eq!(
            first["annotations"]["io.containerd.image.name"],
            "docker.io/l5d/it:1.2.3"
        );
        let manifest: Value = serde_json::from_slice(&follow(&layout, first)).unwrap();
        let config: Value = serde_json::from_slice(&follow(&layout, &manifest["config"])).unwrap();
        let layer = follow(&layout, &manifest["layers"][0]);
        let mut unpacked = flate2::read::GzDecoder::new(&*layer);
        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut unpacked, &mut tar).unwrap();
        let diff = format!("sha256:{}", sha256(&tar));
        assert_eq!(config["rootfs"]["diff_ids"], json!([diff]));
        assert_eq!(config["created"], "2001-09-09T01:46:40Z");
        let run = &config["config"];
        assert_eq!(run["User"], "65532:65532");
        assert_eq!(run["Entrypoint"], json!(["/bin/it"]));
        assert_eq!(run["ExposedPorts"], json!({"443/tcp": {}, "80/tcp": {}}));
        assert_eq!(
            run["Labels"]["org.opencontainers.image.licenses"],
            "Apache-2.0"
        );
        let docker = &read(&layout, "manifest.json")[0];
        assert_eq!(docker["RepoTags"], json!(["l5d/it:1.2.3"]));
        assert!(layout.join(docker["Config"].as_str().unwrap()).is_file());
    }

    #[test]
    fn the_archive_has_the_files_of_the_layout() {
        let folder = tempfile::tempdir().unwrap();
        image(b"program").write(folder.path()).unwrap();
        let file = fs::File::open(folder.path().join("it.tar")).unwrap();
        let mut archive = tar::Archive::new(file);
        let mut files = 0;
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            if entry.header().entry_type().is_file() {
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
                let same = fs::read(folder.path().join("it").join(&path)).unwrap();
                assert_eq!(content, same, "{}", path.display());
                files += 1;
            }
        }
        assert_eq!(files, 6);
    }
}
