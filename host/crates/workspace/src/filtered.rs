//! Files between which and git a filter of the user's stands (git-lfs, git-crypt), on their
//! way into a commit. Filters are programs of the user's that need the user's keys and stores,
//! so none is run: an unchanged file keeps git's own form of it, and a changed one is left out
//! and named.

use std::collections::{BTreeMap, BTreeSet};

use jobfs::own as fs;

use evidence::attributes::Filtered;
use evidence::git::{Input, split_z};
use evidence::root::{Root, index_line};
use evidence::shadow::Shadow;

/// `tree` of the root as it may be published, and the files that it then lacks, or has as
/// before, with their filters. `start` is the root's tree before the job.
pub(super) fn published(
    shadow: &Shadow,
    root: &Root,
    tree: &str,
    start: &str,
) -> evidence::Result<(String, BTreeMap<Vec<u8>, String>)> {
    let index = shadow.git_dir.join(format!("filtered.{}", std::process::id()));
    let _ = fs::remove_file(&index);
    let done = published_by(shadow, root, tree, start, &index);
    let _ = fs::remove_file(&index);
    done
}

fn published_by(
    shadow: &Shadow,
    root: &Root,
    tree: &str,
    start: &str,
    index: &std::path::Path,
) -> evidence::Result<(String, BTreeMap<Vec<u8>, String>)> {
    let git = |verb: &str| shadow.reading(verb).index(index).work_tree(&shadow.git_dir);
    git("read-tree").arg(tree).output()?;
    let listed = git("ls-files").args(["-s", "-z"]).output()?;
    let now: BTreeMap<Vec<u8>, (String, String)> =
        split_z(&listed).map(index_line).collect::<evidence::Result<_>>()?;
    let names: BTreeSet<Vec<u8>> =
        now.iter().filter(|(_, (mode, _))| mode.starts_with("100")).map(|(name, _)| name.clone()).collect();
    // By the attributes before the job and by those that it left: taking a line away publishes
    // nothing.
    let mut filters: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    let trees: BTreeSet<&str> = [tree, start].into();
    for tree in trees {
        if let Some(attributes) = &root.attributes {
            filters.extend(attributes.filtered(shadow, tree, &names, &root.drivers)?);
        }
    }
    let known: BTreeMap<&Vec<u8>, &Filtered> = root.filtered.iter().map(|file| (&file.name, file)).collect();
    let of_start = root.filtered.iter().map(|file| (file.name.clone(), file.driver.clone()));
    filters.extend(of_start.filter(|(name, _)| now.contains_key(name)));
    let (mut lines, mut left_out) = (Vec::new(), BTreeMap::new());
    let zero = "0".repeat(tree.len());
    for (name, driver) in filters {
        let Some((mode, id)) = now.get(&name) else { continue };
        let own = known.get(&name);
        // Moved or copied without a change: git's form of it is known.
        let same = |file: &&Filtered| file.raw == *id && file.driver == driver && file.index.is_some();
        let form = match own.filter(|file| file.raw == *id) {
            Some(file) => file.index.clone(),
            None => {
                let other = root.filtered.iter().find(same).and_then(|file| file.index.as_ref());
                other.map(|(_, id)| (mode.clone(), id.clone()))
            }
        };
        if form.is_none() {
            left_out.insert(name.clone(), driver);
        }
        let line = match form.or_else(|| own.and_then(|file| file.index.clone())) {
            Some((mode, id)) => format!("{mode} {id}\t"),
            None => format!("0 {zero}\t"),
        };
        lines.extend([line.as_bytes(), &name, b"\0"].concat());
    }
    git("update-index").args(["-z", "--index-info"]).output_with(Input::Bytes(lines))?;
    Ok((git("write-tree").arg("--missing-ok").line()?, left_out))
}
