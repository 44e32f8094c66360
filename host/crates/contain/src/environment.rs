//! The environment of agents and checks: an allow-list from the host's own, with a home
//! and a temporary directory of the job's own. Nothing else passes: the gateway's key is
//! in the host's environment.

use std::collections::BTreeMap;
use std::path::Path;

/// Variables that pass unchanged: where tools are, how text is shown, where toolchains and
/// their caches lie. None of them carries a credential.
const PASSED: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "SHELL",
    "USER",
    "LOGNAME",
    // Certificates of the machine, so that package managers work where the network is open.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    // Toolchains.
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOROOT",
    "GOPATH",
    "GOMODCACHE",
    "GOFLAGS",
    "GOPROXY",
    "JAVA_HOME",
    "ANDROID_HOME",
    "NVM_DIR",
    "NVM_BIN",
    "VOLTA_HOME",
    "PNPM_HOME",
    "PYENV_ROOT",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "RBENV_ROOT",
    "GEM_HOME",
    "GEM_PATH",
    "DOTNET_ROOT",
    "NIX_PATH",
    "LD_LIBRARY_PATH",
    "PKG_CONFIG_PATH",
    "CC",
    "CXX",
];

/// Toolchains that look for themselves in the home directory: variable, its place there.
/// The job's home is another one, so the variable is set where the place exists.
const FROM_HOME: &[(&str, &str)] =
    &[("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"), ("GOPATH", "go"), ("PYENV_ROOT", ".pyenv")];

/// The environment for a job's processes, from `get` (a variable of the host) and the
/// user's own home. Pure but for looking whether the toolchains of the home exist.
pub fn build(
    get: impl Fn(&str) -> Option<String>,
    user_home: Option<&Path>,
    home: &Path,
    tmp: &Path,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for name in PASSED {
        if let Some(value) = get(name) {
            env.insert((*name).to_owned(), value);
        }
    }
    for (name, place) in FROM_HOME {
        if env.contains_key(*name) {
            continue;
        }
        if let Some(path) = user_home.map(|home| home.join(place)).filter(|path| path.is_dir()) {
            env.insert((*name).to_owned(), path.to_string_lossy().into_owned());
        }
    }
    env.entry("PATH".to_owned()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    env.insert("HOME".to_owned(), home.to_string_lossy().into_owned());
    env.insert("TMPDIR".to_owned(), tmp.to_string_lossy().into_owned());
    env.insert("TERM".to_owned(), "dumb".to_owned());
    env
}

/// [`build`] from this process's environment.
pub fn of_host(home: &Path, tmp: &Path) -> BTreeMap<String, String> {
    build(variable, user_home().as_deref(), home, tmp)
}

/// The home of the user who runs the host.
pub(crate) fn user_home() -> Option<std::path::PathBuf> {
    directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned())
}

/// The value of a variable on the allow-list, of this process.
#[allow(
    clippy::disallowed_methods,
    reason = "only names of the allow-list pass; none is a setting of the host"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_allow_list_passes() {
        let host = |name: &str| match name {
            "PATH" => Some("/opt/bin:/bin".to_owned()),
            "ONEAPI_API_KEY" | "AWS_SECRET_ACCESS_KEY" => Some("secret".to_owned()),
            _ => None,
        };
        let env = build(host, None, Path::new("/j/home"), Path::new("/j/tmp"));
        let flat: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(flat, ["HOME=/j/home", "PATH=/opt/bin:/bin", "TERM=dumb", "TMPDIR=/j/tmp"]);
    }
}
