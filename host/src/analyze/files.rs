//! Which files a question is about: paths and globs inside the sandbox root, ignore files
//! respected, bounded by count and bytes. What is left out is named with the reason.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use jobfs::Tree;

use crate::mcp::parse;
use config::Config;
use model::error::{Error, Kind, Result};
use model::glob::PathGlob;

const PATTERNS_MAX: usize = 50;
const FILES_MAX: usize = 200;
/// Directory entries that one call looks at.
const VISITED_MAX: usize = 50_000;

/// A file that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the sandbox root.
    pub path: String,
    /// Its whole text.
    pub text: String,
}

/// What matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// In the order of their paths.
    pub files: Vec<File>,
    /// `path: reason`.
    pub skipped: Vec<String>,
    /// Not everything that matched is in `files` because of a limit.
    pub truncated: bool,
}

/// Reads the files that `patterns` name. Blocks.
pub fn gather(config: &Config, patterns: &[String], max_bytes: usize) -> Result<Gathered> {
    if patterns.is_empty() || patterns.len() > PATTERNS_MAX {
        return Err(Error::new(Kind::Usage, format!("paths holds {} entries", patterns.len()))
            .hint(format!("name 1 to {PATTERNS_MAX} files, directories or globs such as src/**/*.rs")));
    }
    let root = parse::sandbox_root(config)?;
    let root = root.canonicalize().map_err(|error| {
        Error::new(Kind::Config, format!("SANDBOX_ROOT {} cannot be opened: {error}", root.display()))
            .hint("set SANDBOX_ROOT to an existing directory that holds your repositories")
    })?;
    let own: Vec<PathBuf> =
        parse::forbidden(config).into_iter().filter_map(|dir| dir.canonicalize().ok()).collect();
    let mut found = Vec::new();
    let mut gathered = Gathered::default();
    for pattern in patterns {
        expand(pattern, &root, &own, &mut found, &mut gathered)?;
    }
    found.sort();
    found.dedup();
    if found.is_empty() && gathered.skipped.is_empty() {
        return Err(Error::new(Kind::Usage, format!("no file matches {}", patterns.join(", ")))
            .hint(format!("paths are absolute or relative to {}", root.display())));
    }
    let tree = Tree::open(&root).map_err(|error| {
        Error::new(Kind::Config, format!("SANDBOX_ROOT {} cannot be opened: {error}", root.display()))
    })?;
    read(&tree, &root, found, max_bytes, &mut gathered);
    Ok(gathered)
}

/// The files of one pattern, with symlinks followed and all of them inside the root.
fn expand(
    pattern: &str,
    root: &Path,
    own: &[PathBuf],
    found: &mut Vec<PathBuf>,
    gathered: &mut Gathered,
) -> Result<()> {
    let wrong = |what: &str| {
        Error::new(Kind::Refused, format!("paths entry {pattern:?} {what}"))
            .hint(format!("name files inside {}", root.display()))
    };
    let requested = root.join(pattern.trim());
    if requested.components().any(|part| part == Component::ParentDir) {
        return Err(wrong("holds .."));
    }
    if pattern.contains('\0') || pattern.trim().is_empty() {
        return Err(wrong("is no path"));
    }
    // Text is a name before it is a pattern. Of a pattern the part before the first wildcard
    // must exist and be inside.
    let is_glob = |part: &std::ffi::OsStr| part.to_string_lossy().contains(['*', '?', '[', '{']);
    let literal: PathBuf = match requested.symlink_metadata() {
        Ok(_) => requested.clone(),
        Err(_) => requested.components().take_while(|part| !is_glob(part.as_os_str())).collect(),
    };
    let Ok(base) = literal.canonicalize() else { return Ok(()) };
    if !base.starts_with(root) {
        return Err(wrong("is outside SANDBOX_ROOT"));
    }
    if own.iter().any(|own| base.starts_with(own)) {
        return Err(wrong("is in a directory of codex-worker's own"));
    }
    if base.is_file() {
        found.push(base);
        return Ok(());
    }
    let rest = requested.strip_prefix(&literal).unwrap_or(Path::new(""));
    let matcher: Option<PathGlob> = if rest.as_os_str().is_empty() {
        None
    } else {
        let glob = PathGlob::new(&rest.to_string_lossy());
        Some(glob.map_err(|error| wrong(&format!("is no glob: {error}")))?)
    };
    // Hidden files only where the pattern names them.
    let hidden = rest.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
    let own = own.to_vec();
    let walk = ignore::WalkBuilder::new(&base)
        .hidden(!hidden)
        .require_git(false)
        .follow_links(false)
        .filter_entry(move |entry| {
            entry.file_name() != ".git" && !own.iter().any(|own| entry.path().starts_with(own))
        })
        .build();
    for (visited, entry) in walk.flatten().enumerate() {
        if visited >= VISITED_MAX || found.len() > FILES_MAX * 4 {
            gathered.truncated = true;
            break;
        }
        // A symlink is neither: what it leads to is named by its own path.
        if entry.file_type().is_some_and(|kind| kind.is_file())
            && let Ok(below) = entry.path().strip_prefix(&base)
            && matcher.as_ref().is_none_or(|matcher| matcher.is_exactly(&below.to_string_lossy()))
        {
            found.push(entry.path().to_owned());
        }
    }
    Ok(())
}

fn read(tree: &Tree, root: &Path, found: Vec<PathBuf>, max_bytes: usize, gathered: &mut Gathered) {
    let mut left = max_bytes;
    for path in found {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        if may_hold_secrets(&name) {
            gathered.skipped.push(format!("{name}: may hold secrets"));
            continue;
        }
        let Some(below) = path.strip_prefix(root).ok().map(|below| below.as_os_str().as_bytes()) else {
            continue;
        };
        let size = tree.meta(below).map_or(0, |meta| meta.size);
        if gathered.files.len() >= FILES_MAX || size > left as u64 {
            gathered.truncated = true;
            gathered.skipped.push(format!("{name}: no room left ({size} bytes)"));
            continue;
        }
        // A job may have put a link or a pipe in its place since it was found.
        let reason = match tree.read(below, left as u64) {
            Ok(bytes) if bytes.contains(&0) => "binary",
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => {
                    left -= text.len();
                    gathered.files.push(File { path: name, text });
                    continue;
                }
                Err(_) => "not UTF-8",
            },
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => "it grew while it was read",
            Err(_) => "cannot be read, or was replaced",
        };
        gathered.skipped.push(format!("{name}: {reason}"));
    }
}

/// Files whose purpose is to hold secrets are never sent, whatever is asked.
fn may_hold_secrets(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    const NAMES: &[&str] = &[
        ".env",
        ".netrc",
        ".npmrc",
        ".pypirc",
        ".git-credentials",
        ".pgpass",
        ".htpasswd",
        "credentials",
        "credentials.json",
        "secrets.json",
        "secrets.yml",
        "secrets.yaml",
        "secrets.toml",
        "terraform.tfvars",
    ];
    const ENDS: &[&str] = &[".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".tfstate"];
    const STARTS: &[&str] = &["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"];
    let example = [".example", ".sample", ".template", ".pub"].iter().any(|end| name.ends_with(end));
    !example
        && (NAMES.contains(&name)
            || ENDS.iter().any(|end| name.ends_with(end))
            || STARTS.iter().any(|start| name.starts_with(start))
            || name.starts_with(".env.")
            || lower.split('/').any(|part| part == ".ssh" || part == ".aws" || part == ".gnupg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().canonicalize().expect("it exists");
        for (path, content) in [
            ("code/app/[slug]/page.txt", "a page"),
            ("code/app/s/page.txt", "another"),
            ("code/repo/src/a.rs", "fn a() {}\n"),
            ("code/repo/src/deep/b.rs", "fn b() {}\n"),
            ("code/repo/target/out.rs", "generated"),
            ("code/repo/.gitignore", "target/\n"),
            ("code/repo/.env", "TOKEN=x"),
            ("code/repo/.env.example", "TOKEN="),
            ("code/repo/logo.png", "\u{0}PNG"),
            ("code/repo/big.txt", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            ("code/state/jobs.db", "db"),
            ("secret/key.txt", "s"),
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("it is made");
            std::fs::write(path, content).expect("it is written");
        }
        std::fs::write(root.join("code/repo/latin.txt"), b"caf\xe9").expect("it is written");
        #[cfg(unix)]
        for (to, name) in [
            ("../../secret", "link"),
            ("src/a.rs", "note.txt"),
            (".env", "harmless.txt"),
            ("../../secret/key.txt", "away.txt"),
        ] {
            std::os::unix::fs::symlink(to, root.join("code/repo").join(name)).expect("a link");
        }
        let mut config = Config::for_tests(&root.join("code/state"));
        config.sandbox_root = Some(root.join("code"));
        (dir, config)
    }

    fn show(config: &Config, paths: &[&str], max: usize) -> String {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        match gather(config, &paths, max) {
            Err(error) => format!("error: {}", error.message),
            Ok(gathered) => {
                let files: Vec<&str> = gathered.files.iter().map(|file| file.path.as_str()).collect();
                let cut = if gathered.truncated { " truncated" } else { "" };
                format!("{} | {}{cut}", files.join(" "), gathered.skipped.join(", "))
            }
        }
    }

    #[test]
    fn what_is_sent_and_what_is_not() {
        let (_dir, config) = fixture();
        let cases: &[(&[&str], &str)] = &[
            (&["repo/src/a.rs"], "repo/src/a.rs | "),
            (&["repo/src"], "repo/src/a.rs repo/src/deep/b.rs | "),
            (&["repo/src/*.rs"], "repo/src/a.rs | "),
            (&["repo/**/*.rs", "repo/src/a.rs"], "repo/src/a.rs repo/src/deep/b.rs | "),
            // Text is a name before it is a pattern.
            (&["app/[slug]/page.txt"], "app/[slug]/page.txt | "),
            (&["app/[slug]"], "app/[slug]/page.txt | "),
            (&["app/[s]/*"], "app/s/page.txt | "),
            (&["repo/*.png", "repo/latin.txt"], " | repo/latin.txt: not UTF-8, repo/logo.png: binary"),
            (&["repo/.env", "repo/.env.example"], "repo/.env.example | repo/.env: may hold secrets"),
            (
                &["repo/src/a.rs", "repo/big.txt"],
                "repo/src/a.rs | repo/big.txt: no room left (64 bytes) truncated",
            ),
            (&["repo/none/*.rs"], "error: no file matches repo/none/*.rs"),
            (&["../secret/key.txt"], "error: paths entry \"../secret/key.txt\" holds .."),
            (&["/etc/hostname"], "error: paths entry \"/etc/hostname\" is outside SANDBOX_ROOT"),
            (&["repo/link/key.txt"], "error: paths entry \"repo/link/key.txt\" is outside SANDBOX_ROOT"),
            // A link inside the root is followed, and judged by what it leads to.
            (&["repo/note.txt"], "repo/src/a.rs | "),
            (&["repo/harmless.txt"], " | repo/.env: may hold secrets"),
            (&["repo/away.txt"], "error: paths entry \"repo/away.txt\" is outside SANDBOX_ROOT"),
            (
                &["repo/*.txt"],
                " | repo/big.txt: no room left (64 bytes), repo/latin.txt: not UTF-8 truncated",
            ),
            (&["repo/target/out.rs"], "repo/target/out.rs | "),
            (
                &["repo/**/*"],
                "repo/src/a.rs repo/src/deep/b.rs | repo/big.txt: no room left (64 bytes), repo/latin.txt: not UTF-8, repo/logo.png: binary truncated",
            ),
            (&["repo/{src,none}/*.rs"], "repo/src/a.rs | "),
            (&["repo/link/*"], "error: paths entry \"repo/link/*\" is outside SANDBOX_ROOT"),
            (&["state/*"], "error: paths entry \"state/*\" is in a directory of codex-worker's own"),
            (&["repo/[a"], "error: paths entry \"repo/[a\" is no glob"),
            (&[], "error: paths holds 0 entries"),
        ];
        for (paths, expected) in cases {
            let seen = show(&config, paths, 50);
            assert!(
                seen.starts_with(expected) && (expected.starts_with("error") || seen == *expected),
                "{paths:?}: {seen}"
            );
        }
        // More files than are sent, and more patterns than are read.
        let many = config.sandbox_root.clone().expect("a root").join("many");
        std::fs::create_dir_all(&many).expect("it is made");
        for n in 0..FILES_MAX + 5 {
            std::fs::write(many.join(format!("{n:04}.md")), "x").expect("it is written");
        }
        let all = gather(&config, &["many/*.md".to_owned()], 100_000).expect("files");
        assert_eq!((all.files.len(), all.skipped.len(), all.truncated), (FILES_MAX, 5, true));
        assert!(gather(&config, &vec!["a".to_owned(); PATTERNS_MAX + 1], 1).is_err());
        // The whole root: nothing of our own state, nothing behind the link.
        let all = show(&config, &["."], 100_000);
        assert!(!all.contains("jobs.db") && !all.contains("key.txt") && !all.contains("target"), "{all}");
    }
}
