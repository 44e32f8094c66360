//! The git directories inside the places that a tree may write, and what of them makes git
//! run or read something: configuration, hooks, `info`, the link to another repository.
//! Whoever changes these decides what the user's next `git status` runs, outside of
//! everything. Read as plain files: nothing here starts git.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Directories that are looked into for nested repositories, in one writable place.
const MAX_DIRS: usize = 20_000;
/// How deep repositories are looked for.
const MAX_DEPTH: usize = 6;
/// Git directories that are protected in one run.
const MAX_REPOSITORIES: usize = 300;
/// Bytes of a configuration that are read.
const MAX_CONFIG: u64 = 1 << 20;

/// Names in a git directory that make git run or read something. `commondir` is looked for
/// in every git directory, also in one of a main worktree.
pub(super) const NAMES: &[&str] = &["config", "config.worktree", "hooks", "info", "commondir"];

/// What is protected in the writable places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Protection {
    /// Stay as they are. They exist, links resolved.
    pub read_only: BTreeSet<PathBuf>,
    /// Can be written, but neither moved away nor replaced: what holds the above.
    pub fixed: BTreeSet<PathBuf>,
    /// Git directories: [`NAMES`] that are absent must not appear in them.
    pub git_dirs: BTreeSet<PathBuf>,
    /// What could not be protected, one sentence each.
    pub warnings: Vec<String>,
}

impl Protection {
    /// For the writable places, which are resolved. Those below `own` are the host's own: no
    /// user looks at them with git while the tree runs.
    pub(super) fn of(writable: &[PathBuf], own: &[PathBuf]) -> Protection {
        let mut found = Protection::default();
        for place in writable.iter().filter(|place| !own.iter().any(|own| place.starts_with(own))) {
            found.walk(place, writable);
        }
        found
    }

    fn walk(&mut self, place: &Path, writable: &[PathBuf]) {
        let mut open = vec![(place.to_owned(), 0)];
        let mut looked = 0;
        while let Some((dir, depth)) = open.pop() {
            looked += 1;
            if looked > MAX_DIRS || self.git_dirs.len() > MAX_REPOSITORIES {
                self.warnings.push(format!(
                    "{} is too large to look for nested repositories everywhere",
                    place.display()
                ));
                return;
            }
            let git = dir.join(".git");
            if git.symlink_metadata().is_ok() {
                self.repository(place, &dir, &git, writable);
            }
            if depth == MAX_DEPTH {
                continue;
            }
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                let name = entry.file_name();
                // Dependencies and build output hold no repository that the user works in.
                let skipped = [".git", "node_modules", "target", "__pycache__", ".venv"];
                if entry.file_type().is_ok_and(|kind| kind.is_dir())
                    && !skipped.iter().any(|skip| name == *skip)
                {
                    open.push((entry.path(), depth + 1));
                }
            }
        }
    }

    /// The repository whose worktree is `dir`, inside the writable `place`.
    fn repository(&mut self, place: &Path, dir: &Path, git: &Path, writable: &[PathBuf]) {
        let Ok(meta) = git.symlink_metadata() else { return };
        // Neither the repository nor a directory above it is moved away for another.
        for above in dir.ancestors().take_while(|above| *above != place) {
            self.fixed.insert(above.to_owned());
        }
        if meta.is_dir() {
            self.git_dir(git, dir, writable, 0);
        } else if meta.is_file() {
            self.read_only.insert(git.to_owned());
        } else {
            self.warnings.push(format!(
                "{} is a link: it can be replaced, and git then reads another configuration",
                git.display()
            ));
        }
    }

    /// A git directory and those of its submodules; `top` is what its relative names mean.
    fn git_dir(&mut self, git: &Path, top: &Path, writable: &[PathBuf], depth: usize) {
        if self.git_dirs.len() > MAX_REPOSITORIES || depth > MAX_DEPTH {
            return;
        }
        self.git_dirs.insert(git.to_owned());
        self.fixed.insert(git.to_owned());
        for name in NAMES {
            self.keep(&git.join(name), writable);
        }
        self.keep_named(&git.join("config"), git, top, writable, 0);
        for below in directories(&git.join("worktrees")) {
            self.keep(&below.join("config.worktree"), writable);
            self.keep(&below.join("commondir"), writable);
        }
        self.modules(&git.join("modules"), writable, depth);
    }

    /// Submodules' git directories, at any depth below `modules` as their names have it.
    fn modules(&mut self, dir: &Path, writable: &[PathBuf], depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for module in directories(dir) {
            self.fixed.insert(dir.to_owned());
            if module.join("HEAD").symlink_metadata().is_ok() {
                self.git_dir(&module, &module, writable, depth + 1);
            } else {
                self.fixed.insert(module.clone());
                self.modules(&module, writable, depth + 1);
            }
        }
    }

    /// Protects `path` where it is, and where it leads to if that can be written.
    fn keep(&mut self, path: &Path, writable: &[PathBuf]) {
        let Ok(meta) = path.symlink_metadata() else { return };
        if meta.is_symlink() {
            self.warnings.push(format!("{} is a link and can be replaced", path.display()));
        }
        let Ok(real) = path.canonicalize() else { return };
        let inside = writable.iter().find(|place| real.starts_with(place));
        match inside {
            Some(place) if *place == real => self
                .warnings
                .push(format!("{} leads to a directory that the job may write as a whole", path.display())),
            Some(place) => {
                // What leads there is not moved away either.
                let above = real.ancestors().skip(1).take_while(|above| above != place);
                let above: Vec<PathBuf> = above.map(Path::to_owned).collect();
                self.fixed.extend(above);
                self.read_only.insert(real);
            }
            // It cannot be written there.
            None => {}
        }
    }

    /// What a configuration names: further configuration, hooks, attributes, excludes.
    fn keep_named(&mut self, config: &Path, git: &Path, top: &Path, writable: &[PathBuf], depth: usize) {
        let Some(text) = read_config(config) else { return };
        let home = super::environment::user_home();
        for (key, value) in values(&text) {
            let include = key == "include.path" || (key.starts_with("includeif.") && key.ends_with(".path"));
            let base = match key.as_str() {
                _ if include => config.parent().unwrap_or(git),
                "core.hookspath" | "core.excludesfile" | "core.attributesfile" => top,
                // A program by a path; else a word of the shell's, which names no file here.
                "core.fsmonitor" | "core.sshcommand" | "core.pager" | "core.editor" | "gpg.program"
                    if value.contains('/') =>
                {
                    top
                }
                _ => continue,
            };
            let value = value.split_whitespace().next().filter(|_| !include).unwrap_or(&value);
            let path = match (value.strip_prefix("~/"), &home) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => base.join(value),
            };
            self.keep(&path, writable);
            if include && depth < 5 {
                self.keep_named(&path, git, top, writable, depth + 1);
            }
        }
    }
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// A regular file's text. Opened without waiting: a named pipe has no end.
fn read_config(path: &Path) -> Option<String> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_CONFIG).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// `section.key` (in small letters, a subsection between them as it is) and value of each
/// line of a configuration in git's format.
pub(super) fn values(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_owned();
        // A value goes on behind a backslash at the end of its line.
        while line.ends_with('\\') {
            line.pop();
            match lines.next() {
                Some(next) => line.push_str(next),
                None => break,
            }
        }
        let mut rest = line.as_str();
        if let Some(header) = rest.strip_prefix('[') {
            let Some((name, after)) = header.split_once(']') else { continue };
            section = match name.split_once('"') {
                Some((name, sub)) => {
                    format!("{}.{}", name.trim().to_ascii_lowercase(), sub.trim_end_matches('"'))
                }
                None => name.trim().to_ascii_lowercase(),
            };
            rest = after.trim_start();
        }
        if let Some((key, value)) = rest.split_once('=')
            && !rest.starts_with(['#', ';'])
        {
            found.push((format!("{section}.{}", key.trim().to_ascii_lowercase()), unquote(value.trim())));
        }
    }
    found
}

/// The value without quotes and comment.
fn unquote(value: &str) -> String {
    let (mut text, mut quoted, mut chars) = (String::new(), false, value.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => text.extend(chars.next()),
            '#' | ';' if !quoted => break,
            c => text.push(c),
        }
    }
    text.trim_end().to_owned()
}

/// What of the repository around a writable place may be read: its worktree, and the git
/// directory that a `.git` file leads to, if that leads back; objects that it borrows from within
/// `trusted`. Nothing that holds `home`, and nothing outside of `within`.
pub(super) fn readable_around(
    place: &Path,
    home: Option<&Path>,
    within: Option<&Path>,
    trusted: &[PathBuf],
) -> Vec<PathBuf> {
    let broad = |dir: &Path| {
        dir.parent().is_none()
            || home.is_some_and(|home| home.starts_with(dir))
            || within.is_some_and(|within| within.starts_with(dir))
    };
    let top = place.ancestors().take_while(|dir| !broad(dir)).find(|dir| dir.join(".git").exists());
    let Some(top) = top else { return Vec::new() };
    let mut found = vec![top.to_owned()];
    let git = match top.join(".git") {
        git if git.is_file() => {
            let Some(dir) = linked_git_dir(top, &git) else { return found };
            let common = read_config(&dir.join("commondir"))
                .and_then(|text| resolve(&dir, text.trim()))
                // `<common>/worktrees/<name>`, as git makes it.
                .filter(|common| dir.parent().and_then(Path::parent) == Some(common));
            found.push(common.clone().unwrap_or_else(|| dir.clone()));
            common.unwrap_or(dir)
        }
        // A link leads anywhere: what it leads to is shown only if it is seen anyway.
        git => git,
    };
    // Whoever made the host's own directories names what they borrow: a job writes there.
    if within.is_none() {
        let borrowed = alternates(&git.join("objects"), 0);
        // Whoever writes objects writes that list too.
        found.extend(borrowed.into_iter().filter(|dir| trusted.iter().any(|known| dir.starts_with(known))));
    }
    found
}

/// The git directory that the file `git` of the worktree `top` names. Anybody can write such
/// a file: the directory must name the worktree too.
fn linked_git_dir(top: &Path, git: &Path) -> Option<PathBuf> {
    let text = read_config(git)?;
    let dir = resolve(top, text.strip_prefix("gitdir:")?.trim())?;
    let real = git.canonicalize().ok()?;
    let back = read_config(&dir.join("gitdir")).and_then(|text| resolve(&dir, text.trim()));
    let submodule = || {
        let text = read_config(&dir.join("config"))?;
        let (_, tree) = values(&text).into_iter().find(|(key, _)| key == "core.worktree")?;
        resolve(&dir, &tree).filter(|tree| top.canonicalize().is_ok_and(|top| top == *tree))
    };
    (back == Some(real) || submodule().is_some()).then_some(dir)
}

/// The object directories that `objects` borrows from. Only what is one: the file that names
/// them can be written by whoever writes objects.
fn alternates(objects: &Path, depth: usize) -> Vec<PathBuf> {
    let Some(text) = read_config(&objects.join("info/alternates")).filter(|_| depth < 5) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).take(50) {
        let line = if line.starts_with('"') { unquote(line) } else { line.to_owned() };
        let Some(dir) = resolve(objects, &line) else { continue };
        let is_store = dir.file_name().is_some_and(|name| name == "objects")
            && dir.join("pack").is_dir()
            && dir.with_file_name("HEAD").is_file();
        if is_store {
            found.extend(alternates(&dir, depth + 1));
            found.push(dir);
        }
    }
    found
}

fn resolve(base: &Path, name: &str) -> Option<PathBuf> {
    let path = base.join(name);
    // Empty, or a name of nothing.
    path.components().next_back().filter(|last| !matches!(last, Component::RootDir))?;
    path.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }

    fn names(paths: &BTreeSet<PathBuf>, root: &Path) -> Vec<String> {
        paths
            .iter()
            .map(|path| {
                path.strip_prefix(root)
                    .map_or_else(|_| path.display().to_string(), |p| p.display().to_string())
            })
            .collect()
    }

    #[test]
    fn values_of_a_configuration() {
        let text = "[core]\n\tHooksPath = \"a b\" # c\n; x = y\n[include] path = x\\\ny\n[includeIf \"gitdir:~/w/\"]\n path=~/c\n";
        assert_eq!(
            values(text),
            [
                ("core.hookspath".to_owned(), "a b".to_owned()),
                ("include.path".to_owned(), "xy".to_owned()),
                ("includeif.gitdir:~/w/.path".to_owned(), "~/c".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_protected() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().canonicalize().expect("resolves");
        let git = root.join("repo/.git");
        for name in ["HEAD", "config.worktree", "hooks/x", "info/exclude", "index", "modules/a/b/HEAD"] {
            write(&git.join(name), "");
        }
        write(&git.join("config"), "[core]\n\thooksPath = .husky\n[include]\n\tpath = ../shared.cfg\n");
        write(&git.join("modules/a/b/config"), "");
        write(&root.join("repo/shared.cfg"), "[core]\nattributesFile = tools/attributes\n");
        write(&root.join("repo/tools/attributes"), "");
        write(&root.join("repo/.husky/pre-commit"), "");
        write(&root.join("repo/vendor/b/.git"), "gitdir: ../../.git/modules/a/b\n");
        write(&root.join("repo/node_modules/x/.git/config"), "");
        let found = Protection::of(&[root.join("repo")], &[]);
        assert_eq!(
            names(&found.read_only, &root.join("repo")),
            [
                ".git/config",
                ".git/config.worktree",
                ".git/hooks",
                ".git/info",
                ".git/modules/a/b/config",
                ".husky",
                "shared.cfg",
                "tools/attributes",
                "vendor/b/.git",
            ]
        );
        assert_eq!(
            names(&found.fixed, &root.join("repo")),
            [".git", ".git/modules", ".git/modules/a", ".git/modules/a/b", "tools", "vendor", "vendor/b"]
        );
        assert_eq!(found.warnings, [""; 0]);
        // The host's own directories, and places without a repository.
        assert_eq!(Protection::of(&[root.join("repo")], std::slice::from_ref(&root)), Protection::default());
        assert_eq!(Protection::of(&[root.join("repo/tools")], &[]), Protection::default());
    }

    #[test]
    fn a_planted_git_file_opens_nothing() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().canonicalize().expect("resolves");
        write(&root.join("secret/HEAD"), "");
        write(&root.join("repo/.git"), &format!("gitdir: {}/secret\n", root.display()));
        assert_eq!(readable_around(&root.join("repo"), None, None, &[]), [root.join("repo")]);
        // A worktree of git's own leads back.
        write(&root.join("main/.git/worktrees/w/gitdir"), &format!("{}/w/.git\n", root.display()));
        write(&root.join("main/.git/worktrees/w/commondir"), "../..\n");
        write(&root.join("w/.git"), &format!("gitdir: {}/main/.git/worktrees/w\n", root.display()));
        assert_eq!(
            readable_around(&root.join("w"), None, None, &[]),
            [root.join("w"), root.join("main/.git")]
        );
        // A directory below the top; a home that is a repository is not opened.
        write(&root.join("w/a/b"), "");
        assert_eq!(readable_around(&root.join("w/a"), None, None, &[])[0], root.join("w"));
        assert!(readable_around(&root.join("w/a"), Some(&root.join("w")), None, &[]).is_empty());
        assert!(readable_around(&root.join("w/a"), None, Some(&root.join("w")), &[]).is_empty());
    }

    #[test]
    fn alternates_that_are_object_stores() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().canonicalize().expect("resolves");
        write(&root.join("other/.git/HEAD"), "");
        std::fs::create_dir_all(root.join("other/.git/objects/pack")).expect("writable");
        std::fs::create_dir_all(root.join("home/.ssh/pack")).expect("writable");
        write(&root.join("repo/.git/HEAD"), "");
        let lines = format!("{0}/other/.git/objects\n{0}/home/.ssh\n/\n", root.display());
        write(&root.join("repo/.git/objects/info/alternates"), &lines);
        let around = |trusted: &[PathBuf]| readable_around(&root.join("repo"), None, None, trusted);
        assert_eq!(around(std::slice::from_ref(&root)), [root.join("repo"), root.join("other/.git/objects")]);
        assert_eq!(around(&[root.join("repo")]), [root.join("repo")]);
    }
}
