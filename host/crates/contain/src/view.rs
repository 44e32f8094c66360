//! What a contained tree sees of the file system: an allow-list of the system, of toolchains,
//! of the tree it works on and of what the operator names. The home directory is not among
//! them. Decides; [`bubblewrap`](super::bubblewrap) and [`landlock`](super::landlock) do it.

use std::path::{Path, PathBuf};

use super::environment;
use super::hidden::{self, Hide};
use super::repository::{self, Protection};
use super::{Bind, Command, toolchains};

/// The system: programs, libraries, settings that everybody may read.
const SYSTEM: &[&str] = &[
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr",
    "/etc",
    "/opt",
    "/nix",
    "/gnu/store",
    "/snap",
    "/sys",
    "/home/linuxbrew/.linuxbrew",
    "/var/cache/fontconfig",
    "/var/cache/man",
    "/var/lib/alternatives",
    "/var/lib/ca-certificates",
    "/var/lib/dpkg",
    "/var/lib/flatpak/runtime",
    "/var/lib/gems",
    "/var/lib/ghc",
    "/var/lib/rpm",
    "/var/lib/snapd/snap",
    "/var/lib/texmf",
    // Of `/run` what programs need: names are resolved there, NixOS keeps its programs there.
    "/run/current-system",
    "/run/opengl-driver",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
];

/// A place that can be read: what it is, and the name under which it is looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// Links resolved.
    pub source: PathBuf,
    /// As it was named; the same, or a way to it by links.
    pub at: PathBuf,
}

impl Shown {
    /// Under this name, unless it has another one already.
    fn or_at(self, at: &Path) -> Self {
        if self.at == self.source { Shown { at: at.to_owned(), ..self } } else { self }
    }
}

/// What stands in the job's home for a place of the user's.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HomeLink {
    /// Where it is made, if nothing is there.
    pub at: PathBuf,
    /// What it leads to.
    pub to: PathBuf,
    /// As a link to the place, or in another way.
    pub kind: toolchains::Kind,
}

/// Everything that a tree sees. Paths exist, and sources are resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub readable: Vec<Shown>,
    pub writable: Vec<Shown>,
    pub binds: Vec<Bind>,
    pub hidden: Vec<Hide>,
    pub protection: Protection,
    pub home_links: Vec<HomeLink>,
}

impl View {
    /// For `command`, of the user whose home is `home`. `programs` stay visible wherever
    /// they are.
    pub(super) fn of(command: &Command, home: Option<&Path>, programs: &[&Path]) -> Result<View, String> {
        let limits = &command.limits;
        let get = |name: &str| environment::variable(name);
        let tools = toolchains::existing(&get, home);
        let secrets = tools.iter().flat_map(|tool| tool.secrets.iter().cloned());
        let denied: Vec<PathBuf> = limits.hidden.iter().cloned().chain(secrets).collect();
        let hidden = hidden::existing(home, &get, &denied);

        let writable = writable(command)?;
        let bound = |path: &Path| limits.binds.iter().any(|bind| path.starts_with(&bind.source));
        let own: Vec<PathBuf> = limits.hidden.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let places: Vec<PathBuf> = writable.iter().map(|shown| shown.source.clone()).collect();
        let mut readable: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        readable.extend(tools.iter().map(|tool| tool.place.clone()));
        readable.extend(named_by_variables(command.env.iter(), home));
        readable.extend(limits.readable.iter().cloned());
        readable.extend(Some(command.cwd.clone()).filter(|cwd| !bound(cwd)));
        let trusted = limits.untrusted.iter().chain(&limits.readable);
        let trusted: Vec<PathBuf> = trusted.filter_map(|dir| dir.canonicalize().ok()).collect();
        // What a bind shows comes with what the bind's owner names.
        for dir in places.iter().chain([&command.cwd]).filter(|dir| !bound(dir)) {
            // Of the host's own directories only the repository in them.
            let within = own.iter().find(|own| dir.starts_with(own)).map(PathBuf::as_path);
            readable.extend(repository::readable_around(dir, home, within, &trusted));
        }
        readable.extend(programs.iter().flat_map(|program| of_program(program)));

        let closed = limits.connect_ports.is_some();
        Ok(View {
            readable: in_place(shown(readable, &places), &limits.binds),
            protection: Protection::of(&places, &own),
            home_links: home_links(&tools, command, closed, &places),
            hidden: hidden.into_iter().filter(|hide| is_there(&hide.path, &limits.binds)).collect(),
            binds: limits.binds.clone(),
            writable,
        })
    }

    /// Whether something at or above `path` is visible.
    pub(super) fn shows(&self, path: &Path) -> bool {
        let at = self.readable.iter().chain(&self.writable).map(|shown| shown.at.as_path());
        at.chain(self.binds.iter().map(|bind| bind.destination.as_path())).any(|at| path.starts_with(at))
    }
}

/// The writable places. One that is reached by a link which a job could have put there is
/// refused: the link may lead anywhere.
fn writable(command: &Command) -> Result<Vec<Shown>, String> {
    let limits = &command.limits;
    let mut found = Vec::new();
    for at in &limits.writable {
        // What is not there cannot be mounted.
        let Ok(source) = at.canonicalize() else { continue };
        let host = limits.hidden.iter().any(|own| at.starts_with(own));
        let untrusted = |link: &Path| {
            let from = limits.untrusted.iter().chain(limits.writable.iter().filter(|place| *place != at));
            let mut from = from.filter(|place| link.starts_with(place) && link != place.as_path());
            from.next().is_some()
        };
        if source != *at
            && let Some(link) = links(at).find(|link| untrusted(link)).filter(|_| !host)
        {
            return Err(format!("{} is a link now, and a job may have made it", link.display()));
        }
        found.push(Shown { at: command.limits.inside(&source), source }.or_at(at));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The links among `path` and the directories above it.
fn links(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().filter(|path| path.symlink_metadata().is_ok_and(|meta| meta.is_symlink()))
}

/// Absolute places that the environment of the command names: `PATH`, libraries,
/// certificates, toolchains. A `bin` brings what belongs to it.
fn named_by_variables<'a>(
    env: impl Iterator<Item = (&'a String, &'a String)>,
    home: Option<&Path>,
) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (name, value) in env.filter(|(name, _)| environment::names_places(name)) {
        for path in std::env::split_paths(value).filter(|path| path.is_absolute() && !is_broad(path, home)) {
            let is_bin =
                path.file_name().is_some_and(|last| last == "bin" || last == "sbin" || last == "shims");
            let prefix = path.parent().filter(|_| is_bin && name == "PATH");
            // `~/.local` and the like hold much else.
            let shared = |dir: &Path| {
                is_broad(dir, home)
                    || dir.parent().is_some_and(|above| is_broad(above, home)) && dir.ends_with(".local")
            };
            found.extend(prefix.filter(|dir| !shared(dir)).map(Path::to_owned));
            found.push(path);
        }
    }
    found
}

/// The root, a home, or what holds it.
fn is_broad(path: &Path, home: Option<&Path>) -> bool {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let holds = |home: &Path| home.starts_with(path) || home.starts_with(&real);
    real.parent().is_none() || home.is_some_and(holds)
}

/// What a program needs beside itself: the package that it is part of.
fn of_program(program: &Path) -> Vec<PathBuf> {
    let Ok(real) = program.canonicalize() else { return Vec::new() };
    let packages = real.ancestors().filter(|dir| dir.ends_with("node_modules")).last().map(Path::to_owned);
    [program.to_owned(), real].into_iter().chain(packages).collect()
}

/// The places that exist, none inside another or inside a writable one.
fn shown(paths: Vec<PathBuf>, writable: &[PathBuf]) -> Vec<Shown> {
    let mut all: Vec<Shown> = paths
        .into_iter()
        .filter(|at| at.is_absolute())
        .filter_map(|at| Some(Shown { source: at.canonicalize().ok()?, at }))
        .flat_map(|shown| [Shown { source: shown.source.clone(), at: shown.source.clone() }, shown])
        .collect();
    all.sort_by_key(|shown| (shown.at.components().count(), shown.at.clone()));
    let mut found: Vec<Shown> = Vec::new();
    for shown in all {
        let covered = found.iter().any(|above| shown.at.starts_with(&above.at))
            || writable.iter().any(|place| shown.at.starts_with(place));
        if !covered {
            found.push(shown);
        }
    }
    found
}

/// The places as they are where something else is shown in place of what holds them: what
/// that has there, or nothing. The original stays out of sight.
fn in_place(readable: Vec<Shown>, binds: &[Bind]) -> Vec<Shown> {
    let covering = |path: &Path| {
        let covers = binds.iter().filter(|bind| path.starts_with(&bind.destination));
        covers.max_by_key(|bind| bind.destination.components().count())
    };
    let shown = readable.into_iter().filter(|shown| covering(&shown.at).is_none());
    shown
        .filter_map(|shown| match covering(&shown.source) {
            None => Some(shown),
            Some(bind) => {
                let below = shown.source.strip_prefix(&bind.destination).ok()?;
                let source = bind.source.join(below).canonicalize().ok()?;
                source.starts_with(&bind.source).then_some(Shown { source, at: shown.at })
            }
        })
        .collect()
}

/// There is something at `path`, which may be shown in place of something else.
fn is_there(path: &Path, binds: &[Bind]) -> bool {
    let covers = binds.iter().filter(|bind| path.starts_with(&bind.destination));
    let bind = covers.max_by_key(|bind| bind.destination.components().count());
    let below = bind.and_then(|bind| Some(bind.source.join(path.strip_prefix(&bind.destination).ok()?)));
    below.is_none_or(|path| path.symlink_metadata().is_ok())
}

/// The places that the host's own environment names for its programs.
pub(super) fn named() -> Vec<PathBuf> {
    let home = environment::user_home();
    let env = environment::build(environment::variable, home.as_deref(), Path::new("/"), Path::new("/"));
    named_by_variables(env.iter(), home.as_deref())
}

/// What every run needs of the system, and what it gets empty.
pub(super) fn system() -> impl Iterator<Item = PathBuf> {
    let more = ["/proc", "/dev", "/tmp", "/var/tmp", "/run"];
    SYSTEM.iter().chain(&more).map(PathBuf::from).collect::<Vec<_>>().into_iter()
}

/// The links from the job's home to places of the user's.
fn home_links(
    tools: &[toolchains::Found],
    command: &Command,
    closed: bool,
    writable: &[PathBuf],
) -> Vec<HomeLink> {
    let Some(home) = command.env.get("HOME").map(PathBuf::from).filter(|home| home.is_absolute()) else {
        return Vec::new();
    };
    let given =
        |place: &Path| place.canonicalize().is_ok_and(|real| writable.iter().any(|w| real.starts_with(w)));
    tools
        .iter()
        .filter(|tool| !tool.cache || closed || given(&tool.place))
        .filter_map(|tool| {
            let at = home.join(tool.link?);
            (at != tool.place).then(|| HomeLink { at, to: tool.place.clone(), kind: tool.kind })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn command(root: &Path, limits: Limits) -> Command {
        Command {
            argv: vec!["/bin/sh".into()],
            env: [("HOME".to_owned(), root.join("job").display().to_string())].into(),
            cwd: root.join("tree"),
            stdin: Vec::new(),
            limits,
            tag: "m".into(),
        }
    }

    #[test]
    fn the_home_is_not_seen() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().canonicalize().expect("resolves");
        for name in ["u/.cargo/bin", "u/.m2/repository", "u/.local/bin", "u/secret", "tree", "more"] {
            std::fs::create_dir_all(root.join(name)).expect("writable");
        }
        let limits = Limits {
            writable: vec![root.join("tree")],
            readable: vec![root.join("more")],
            ..Limits::default()
        };
        let mut command = command(&root, limits);
        let path = ["u/.local/bin", "u/.cargo/bin", "u", "relative"]
            .map(|name| root.join(name).display().to_string());
        command.env.insert("PATH".into(), format!("{}:./node_modules/.bin:", path.join(":")));
        let view = View::of(&command, Some(&root.join("u")), &[]).expect("nothing is wrong");
        for (path, seen) in [
            ("u", false),
            ("u/secret", false),
            ("u/.cargo/bin/x", true),
            ("u/.cargo/registry", true),
            ("u/.m2/repository/x", true),
            ("u/.m2/settings.xml", false),
            ("u/.local/bin/x", true),
            ("u/.local/share", false),
            ("tree/x", true),
            ("more/x", true),
            ("other", false),
        ] {
            assert_eq!(view.shows(&root.join(path)), seen, "{path}");
        }
        assert!(view.shows(Path::new("/usr/bin/env")) && !view.shows(Path::new("/var/lib/x")));
        // Caches are linked only while nothing can be downloaded.
        let m2 = |view: &View| view.home_links.iter().any(|link| link.at == root.join("job/.m2/repository"));
        assert!(!m2(&view));
        command.limits.connect_ports = Some(Vec::new());
        assert!(m2(&View::of(&command, Some(&root.join("u")), &[]).expect("nothing is wrong")));
    }

    #[cfg(unix)]
    #[test]
    fn a_writable_place_that_became_a_link_is_refused() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().canonicalize().expect("resolves");
        for name in ["ws/repo", "victim", "state", "real"] {
            std::fs::create_dir_all(root.join(name)).expect("writable");
        }
        symlink(root.join("victim"), root.join("ws/pkg")).expect("writable");
        symlink(root.join("victim"), root.join("ws/repo/cache")).expect("writable");
        symlink(root.join("real"), root.join("link")).expect("writable");
        for (writable, untrusted, hidden, fine) in [
            (vec!["ws/repo"], vec!["ws"], vec![], true),
            // Swapped by another job inside the sandbox's root.
            (vec!["ws/pkg"], vec!["ws"], vec![], false),
            // A cache inside the repository.
            (vec!["ws/repo", "ws/repo/cache"], vec![], vec![], false),
            // The operator's own link, and a state directory behind one.
            (vec!["link"], vec!["ws"], vec![], true),
            (vec!["link/x"], vec![""], vec!["link"], true),
        ] {
            std::fs::create_dir_all(root.join("real/x")).expect("writable");
            let paths = |names: &[&str]| names.iter().map(|name| root.join(name)).collect::<Vec<_>>();
            let limits = Limits {
                writable: paths(&writable),
                untrusted: paths(&untrusted),
                hidden: paths(&hidden),
                ..Limits::default()
            };
            let got = View::of(&command(&root, limits), None, &[]);
            assert_eq!(got.is_ok(), fine, "{writable:?}: {got:?}");
        }
    }
}
