//! Where credentials usually are. What a contained tree reads is an allow-list (see
//! [`view`](super::view)); these places stay hidden from it even where an allowed or a
//! writable directory holds them.

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
    // Our own: the settings may hold the gateway's key, and the receipts' key is beside them.
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
    ".config/pypoetry/auth.toml",
    ".local/share/uv/credentials",
    ".hex/hex.config",
    ".config/dart",
    ".bundle/config",
    ".m2/settings.xml",
    ".m2/settings-security.xml",
    ".ivy2/.credentials",
    ".sbt/.credentials",
    ".config/helm/registry",
    ".config/age",
    ".config/nuget",
    ".local/share/pnpm/auth.ini",
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
    "/etc/security/opasswd",
    "/etc/krb5.keytab",
    "/etc/ssh/ssh_host_dsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/NetworkManager/system-connections",
    "/etc/netplan",
    "/etc/wireguard",
    "/etc/openvpn",
    "/etc/ppp/chap-secrets",
    "/etc/ppp/pap-secrets",
    "/etc/pki/tls/private",
    "/etc/letsencrypt",
    "/etc/docker/key.json",
    "/etc/rancher",
    "/etc/kubernetes",
    "/etc/mysql/debian.cnf",
    "/etc/apt/auth.conf",
    "/etc/apt/auth.conf.d",
    "/var/lib/docker",
    "/var/run/docker.sock",
    "/var/snap/lxd/common/lxd",
    "/var/lib/lxd",
    "/var/lib/incus",
];

/// Variables that say where a credential is, alone or with others in a list.
const BY_VARIABLE: &[&str] = &[
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_CONFIG_DIR",
    "BOTO_CONFIG",
    "CLAUDE_CONFIG_DIR",
    "CLOUDSDK_CONFIG",
    "CODEX_HOME",
    "DOCKER_CONFIG",
    "GEMINI_CONFIG_DIR",
    "GH_CONFIG_DIR",
    "GLAB_CONFIG_DIR",
    "GNUPGHOME",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HELM_REGISTRY_CONFIG",
    "HF_TOKEN_PATH",
    "HISTFILE",
    "KRB5_KTNAME",
    "KUBECONFIG",
    "NETRC",
    "NPM_CONFIG_USERCONFIG",
    "OCI_CLI_CONFIG_FILE",
    "PASSWORD_STORE_DIR",
    "PGPASSFILE",
    "PGSERVICEFILE",
    "PIP_CONFIG_FILE",
    "RCLONE_CONFIG",
    "REGISTRY_AUTH_FILE",
    "SOPS_AGE_KEY_FILE",
    "SSH_AUTH_SOCK",
    "TF_CLI_CONFIG_FILE",
    "VAULT_CONFIG_PATH",
    "XAUTHORITY",
];

/// The places of [`IN_HOME`] below `.config`, where `XDG_CONFIG_HOME` has moved it.
fn moved_settings(get: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let Some(dir) = get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute()) else {
        return Vec::new();
    };
    IN_HOME.iter().filter_map(|name| name.strip_prefix(".config/")).map(|name| dir.join(name)).collect()
}

/// The places that variables name. One that names a home, or what holds it, names no
/// credential.
fn by_variable(get: &dyn Fn(&str) -> Option<String>, home: Option<&Path>) -> Vec<PathBuf> {
    let real = home.and_then(|home| home.canonicalize().ok());
    let broad = |path: &Path| home.into_iter().chain(real.as_deref()).any(|home| home.starts_with(path));
    let values = BY_VARIABLE.iter().filter_map(|name| get(name).or_else(|| get(&name.to_ascii_lowercase())));
    values
        .flat_map(|value| std::env::split_paths(&value).collect::<Vec<_>>())
        .filter(|path| path.is_absolute() && !broad(path))
        .collect()
}

/// The always-hidden places that exist, and `extra`, each resolved, none twice. `get` gives
/// a variable of the host.
pub fn existing(
    user_home: Option<&Path>,
    get: &dyn Fn(&str) -> Option<String>,
    extra: &[PathBuf],
) -> Vec<Hide> {
    let of_home = user_home.into_iter().flat_map(|home| IN_HOME.iter().map(move |name| home.join(name)));
    let system = SYSTEM.iter().map(PathBuf::from);
    let mut found: Vec<Hide> = of_home
        .chain(system)
        .chain(moved_settings(get))
        .chain(by_variable(get, user_home))
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
        std::fs::create_dir_all(home.join("moved/gh")).expect("writable");
        std::fs::write(home.join("kube"), "x").expect("writable");
        let get = |name: &str| match name {
            "XDG_CONFIG_HOME" => Some(home.join("moved").display().to_string()),
            "KUBECONFIG" => Some(format!("{0}/absent:{0}/kube", home.display())),
            "GNUPGHOME" => Some(home.display().to_string()),
            _ => None,
        };
        let found = existing(Some(&home), &get, &[home.join("absent")]);
        let mine: Vec<_> = found.iter().filter(|hide| hide.path.starts_with(&home)).collect();
        assert!(mine.contains(&&Hide { path: home.join(".netrc"), is_dir: false }), "{mine:?}");
        #[cfg(unix)]
        assert!(mine.contains(&&Hide { path: home.join("real"), is_dir: true }), "{mine:?}");
        assert!(mine.contains(&&Hide { path: home.join("moved/gh"), is_dir: true }), "{mine:?}");
        assert!(mine.contains(&&Hide { path: home.join("kube"), is_dir: false }), "{mine:?}");
        assert!(!mine.iter().any(|hide| hide.path == home), "{mine:?}");
    }
}
