//! `isolation: worktree`: a checkout of a job's own inside the state directory, made from
//! the user's state as it is, uncommitted work included.
//!
//! It is not a worktree in git's own sense. Such a one shares configuration, hooks and refs
//! with the user's repository, so that `git config` or `git branch` of the agent changes
//! the user's repository; adding many at once fails (11 of 60 measured); and what a crash
//! leaves stays registered. Here each checkout has a git directory of its own, which only
//! reads the user's objects. Nothing of the user's is written until [`publish_ref`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jobfs::Tree;
use jobfs::own as fs;
use serde::{Deserialize, Serialize};

use super::{copy_in, filtered, lock};
use evidence::attributes::Attributes;
use evidence::changes;
use evidence::discover::Repository;
use evidence::git::{Git, Input};
use evidence::internals::{self, Fingerprint};
use evidence::root::Root;
use evidence::shadow::Shadow;
use evidence::{self, Limits, Recorder, io, names};
use model::error::{Error, Kind, Result};
use model::spec::AllowedDir;
use model::types::ChangeKind;

const VERSION: u32 = 1;
const RECORD: &str = "worktree.json";
/// How long a writer waits for the repository's lock.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who the host's own commits are by.
const IDENTITY: [(&str, &str); 4] = [
    ("GIT_AUTHOR_NAME", "codex-worker"),
    ("GIT_AUTHOR_EMAIL", "codex-worker@localhost"),
    ("GIT_COMMITTER_NAME", "codex-worker"),
    ("GIT_COMMITTER_EMAIL", "codex-worker@localhost"),
];

/// What a worktree is made from.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The job's id; names the ref.
    pub job: &'a str,
    /// The user's directories, the first is the working directory.
    pub dirs: &'a [AllowedDir],
    /// `jobs/<id>` in the state directory; the checkout is `worktree/` in it.
    pub job_dir: &'a Path,
    /// Globs of ignored files to carry in, relative to the first directory's repository.
    pub copy_in: &'a [String],
    /// The declared scope; used only for a sparse checkout.
    pub scope: &'a [String],
    /// Repositories with more files than this are checked out sparsely: the scope's
    /// directories and the files directly above them. None never does.
    pub sparse_above: Option<usize>,
}

/// A job's worktree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worktree {
    version: u32,
    /// The job it belongs to.
    pub job: String,
    /// The checkout; stands for [`Worktree::user_top`].
    pub path: PathBuf,
    /// The user's directory that it was made from.
    pub user_top: PathBuf,
    /// The user's directories.
    pub user_dirs: Vec<AllowedDir>,
    /// The job's directories inside the checkout, in the order of the user's.
    pub dirs: Vec<AllowedDir>,
    /// The tree at the start, in the objects of `carry/`.
    pub start_tree: String,
    /// The repositories that were checked out.
    pub parts: Vec<Part>,
    /// The object directories that they borrow from, each by its own name; `objects/<n>` in the
    /// job's directory leads to them. None in the record of an earlier release, whose
    /// worktrees name them directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub borrowed: Option<Vec<PathBuf>>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// One repository (or plain directory) of a worktree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Where it lies below the checkout; empty for the checkout itself. Escaped.
    pub prefix: String,
    /// The user's repository; none for a plain directory, which cannot take a ref.
    pub repository: Option<Repository>,
    /// The user's commit at the start; none on an unborn branch.
    pub head: Option<String>,
    /// Nested repositories, as escaped names below the part, with the commit that the part's
    /// own tree has for them (a submodule) or none (an untracked clone).
    pub nested: Vec<(String, Option<String>)>,
    /// What [`publish_ref`] wrote last.
    pub published: Option<Published>,
    /// Its git directory as the host made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    internals: Option<Fingerprint>,
}

/// A result in the user's repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// `refs/codex-worker/<job>`.
    pub name: String,
    /// The commit it points to; its parent is the state at the start.
    pub commit: String,
    /// The recorded tree it was made from.
    pub tree: String,
    /// The recorder that has the tree: `shadow/` of the job, or of a job that resumed it.
    pub record: PathBuf,
    /// Files that the job changed and the commit has not: git's form of them is made by a
    /// filter of the user's, which is not run. Escaped, below the part, each with its filter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<(String, String)>,
}

/// Makes the worktree of a job and its record. Nothing of the user's is written. A failed
/// attempt leaves nothing behind.
pub fn create(options: Options<'_>) -> Result<Worktree> {
    // Everything below is opened without following links, also those to the state directory.
    let job_dir = fs::canonicalize(options.job_dir).map_err(io("opening", options.job_dir))?;
    let path = job_dir.join("worktree");
    let made = build(&Options { job_dir: &job_dir, ..options }, &path);
    if made.is_err() {
        let _ = remove(options.job_dir);
    }
    made
}

fn build(options: &Options<'_>, path: &Path) -> Result<Worktree> {
    let wanted = copy_in::patterns(options.copy_in)?;
    remove(options.job_dir)?;
    let carry = Recorder::begin_within(options.dirs, &carry_dir(options.job_dir), Some(Path::new("/")))?;
    // New, and written by the host alone until the job's first process is started.
    let files = Tree::make(options.job_dir, "worktree").map_err(io("creating", path))?;
    let mut worktree = Worktree {
        version: VERSION,
        job: options.job.to_owned(),
        path: path.to_owned(),
        user_top: carry.top().to_owned(),
        user_dirs: options.dirs.to_vec(),
        dirs: Vec::new(),
        start_tree: carry.base_tree(),
        parts: Vec::new(),
        borrowed: Some(carry.shadow().read_from.clone()),
        notes: Vec::new(),
    };
    lend(options.job_dir, &carry.shadow().read_from)?;
    // Written before anything else, so that a crash leaves something that is recognised.
    worktree.save(options.job_dir)?;
    for root in carry.roots().iter().filter(|r| !r.nested) {
        let part = check_out(options, &carry, root, path)?;
        worktree.parts.push(part);
    }
    for dir in options.dirs {
        let below = dir.path().strip_prefix(carry.top()).unwrap_or(Path::new(""));
        let inside = path.join(below);
        let made = files.make_dirs(&names::bytes(below)).and_then(|()| files.dir(&names::bytes(below)));
        let identity = made.and_then(|dir| dir.identity()).map_err(io("creating", &inside))?;
        worktree.dirs.push(AllowedDir::identified(inside, identity.dev, identity.ino));
    }
    if !options.copy_in.is_empty() {
        let base = carry.base_prefix();
        let candidates: Vec<PathBuf> = carry
            .ignored_at_start()
            .iter()
            .filter_map(|n| names::path(n).strip_prefix(&base).map(Path::to_owned).ok())
            .collect();
        let open = |dir: PathBuf| Tree::open(&dir).map_err(io("opening", &dir));
        let (from, to) = (open(carry.top().join(&base))?, open(path.join(&base))?);
        let done = copy_in::carry(&from, &to, &candidates, &wanted)?;
        worktree.notes.push(format!("copy_in carried {} files", done.files));
        for skipped in done.skipped.iter().take(10) {
            worktree.notes.push(format!("copy_in left out {}: it leads outside", skipped.display()));
        }
    }
    worktree.save(options.job_dir)?;
    Ok(worktree)
}

fn carry_dir(job_dir: &Path) -> PathBuf {
    job_dir.join("carry")
}

/// Where the links to borrowed object directories are. A worktree that is shown at the user's
/// own path covers the user's objects: they need another name, and one that git reads alike
/// whatever stands in their own.
fn lent_dir(job_dir: &Path) -> PathBuf {
    job_dir.join("objects")
}

/// The name of the borrowed object directory number `n`.
fn lent(job_dir: &Path, n: usize) -> PathBuf {
    lent_dir(job_dir).join(n.to_string())
}

/// Makes the links, and an empty file.
fn lend(job_dir: &Path, borrowed: &[PathBuf]) -> Result<()> {
    let dir = lent_dir(job_dir);
    fs::create_dir_all(&dir).map_err(io("creating", &dir))?;
    let none = dir.join("none");
    fs::write(&none, b"").map_err(io("writing", &none))?;
    for (n, objects) in borrowed.iter().enumerate() {
        let link = lent(job_dir, n);
        fs::symlink(objects, &link).map_err(io("linking", &link))?;
    }
    Ok(())
}

/// Makes the private git directory of one root and checks its tree out.
fn check_out(options: &Options<'_>, carry: &Recorder, root: &Root, path: &Path) -> Result<Part> {
    let prefix = names::path(&root.prefix);
    let dir = path.join(&prefix);
    let git_dir = dir.join(".git");
    let shadow = carry.shadow();
    let head = match &root.repository {
        Some(repository) => head_commit(repository)?,
        None => None,
    };
    make_git_dir(&git_dir, options.job_dir, shadow, root, head.as_deref())?;
    let tree = subtree(shadow, &carry.base_tree(), &root.prefix)?;
    let git = |verb: &str| {
        let mut git = Git::new(verb).git_dir(&git_dir).work_tree(&dir).dir(&dir);
        let attributes = root.attributes.as_ref().map(Attributes::setting);
        for setting in root.settings.iter().cloned().chain(attributes) {
            git = git.config(&setting);
        }
        git
    };
    if let Some(limit) = options.sparse_above
        && !options.scope.is_empty()
    {
        let count = shadow.git("ls-tree").args(["-r", "--name-only", &tree]).output()?;
        if count.iter().filter(|b| **b == b'\n').count() > limit {
            let known = |name: &Path| fs::is_there(carry.top().join(name));
            sparse(&git_dir, &carry.base_prefix(), &prefix, options.scope, &known)?;
        }
    }
    git("read-tree").args(["-m", "-u", &tree]).output()?;
    // Files with their real content, and git's form of them in the index: git takes them for
    // unchanged, as in the user's own repository.
    let filtered = root.filtered.iter().filter_map(|file| Some((&file.name, file.index.as_ref()?)));
    let (mut lines, mut names) = (Vec::new(), Vec::new());
    for (name, (mode, id)) in filtered {
        lines.extend([format!("{mode} {id}\t").as_bytes(), name, b"\0"].concat());
        names.extend([name, b"\0".as_slice()].concat());
    }
    if !names.is_empty() {
        git("update-index").args(["-z", "--index-info"]).output_with(Input::Bytes(lines))?;
        let unchanged = ["-z", "--assume-unchanged", "--stdin"];
        git("update-index").args(unchanged).output_with(Input::Bytes(names))?;
    }
    let index = index_copy(options.job_dir, &root.prefix);
    fs::copy(git_dir.join("index"), &index).map_err(io("copying", &index))?;
    let mut nested = Vec::new();
    for inner in carry.roots().iter().filter(|r| r.nested) {
        let Some(below) = names::below(&inner.prefix, &root.prefix).filter(|b| !b.is_empty()) else {
            continue;
        };
        let listed = shadow
            .git("ls-files")
            .args(["-s", "-z", "--"])
            .arg(names::path(below))
            .index(&root.index)
            .work_tree(&shadow.git_dir);
        let text = String::from_utf8_lossy(&listed.output()?).into_owned();
        let link = text.strip_prefix("160000 ").and_then(|t| t.split(' ').next()).map(str::to_owned);
        nested.push((names::escape(below), link));
    }
    Ok(Part {
        prefix: names::escape(&root.prefix),
        repository: root.repository.clone(),
        head,
        nested,
        published: None,
        internals: Some(internals::fingerprint(&own_repository(&dir, shadow))?),
    })
}

pub(super) fn head_commit(repository: &Repository) -> Result<Option<String>> {
    let out = Git::new("rev-parse")
        .args(["-q", "--verify", "HEAD^{commit}"])
        .git_dir(&repository.git_dir)
        .with_user_config()
        .run(Input::Null)?;
    let id = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    Ok((out.code == Some(0) && !id.is_empty()).then_some(id))
}

/// The tree of `prefix` in `tree`.
fn subtree(shadow: &Shadow, tree: &str, prefix: &[u8]) -> Result<String> {
    if prefix.is_empty() {
        return Ok(tree.to_owned());
    }
    let listed = shadow
        .reading("ls-tree")
        .args(["-d", "-z", "--full-tree", tree, "--"])
        .arg(names::path(prefix))
        .output()?;
    match evidence::git::split_z(&listed).next() {
        Some(line) => Ok(evidence::tree_line(line)?.2),
        None => Ok(shadow.empty_tree()?),
    }
}

/// A git directory that reads the user's objects and shares nothing else with the user's
/// repository: own configuration, no hooks, no remotes, detached at the user's commit.
fn make_git_dir(
    git_dir: &Path,
    job_dir: &Path,
    shadow: &Shadow,
    root: &Root,
    head: Option<&str>,
) -> Result<()> {
    for dir in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "hooks"] {
        let path = git_dir.join(dir);
        fs::create_dir_all(&path).map_err(io("creating", &path))?;
    }
    let write = |file: &str, bytes: &[u8]| {
        let path = git_dir.join(file);
        fs::write(&path, bytes).map_err(io("writing", &path))
    };
    let version = if shadow.object_format == "sha1" { 0 } else { 1 };
    let mut config = format!(
        "[core]\n\trepositoryFormatVersion = {version}\n\tbare = false\n\tfileMode = true\n\tlogAllRefUpdates = true\n\tprotectNTFS = false\n"
    );
    for setting in &root.settings {
        if let Some((key, value)) = setting.strip_prefix("core.").and_then(|s| s.split_once('=')) {
            config.push_str(&format!("\t{key} = {value}\n"));
        }
    }
    if version == 1 {
        config.push_str(&format!("[extensions]\n\tobjectFormat = {}\n", shadow.object_format));
    }
    // So that an agent may commit; the user's own name is not lent to it.
    config.push_str("[user]\n\tname = codex-worker agent\n\temail = codex-worker@localhost\n[commit]\n\tgpgSign = false\n");
    write("config", config.as_bytes())?;
    write("HEAD", head.map_or("ref: refs/heads/main\n".to_owned(), |id| format!("{id}\n")).as_bytes())?;
    write("info/attributes", &root.attributes.as_ref().map(Attributes::own).unwrap_or_default())?;
    write("info/exclude", &fs::read(&root.excludes).unwrap_or_default())?;
    // What the snapshot added (uncommitted files) is copied: the state directory is hidden
    // from the agent, and hard links would let it alter the host's own objects.
    copy_objects(&shadow.git_dir.join("objects"), &git_dir.join("objects"))?;
    // Of nested repositories too: their files are checked out as plain files.
    let lent = (0..shadow.read_from.len()).map(|n| alternates_line(&lent(job_dir, n)));
    write("objects/info/alternates", &lent.collect::<Vec<_>>().concat())?;
    if let Some(repository) = &root.repository {
        if let Ok(shallow) = fs::read(root.shallow()) {
            write("shallow", &shallow)?;
        }
        if let Some(head) = head {
            // Versions are often made from tags (`git describe`); only those behind HEAD.
            let tags = Git::new("for-each-ref")
                .args(["--format=%(objectname) %(refname)", "--merged", head, "refs/tags"])
                .git_dir(&repository.git_dir)
                .with_user_config()
                .timeout(Duration::from_secs(10))
                .output()
                .unwrap_or_default();
            write("packed-refs", &[b"# pack-refs with: sorted \n".as_slice(), &tags].concat())?;
        }
    }
    Ok(())
}

/// One line of an alternates file, quoted where git would misread it.
fn alternates_line(dir: &Path) -> Vec<u8> {
    let mut line = names::bytes(dir);
    if line.iter().any(|b| matches!(b, b'"' | b'\n' | b'\\' | b'#')) {
        let text =
            String::from_utf8_lossy(&line).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        line = format!("\"{text}\"").into_bytes();
    }
    line.push(b'\n');
    line
}

fn copy_objects(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).map_err(io("reading", from))?.flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            fs::create_dir_all(&target).map_err(io("creating", &target))?;
            copy_objects(&entry.path(), &target)?;
        } else if entry.file_name() != "alternates" {
            fs::copy(entry.path(), &target).map_err(io("copying", &entry.path()))?;
        }
    }
    Ok(())
}

/// Sets up a cone of the scope's directories.
fn sparse(
    git_dir: &Path,
    base: &Path,
    prefix: &Path,
    scope: &[String],
    known: &dyn Fn(&Path) -> bool,
) -> Result<()> {
    let mut lines = String::from("/*\n!/*/\n");
    let mut parents: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for entry in scope {
        let literal = literal_part(entry, &|name: &Path| known(&base.join(name)));
        let Ok(dir) = base.join(literal).strip_prefix(prefix).map(Path::to_owned) else { continue };
        parents.insert(dir.clone(), true);
        for above in dir.ancestors().skip(1) {
            parents.entry(above.to_owned()).or_insert(false);
        }
    }
    for (dir, whole) in parents.iter().filter(|(d, _)| !d.as_os_str().is_empty()) {
        let dir: String = dir.display().to_string().chars().flat_map(escaped).collect();
        lines.push_str(&if *whole { format!("/{dir}/\n") } else { format!("/{dir}/\n!/{dir}/*/\n") });
    }
    if parents.get(Path::new("")).copied().unwrap_or(true) {
        return Ok(()); // the scope is everything
    }
    let file = git_dir.join("info/sparse-checkout");
    fs::write(&file, lines).map_err(io("writing", &file))?;
    let config = git_dir.join("config");
    let mut text = fs::read_to_string(&config).map_err(io("reading", &config))?;
    text.push_str("[core]\n\tsparseCheckout = true\n\tsparseCheckoutCone = true\n");
    fs::write(&config, text).map_err(io("writing", &config))?;
    Ok(())
}

/// The beginning of an entry that is no pattern. Text is a name before it is a pattern.
fn literal_part(entry: &str, known: &dyn Fn(&Path) -> bool) -> PathBuf {
    let mut literal = PathBuf::new();
    for part in entry.split('/') {
        let next = literal.join(part);
        if part.contains(['*', '?', '[']) && !known(&next) {
            break;
        }
        literal = next;
    }
    literal
}

/// A sign as git takes it for itself in a pattern.
fn escaped(c: char) -> impl Iterator<Item = char> {
    matches!(c, '*' | '?' | '[' | '\\').then_some('\\').into_iter().chain([c])
}

impl Worktree {
    /// The worktree of a job, as its record says; none if it never had one.
    pub fn open(job_dir: &Path) -> Result<Option<Worktree>> {
        let path = job_dir.join(RECORD);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io("reading", &path)(e).into()),
        };
        let broken = |why: String| {
            Error::new(Kind::Internal, format!("the record {} cannot be read: {why}", path.display()))
                .hint("look at the directory beside it by hand before you delete it")
        };
        let found: Worktree = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
        if found.version != VERSION {
            return Err(broken(format!("version {} is not {VERSION}", found.version)));
        }
        Ok(Some(found))
    }

    /// Each part's directory and the user's that it stands for, the outer before the inner.
    pub fn places(&self) -> Vec<(PathBuf, PathBuf)> {
        let prefixes = self.parts.iter().map(|part| names::path(&names::unescape(&part.prefix)));
        // No `/` at the end for the top itself.
        let below = |top: &Path, prefix: &Path| top.join(prefix).components().collect::<PathBuf>();
        let mut places: Vec<_> =
            prefixes.map(|p| (below(&self.path, &p), below(&self.user_top, &p))).collect();
        places.sort_by_key(|(own, _)| own.components().count());
        places
    }

    /// Which of `places` are tools inside the user's directories that the worktree lacks, such as
    /// an active virtual environment: there an empty directory is made, over which they can be
    /// shown.
    pub fn tools(&self, places: &[PathBuf]) -> Vec<PathBuf> {
        let Ok(files) = Tree::open(&self.path) else { return Vec::new() };
        let users = self.places();
        let wanted = |place: &PathBuf| {
            // A package manager puts these back as a whole.
            let installed = place.components().any(|part| part.as_os_str() == "node_modules");
            let inside = users.iter().any(|(_, user)| place.starts_with(user) && place != user);
            let real = fs::canonicalize(place).is_ok_and(|real| real == *place && real.is_dir());
            inside && real && !installed
        };
        let room = |place: &PathBuf| {
            let name = names::bytes(place.strip_prefix(&self.user_top).unwrap_or(place));
            match files.meta(&name) {
                Ok(meta) => meta.is_dir() && files.entries(&name).is_ok_and(|entries| entries.is_empty()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => files.make_dirs(&name).is_ok(),
                Err(_) => false,
            }
        };
        let places: Vec<PathBuf> = places.iter().filter(|place| wanted(place)).cloned().collect();
        evidence::discover::outermost(&places).into_iter().filter(room).collect()
    }

    /// What must be readable, and under which name, for git in the worktree: the borrowed
    /// object directories, without the lists of those that they borrow from themselves (the
    /// worktree names them all, and relative ones lead elsewhere from there).
    pub fn objects(&self, job_dir: &Path) -> Vec<(PathBuf, PathBuf)> {
        let mut shown = Vec::new();
        for (n, objects) in self.borrowed.iter().flatten().enumerate() {
            let at = lent(job_dir, n);
            if objects.join("info/alternates").exists() {
                shown.push((lent_dir(job_dir).join("none"), at.join("info/alternates")));
            }
            shown.push((objects.clone(), at));
        }
        shown
    }

    fn save(&self, job_dir: &Path) -> Result<()> {
        let path = job_dir.join(RECORD);
        let new = job_dir.join("worktree.json.new");
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(Kind::Internal, e.to_string()).caused_by(e))?;
        fs::write(&new, text).map_err(io("writing", &new))?;
        fs::rename(&new, &path).map_err(io("renaming", &new))?;
        Ok(())
    }
}

/// After the setup command: what it installed is hidden like dependencies that git ignores
/// (by `info/exclude` of the worktree's own git directory), and what it changed of the
/// user's files and of that git directory is put back, so that neither is taken for the
/// agent's work. Gives notes.
pub fn after_setup(job_dir: &Path, dirs: &[AllowedDir]) -> Result<Vec<String>> {
    let Some(worktree) = Worktree::open(job_dir)? else { return Ok(Vec::new()) };
    let files = Tree::open(&worktree.path).map_err(io("opening", &worktree.path))?;
    let mut notes = restore_git_dirs(job_dir, &worktree, &files)?;
    let scan = job_dir.join("setup-look");
    let recorder = Recorder::begin_within(dirs, &scan, Some(&worktree.path))?;
    let done = hide_installed(&worktree, &recorder, &files);
    let _ = fs::remove_dir_all(&scan);
    notes.extend(done?);
    Ok(notes)
}

/// Puts git directories that the setup command changed back to what the host had made: hooks
/// and configuration of a setup would run in the agent's and the checks' git calls.
fn restore_git_dirs(job_dir: &Path, worktree: &Worktree, files: &Tree) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let carry = Recorder::reopen(&carry_dir(job_dir))?;
    for part in &worktree.parts {
        let prefix = names::unescape(&part.prefix);
        let dir = worktree.path.join(names::path(&prefix));
        let Some(before) = &part.internals else { continue };
        let name = names::join(&prefix, b".git");
        let now = match files.meta(&name).is_ok_and(|meta| meta.is_dir()) {
            true => Some(internals::fingerprint(&own_repository(&dir, carry.shadow()))?),
            false => None,
        };
        let changed = now.map(|now| before.difference(&now));
        if changed.as_ref().is_some_and(|d| d.changed.is_empty() && d.moved.is_none()) {
            continue;
        }
        let Some(root) = carry.roots().iter().find(|root| root.prefix == prefix) else { continue };
        // Made beside the worktree, where no contained process writes, and moved in.
        let new = job_dir.join("git-new");
        let _ = fs::remove_dir_all(&new);
        make_git_dir(&new, job_dir, carry.shadow(), root, part.head.as_deref())?;
        let index = index_copy(job_dir, &prefix);
        fs::copy(&index, new.join("index")).map_err(io("copying", &index))?;
        let path = dir.join(".git");
        files.remove(&name).map_err(io("removing", &path))?;
        let whole = Tree::open(&fs::canonicalize(job_dir).map_err(io("opening", job_dir))?);
        let whole = whole.map_err(io("opening", job_dir))?;
        whole.rename(b"git-new", &names::join(b"worktree", &name)).map_err(io("renaming", &new))?;
        let told: Vec<String> = changed.map_or(Vec::new(), |d| d.changed);
        let told = told.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
        let told = if told.is_empty() { String::new() } else { format!(" ({told})") };
        notes.push(format!("put back what setup changed in .git{told}"));
    }
    Ok(notes)
}

/// The git directory of a worktree's part, which is a repository of its own.
fn own_repository(dir: &Path, shadow: &Shadow) -> Repository {
    let git_dir = dir.join(".git");
    Repository {
        top: dir.to_owned(),
        objects: git_dir.join("objects"),
        alternates: Vec::new(),
        common_dir: git_dir.clone(),
        git_dir,
        object_format: shadow.object_format.clone(),
        ref_format: "files".into(),
    }
}

/// Where the index of a part is kept as it was after the checkout.
fn index_copy(job_dir: &Path, prefix: &[u8]) -> PathBuf {
    let name = model::hex::encode(prefix);
    carry_dir(job_dir).join(format!("index-{}", name.get(..200).unwrap_or(&name)))
}

fn hide_installed(worktree: &Worktree, recorder: &Recorder, files: &Tree) -> Result<Vec<String>> {
    let shadow = recorder.shadow();
    let changed = changes::names_only(shadow, &worktree.start_tree, &recorder.base_tree())?;
    let mut notes = Vec::new();
    let (new, edited): (Vec<_>, Vec<_>) = changed.into_iter().partition(|c| c.kind == ChangeKind::Added);
    if !edited.is_empty() {
        let names: Vec<Vec<u8>> = edited.iter().map(|c| c.name.clone()).collect();
        recorder.put(&worktree.start_tree, &names, &worktree.path)?;
        notes.push(format!("put back what setup changed: {}", listed(&names)));
    }
    if new.is_empty() {
        return Ok(notes);
    }
    let dirs = shadow.reading("ls-tree").args(["-r", "-d", "-z", "--name-only", &worktree.start_tree]);
    let known: BTreeSet<Vec<u8>> = evidence::git::split_z(&dirs.output()?).map(<[u8]>::to_vec).collect();
    // The outermost new directory stands for all in it.
    let hidden: BTreeSet<Vec<u8>> = new
        .iter()
        .map(|change| {
            let ends = change.name.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
            let dir = ends.map(|at| &change.name[..at]).find(|dir| !known.contains(*dir));
            dir.map_or_else(|| change.name.clone(), <[u8]>::to_vec)
        })
        .collect();
    for part in &worktree.parts {
        let prefix = names::unescape(&part.prefix);
        let mut lines = Vec::new();
        for name in &hidden {
            let below = names::below(name, &prefix);
            if let Some(below) = below.filter(|below| !below.is_empty() && !below.contains(&b'\n')) {
                lines.push(b'/');
                lines.extend(below.iter().flat_map(|b| match b {
                    b'*' | b'?' | b'[' | b'\\' | b' ' => vec![b'\\', *b],
                    other => vec![*other],
                }));
                lines.push(b'\n');
            }
        }
        let name = names::join(&prefix, b".git/info/exclude");
        let path = worktree.path.join(names::path(&name));
        let mut text = files.read(&name, 1 << 20).map_err(io("reading", &path))?;
        text.push(b'\n');
        text.extend(lines);
        files.replace(&name, &text, 0o644).map_err(io("writing", &path))?;
    }
    let hidden: Vec<Vec<u8>> = hidden.into_iter().collect();
    notes.push(format!("setup made {}", listed(&hidden)));
    Ok(notes)
}

/// `a, b and 3 more`.
fn listed(names: &[Vec<u8>]) -> String {
    let shown: Vec<String> = names.iter().take(4).map(|n| names::escape(n)).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Brings a recorded tree into the user's repository as `refs/codex-worker/<job>`: a commit
/// on top of the user's commit at the start, with a commit of the uncommitted work between
/// them if there was some. Branches, index and files of the user stay as they are. Plain
/// directories are left out. Gives one entry for each repository.
pub fn publish_ref(job_dir: &Path, recorder: &Recorder, tree: &str, summary: &str) -> Result<Vec<Published>> {
    let Some(mut worktree) = Worktree::open(job_dir)? else {
        return Err(Error::new(
            Kind::NotFound,
            format!("job directory {} has no worktree", job_dir.display()),
        )
        .hint("only jobs with isolation \"worktree\" have one"));
    };
    let carry = Recorder::reopen(&carry_dir(job_dir))?;
    let mut all = Vec::new();
    for at in 0..worktree.parts.len() {
        let part = &worktree.parts[at];
        let Some(repository) = part.repository.clone() else { continue };
        let _lock = lock::acquire(state_home(job_dir), &repository.common_dir, PATIENCE)?;
        let shadow = Shadow {
            read_from: [repository.objects.clone(), carry_dir(job_dir).join("shadow.git/objects")]
                .into_iter()
                .chain(recorder.shadow().read_from.iter().cloned())
                .collect(),
            ..recorder.shadow().clone()
        };
        let prefix = names::unescape(&part.prefix);
        let root = carry.roots().iter().find(|root| root.prefix == prefix);
        let (commit, left_out) = commit_part(&shadow, &worktree, part, root, tree, summary)?;
        let name = format!("refs/codex-worker/{}", worktree.job);
        transfer(&shadow, &repository, part.head.as_deref(), &commit, job_dir)?;
        Git::new("update-ref")
            .args(["-m", "codex-worker: result", &name, &commit])
            .git_dir(&repository.common_dir)
            .output()?;
        let published =
            Published { name, commit, tree: tree.to_owned(), record: recorder.state().to_owned(), left_out };
        worktree.parts[at].published = Some(published.clone());
        all.push(published);
    }
    worktree.save(job_dir)?;
    Ok(all)
}

pub(super) fn state_home(job_dir: &Path) -> &Path {
    job_dir.parent().and_then(Path::parent).unwrap_or(job_dir)
}

fn commit_part(
    shadow: &Shadow,
    worktree: &Worktree,
    part: &Part,
    root: Option<&Root>,
    tree: &str,
    summary: &str,
) -> Result<(String, Vec<(String, String)>)> {
    let prefix = names::unescape(&part.prefix);
    let bring = |whole: &str| -> Result<String> {
        let tree = subtree(shadow, whole, &prefix)?;
        without_nested(shadow, &tree, &part.nested)
    };
    let (real_start, real_end) = (bring(&worktree.start_tree)?, bring(tree)?);
    let (start, end, left_out) = match root {
        Some(root) if !root.drivers.is_empty() => {
            let (start, before) = filtered::published(shadow, root, &real_start, &real_start)?;
            let (end, mut left_out) = filtered::published(shadow, root, &real_end, &real_start)?;
            // What was there before the job is not its work.
            let same = evidence::entries(shadow, &real_start, &left_out.keys().cloned().collect::<Vec<_>>())?;
            let now = evidence::entries(shadow, &real_end, &left_out.keys().cloned().collect::<Vec<_>>())?;
            left_out.retain(|name, _| !before.contains_key(name) || same.get(name) != now.get(name));
            (start, end, left_out)
        }
        _ => (real_start, real_end, BTreeMap::new()),
    };
    let head_tree = match &part.head {
        Some(head) => {
            Some(shadow.reading("rev-parse").args(["-q", "--verify", &format!("{head}^{{tree}}")]).line()?)
        }
        None => None,
    };
    let mut parent = part.head.clone();
    if head_tree.as_deref() != Some(start.as_str()) {
        let message = format!(
            "State at the start of codex-worker job {}\n\nUncommitted work of the user, as it was.\n",
            worktree.job
        );
        parent = Some(commit(shadow, &start, parent.as_deref(), &message)?);
    }
    let summary: String = summary.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    let title = if summary.trim().is_empty() { "Result".to_owned() } else { summary.trim().to_owned() };
    let message = format!("{title}\n\nCodex-Worker-Job: {}\n", worktree.job);
    let left_out = left_out.into_iter().map(|(name, driver)| (names::escape(&name), driver)).collect();
    Ok((commit(shadow, &end, parent.as_deref(), &message)?, left_out))
}

/// A commit in the shadow, by the host.
pub(super) fn commit(shadow: &Shadow, tree: &str, parent: Option<&str>, message: &str) -> Result<String> {
    let mut git = shadow.reading("commit-tree").arg(tree);
    if let Some(parent) = parent {
        git = git.args(["-p", parent]);
    }
    for (key, value) in IDENTITY {
        git = git.env(key, value);
    }
    let id = git.args(["-F", "-"]).output_with(Input::Bytes(message.as_bytes().to_vec()))?;
    Ok(String::from_utf8_lossy(&id).trim().to_owned())
}

/// `tree` with nested repositories as the outer repository has them: the submodule's commit,
/// or nothing. Their files were only carried so that the job could build.
fn without_nested(shadow: &Shadow, tree: &str, nested: &[(String, Option<String>)]) -> Result<String> {
    if nested.is_empty() {
        return Ok(tree.to_owned());
    }
    let index = shadow.git_dir.join(format!("publish.{}", std::process::id()));
    let _ = fs::remove_file(&index);
    let git = |verb: &str| shadow.reading(verb).index(&index).work_tree(&shadow.git_dir);
    let run = || -> Result<String, evidence::Error> {
        git("read-tree").arg(tree).output()?;
        let zero = "0".repeat(tree.len());
        for (name, link) in nested {
            let name = names::unescape(name);
            let files = git("ls-files").args(["-z", "--"]).arg(names::path(&name)).output()?;
            let mut lines = Vec::new();
            for file in evidence::git::split_z(&files) {
                lines.extend_from_slice(format!("0 {zero}\t").as_bytes());
                lines.extend_from_slice(file);
                lines.push(0);
            }
            if let Some(link) = link {
                lines.extend_from_slice(format!("160000 {link}\t").as_bytes());
                lines.extend_from_slice(&name);
                lines.push(0);
            }
            git("update-index").args(["-z", "--index-info"]).output_with(Input::Bytes(lines))?;
        }
        Ok(git("write-tree").arg("--missing-ok").line()?)
    };
    let out = run();
    let _ = fs::remove_file(&index);
    Ok(out?)
}

/// Copies what the user's repository lacks of `commit` into it. Git checks every object's
/// content against its name on the way in, and that nothing is missing afterwards.
pub(super) fn transfer(
    shadow: &Shadow,
    to: &Repository,
    have: Option<&str>,
    commit: &str,
    job_dir: &Path,
) -> Result<()> {
    let mut revisions = format!("{commit}\n");
    if let Some(have) = have {
        revisions.push_str(&format!("^{have}\n"));
    }
    let base = job_dir.join(format!("publish-{}", std::process::id()));
    let pack = || -> Result<PathBuf, evidence::Error> {
        let id = shadow
            .reading("pack-objects")
            .args(["-q", "--revs"])
            .arg(&base)
            .output_with(Input::Bytes(revisions.clone().into_bytes()))?;
        let id = String::from_utf8_lossy(&id).trim().to_owned();
        Ok(base
            .with_file_name(format!("{}-{id}.pack", base.file_name().unwrap_or_default().to_string_lossy())))
    };
    let result = pack().and_then(|path| {
        let file = fs::open(&path).map_err(io("opening", &path))?;
        Git::new("unpack-objects")
            .args(["-q", "--strict"])
            .git_dir(&to.common_dir)
            .output_with(Input::File(file))?;
        let mut check = Git::new("rev-list").args(["--objects", "--quiet", commit]).git_dir(&to.common_dir);
        if let Some(have) = have {
            check = check.arg(format!("^{have}"));
        }
        check.output()?;
        Ok(())
    });
    for entry in fs::read_dir(job_dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("publish-{}", std::process::id())) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(result?)
}

/// Is there work in the worktree that is neither the start nor published? True also when it
/// cannot be told.
pub fn has_unsaved(job_dir: &Path) -> bool {
    let Ok(Some(worktree)) = Worktree::open(job_dir) else { return job_dir.join("worktree").exists() };
    if !worktree.path.exists() {
        return false;
    }
    let Ok(recorder) = Recorder::reopen(&job_dir.join("shadow")) else {
        // The agent is started after the record is made: without it, nobody worked here.
        return false;
    };
    let Ok(now) = recorder.record(Limits { max_patch: 0, ..Limits::default() }) else { return true };
    let saved = |part: &Part| part.published.as_ref().is_some_and(|p| p.tree == now.tree);
    now.tree != recorder.base_tree() && !worktree.parts.iter().all(saved)
}

/// Publishes what is in the worktree now, if it is unsaved; for `gc` and crash recovery.
pub fn save(job_dir: &Path) -> Result<Vec<Published>> {
    if !has_unsaved(job_dir) {
        return Ok(Vec::new());
    }
    let recorder = Recorder::reopen(&job_dir.join("shadow"))?;
    let now = recorder.record(Limits { max_patch: 0, ..Limits::default() })?;
    publish_ref(job_dir, &recorder, &now.tree, "Unfinished work, saved before its worktree was removed")
}

/// Takes the worktree away: renamed at once into `trash/` of the state directory, deleted in
/// the background, with whatever an earlier process did not finish deleting. Saves nothing;
/// ask [`has_unsaved`] first. Only what lies in the job's own directory is touched.
pub fn remove(job_dir: &Path) -> Result<()> {
    let trash = state_home(job_dir).join("trash");
    let job = job_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for name in ["worktree", "carry", "objects"] {
        let path = job_dir.join(name);
        if !fs::is_there(&path) {
            continue;
        }
        fs::create_dir_all(&trash).map_err(io("creating", &trash))?;
        let target = (0u32..)
            .map(|n| trash.join(format!("{job}-{name}-{}-{n}", std::process::id())))
            .find(|p| !fs::is_there(p))
            .unwrap_or_else(|| trash.join(name));
        fs::rename(&path, &target).map_err(io("renaming", &path))?;
    }
    let job_dir = job_dir.to_owned();
    std::thread::spawn(move || sweep(&job_dir));
    Ok(())
}

/// Deletes what was renamed for deletion, by this process or a dead one. Blocks.
pub fn sweep(job_dir: &Path) {
    let _ = jobfs::delete(&state_home(job_dir).join("trash"));
}

/// Deletes a tree of a job whose processes are gone, also one whose directories it closed.
pub fn delete(path: &Path) {
    let _ = jobfs::delete(path);
    let _ = fs::remove_dir(path);
}

#[cfg(test)]
#[path = "worktree_tests.rs"]
mod tests;
