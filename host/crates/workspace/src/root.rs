//! The only place that turns a raw path of a caller into a directory that a job may use.

use std::path::{Component, Path, PathBuf};

use jobfs::own as fs;

use model::error::{Error, Kind, Result};
use model::spec::AllowedDir;

/// Resolves `raw` with symlinks followed. It must be an existing directory inside
/// `sandbox_root`, not a git directory, and neither contain nor lie inside one of
/// `forbidden` (the state, plugin and configuration directories). Relative paths are
/// relative to `sandbox_root`.
pub fn resolve(raw: &str, sandbox_root: &Path, forbidden: &[PathBuf]) -> Result<AllowedDir> {
    if raw.trim().is_empty() {
        return Err(Error::new(Kind::Usage, "allowed_dirs holds an empty path")
            .hint("name a directory, such as the repository that the job is about"));
    }
    if raw.contains('\0') {
        return Err(Error::new(Kind::Usage, format!("allowed_dirs path {raw:?} holds a NUL byte"))
            .hint("take the NUL byte out"));
    }
    let sandbox = fs::canonicalize(sandbox_root).map_err(|e| {
        Error::new(Kind::Config, format!("SANDBOX_ROOT {sandbox_root:?} cannot be opened: {e}"))
            .hint("set SANDBOX_ROOT to an existing directory that holds your repositories")
    })?;
    let asked = sandbox.join(raw);
    let real = fs::canonicalize(&asked).map_err(|e| {
        Error::new(Kind::Usage, format!("allowed_dirs path {raw:?} cannot be opened: {e}"))
            .hint(format!("name an existing directory inside {}", sandbox.display()))
    })?;
    if !real.starts_with(&sandbox) {
        let how = if real == asked { String::new() } else { format!(" (it leads to {})", real.display()) };
        return Err(Error::new(
            Kind::Refused,
            format!("allowed_dirs path {raw:?} is outside SANDBOX_ROOT {}{how}", sandbox.display()),
        )
        .hint("name a directory inside it, or set SANDBOX_ROOT to a directory that holds both"));
    }
    if !real.is_dir() {
        return Err(Error::new(Kind::Usage, format!("allowed_dirs path {raw:?} is not a directory"))
            .hint("name the directory that holds it and list the file in scoped_patch.paths"));
    }
    if real.components().any(|c| matches!(c, Component::Normal(n) if n.eq_ignore_ascii_case(".git"))) {
        return Err(Error::new(Kind::Refused, format!("allowed_dirs path {raw:?} lies in a git directory"))
            .hint("name the work tree, not its .git"));
    }
    for own in forbidden {
        let own = real_or_nearest(own);
        let how = if own.starts_with(&real) {
            "contains"
        } else if real.starts_with(&own) {
            "lies inside"
        } else {
            continue;
        };
        let (what, remedy) = match own.is_file() {
            true => (
                "file",
                "move that file elsewhere; copy a component into the plugins directory, do not link it",
            ),
            false => ("directory", "move it with CODEX_WORKER_HOME or CODEX_WORKER_PLUGINS"),
        };
        return Err(Error::new(
            Kind::Refused,
            format!("allowed_dirs path {raw:?} {how} codex-worker's own {what} {}", own.display()),
        )
        .hint(format!("name a directory beside it, or {remedy}")));
    }
    // The one that this path leads to now: later uses refuse another in its place.
    let identity = jobfs::Tree::open(&real).and_then(|dir| dir.identity()).map_err(|e| {
        Error::new(Kind::Usage, format!("allowed_dirs path {raw:?} cannot be opened: {e}"))
            .hint("something is changing it: try again")
    })?;
    Ok(AllowedDir::identified(real, identity.dev, identity.ino))
}

/// Are these still the directories that were allowed? One that another process exchanged
/// since is refused before anything is started in it.
pub fn unchanged(dirs: &[AllowedDir]) -> Result<()> {
    for dir in dirs {
        let opened = match dir.identity() {
            Some((dev, ino)) => jobfs::Tree::open_same(dir.path(), jobfs::Identity { dev, ino }),
            None => jobfs::Tree::open(dir.path()),
        };
        opened.map_err(|source| evidence::Error::Replaced { path: dir.path().to_owned(), source })?;
    }
    Ok(())
}

/// `path` with symlinks followed as far as it exists: a directory that is made later must
/// be protected as well.
fn real_or_nearest(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut at = path;
    loop {
        if let Ok(real) = fs::canonicalize(at) {
            return rest.iter().rev().fold(real, |p: PathBuf, n: &std::ffi::OsString| p.join(n));
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name.to_owned());
                at = parent;
            }
            _ => return path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error's text with the temporary directory's path as `ROOT`.
    fn text(raw: &str, dir: &Path, forbidden: &[PathBuf]) -> String {
        let sandbox = dir.join("sandbox");
        match resolve(raw, &sandbox, forbidden) {
            Ok(found) => format!("ok {}", found.path().display()),
            Err(error) => error.to_string(),
        }
        .replace(&std::fs::canonicalize(dir).unwrap().display().to_string(), "ROOT")
    }

    #[test]
    fn every_refusal_says_what_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = dir.path().join("sandbox");
        for made in
            ["sandbox/repo/src", "sandbox/repo/.git/hooks", "sandbox/state/jobs", "sandbox2", "elsewhere"]
        {
            std::fs::create_dir_all(dir.path().join(made)).unwrap();
        }
        std::fs::write(sandbox.join("file"), "").unwrap();
        std::os::unix::fs::symlink("../elsewhere", sandbox.join("out")).unwrap();
        std::os::unix::fs::symlink("repo", sandbox.join("in")).unwrap();
        std::os::unix::fs::symlink("state", sandbox.join("alias")).unwrap();
        let own = [sandbox.join("state"), sandbox.join("repo/plugins-made-later")];
        let sibling = dir.path().join("sandbox2").display().to_string();
        let cases = [
            ("repo/src", "ok ROOT/sandbox/repo/src"),
            ("in/src", "ok ROOT/sandbox/repo/src"),
            ("repo/./src/../src/", "ok ROOT/sandbox/repo/src"),
            (
                " ",
                "allowed_dirs holds an empty path\nhint: name a directory, such as the repository that the job is about",
            ),
            ("a\0b", "allowed_dirs path \"a\\0b\" holds a NUL byte\nhint: take the NUL byte out"),
            (
                "none",
                "allowed_dirs path \"none\" cannot be opened: No such file or directory (os error 2)\nhint: name an existing directory inside ROOT/sandbox",
            ),
            (
                "..",
                "allowed_dirs path \"..\" is outside SANDBOX_ROOT ROOT/sandbox (it leads to ROOT)\nhint: name a directory inside it, or set SANDBOX_ROOT to a directory that holds both",
            ),
            (
                "out",
                "allowed_dirs path \"out\" is outside SANDBOX_ROOT ROOT/sandbox (it leads to ROOT/elsewhere)\nhint: name a directory inside it, or set SANDBOX_ROOT to a directory that holds both",
            ),
            (
                sibling.as_str(),
                "allowed_dirs path \"ROOT/sandbox2\" is outside SANDBOX_ROOT ROOT/sandbox\nhint: name a directory inside it, or set SANDBOX_ROOT to a directory that holds both",
            ),
            (
                "file",
                "allowed_dirs path \"file\" is not a directory\nhint: name the directory that holds it and list the file in scoped_patch.paths",
            ),
            (
                "repo/.git/hooks",
                "allowed_dirs path \"repo/.git/hooks\" lies in a git directory\nhint: name the work tree, not its .git",
            ),
            (
                "alias/jobs",
                "allowed_dirs path \"alias/jobs\" lies inside codex-worker's own directory ROOT/sandbox/state\nhint: name a directory beside it, or move it with CODEX_WORKER_HOME or CODEX_WORKER_PLUGINS",
            ),
            (
                ".",
                "allowed_dirs path \".\" contains codex-worker's own directory ROOT/sandbox/state\nhint: name a directory beside it, or move it with CODEX_WORKER_HOME or CODEX_WORKER_PLUGINS",
            ),
            (
                "repo",
                "allowed_dirs path \"repo\" contains codex-worker's own directory ROOT/sandbox/repo/plugins-made-later\nhint: name a directory beside it, or move it with CODEX_WORKER_HOME or CODEX_WORKER_PLUGINS",
            ),
        ];
        for (raw, expected) in cases {
            assert_eq!(text(raw, dir.path(), &own), expected, "for {raw:?}");
        }
        let gone = resolve("x", &dir.path().join("no"), &[]).unwrap_err();
        assert!(gone.to_string().starts_with("SANDBOX_ROOT "), "{gone}");
    }
}
