//! Names of one tree in texts that are about another: where the job's tree cannot be shown at
//! the user's own path, that path is rewritten in what the agent and the shell are told, and
//! back in what they say.

use std::path::{Path, PathBuf};

/// Pairs of directories: as the user names one, and where it is for the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renames(Vec<(PathBuf, PathBuf)>);

impl Renames {
    /// From pairs of the user's directory and the job's. Those whose names are no text are
    /// left out: nobody writes them in one.
    pub fn new(pairs: impl IntoIterator<Item = (PathBuf, PathBuf)>) -> Self {
        let text = |path: &PathBuf| path.to_str().is_some_and(|text| text.len() > 1);
        let mut pairs: Vec<_> = pairs.into_iter().filter(|(user, job)| text(user) && text(job)).collect();
        // The deepest first: it decides where one is inside another.
        pairs.sort_by_key(|(user, _)| std::cmp::Reverse(user.components().count()));
        Renames(pairs)
    }

    /// The user's directories and the job's.
    pub fn pairs(&self) -> &[(PathBuf, PathBuf)] {
        &self.0
    }

    /// A text of the user's as the job must read it.
    pub fn to_job(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (user, job)| replaced(text, user, job))
    }

    /// A text of the job's as the user must read it.
    pub fn to_user(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (user, job)| replaced(text, job, user))
    }
}

/// `text` with `to` where `from` is a path or the beginning of one.
fn replaced(text: String, from: &Path, to: &Path) -> String {
    let (Some(from), Some(to)) = (from.to_str(), to.to_str()) else { return text };
    if !text.contains(from) {
        return text;
    }
    let (mut done, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some(at) = rest.find(from) {
        let (before, found) = rest.split_at(at);
        let after = &found[from.len()..];
        done.push_str(before);
        done.push_str(if begins(&done) && ends(after) { to } else { from });
        rest = after;
    }
    done + rest
}

/// A path may begin behind `before`.
fn begins(before: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "_-.~/".contains(c);
    before.ends_with("://") || !before.ends_with(part)
}

/// A name ends before `after`: at a separator, or at a sign that ends a sentence.
fn ends(after: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "_-~".contains(c);
    match after.strip_prefix('.') {
        Some(after) => !after.starts_with(|c: char| part(c) || c == '.'),
        None => !after.starts_with(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_nothing_else() {
        let pair = |user: &str, job: &str| (PathBuf::from(user), PathBuf::from(job));
        let names = Renames::new([pair("/w/repo", "/s/7/tree"), pair("/w/repo/sub", "/s/7/sub")]);
        for (user, job) in [
            ("edit /w/repo/src/a.rs, please", "edit /s/7/tree/src/a.rs, please"),
            ("cd /w/repo && make", "cd /s/7/tree && make"),
            ("look into /w/repo.", "look into /s/7/tree."),
            ("`/w/repo`, (/w/repo) and \"/w/repo\":3", "`/s/7/tree`, (/s/7/tree) and \"/s/7/tree\":3"),
            ("file:///w/repo/x -I/w/repo", "file:///s/7/tree/x -I/w/repo"),
            ("/w/repo/sub/x", "/s/7/sub/x"),
            (
                "/w/repo2 /w/repo.bak /w/repo-x /w/repo_y /a/w/repo ~/w/repo",
                "/w/repo2 /w/repo.bak /w/repo-x /w/repo_y /a/w/repo ~/w/repo",
            ),
            ("PYTHONPATH=/w/repo:/w/repo/src", "PYTHONPATH=/s/7/tree:/s/7/tree/src"),
            ("", ""),
        ] {
            assert_eq!(names.to_job(user), job);
            assert_eq!(names.to_user(job), user);
        }
    }
}
