//! Looks at the user's git directories while a tree runs, for what a mount cannot forbid: a
//! file that did not exist, and under Landlock and process groups everything. What makes
//! git run a program is put back as it was, and the run ends.
//!
//! The user works in the repository too. So only what runs programs counts: an upstream
//! branch or a remote that appears in the configuration is none of that.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use tokio::net::unix::pipe;

use super::repository::{Protection, values};

/// Bytes of a file and files of a directory that are remembered.
const MAX_FILE: u64 = 1 << 20;
const MAX_FILES: usize = 200;

/// Settings that make git run a program, or read settings elsewhere.
const RUNS: &[&str] = &[
    "alias.",
    "browser.",
    "core.alternaterefscommand",
    "core.askpass",
    "core.attributesfile",
    "core.editor",
    "core.fsmonitor",
    "core.gitproxy",
    "core.hookspath",
    "core.pager",
    "core.sshcommand",
    "core.worktree",
    "credential",
    "diff.",
    "difftool.",
    "extensions.",
    "filter.",
    "gpg.",
    "guitool.",
    "include",
    "init.templatedir",
    "interactive.difffilter",
    "man.",
    "merge.",
    "mergetool.",
    "pager.",
    "protocol.",
    "sequence.editor",
    "tar.",
    "trailer.",
    "uploadpack.",
    "web.browser",
];

/// Content and mode of files by their names.
type Files = BTreeMap<OsString, (Vec<u8>, u32)>;

/// One git directory as it was.
struct Kept {
    path: PathBuf,
    dir: OwnedFd,
    config: Files,
    hooks: Files,
    commondir: Files,
}

/// The git directories of one run.
pub(super) struct Watch {
    // An inotify descriptor is read as a pipe is.
    events: Option<pipe::Receiver>,
    kept: Vec<Kept>,
}

impl Watch {
    /// Remembers the git directories and looks at them from now on.
    pub(super) fn start(protection: &Protection) -> Watch {
        let kept: Vec<Kept> = protection.git_dirs.iter().filter_map(|path| Kept::of(path)).collect();
        let events = if kept.is_empty() { None } else { events(&kept) };
        Watch { events, kept }
    }

    /// Returns when something was changed that makes git run a program; the change is undone
    /// by then. Never returns otherwise.
    pub(super) async fn changed(&self) -> String {
        let Some(events) = &self.events else { return std::future::pending().await };
        loop {
            if events.readable().await.is_err() {
                return std::future::pending().await;
            }
            let mut buffer = [0; 4096];
            // Which file it was does not matter: all are looked at.
            while events.try_read(&mut buffer).is_ok_and(|read| read > 0) {}
            if let Some(name) = self.repair() {
                return name;
            }
        }
    }

    /// Puts back what was changed; the first of it.
    pub(super) fn repair(&self) -> Option<String> {
        let found: Vec<String> = self.kept.iter().filter_map(Kept::repair).collect();
        found.into_iter().next()
    }
}

fn events(kept: &[Kept]) -> Option<pipe::Receiver> {
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
    let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
    let flags = WatchFlags::CREATE
        | WatchFlags::MODIFY
        | WatchFlags::MOVED_TO
        | WatchFlags::ATTRIB
        | WatchFlags::ONLYDIR
        | WatchFlags::DONT_FOLLOW;
    for git in kept {
        // The directory above shows when it is replaced. One that is not there adds nothing.
        let above = git.path.parent().map(Path::to_owned);
        for dir in [git.path.clone(), git.path.join("hooks")].into_iter().chain(above) {
            let _ = inotify::add_watch(&fd, dir, flags);
        }
    }
    pipe::Receiver::from_owned_fd_unchecked(fd).ok()
}

impl Kept {
    fn of(path: &Path) -> Option<Kept> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        let of = |names: &[&str]| names.iter().filter_map(|name| file(&dir, OsStr::new(name))).collect();
        let (config, commondir) = (of(&["config", "config.worktree"]), of(&["commondir"]));
        Some(Kept { path: path.to_owned(), config, commondir, hooks: hooks(&dir), dir })
    }

    /// Undoes what makes git run a program; its name.
    fn repair(&self) -> Option<String> {
        let now = |name: &str| file(&self.dir, OsStr::new(name));
        if !self.is_in_place() {
            // It is unknown whose it is now: it stays, and the run ends.
            return Some(self.path.display().to_string());
        }
        let mut found = None;
        let mut bad = |name: &str| {
            found.get_or_insert_with(|| self.path.join(name).display().to_string());
        };
        if let Some((name, content)) = now("commondir")
            && self.commondir.get(&name) != Some(&content)
        {
            bad("commondir");
            self.restore(&self.dir, &name, self.commondir.get(&name));
        }
        for name in ["config", "config.worktree"] {
            let before = self.config.get(OsStr::new(name));
            let now = now(name).map(|(_, content)| content);
            let text = |file: Option<&(Vec<u8>, u32)>| {
                running(&file.map(|(bytes, _)| bytes.clone()).unwrap_or_default())
            };
            // Nothing there runs nothing.
            if now.is_some() && text(now.as_ref()) != text(before) {
                bad(name);
                self.restore(&self.dir, OsStr::new(name), before);
            }
        }
        let hooks_now = hooks(&self.dir);
        if hooks_now.iter().any(|(name, file)| file.1 & 0o111 != 0 && self.hooks.get(name) != Some(file)) {
            bad("hooks");
            self.restore_hooks(&hooks_now);
        }
        found
    }

    /// The directory that was opened is still the one by its name.
    fn is_in_place(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let opened = rustix::fs::fstat(&self.dir);
        let named = self.path.symlink_metadata();
        opened.is_ok_and(|opened| {
            named.is_ok_and(|named| (named.dev(), named.ino()) == (opened.st_dev, opened.st_ino))
        })
    }

    fn restore_hooks(&self, now: &Files) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.dir, "hooks", flags, Mode::empty()) {
            Ok(dir) => {
                for name in now.keys().chain(self.hooks.keys()) {
                    if now.get(name) != self.hooks.get(name) {
                        self.restore(&dir, name, self.hooks.get(name));
                    }
                }
            }
            // A link in its place: what it leads to is nobody's hooks.
            Err(_) => {
                let _ = rustix::fs::unlinkat(&self.dir, "hooks", AtFlags::empty());
            }
        }
    }

    /// Replaces `name` in `dir` by what it was.
    fn restore(&self, dir: &OwnedFd, name: &OsStr, was: Option<&(Vec<u8>, u32)>) {
        let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
        let Some((bytes, mode)) = was else { return };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode & 0o777));
        let written =
            made.map_err(std::io::Error::from).and_then(|fd| std::fs::File::from(fd).write_all(bytes));
        if let Err(error) = written {
            tracing::warn!(%error, dir = %self.path.display(), ?name, "a file of git's was not put back");
        }
    }
}

/// A regular file or what a link leads to: content and mode.
fn file(dir: &OwnedFd, name: &OsStr) -> Option<(OsString, (Vec<u8>, u32))> {
    use std::os::unix::fs::MetadataExt;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::openat(dir, name, flags, Mode::empty()).ok()?);
    let meta = file.metadata().ok().filter(|meta| meta.is_file())?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some((name.to_owned(), (bytes, meta.mode())))
}

fn hooks(git: &OwnedFd) -> Files {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(dir) = rustix::fs::openat(git, "hooks", flags, Mode::empty()) else { return Files::new() };
    let Ok(entries) = rustix::fs::Dir::read_from(&dir) else { return Files::new() };
    use std::os::unix::ffi::OsStrExt;
    entries
        .flatten()
        .filter_map(|entry| file(&dir, OsStr::from_bytes(entry.file_name().to_bytes())))
        .take(MAX_FILES)
        .collect()
}

/// The settings of a configuration that make git run a program.
fn running(config: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(config);
    // Where git refuses to read on, nothing behind it counts for git; here it still does.
    values(&text)
        .into_iter()
        .filter(|(key, value)| {
            RUNS.iter().any(|prefix| key.starts_with(prefix))
                || key.ends_with(".vcs")
                || key.ends_with("pack")
                || key.ends_with(".update") && value.starts_with('!')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn repository() -> (tempfile::TempDir, PathBuf, Watch) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let git = dir.path().canonicalize().expect("resolves").join(".git");
        std::fs::create_dir_all(git.join("hooks")).expect("writable");
        std::fs::write(git.join("config"), "[core]\n\tbare = false\n").expect("writable");
        let protection = Protection { git_dirs: [git.clone()].into(), ..Protection::default() };
        let watch = Watch::start(&protection);
        (dir, git, watch)
    }

    #[tokio::test]
    async fn what_runs_programs_is_undone() {
        let executable = |path: &Path| {
            std::fs::write(path, "#!/bin/sh\n").expect("writable");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("writable");
        };
        type Change<'a> = (&'a str, &'a dyn Fn(&Path));
        let write = |path: PathBuf, text: &str| std::fs::write(path, text).expect("writable");
        let changes: &[Change<'_>] = &[
            ("config", &|git| write(git.join("config"), "[core]\n\tfsmonitor = x\n")),
            ("config", &|git| write(git.join("config"), "[include]\n\tpath = x\n")),
            ("config", &|git| {
                write(git.join("new"), "[filter \"x\"]\n\tclean = x\n");
                std::fs::rename(git.join("new"), git.join("config")).expect("writable");
            }),
            ("config.worktree", &|git| write(git.join("config.worktree"), "[core]\n\thooksPath = x\n")),
            ("commondir", &|git| write(git.join("commondir"), "../elsewhere\n")),
            ("", &|git| {
                std::fs::rename(git, git.with_file_name("old")).expect("writable");
                std::fs::create_dir(git).expect("writable");
            }),
            ("hooks", &|git| executable(&git.join("hooks/post-checkout"))),
        ];
        for (name, change) in changes {
            let (_dir, git, watch) = repository();
            let looking = tokio::time::timeout(Duration::from_secs(20), watch.changed());
            let (seen, ()) = tokio::join!(looking, async { change(&git) });
            assert_eq!(seen.ok().map(PathBuf::from), Some(git.join(name)), "{name}");
            if name.is_empty() {
                continue;
            }
            let config = std::fs::read_to_string(git.join("config")).unwrap_or_default();
            assert_eq!(config, "[core]\n\tbare = false\n", "{name}");
            let left: Vec<_> = std::fs::read_dir(git.join("hooks")).into_iter().flatten().collect();
            assert!(left.is_empty() && !git.join("commondir").exists(), "{name}: {left:?}");
        }
    }

    /// What the user's own git does in the meantime.
    #[tokio::test]
    async fn ordinary_work_is_left_alone() {
        let (_dir, git, watch) = repository();
        std::fs::write(
            git.join("config"),
            "[core]\n\tbare = false\n[remote \"o\"]\n\turl = x\n[branch \"b\"]\n\tmerge = y\n",
        )
        .expect("writable");
        std::fs::write(git.join("hooks/pre-commit.sample"), "x").expect("writable");
        std::fs::write(git.join("index"), "x").expect("writable");
        assert_eq!(watch.repair(), None);
        let looking = tokio::time::timeout(Duration::from_millis(100), watch.changed()).await;
        assert!(looking.is_err(), "{looking:?}");
        let config = std::fs::read_to_string(git.join("config")).unwrap_or_default();
        assert!(config.contains("remote"), "{config}");
    }
}
