//! Carries ignored files that a job asks for (`copy_in`) into its worktree. Only files below
//! the source are read; a symlink is carried as a symlink, and only if it stays inside.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use jobfs::{Kind, Tree};

use evidence::{Interrupt, names};
use model::error::{Error, Kind as ErrorKind, Result};

/// More files than this are not carried.
const MAX_FILES: usize = 200_000;

/// What was carried and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Files and symlinks.
    pub files: usize,
    /// Symlinks that would lead out, and special files.
    pub skipped: Vec<PathBuf>,
}

/// Compiles `copy_in`; a broken pattern is named.
pub fn patterns(globs: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let broken = |why: String| {
            Error::new(ErrorKind::Usage, format!("copy_in pattern {glob:?} cannot be used: {why}")).hint(
                "give globs relative to the first allowed directory, such as `.env.test` or `vendor/**`",
            )
        };
        let escapes = Path::new(glob)
            .components()
            .any(|c| matches!(c, Component::ParentDir | Component::RootDir | Component::Prefix(_)));
        if escapes || glob.is_empty() {
            return Err(broken("it leads out of the directory".into()));
        }
        let plain = glob.trim_start_matches("./").trim_end_matches('/');
        // Text is a name before it is a pattern: `app/[slug]` is a directory's name too.
        let name = globset::escape(plain);
        let pattern = GlobBuilder::new(plain).literal_separator(true).build();
        pattern.map_err(|e| broken(e.to_string()))?;
        for form in [plain.to_owned(), format!("{plain}/**"), name.clone(), format!("{name}/**")] {
            set.add(
                GlobBuilder::new(&form).literal_separator(true).build().map_err(|e| broken(e.to_string()))?,
            );
        }
    }
    set.build().map_err(|e| Error::new(ErrorKind::Usage, format!("copy_in is too large: {e}")).caused_by(e))
}

/// Copies from `source` to `target` what `wanted` matches among `candidates`: files, and
/// directories that are looked through.
pub fn carry(source: &Tree, target: &Tree, candidates: &[PathBuf], wanted: &GlobSet) -> Result<Carried> {
    let interrupt = Interrupt::current();
    let mut done = Carried::default();
    let mut open: Vec<PathBuf> = candidates.to_vec();
    while let Some(path) = open.pop() {
        interrupt.check()?;
        let name = names::bytes(&path);
        let Ok(meta) = source.meta(&name) else { continue };
        if meta.is_dir() {
            for entry in source.entries(&name).unwrap_or_default() {
                if entry.name != b".git" {
                    open.push(path.join(names::path(&entry.name)));
                }
            }
            continue;
        }
        if !wanted.is_match(&path) {
            continue;
        }
        let link = source.read_link(&name).ok();
        let stays = link.as_ref().is_none_or(|to| stays_inside(&path, &names::path(to)));
        if meta.kind == Kind::Special || !stays {
            done.skipped.push(path);
            continue;
        }
        done.files += 1;
        if done.files > MAX_FILES {
            return Err(Error::new(ErrorKind::Usage, format!("copy_in matches more than {MAX_FILES} files"))
                .hint("name fewer files; let a check command install dependencies"));
        }
        copy(source, target, &name, link.as_deref(), meta.mode).map_err(|e| {
            Error::new(
                ErrorKind::Environment,
                format!("copying {} into the worktree failed: {e}", path.display()),
            )
            .hint("check the file's permissions and the free space of the state directory")
        })?;
    }
    Ok(done)
}

fn copy(from: &Tree, to: &Tree, name: &[u8], link: Option<&[u8]>, mode: u32) -> std::io::Result<()> {
    if to.exists(name) {
        return Ok(()); // the checkout has it already
    }
    if let Some(at) = name.iter().rposition(|b| *b == b'/') {
        to.make_dirs(&name[..at])?;
    }
    match link {
        Some(target) => to.symlink(target, name),
        None => {
            let mut source = from.file(name)?;
            let mut copy = to.create(name, 0o600)?;
            std::io::copy(&mut source, &mut copy)?;
            to.set_mode(name, mode & 0o777)
        }
    }
}

/// Does a symlink at `name` with this target stay below the directory that `name` is
/// relative to? Looked at by its text only.
fn stays_inside(name: &Path, target: &Path) -> bool {
    let mut depth = name.components().count() as i64 - 1;
    for part in target.components() {
        match part {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn symlinks_are_judged_by_where_they_lead() {
        let cases = [
            ("a/l", "../b", true),
            ("a/l", "../../b", false),
            ("l", "/etc", false),
            ("l", "x/../../y", false),
        ];
        for (name, target, stays) in cases {
            assert_eq!(stays_inside(Path::new(name), Path::new(target)), stays, "{name} -> {target}");
        }
    }

    #[test]
    fn only_what_is_asked_for_is_carried() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("deps/x/.git")).unwrap();
        fs::create_dir_all(&to).unwrap();
        for file in [".env", ".env.test", "deps/x/lib", "deps/x/.git/config"] {
            fs::write(from.join(file), file).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", from.join("deps/out")).unwrap();
        std::os::unix::fs::symlink("x/lib", from.join("deps/in")).unwrap();
        let wanted = patterns(&["deps".into(), "*.test".into()]).unwrap();
        let candidates = [".env", ".env.test", "deps"].map(PathBuf::from);
        let open = |dir: &Path| Tree::open(&fs::canonicalize(dir).unwrap()).unwrap();
        fs::create_dir_all(from.join("gen/[slug]")).unwrap();
        fs::write(from.join("gen/[slug]/x"), "x").unwrap();
        fs::write(from.join("gen/s"), "x").unwrap();
        let named = patterns(&["gen/[slug]".into()]).unwrap();
        let done = carry(&open(&from), &open(&to), &["gen".into()], &named).unwrap();
        assert!(to.join("gen/[slug]/x").exists() && done.files == 2, "a name, and a pattern: {done:?}");
        let done = carry(&open(&from), &open(&to), &candidates, &wanted).unwrap();
        assert_eq!((done.files, done.skipped), (3, vec![PathBuf::from("deps/out")]));
        assert!(to.join("deps/x/lib").exists() && to.join(".env.test").exists());
        assert!(!to.join(".env").exists() && !to.join("deps/x/.git").exists());
        for bad in ["../x", "/etc/*", "", "["] {
            assert!(patterns(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
