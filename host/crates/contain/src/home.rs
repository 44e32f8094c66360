//! What the home of a job gets before its command starts: links to the user's toolchains and
//! caches, and a `.gitconfig` with the user's identity. The helper does it on the thread that
//! is bound by the rules, so that a link in the home leads nowhere else.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::toolchains::Kind;
use super::view::HomeLink;

/// Entries of one place that are linked one by one.
const MAX_ENTRIES: usize = 2_000;

/// What is made where nothing is yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Furniture {
    /// Links to places of the user's.
    pub links: Vec<HomeLink>,
    /// Files with their content.
    pub files: Vec<(PathBuf, String)>,
}

impl Furniture {
    /// Makes all of it. What cannot be made is left out: the command runs without.
    pub fn make(&self) {
        for link in &self.links {
            match link.kind {
                Kind::Link => make_link(&link.at, &link.to),
                Kind::Entries => {
                    let entries = std::fs::read_dir(&link.to).into_iter().flatten().flatten();
                    for entry in entries.take(MAX_ENTRIES) {
                        make_link(&link.at.join(entry.file_name()), &entry.path());
                    }
                }
                Kind::Empty => {
                    let _ = std::fs::create_dir_all(&link.at);
                }
            }
        }
        for (path, text) in &self.files {
            let new = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
            if let Ok(mut file) = new {
                let _ = std::io::Write::write_all(&mut file, text.as_bytes());
            }
        }
    }
}

fn make_link(at: &std::path::Path, to: &std::path::Path) {
    if let Some(above) = at.parent() {
        let _ = std::fs::create_dir_all(above);
    }
    // It fails where something is already: the job's own wins.
    let _ = std::os::unix::fs::symlink(to, at);
}
