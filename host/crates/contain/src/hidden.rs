//! Where credentials usually lie. These places are hidden from every contained tree that
//! has a file system of its own view, whatever the job asks for.

use std::path::{Path, PathBuf};

/// A place to hide, links resolved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hide {
    /// The resolved path; it exists.
    pub path: PathBuf,
    /// It is a directory (else a file).
    pub is_dir: bool,
}

/// Below the user's home.
const IN_HOME: &[&str] = &[
    ".ssh",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".gnupg",
    ".netrc",
    "_netrc",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".pypirc",
    ".git-credentials",
    ".claude",
    ".claude.json",
    ".codex",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".gem/credentials",
    ".terraform.d",
    ".terraformrc",
    ".vault-token",
    ".password-store",
    ".pgpass",
    ".my.cnf",
    ".boto",
    ".s3cfg",
    ".oci",
    ".databrickscfg",
    ".config/gh",
    ".config/gcloud",
    ".config/hub",
    ".config/glab-cli",
    ".config/git/credentials",
    ".config/op",
    ".config/rclone",
    // Our own: the settings may hold the gateway's key, and beside them the receipts' key lies.
    ".config/codex-worker",
    ".config/flyctl",
    ".fly",
    ".config/composer/auth.json",
    ".composer/auth.json",
    ".config/github-copilot",
    ".config/configstore",
    ".config/1Password",
    ".config/Bitwarden",
    ".config/Signal",
    ".config/Slack",
    ".config/microsoft-edge",
    ".config/vivaldi",
    ".config/pip",
    ".pip",
    ".gradle/gradle.properties",
    ".nuget/NuGet/NuGet.Config",
    ".kaggle",
    ".huggingface",
    ".cache/huggingface/token",
    ".gemini",
    ".wrangler",
    ".vercel",
    ".thunderbird",
    "snap/firefox/common/.mozilla",
    "snap/chromium/common",
    ".config/sops",
    ".config/doctl",
    ".config/containers/auth.json",
    ".config/google-chrome",
    ".config/chromium",
    ".config/BraveSoftware",
    ".mozilla",
    ".local/share/keyrings",
    ".local/share/kwalletd",
    ".gnome2/keyrings",
    ".bash_history",
    ".zsh_history",
    ".python_history",
    ".node_repl_history",
    ".psql_history",
    "Library/Keychains",
];

/// Anywhere on the machine; readable for a host that runs as root.
const SYSTEM: &[&str] = &[
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/ssl/private",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/root/.ssh",
    "/root/.aws",
    "/root/.docker",
    "/root/.kube",
    "/root/.netrc",
    "/var/lib/docker",
    "/var/run/docker.sock",
    "/var/snap/lxd/common/lxd",
    "/var/lib/lxd",
    "/var/lib/incus",
];

/// The always-hidden places that exist, and `extra`, each resolved, none twice.
pub fn existing(user_home: Option<&Path>, extra: &[PathBuf]) -> Vec<Hide> {
    let of_home = user_home.into_iter().flat_map(|home| IN_HOME.iter().map(move |name| home.join(name)));
    let system = SYSTEM.iter().map(PathBuf::from);
    let mut found: Vec<Hide> = of_home
        .chain(system)
        .chain(extra.iter().cloned())
        .filter_map(|path| {
            let path = path.canonicalize().ok()?;
            let is_dir = path.metadata().ok()?.is_dir();
            Some(Hide { path, is_dir })
        })
        // The root itself can only come from a broken setting; hiding it would hide all.
        .filter(|hide| hide.path.parent().is_some())
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_exists_and_links_resolved() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let home = dir.path().canonicalize().expect("resolves");
        std::fs::create_dir(home.join("real")).expect("writable");
        std::fs::write(home.join(".netrc"), "x").expect("writable");
        #[cfg(unix)]
        std::os::unix::fs::symlink("real", home.join(".ssh")).expect("writable");
        let found = existing(Some(&home), &[home.join("absent")]);
        let mine: Vec<_> = found.iter().filter(|hide| hide.path.starts_with(&home)).collect();
        assert!(mine.contains(&&Hide { path: home.join(".netrc"), is_dir: false }), "{mine:?}");
        #[cfg(unix)]
        assert!(mine.contains(&&Hide { path: home.join("real"), is_dir: true }), "{mine:?}");
    }
}
