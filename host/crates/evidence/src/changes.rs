//! The difference between two recorded trees: which paths (git decides, renames included),
//! and each file's hunks (libgit2, which checks every object against its name; git itself
//! where libgit2 does not know the object format).

use std::collections::BTreeMap;

use super::git::split_z;
use super::shadow::Shadow;
use super::{Error, Limits, Result, patch};
use model::types::{ChangeKind, FileKind};

/// One changed path; names are below the recorder's top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path after (or before, for a deleted file).
    pub name: Vec<u8>,
    /// The path before a rename.
    pub old_name: Option<Vec<u8>>,
    /// What happened.
    pub kind: ChangeKind,
    /// Before.
    pub old: Side,
    /// After.
    pub new: Side,
    /// Lines added; 0 for binary files.
    pub added: u32,
    /// Lines deleted; 0 for binary files.
    pub deleted: u32,
    /// The content is not text.
    pub binary: bool,
    /// Bytes after; 0 for a deleted file.
    pub size: u64,
    /// Where a symlink points after.
    pub target: Option<Vec<u8>>,
    /// Hunks, cut to the limits.
    pub hunks: Option<String>,
    /// Hunks were cut or left out.
    pub cut: bool,
}

/// One side of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Git's mode, 0 for absent.
    pub mode: u32,
    /// The object id; zeros for absent.
    pub id: String,
}

impl Side {
    /// What the mode says.
    pub fn kind(&self) -> FileKind {
        match self.mode {
            0 => FileKind::Absent,
            0o120000 => FileKind::Symlink,
            0o160000 => FileKind::Gitlink,
            m if m & 0o111 != 0 => FileKind::Executable,
            _ => FileKind::Regular,
        }
    }

    fn is_blob(&self) -> bool {
        self.mode != 0 && self.mode != 0o160000
    }
}

/// All changes between two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In byte order of the name.
    pub files: Vec<Change>,
    /// Bytes of the whole unified diff; of files over 8 MiB their size stands for it.
    pub diff_bytes: u64,
    /// Objects whose content does not match their name: somebody altered the repository.
    pub forged: Vec<String>,
    /// Old content is missing (the repository's objects are gone): no renames, no counts.
    pub base_lost: bool,
}

/// A blob larger than this gets no hunks.
const LARGE_BLOB: u64 = 8 << 20;

/// Compares two trees. Text beyond `limits` is left out, names never are.
pub fn between(shadow: &Shadow, base: &str, tree: &str, limits: Limits) -> Result<Changes> {
    if base == tree {
        return Ok(Changes::default());
    }
    let diff = |more: &[&str]| {
        shadow
            .reading("diff-tree")
            .args(["-r", "-z", "--raw", "--no-ext-diff", "--no-textconv"])
            .args(more)
            .args([base, tree])
            .output()
    };
    let mut changes = Changes::default();
    changes.files = match diff(&["-M", "--numstat"]) {
        Ok(listed) => parse(&listed)?,
        // Names need only the trees, and those lie in the shadow itself.
        Err(_) => {
            changes.base_lost = true;
            parse(&diff(&["--no-renames"])?)?
        }
    };
    fill_text(shadow, base, tree, &mut changes, limits)?;
    changes.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(changes)
}

/// Which paths differ and how, without renames and without any content.
pub fn names_only(shadow: &Shadow, from: &str, to: &str) -> Result<Vec<Change>> {
    parse(&shadow.reading("diff-tree").args(["-r", "-z", "--raw", "--no-renames", from, to]).output()?)
}

/// Reads `--raw --numstat -z`: first all raw entries, then all counts.
fn parse(listed: &[u8]) -> Result<Vec<Change>> {
    let bad = || Error::Answer("diff-tree");
    let mut fields = split_z(listed).peekable();
    let mut files: Vec<Change> = Vec::new();
    while let Some(raw) = fields.next_if(|f| f.starts_with(b":")) {
        let text = std::str::from_utf8(&raw[1..]).map_err(|_| bad())?;
        let parts: Vec<&str> = text.split(' ').collect();
        let [old_mode, new_mode, old_id, new_id, status] = parts.as_slice() else { return Err(bad()) };
        let mode = |m: &str| u32::from_str_radix(m, 8).map_err(|_| bad());
        let old = Side { mode: mode(old_mode)?, id: (*old_id).to_owned() };
        let new = Side { mode: mode(new_mode)?, id: (*new_id).to_owned() };
        let first = fields.next().ok_or_else(bad)?.to_vec();
        let (name, old_name) = match status.as_bytes()[0] {
            b'R' | b'C' => (fields.next().ok_or_else(bad)?.to_vec(), Some(first)),
            _ => (first, None),
        };
        let kind = match status.as_bytes()[0] {
            b'A' => ChangeKind::Added,
            b'D' => ChangeKind::Deleted,
            b'R' => ChangeKind::Renamed,
            b'C' => ChangeKind::Added,
            b'T' => ChangeKind::TypeChanged,
            _ if old.id == new.id && old.mode != new.mode => ChangeKind::ModeChanged,
            _ => ChangeKind::Modified,
        };
        files.push(Change {
            name,
            old_name,
            kind,
            old,
            new,
            added: 0,
            deleted: 0,
            binary: false,
            size: 0,
            target: None,
            hunks: None,
            cut: false,
        });
    }
    let mut at: BTreeMap<Vec<u8>, usize> =
        files.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect();
    while let Some(counts) = fields.next() {
        let mut parts = counts.splitn(3, |b| *b == b'\t');
        let (Some(added), Some(deleted), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad());
        };
        let name = if name.is_empty() {
            let _old = fields.next();
            fields.next().ok_or_else(bad)?
        } else {
            name
        };
        let Some(file) = at.remove(name).and_then(|i| files.get_mut(i)) else { return Err(bad()) };
        let number = |n: &[u8]| std::str::from_utf8(n).ok().and_then(|n| n.parse().ok());
        file.binary = added == b"-";
        file.added = number(added).unwrap_or(0);
        file.deleted = number(deleted).unwrap_or(0);
    }
    Ok(files)
}

fn fill_text(shadow: &Shadow, base: &str, tree: &str, changes: &mut Changes, limits: Limits) -> Result<()> {
    let objects = Objects::open(shadow)?;
    // Without libgit2 the CLI gives all hunks at once, in the order of its own listing.
    let mut pieces: std::vec::IntoIter<String> = match &objects {
        Objects::Checked { .. } => Vec::new().into_iter(),
        Objects::Cli(_) if changes.base_lost => Vec::new().into_iter(),
        Objects::Cli(_) => {
            let text = shadow
                .reading("diff-tree")
                .args(["-r", "-p", "-M", "--no-ext-diff", "--no-textconv", "--full-index", base, tree])
                .output()?;
            patch::split_files(&String::from_utf8_lossy(&text))
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        }
        .into_iter(),
    };
    let mut left = limits.max_patch;
    changes.forged.clear();
    for file in &mut changes.files {
        if file.new.is_blob() {
            file.size = objects.size(&file.new.id)?;
        }
        if file.new.kind() == FileKind::Symlink {
            file.target = Some(objects.read(&file.new.id)?);
        }
        let hunks = match &objects {
            Objects::Checked { .. } => objects.hunks(file),
            Objects::Cli(_) => {
                let piece = pieces.next().unwrap_or_default();
                let known = if file.old.is_blob() { objects.verify(&file.old.id) } else { Ok(()) };
                let text = patch::hunks_of(&piece).map(str::to_owned);
                known.map(|()| Hunks { bytes: piece.len() as u64, text })
            }
        };
        let hunks = match hunks {
            Ok(hunks) => hunks,
            Err(Error::Forged(id)) => {
                changes.forged.push(id);
                Hunks { bytes: file.size, text: None }
            }
            Err(_) if changes.base_lost => Hunks { bytes: file.size, text: None },
            Err(error) => return Err(error),
        };
        changes.diff_bytes += hunks.bytes;
        let Some(text) = hunks.text.filter(|t| !t.is_empty()) else { continue };
        let room = limits.max_file_patch.min(left);
        let kept = patch::cut_hunks(&text, room);
        file.cut = kept.len() < text.len();
        left -= kept.len();
        file.hunks = Some(kept.to_owned());
    }
    Ok(())
}

/// Every directory of `tree`, and every file of it that the shadow itself holds, is there
/// and its content matches its name. Of files over 8 MiB only their presence is looked at.
pub fn verify_tree(shadow: &Shadow, tree: &str) -> Result<()> {
    let Objects::Checked { own, others } = Objects::open(shadow)? else {
        // git reads each directory on the way; files are hashed by the host.
        let listed = shadow.reading("ls-tree").args(["-r", "-z", "--full-tree", tree]).output()?;
        let objects = Objects::open(shadow)?;
        for line in split_z(&listed) {
            let (_, mode, id) = super::tree_line(line)?;
            let here = shadow.git("cat-file").args(["-e", &id]).run(super::git::Input::Null)?;
            if mode != 0o160000 && here.code == Some(0) {
                objects.verify(&id)?;
            }
        }
        return Ok(());
    };
    let odb = own.odb()?;
    let mut open = vec![tree.to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let oid = git2::Oid::from_str(&id)?;
        let from = if odb.exists(oid) { &odb } else { &others };
        let object = from.read(oid).map_err(|e| forged(&id, e))?;
        let mut rest = object.data();
        while !rest.is_empty() {
            // `<mode> <name>\0` and twenty bytes of the id.
            let end = rest.iter().position(|b| *b == 0).ok_or(Error::Answer("tree"))?;
            let id = rest.get(end + 1..end + 21).ok_or(Error::Answer("tree"))?;
            let oid = git2::Oid::from_bytes(id)?;
            if rest.starts_with(b"40000 ") {
                open.push(oid.to_string());
            } else if !rest.starts_with(b"160000 ")
                && odb.exists(oid)
                && odb.read_header(oid)?.0 as u64 <= LARGE_BLOB
            {
                odb.read(oid).map_err(|e| forged(&oid.to_string(), e))?;
            }
            rest = &rest[end + 21..];
        }
    }
    Ok(())
}

struct Hunks {
    /// Of the file's whole part of a unified diff.
    bytes: u64,
    /// None for binary or very large content.
    text: Option<String>,
}

/// Reads blobs so that their content is known to match their names.
pub enum Objects {
    /// libgit2, which checks each object that it reads.
    Checked {
        /// The shadow's own; asked first, though libgit2 by itself asks alternates first.
        own: git2::Repository,
        /// The repositories'.
        others: git2::Odb<'static>,
    },
    /// git itself, for object formats that libgit2 does not open; we hash.
    Cli(Shadow),
}

impl Objects {
    /// Opens the objects of a shadow and of the repositories that it reads.
    pub fn open(shadow: &Shadow) -> Result<Objects> {
        if shadow.object_format != "sha1" {
            return Ok(Objects::Cli(shadow.clone()));
        }
        let own = git2::Repository::open_bare(&shadow.git_dir)?;
        let others = git2::Odb::new()?;
        for dir in &shadow.read_from {
            if let Some(dir) = dir.to_str() {
                others.add_disk_alternate(dir)?;
            } else {
                return Ok(Objects::Cli(shadow.clone()));
            }
        }
        Ok(Objects::Checked { own, others })
    }

    /// The content of a blob.
    pub fn read(&self, id: &str) -> Result<Vec<u8>> {
        match self {
            Objects::Checked { own, others } => {
                let oid = git2::Oid::from_str(id)?;
                let odb = own.odb()?;
                let from = if odb.exists(oid) { &odb } else { others };
                let object = from.read(oid).map_err(|e| forged(id, e))?;
                Ok(object.data().to_vec())
            }
            Objects::Cli(shadow) => {
                let content = shadow.reading("cat-file").args(["blob", id]).output()?;
                if shadow.object_format == "sha256" {
                    use sha2::{Digest, Sha256};
                    let mut hash = Sha256::new();
                    hash.update(format!("blob {}\0", content.len()));
                    hash.update(&content);
                    let is: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
                    if is != id {
                        return Err(Error::Forged(id.to_owned()));
                    }
                }
                Ok(content)
            }
        }
    }

    fn verify(&self, id: &str) -> Result<()> {
        if self.size(id)? <= LARGE_BLOB {
            self.read(id)?;
        }
        Ok(())
    }

    /// The size of a blob in bytes.
    pub fn size(&self, id: &str) -> Result<u64> {
        match self {
            Objects::Checked { own, others } => {
                let oid = git2::Oid::from_str(id)?;
                let odb = own.odb()?;
                let from = if odb.exists(oid) { &odb } else { others };
                Ok(from.read_header(oid)?.0 as u64)
            }
            Objects::Cli(shadow) => {
                let size = shadow.reading("cat-file").args(["-s", id]).line()?;
                size.parse().map_err(|_| Error::Answer("cat-file -s"))
            }
        }
    }

    fn hunks(&self, file: &Change) -> Result<Hunks> {
        let mut sides = [Vec::new(), Vec::new()];
        let mut bytes = 0;
        let mut large = false;
        for (side, content) in [&file.old, &file.new].into_iter().zip(&mut sides) {
            if side.mode == 0o160000 {
                *content = format!("Subproject commit {}\n", side.id).into_bytes();
            } else if side.is_blob() {
                let size = self.size(&side.id)?;
                if size > LARGE_BLOB {
                    large = true;
                    bytes += size;
                } else if file.old.id != file.new.id {
                    *content = self.read(&side.id)?;
                }
            }
        }
        let [old, new] = sides;
        // Header lines, about; exact for the hunks.
        let header = 80 + 4 * file.name.len() as u64;
        if large || file.binary {
            bytes = if file.binary { file.size } else { bytes };
            return Ok(Hunks { bytes: header + bytes, text: None });
        }
        if old == new {
            return Ok(Hunks { bytes: header, text: None });
        }
        let mut patch = git2::Patch::from_buffers(&old, None, &new, None, None)?;
        let text = patch.to_buf()?;
        let text = String::from_utf8_lossy(&text);
        let hunks = patch::hunks_of(&text).map(str::to_owned);
        let bytes = header + hunks.as_ref().map_or(0, |h| h.len() as u64);
        Ok(Hunks { bytes, text: hunks })
    }
}

/// libgit2 says "object hash mismatch" for an altered object; everything else stays.
fn forged(id: &str, error: git2::Error) -> Error {
    if error.message().contains("hash mismatch") || error.code() == git2::ErrorCode::HashsumMismatch {
        return Error::Forged(id.to_owned());
    }
    Error::Objects(error)
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    #[test]
    fn raw_and_counts_are_read_together() {
        let listed = b":100644 100755 aa aa M\0run.sh\0:100644 100644 aa bb R090\0old name\0new\nname\0\
            :000000 120000 00 cc A\0link\0:100644 000000 dd 00 D\0img.png\0\
            0\t0\trun.sh\x001\t2\t\0old name\0new\nname\x001\t0\tlink\0-\t-\timg.png\0";
        let files = parse(listed).unwrap();
        let read: Vec<_> = files
            .iter()
            .map(|f| (names::escape(&f.name), f.kind, f.new.kind(), f.added, f.deleted, f.binary))
            .collect();
        assert_eq!(
            read,
            [
                ("run.sh".into(), ChangeKind::ModeChanged, FileKind::Executable, 0, 0, false),
                ("new\\x0aname".into(), ChangeKind::Renamed, FileKind::Regular, 1, 2, false),
                ("link".into(), ChangeKind::Added, FileKind::Symlink, 1, 0, false),
                ("img.png".into(), ChangeKind::Deleted, FileKind::Absent, 0, 0, true),
            ]
        );
        assert!(parse(b":100644 100755\0x\0").is_err());
    }
}
