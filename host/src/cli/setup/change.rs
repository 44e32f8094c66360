//! One file that `setup` changes: what would differ, the copy of the old one, and the writing.

use std::io::Write;
use std::path::{Path, PathBuf};

use model::error::{Error, Kind, Result};

/// A file as it is and as it is to be.
#[derive(Debug)]
pub struct Change {
    /// Links followed: the file behind a link is written, not the link.
    path: PathBuf,
    old: Option<String>,
    /// None deletes the file.
    new: Option<String>,
    secret: bool,
}

impl Change {
    /// Reads the file; `edit` gives what it is to be.
    pub fn of(path: &Path, edit: impl FnOnce(Option<&str>) -> Result<Option<String>>) -> Result<Change> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let old = match jobfs::own::read_to_string(&path) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(fault("read", &path, &error)),
        };
        let new = edit(old.as_deref())?;
        Ok(Change { path, old, new, secret: false })
    }

    /// The same for a file whose content is a secret: it is never shown, and no copy is kept.
    pub fn of_secret(path: &Path, new: Option<String>) -> Result<Change> {
        let change = Change::of(path, |_| Ok(new))?;
        Ok(Change { secret: true, ..change })
    }

    /// Whether there is anything to do.
    pub fn is_needed(&self) -> bool {
        self.old != self.new
    }

    /// Where.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The difference in the form of `diff -u`.
    pub fn difference(&self) -> String {
        let name = self.path.display().to_string();
        if self.secret {
            let verb = if self.new.is_some() { "written" } else { "deleted" };
            return format!("{name}: {verb} (a key, mode 0600; it is not shown)\n");
        }
        let (old, new) = (self.old.as_deref().unwrap_or_default(), self.new.as_deref().unwrap_or_default());
        let absent = |there: bool| if there { name.clone() } else { "/dev/null".to_owned() };
        similar::TextDiff::from_lines(old, new)
            .unified_diff()
            .header(&absent(self.old.is_some()), &absent(self.new.is_some()))
            .to_string()
    }

    /// Does it; gives where the old file is kept.
    pub fn apply(&self) -> Result<Option<PathBuf>> {
        let kept = match &self.old {
            Some(_) if !self.secret => Some(self.keep().map_err(|error| fault("copy", &self.path, &error))?),
            _ => None,
        };
        let done = match &self.new {
            Some(new) => self.write(new),
            None => std::fs::remove_file(&self.path),
        };
        done.map_err(|error| fault("write", &self.path, &error))?;
        Ok(kept)
    }

    /// A copy beside the file, under a name that no earlier copy has.
    fn keep(&self) -> std::io::Result<PathBuf> {
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".before-codex-worker-{stamp}"));
        let mut kept = self.path.with_file_name(&name);
        for n in 2.. {
            if !kept.exists() {
                break;
            }
            let mut next = name.clone();
            next.push(format!("-{n}"));
            kept = self.path.with_file_name(next);
        }
        // The permissions too: the file may hold tokens of other servers.
        std::fs::copy(&self.path, &kept)?;
        Ok(kept)
    }

    /// Whole or not at all; the permissions of the old file stay, a new one is the owner's alone.
    fn write(&self, new: &str) -> std::io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        if !dir.exists() {
            job::paths::create_private(dir)?;
        }
        // Mode 0600 from the start.
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(new.as_bytes())?;
        if !self.secret
            && let Ok(old) = std::fs::metadata(&self.path)
        {
            file.as_file().set_permissions(old.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}

fn fault(verb: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Environment, format!("failed to {verb} {}: {error}", path.display()))
        .hint("let this user write the file and its directory; `--codex-config` and `--config` name others")
}
