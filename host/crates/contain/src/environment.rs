//! The environment of agents and checks: an allow-list from the one with which the host was
//! started, with a home and a temporary directory of the job's own. Nothing else passes:
//! the gateway's key was there too.

use std::collections::BTreeMap;
use std::path::Path;

use super::toolchains;

/// Variables that say where tools, toolchains and their files are. Passwords in URLs are
/// taken out; nothing else of them is a credential.
const PASSED: &[&str] = &[
    "PATH",
    "SHELL",
    // Certificates of the machine, so that package managers work where the network is open.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    // Toolchains.
    "CARGO_HOME",
    "RUSTUP_HOME",
    "GOROOT",
    "GOPATH",
    "GOMODCACHE",
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
    "NODE_PATH",
    "PYTHONPATH",
    "PERL5LIB",
    "CONDA_EXE",
    "GRADLE_HOME",
    "MAVEN_HOME",
    "M2_HOME",
    "CC",
    "CXX",
];

/// Variables of the user's that hold text, not places: an identity, a mirror.
const TEXTS: &[&str] = &[
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "USER",
    "LOGNAME",
    "RUSTUP_TOOLCHAIN",
    "GOFLAGS",
    "GOPROXY",
    "GONOPROXY",
    "GOPRIVATE",
    "GONOSUMDB",
    "GONOSUMCHECK",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
];

/// The variable holds paths that programs look at.
pub(super) fn names_places(name: &str) -> bool {
    PASSED.contains(&name) && !TEXTS.contains(&name)
}

/// The environment for a job's processes, from `get` (a variable of the host) and the
/// user's own home. Pure but for looking whether the toolchains of the home exist.
pub fn build(
    get: impl Fn(&str) -> Option<String>,
    user_home: Option<&Path>,
    home: &Path,
    tmp: &Path,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for name in PASSED.iter().chain(TEXTS) {
        if let Some(value) = get(name) {
            env.insert((*name).to_owned(), without_passwords(&value));
        }
    }
    let text = |path: &Path| path.to_string_lossy().into_owned();
    for (name, value) in
        toolchains::existing(&get, user_home).iter().filter_map(|tool| tool.variable.as_ref())
    {
        env.entry((*name).to_owned()).or_insert_with(|| text(value));
    }
    let below_home = |place: &str| user_home.map(|home| home.join(place)).filter(|path| path.is_dir());
    // Caches that their tools can use without writing to them.
    for (name, set, place) in [
        ("GRADLE_RO_DEP_CACHE", "GRADLE_USER_HOME", ".gradle/caches"),
        ("CCACHE_DIR", "CCACHE_DIR", ".ccache"),
    ] {
        let moved = get(set).map(|dir| Path::new(&dir).join(if set == name { "" } else { "caches" }));
        if let Some(path) = moved.filter(|path| path.is_dir()).or_else(|| below_home(place)) {
            env.entry(name.to_owned()).or_insert_with(|| text(&path));
        }
    }
    if env.contains_key("CCACHE_DIR") {
        env.insert("CCACHE_READONLY".to_owned(), "1".to_owned());
        env.insert("CCACHE_TEMPDIR".to_owned(), text(tmp));
    }
    env.entry("PATH".to_owned()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    env.insert("HOME".to_owned(), text(home));
    env.insert("TMPDIR".to_owned(), text(tmp));
    env.insert("TERM".to_owned(), "dumb".to_owned());
    env
}

/// The text without `user:password@` in each URL in it.
fn without_passwords(value: &str) -> String {
    let mut text = String::new();
    let mut rest = value;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        text.push_str(before);
        let end = after.find(['/', '?', '#', ',', '|', ' ', '"', '\'']).unwrap_or(after.len());
        // The last `@`: a password may hold one.
        rest = &after[after[..end].rfind('@').map_or(0, |at| at + 1)..];
    }
    text + rest
}

/// [`build`] from the host's environment.
pub fn of_host(home: &Path, tmp: &Path) -> BTreeMap<String, String> {
    let mut env = build(variable, user_home().as_deref(), home, tmp);
    if super::helper().is_none() {
        // Nobody writes the job's `.gitconfig` here. In the environment the settings win over
        // a repository's own, which is worse.
        env.extend(git_variables(git_settings()));
    }
    env
}

/// What the user's git settings say of the user, of directories of others that may be used,
/// and of new repositories. A job's home has a `.gitconfig` with these: the user's own may
/// hold secrets. Asked once in a process.
pub(super) fn git_settings() -> &'static [(String, String)] {
    static SETTINGS: std::sync::OnceLock<Vec<(String, String)>> = std::sync::OnceLock::new();
    SETTINGS.get_or_init(|| ask_git(user_home().as_deref()))
}

fn ask_git(user_home: Option<&Path>) -> Vec<(String, String)> {
    const KEYS: &str = "^(user\\.(name|email)|safe\\.directory|init\\.defaultbranch)$";
    let Some(git) = super::find_on_path("git") else { return Vec::new() };
    let mut command = std::process::Command::new(git);
    // From the root: no repository's own settings.
    command.args(["config", "--null", "--includes", "--get-regexp", KEYS]).current_dir("/").env_clear();
    for name in ["PATH", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"] {
        command.envs(variable(name).map(|value| (name, value)));
    }
    command.envs(user_home.map(|home| ("HOME", home))).env("GIT_CEILING_DIRECTORIES", "/");
    let output = command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null()).output();
    output.map(|output| parse_git(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default()
}

/// `key\nvalue\0`, as `git config --null` prints.
fn parse_git(listed: &str) -> Vec<(String, String)> {
    let pairs = listed.split('\0').filter_map(|entry| entry.split_once('\n'));
    pairs
        .filter(|(_, value)| !value.contains(char::is_control))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .take(200)
        .collect()
}

/// The settings as `GIT_CONFIG_*` variables.
fn git_variables(settings: &[(String, String)]) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (number, (key, value)) in settings.iter().enumerate() {
        env.insert(format!("GIT_CONFIG_KEY_{number}"), key.clone());
        env.insert(format!("GIT_CONFIG_VALUE_{number}"), value.clone());
        env.insert("GIT_CONFIG_COUNT".to_owned(), (number + 1).to_string());
    }
    env
}

/// The settings as a file of git's.
pub(super) fn git_file(settings: &[(String, String)]) -> String {
    let mut text = String::new();
    for (section, key, value) in settings.iter().filter_map(|(key, value)| {
        let (section, key) = key.rsplit_once('.')?;
        Some((section, key, value.replace('\\', "\\\\").replace('"', "\\\"")))
    }) {
        text.push_str(&format!("[{section}]\n\t{key} = \"{value}\"\n"));
    }
    text
}

/// The home of the user who runs the host.
pub(crate) fn user_home() -> Option<std::path::PathBuf> {
    directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned())
}

/// The value of a variable with which the host was started.
pub fn variable(name: &str) -> Option<String> {
    config::Env::of_this_process().get(name).map(str::to_owned)
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

    #[test]
    fn passwords_in_urls_do_not_pass() {
        for (value, passed) in [
            ("https://u:p@proxy.example/x,direct", "https://proxy.example/x,direct"),
            ("https://a@b:c@one,https://two|http://u:p@three/", "https://one,https://two|http://three/"),
            ("https://x/a@b?c=d@e", "https://x/a@b?c=d@e"),
            ("/opt/x:/opt/y@z", "/opt/x:/opt/y@z"),
            ("socks5h://token@proxy:1080", "socks5h://proxy:1080"),
        ] {
            assert_eq!(without_passwords(value), passed);
            let env = build(
                |name| (name == "GOPROXY").then(|| value.to_owned()),
                None,
                Path::new("/j/home"),
                Path::new("/j/tmp"),
            );
            assert_eq!(env["GOPROXY"], passed);
        }
    }

    #[test]
    fn git_settings_become_variables() {
        let settings = parse_git("user.name\nAnn \"B\0safe.directory\n*\0user.email\nx\ny\0");
        assert_eq!(git_file(&settings), "[user]\n\tname = \"Ann \\\"B\"\n[safe]\n\tdirectory = \"*\"\n");
        let env = git_variables(&settings);
        let flat: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            flat,
            [
                "GIT_CONFIG_COUNT=2",
                "GIT_CONFIG_KEY_0=user.name",
                "GIT_CONFIG_KEY_1=safe.directory",
                "GIT_CONFIG_VALUE_0=Ann \"B",
                "GIT_CONFIG_VALUE_1=*",
            ]
        );
    }
}
