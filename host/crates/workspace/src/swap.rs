//! Changes several files of the user's checkout as one: all or nothing. New content is
//! staged beside its place, old files are moved aside, and a journal lets whoever comes
//! next undo what a killed process left half done. Nothing is written through a symlink: a
//! job may be at work in the same directory.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jobfs::own as fs;
use jobfs::{Meta, Tree};
use serde::{Deserialize, Serialize};

use evidence::{Error, Result, io, names};

const VERSION: u32 = 1;

/// One path to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Below the top.
    pub name: Vec<u8>,
    /// Git's mode and the content; none takes the path away.
    pub content: Option<(u32, Vec<u8>)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    version: u32,
    top: PathBuf,
    /// Everything is in place; only the old files have to go.
    done: bool,
    /// All new content is staged; from now on files may have been moved.
    placing: bool,
    steps: Vec<Step>,
    /// Directories that were made, outer first, below the top.
    made_dirs: Vec<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Step {
    /// Absolute.
    path: PathBuf,
    /// New content, staged; none takes the path away.
    staged: Option<PathBuf>,
    /// Where the old file goes; none if there was none.
    aside: Option<PathBuf>,
    /// What the old file was: device, inode, change time.
    was: Option<(u64, u64, i64, i64)>,
    /// Device and inode of the staged file, by which it is known again at its place.
    new: Option<(u64, u64)>,
}

/// Called before each step that changes something; a test makes it fail.
pub type Fault<'a> = &'a mut dyn FnMut(usize) -> std::io::Result<()>;

/// Makes all `changes` below `top`, or none. `journal` is a file of the host's own. The
/// caller holds the repository's lock and has called [`recover`].
pub fn swap(top: &Path, changes: &[Change], journal: &Path, tag: &str, fault: Fault<'_>) -> Result<()> {
    let mut log = Journal {
        version: VERSION,
        top: top.to_owned(),
        done: false,
        placing: false,
        steps: Vec::new(),
        made_dirs: Vec::new(),
    };
    let files = Tree::open(top).map_err(|_| Error::InTheWay(top.display().to_string()))?;
    // What goes makes room before what comes.
    let mut order: Vec<&Change> = changes.iter().collect();
    order.sort_by_key(|c| (c.content.is_some(), c.name.clone()));
    // Nothing is put aside in a directory that a file is about to replace.
    let written: BTreeSet<&[u8]> =
        changes.iter().filter(|c| c.content.is_some()).map(|c| c.name.as_slice()).collect();
    for (number, change) in order.iter().enumerate() {
        let dir = nearest_dir(&files, &change.name, &written);
        let beside = |what: &str| {
            let name = format!(".codex-worker-{tag}-{number}.{what}");
            top.join(names::path(&names::join(dir, name.as_bytes())))
        };
        let old = files.meta(&change.name).ok().filter(|m| !m.is_dir());
        log.steps.push(Step {
            staged: change.content.is_some().then(|| beside("new")),
            aside: old.is_some().then(|| beside("old")),
            was: old.map(|m| identity(&m)),
            new: None,
            path: top.join(names::path(&change.name)),
        });
    }
    log.write(journal)?;
    let made = run(&files, &order, &mut log, journal, fault);
    match made {
        Ok(()) => {
            log.done = true;
            log.write(journal)?;
            log.clean(&files);
        }
        Err(error) => {
            log.undo(&files);
            let _ = fs::remove_file(journal);
            return Err(error);
        }
    }
    fs::remove_file(journal).map_err(io("removing", journal))
}

fn run(files: &Tree, order: &[&Change], log: &mut Journal, journal: &Path, fault: Fault<'_>) -> Result<()> {
    let mut count = 0;
    let mut step = |path: &Path| {
        count += 1;
        fault(count).map_err(io("changing", path))
    };
    for (at, change) in order.iter().enumerate() {
        let Some((mode, content)) = &change.content else { continue };
        let Some(staged) = log.steps[at].staged.clone() else { continue };
        step(&staged)?;
        let name = log.name(&staged);
        stage(files, &name, *mode, content, &change.name).map_err(io("writing", &staged))?;
        log.steps[at].new = files.meta(&name).ok().map(|m| (m.identity.dev, m.identity.ino));
    }
    log.placing = true;
    log.write(journal)?;
    for (at, change) in order.iter().enumerate() {
        let path = log.steps[at].path.clone();
        step(&path)?;
        let found = files.meta(&change.name).ok();
        if found.as_ref().filter(|m| !m.is_dir()).map(identity) != log.steps[at].was {
            return Err(Error::InTheWay(path.display().to_string()));
        }
        if let Some(aside) = &log.steps[at].aside {
            files.rename(&change.name, &log.name(aside)).map_err(io("moving aside", &path))?;
        }
        let Some(staged) = log.steps[at].staged.as_ref().map(|staged| log.name(staged)) else { continue };
        step(&path)?;
        make_parents(files, &change.name, log, journal)?;
        if found.is_some_and(|m| m.is_dir()) && files.exists(&change.name) {
            // Its files went in earlier steps; what is left are empty directories.
            remove_empty_dirs(files, &change.name);
        }
        // `rename` would put a file over one that came in this moment: link, which does not.
        let placed = files.hard_link(&staged, &change.name).or_else(|_| match files.exists(&change.name) {
            false => files.rename(&staged, &change.name),
            true => Err(std::io::ErrorKind::AlreadyExists.into()),
        });
        placed.map_err(io("placing", &path))?;
        let _ = files.remove_file(&staged);
    }
    Ok(())
}

/// Undoes what a killed process left half done; finishes what was all but done. True if
/// there was something.
pub fn recover(journal: &Path) -> Result<bool> {
    let text = match fs::read(journal) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(io("reading", journal)(e)),
    };
    let broken = |said: String| Error::Record { path: journal.to_owned(), said };
    let mut log: Journal = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
    if log.version != VERSION {
        return Err(broken(format!("version {} is not {VERSION}", log.version)));
    }
    match Tree::open(&log.top) {
        Ok(files) if log.done => log.clean(&files),
        Ok(files) => log.undo(&files),
        // With the directory everything in it is gone.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(_) => return Err(Error::InTheWay(log.top.display().to_string())),
    }
    fs::remove_file(journal).map_err(io("removing", journal))?;
    Ok(true)
}

impl Journal {
    fn write(&self, path: &Path) -> Result<()> {
        let new = path.with_added_extension("new");
        let text =
            serde_json::to_vec(self).map_err(|e| Error::Record { path: new.clone(), said: e.to_string() })?;
        fs::write(&new, text).map_err(io("writing", &new))?;
        fs::open(&new).and_then(|f| f.sync_all()).map_err(io("syncing", &new))?;
        fs::rename(&new, path).map_err(io("renaming", &new))
    }

    /// The name below the top of a path that this journal holds.
    fn name(&self, path: &Path) -> Vec<u8> {
        path.strip_prefix(&self.top).map(names::bytes).unwrap_or_default()
    }

    fn clean(&self, files: &Tree) {
        for step in &self.steps {
            for file in [&step.aside, &step.staged].into_iter().flatten() {
                let _ = files.remove_file(&self.name(file));
            }
            if step.staged.is_none() {
                remove_empty_parents(files, &self.name(&step.path));
            }
        }
    }

    /// Puts every old file back, last step first.
    fn undo(&mut self, files: &Tree) {
        for step in self.steps.iter().rev() {
            let path = self.name(&step.path);
            let there = files.meta(&path).ok();
            // Only what was placed here is taken away: the user may have made a file since.
            let placed = self.placing
                && step.new.is_some()
                && there.map(|m| (m.identity.dev, m.identity.ino)) == step.new;
            match step.aside.as_ref().map(|aside| self.name(aside)) {
                Some(aside) if self.placing && files.exists(&aside) => {
                    let parent = path.iter().rposition(|b| *b == b'/').map_or(&[][..], |at| &path[..at]);
                    let _ = files.make_dirs(parent);
                    if placed {
                        let _ = files.remove_file(&path);
                    }
                    // What the user put there since stays, and the old file beside it.
                    if files.meta(&path).map_or(true, |m| m.is_dir()) {
                        let _ = files.rename(&aside, &path);
                    }
                }
                // Moved nothing aside, so what is there was there before.
                Some(_) => {}
                None if placed => {
                    let _ = files.remove_file(&path);
                }
                None => {}
            }
            if let Some(staged) = &step.staged {
                let _ = files.remove_file(&self.name(staged));
            }
            // A directory that was made for this step would be in the way of the file that
            // the next one puts back.
            for dir in self.made_dirs.iter().rev() {
                let _ = files.remove_dir(&self.name(dir));
            }
        }
    }
}

fn identity(meta: &Meta) -> (u64, u64, i64, i64) {
    let (seconds, rest) =
        (meta.changed_ns.div_euclid(1_000_000_000), meta.changed_ns.rem_euclid(1_000_000_000));
    (meta.identity.dev, meta.identity.ino, seconds, rest)
}

/// The deepest existing real directory above `name`: staged files are there, on the same
/// file system as their place.
fn nearest_dir<'n>(files: &Tree, name: &'n [u8], written: &BTreeSet<&[u8]>) -> &'n [u8] {
    let mut dir: &[u8] = &[];
    for (at, _) in name.iter().enumerate().filter(|(_, b)| **b == b'/') {
        let next = &name[..at];
        if written.contains(next) || !files.meta(next).is_ok_and(|m| m.is_dir()) {
            break;
        }
        dir = next;
    }
    dir
}

fn stage(files: &Tree, staged: &[u8], mode: u32, content: &[u8], target: &[u8]) -> std::io::Result<()> {
    let _ = files.remove_file(staged);
    if mode == 0o120000 {
        return files.symlink(content, staged);
    }
    let mut file = files.create(staged, 0o666)?;
    file.write_all(content)?;
    // The permissions of the file that it replaces, else those of any new file; the
    // executable bits as git has them.
    let new = Tree::meta_of(&file)?.mode;
    let read = files.meta(target).ok().filter(Meta::is_file).map_or(new, |m| m.mode) & 0o666;
    let bits = if mode & 0o111 != 0 { read | ((read & 0o444) >> 2) } else { read };
    files.set_mode(staged, bits)?;
    file.sync_all()
}

fn make_parents(files: &Tree, name: &[u8], log: &mut Journal, journal: &Path) -> Result<()> {
    for (at, _) in name.iter().enumerate().filter(|(_, b)| **b == b'/') {
        let dir = &name[..at];
        let path = log.top.join(names::path(dir));
        match files.meta(dir) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(Error::InTheWay(path.display().to_string())),
            Err(_) => {
                log.made_dirs.push(path.clone());
                log.write(journal)?;
                files.make_dir(dir).map_err(io("creating", &path))?;
            }
        }
    }
    Ok(())
}

/// Git knows no empty directories: those that a removal empties go, as `git checkout` does.
fn remove_empty_parents(files: &Tree, name: &[u8]) {
    for (at, _) in name.iter().enumerate().rev().filter(|(_, b)| **b == b'/') {
        if files.remove_dir(&name[..at]).is_err() {
            return;
        }
    }
}

fn remove_empty_dirs(files: &Tree, dir: &[u8]) {
    for entry in files.entries(dir).unwrap_or_default() {
        if entry.kind == jobfs::Kind::Dir {
            remove_empty_dirs(files, &names::join(dir, &entry.name));
        }
    }
    let _ = files.remove_dir(dir);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use std::fs;

    use super::*;

    fn tree(top: &Path) -> Vec<String> {
        let mut out = Vec::new();
        let mut open = vec![top.to_owned()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(&dir).unwrap().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(top).unwrap().display().to_string();
                let meta = fs::symlink_metadata(&path).unwrap();
                if meta.is_dir() {
                    open.push(path);
                } else if meta.is_symlink() {
                    out.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
                } else {
                    let mode = meta.permissions().mode() & 0o777;
                    out.push(format!("{name} {mode:o} {}", fs::read_to_string(&path).unwrap().trim_end()));
                }
            }
        }
        out.sort();
        out
    }

    fn start() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir_all(top.join("was-dir/deep")).unwrap();
        for (file, text) in
            [("a", "a"), ("b", "b"), ("was-dir/deep/x", "x"), ("was-file", "f"), ("keep", "k")]
        {
            fs::write(top.join(file), text).unwrap();
        }
        fs::set_permissions(top.join("b"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("keep", top.join("link")).unwrap();
        dir
    }

    fn changes() -> Vec<Change> {
        let write = |name: &str, mode: u32, text: &str| Change {
            name: name.into(),
            content: Some((mode, text.as_bytes().to_vec())),
        };
        let remove = |name: &str| Change { name: name.into(), content: None };
        vec![
            write("a", 0o100755, "A"),
            write("b", 0o100755, "B"),
            write("new/deep/n", 0o100644, "n"),
            write("link", 0o100644, "no link any more"),
            write("l2", 0o120000, "a"),
            remove("was-dir/deep/x"),
            write("was-dir", 0o100644, "now a file"),
            remove("was-file"),
            write("was-file/in", 0o100644, "now a directory"),
        ]
    }

    const AFTER: [&str; 8] = [
        "a 755 A",
        "b 700 B",
        "keep 644 k",
        "l2 -> a",
        "link 644 no link any more",
        "new/deep/n 644 n",
        "was-dir 644 now a file",
        "was-file/in 644 now a directory",
    ];

    #[test]
    fn everything_is_changed() {
        let dir = start();
        let top = dir.path().join("top");
        swap(&top, &changes(), &dir.path().join("journal"), "t", &mut |_| Ok(())).unwrap();
        assert_eq!(tree(&top), AFTER);
        assert!(!dir.path().join("journal").exists());
    }

    #[test]
    fn an_error_at_any_step_changes_nothing() {
        let mut failed = 0;
        for at in 1..200 {
            let dir = start();
            let top = dir.path().join("top");
            let before = tree(&top);
            let full = |n| if n == at { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) };
            let mut fault = full;
            if swap(&top, &changes(), &dir.path().join("journal"), "t", &mut fault).is_ok() {
                break;
            }
            failed += 1;
            assert_eq!(tree(&top), before, "after an error at step {at}");
        }
        assert!(failed > 15, "{failed}");
    }

    #[test]
    fn a_kill_at_any_step_is_undone_by_the_next() {
        let mut killed = 0;
        for at in 1..200 {
            let dir = start();
            let top = dir.path().join("top");
            let before = tree(&top);
            let journal = dir.path().join("journal");
            let outcome = std::panic::catch_unwind(|| {
                // A panic stands for the kill: nothing after it runs, no undoing either.
                swap(&top, &changes(), &journal, "t", &mut |n| {
                    if n == at { panic!("killed") } else { Ok(()) }
                })
            });
            if outcome.is_ok() {
                break;
            }
            killed += 1;
            assert!(recover(&journal).unwrap());
            assert_eq!(tree(&top), before, "after a kill at step {at}");
            assert!(!recover(&journal).unwrap());
        }
        assert!(killed > 15, "{killed}");
    }

    #[test]
    fn what_the_user_made_after_a_kill_is_not_taken_away() {
        for at in 1..40 {
            let dir = start();
            let top = dir.path().join("top");
            let journal = dir.path().join("journal");
            let outcome = std::panic::catch_unwind(|| {
                swap(&top, &changes(), &journal, "t", &mut |n| {
                    if n == at { panic!("killed") } else { Ok(()) }
                })
            });
            let made = top.join("l2");
            if outcome.is_ok() {
                break;
            }
            if fs::symlink_metadata(&made).is_ok() {
                continue;
            }
            fs::write(&made, "the user's").unwrap();
            recover(&journal).unwrap();
            assert_eq!(fs::read_to_string(&made).unwrap(), "the user's", "after a kill at step {at}");
        }
    }

    #[test]
    fn a_file_that_changes_at_the_last_moment_stops_everything() {
        let dir = start();
        let top = dir.path().join("top");
        let mut late = |n: usize| {
            if n == 9 {
                fs::write(top.join("was-file"), "edited by the user")?;
            }
            Ok(())
        };
        let error = swap(&top, &changes(), &dir.path().join("journal"), "t", &mut late).unwrap_err();
        assert!(matches!(error, Error::InTheWay(_)), "{error}");
        let now = tree(&top);
        assert!(
            now.contains(&"was-file 644 edited by the user".to_owned())
                && now.contains(&"a 644 a".to_owned()),
            "{now:?}"
        );
    }
}
