//! What is a disk on this machine? A directory: names and bytes go through `std::fs`, durability through `fdatasync` and
//! `fsync` of directories.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use causeway_model::{Error, ErrorKind, Result};

use super::{Disk, File};

/// A directory on the machine.
#[derive(Debug, Clone)]
pub struct LocalDisk {
    root: PathBuf,
}

/// Says what was being done to which path; a missing file stays distinguishable.
fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("disk: {doing} {}: {error}", path.display()))
}

impl LocalDisk {
    /// A disk whose root is this directory; [`Disk::create_dir_all`] of the empty path makes it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The path on the machine; refused when it would leave the root.
    fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside {
            return Err(Error::invalid(format!("disk: {} leaves the data directory", path.display())));
        }
        Ok(self.root.join(path))
    }
}

impl Disk for LocalDisk {
    fn create(&self, path: &Path) -> Result<Arc<dyn File>> {
        let path = self.resolve(path)?;
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(&path);
        let file = file.map_err(|error| failed("create", &path, &error))?;
        Ok(Arc::new(LocalFile { file, path }))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>> {
        let path = self.resolve(path)?;
        let file = std::fs::File::open(&path).map_err(|error| failed("open", &path, &error))?;
        Ok(Arc::new(LocalFile { file, path }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (self.resolve(from)?, self.resolve(to)?);
        std::fs::rename(&from, &to).map_err(|error| failed("rename", &from, &error))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let path = self.resolve(path)?;
        std::fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        let path = self.resolve(path)?;
        std::fs::create_dir_all(&path).map_err(|error| failed("create directory", &path, &error))
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        let path = self.resolve(path)?;
        let refused = |error| failed("list", &path, &error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(refused)? {
            let entry = entry.map_err(refused)?;
            if entry.file_type().map_err(refused)?.is_dir() {
                continue;
            }
            // None of our names is other than UTF-8: such a file isn't ours to touch.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let path = self.resolve(path)?;
        let synced = std::fs::File::open(&path).and_then(|directory| directory.sync_all());
        synced.map_err(|error| failed("sync directory", &path, &error))
    }

    fn free_bytes(&self) -> Result<u64> {
        let space = rustix::fs::statvfs(&self.root);
        let space = space.map_err(|error| failed("free space of", &self.root, &error.into()))?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// A file on the machine; `path` is there for messages.
#[derive(Debug)]
struct LocalFile {
    file: std::fs::File,
    path: PathBuf,
}

impl File for LocalFile {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        (&self.file).write_all(bytes).map_err(|error| failed("append to", &self.path, &error))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|error| failed("read", &self.path, &error))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|error| failed("length of", &self.path, &error))?.len())
    }

    fn truncate(&self, length: u64) -> Result<()> {
        if length > self.len()? {
            return Err(Error::internal(format!("disk: truncate {} to more than it has", self.path.display())));
        }
        self.file.set_len(length).map_err(|error| failed("truncate", &self.path, &error))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| failed("sync", &self.path, &error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_once_appended_read_cut_renamed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let disk = LocalDisk::new(directory.path());
        disk.create_dir_all(Path::new("a/b")).unwrap();
        let file = disk.create(Path::new("a/b/x")).unwrap();
        assert!(disk.create(Path::new("a/b/x")).is_err());
        file.append(b"hello ").unwrap();
        file.append(b"world").unwrap();
        file.sync().unwrap();
        file.truncate(7).unwrap();
        assert!(file.truncate(8).is_err());
        file.append(b"!").unwrap();
        disk.rename(Path::new("a/b/x"), Path::new("a/b/y")).unwrap();
        disk.sync_dir(Path::new("a/b")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        assert_eq!(disk.list(Path::new("a/b")).unwrap(), ["y"]);
        assert!(disk.list(Path::new("a")).unwrap().is_empty());

        let opened = disk.open(Path::new("a/b/y")).unwrap();
        disk.remove(Path::new("a/b/y")).unwrap();
        let mut bytes = vec![0; opened.len().unwrap() as usize];
        opened.read_at(0, &mut bytes).unwrap();
        assert_eq!(bytes, b"hello w!");
        assert!(opened.read_at(1, &mut bytes).is_err(), "past the end");
        assert_eq!(disk.open(Path::new("a/b/y")).unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(disk.remove(Path::new("a/b/y")).unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(disk.list(Path::new("missing")).unwrap_err().kind, ErrorKind::NotFound);
        assert!(disk.free_bytes().unwrap() > 0);
    }

    #[test]
    fn paths_that_leave_the_root_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let disk = LocalDisk::new(directory.path());
        for path in ["../x", "a/../../x", "/etc/passwd", ".."] {
            assert_eq!(disk.create(Path::new(path)).unwrap_err().kind, ErrorKind::Invalid, "{path}");
            assert_eq!(disk.open(Path::new(path)).unwrap_err().kind, ErrorKind::Invalid, "{path}");
            assert_eq!(disk.rename(Path::new("x"), Path::new(path)).unwrap_err().kind, ErrorKind::Invalid, "{path}");
            assert_eq!(disk.sync_dir(Path::new(path)).unwrap_err().kind, ErrorKind::Invalid, "{path}");
        }
    }
}
