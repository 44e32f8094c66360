//! The direction of the crates: `docs/architecture.md` has the table, the manifests must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

type Edges = BTreeMap<String, BTreeSet<String>>;

/// `| `crate` | `known`, `known` | … |` of the table of crates.
fn documented(text: &str) -> Edges {
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    text.lines()
        .skip_while(|line| *line != "| crate | knows | owns |")
        .skip(2)
        .map_while(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            let name = cells.get(1)?.split('`').nth(1)?;
            Some((name.to_owned(), names(cells.get(2)?)))
        })
        .collect()
}

/// The normal dependencies between the packages below `host/`, by the names in the sources.
fn declared(root: &Path) -> Edges {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).expect("cargo prints JSON");
    let host = root.join("host");
    let in_host = |path: &str| Path::new(path).starts_with(&host);
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .filter(|package| package["manifest_path"].as_str().is_some_and(in_host))
        .map(|package| {
            let folder = Path::new(package["manifest_path"].as_str().expect("a path")).parent();
            let folder = folder.and_then(Path::file_name).expect("a folder").to_string_lossy();
            let name = if folder == "host" { "codex-worker".into() } else { folder };
            let known = package["dependencies"].as_array().expect("dependencies").iter();
            let known = known
                .filter(|dependency| dependency["kind"].is_null())
                .filter(|dependency| dependency["path"].as_str().is_some_and(in_host))
                .map(|dependency| {
                    let name = dependency["rename"].as_str().or(dependency["name"].as_str());
                    name.expect("a name").to_owned()
                });
            (name.into_owned(), known.collect())
        })
        .collect()
}

#[test]
fn crates_know_each_other_as_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root");
    let text = std::fs::read_to_string(root.join("docs/architecture.md")).expect("the table");
    let documented = documented(&text);
    assert!(documented.len() > 5, "the table of crates was not found: {documented:?}");
    assert_eq!(declared(&root), documented, "docs/architecture.md is on the right");
}

/// Clippy reads the nearest `clippy.toml` alone: the one of the crates that handle files which
/// a job can write has all that the workspace's has.
#[test]
fn crates_that_handle_job_trees_ban_what_the_workspace_bans() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a clippy.toml");
    let banned = |text: &str| -> BTreeSet<String> {
        text.lines().filter(|line| line.trim_start().starts_with("{ path")).map(str::to_owned).collect()
    };
    let whole = banned(&read("clippy.toml"));
    assert!(whole.len() > 5, "the workspace's list was not found");
    for name in ["evidence", "jobfs", "verify", "workspace"] {
        let own = banned(&read(&format!("host/crates/{name}/clippy.toml")));
        assert!(own.is_superset(&whole), "{name} lacks {:?}", whole.difference(&own));
        assert!(own.iter().any(|line| line.contains("std::fs::write")), "{name}");
    }
}
