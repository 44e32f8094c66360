//! Where toolchains, their packages and their caches are: a table of the user's variables and
//! their defaults. A contained tree reads these places and nothing else of the home directory.
//!
//! A job has a home of its own. What a tool finds by a variable is handed over by that
//! variable; what it finds only below `$HOME` is linked into the job's home.

use std::path::{Path, PathBuf};

/// How a place is handed to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    /// The variable is set to the place. For programs: reading is enough.
    Variable,
    /// Linked at the same name in the job's home.
    Link,
    /// Linked at the same name in the job's home. For caches: only while the network is
    /// closed, since a tool that downloads must be able to write its own.
    Cache,
    /// As [`Hand::Cache`], but the directory is made and its entries are linked: the tool
    /// writes files of its own beside them.
    Entries,
    /// As [`Hand::Cache`], but the directory is made and left empty: the tool must write
    /// there, and finds the place by a setting of its own.
    Own,
    /// Readable only: other names lead there.
    Read,
}

use Hand::{Cache, Entries, Link, Own, Read, Variable};

/// The variable that moves the place (empty: none), its default below the home directory,
/// how it is handed over, and the names of credentials inside.
type Row = (&'static str, &'static str, Hand, &'static [&'static str]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // Rust.
    ("CARGO_HOME", ".cargo", Variable, &["credentials", "credentials.toml"]),
    ("RUSTUP_HOME", ".rustup", Variable, &[]),
    // JavaScript.
    ("NVM_DIR", ".nvm", Variable, &[]),
    ("FNM_DIR", ".local/share/fnm", Variable, &[]),
    ("VOLTA_HOME", ".volta", Variable, &[]),
    ("N_PREFIX", "n", Read, &[]),
    ("PNPM_HOME", ".local/share/pnpm", Variable, &[]),
    ("NPM_CONFIG_PREFIX", ".npm-global", Read, &["etc/npmrc"]),
    ("NPM_CONFIG_CACHE", ".npm/_cacache", Cache, &[]),
    ("", ".npm-packages", Read, &[]),
    ("", ".pnpm-store", Cache, &[]),
    ("YARN_CACHE_FOLDER", ".cache/yarn", Cache, &[]),
    ("YARN_GLOBAL_FOLDER", ".yarn/berry", Cache, &[]),
    ("", ".yarn/bin", Read, &[]),
    ("", ".config/yarn/global", Read, &[]),
    ("COREPACK_HOME", ".cache/node/corepack", Cache, &[]),
    ("", ".cache/node-gyp", Cache, &[]),
    ("", ".bun/bin", Read, &[]),
    ("BUN_INSTALL_CACHE_DIR", ".bun/install/cache", Cache, &[]),
    ("", ".bun/install/global", Read, &[]),
    ("DENO_INSTALL_ROOT", ".deno", Read, &[]),
    ("DENO_DIR", ".cache/deno", Entries, &[]),
    ("PLAYWRIGHT_BROWSERS_PATH", ".cache/ms-playwright", Cache, &[]),
    ("PUPPETEER_CACHE_DIR", ".cache/puppeteer", Cache, &[]),
    ("CYPRESS_CACHE_FOLDER", ".cache/Cypress", Cache, &[]),
    ("ELECTRON_CACHE", ".cache/electron", Cache, &[]),
    // Python.
    ("PYTHONUSERBASE", ".local/lib", Link, &[]),
    ("PYENV_ROOT", ".pyenv", Variable, &[]),
    ("PIP_CACHE_DIR", ".cache/pip", Cache, &[]),
    ("UV_CACHE_DIR", ".cache/uv", Entries, &[]),
    ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", Link, &[]),
    ("UV_TOOL_DIR", ".local/share/uv/tools", Link, &[]),
    ("POETRY_CACHE_DIR", ".cache/pypoetry", Entries, &[]),
    ("", ".local/share/pypoetry", Read, &[]),
    ("WORKON_HOME", ".local/share/virtualenvs", Link, &[]),
    ("", ".virtualenvs", Link, &[]),
    ("PIPX_HOME", ".local/share/pipx", Read, &[]),
    ("", ".local/pipx", Read, &[]),
    ("PRE_COMMIT_HOME", ".cache/pre-commit", Cache, &[]),
    ("", "miniconda3", Link, &[]),
    ("", "miniforge3", Link, &[]),
    ("", "mambaforge", Link, &[]),
    ("", "anaconda3", Link, &[]),
    ("MAMBA_ROOT_PREFIX", "micromamba", Variable, &[]),
    ("", ".conda/pkgs", Cache, &[]),
    ("", ".conda/envs", Link, &[]),
    ("NLTK_DATA", "nltk_data", Variable, &[]),
    ("", ".cache/torch/hub", Cache, &[]),
    // Go.
    ("GOPATH", "go", Variable, &[]),
    ("", "sdk", Read, &[]),
    ("", ".local/go", Read, &[]),
    // Java and its like. The settings beside the repositories hold passwords.
    ("", ".m2/repository", Cache, &[]),
    ("", ".m2/wrapper", Cache, &[]),
    ("", ".gradle/caches", Own, &[]),
    ("", ".gradle/caches/modules-2/files-2.1", Cache, &[]),
    ("", ".gradle/wrapper/dists", Cache, &[]),
    ("", ".gradle/jdks", Cache, &[]),
    ("SDKMAN_DIR", ".sdkman", Link, &[]),
    ("", ".jenv", Read, &[]),
    ("", ".jdks", Read, &[]),
    ("", ".jbang", Read, &[]),
    ("KONAN_DATA_DIR", ".konan", Cache, &[]),
    ("ANDROID_HOME", "Android/Sdk", Variable, &[]),
    ("COURSIER_CACHE", ".cache/coursier", Link, &[]),
    ("", ".local/share/coursier", Read, &[]),
    ("", ".ivy2/cache", Cache, &[]),
    ("", ".ivy2/local", Cache, &[]),
    ("", ".sbt/boot", Cache, &[]),
    ("", ".sbt/launchers", Cache, &[]),
    // .NET.
    ("DOTNET_ROOT", ".dotnet", Variable, &["corefx"]),
    ("NUGET_PACKAGES", ".nuget/packages", Cache, &[]),
    // PHP.
    ("COMPOSER_CACHE_DIR", ".cache/composer", Cache, &[]),
    ("", ".composer/cache", Cache, &[]),
    ("", ".composer/vendor", Link, &[]),
    ("", ".config/composer/vendor", Link, &[]),
    // Ruby.
    ("RBENV_ROOT", ".rbenv", Variable, &[]),
    ("rvm_path", ".rvm", Variable, &[]),
    ("GEM_HOME", ".gem", Link, &["credentials"]),
    ("", ".local/share/gem", Link, &["credentials"]),
    ("", ".bundle/cache", Cache, &[]),
    ("", ".rubies", Read, &[]),
    // Haskell, OCaml.
    ("STACK_ROOT", ".stack", Entries, &["upload"]),
    ("", ".cabal/packages", Cache, &[]),
    ("", ".cabal/store", Cache, &[]),
    ("", ".cache/cabal/packages", Cache, &[]),
    ("", ".local/state/cabal/store", Cache, &[]),
    ("", ".ghcup", Link, &[]),
    ("OPAMROOT", ".opam", Variable, &[]),
    // Elixir and Erlang.
    ("", ".hex/packages", Cache, &[]),
    ("", ".hex/cache.ets", Cache, &[]),
    ("MIX_HOME", ".mix", Link, &[]),
    ("", ".cache/rebar3", Entries, &["hex.config"]),
    // Dart, Flutter, Swift, R, Julia, Perl, Lua, Nim, Elm, Zig, Crystal.
    ("PUB_CACHE", ".pub-cache", Cache, &["credentials.json"]),
    ("FLUTTER_ROOT", "flutter", Variable, &[]),
    ("", "fvm", Read, &[]),
    ("", ".cache/org.swift.swiftpm", Cache, &[]),
    ("", ".local/share/swiftly", Read, &[]),
    ("R_LIBS_USER", "R", Link, &[]),
    ("JULIA_DEPOT_PATH", ".julia", Entries, &["servers"]),
    ("", ".juliaup", Read, &[]),
    ("PERL_LOCAL_LIB_ROOT", "perl5", Variable, &[]),
    ("", ".luarocks", Link, &["upload_config.lua"]),
    ("", ".nimble", Link, &[]),
    ("", ".choosenim", Read, &[]),
    ("ELM_HOME", ".elm", Entries, &[]),
    ("", ".cache/zig", Cache, &[]),
    ("", ".cache/shards", Cache, &[]),
    // Several languages.
    ("ASDF_DATA_DIR", ".asdf", Variable, &[]),
    ("MISE_DATA_DIR", ".local/share/mise", Variable, &[]),
    ("CCACHE_DIR", ".cache/ccache", Read, &[]),
    ("", ".ccache", Read, &[]),
    ("", ".cache/bazelisk", Cache, &[]),
    ("TF_PLUGIN_CACHE_DIR", ".terraform.d/plugin-cache", Read, &[]),
    ("", ".local/bin", Link, &[]),
    ("", ".nix-profile", Link, &[]),
    ("", ".local/state/nix", Read, &[]),
];

/// What is made in a job's home for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A link to it.
    Link,
    /// A directory with links to its entries.
    Entries,
    /// An empty directory.
    Empty,
}

/// One place that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is; not resolved.
    pub place: PathBuf,
    /// Its credentials, if they are there.
    pub secrets: Vec<PathBuf>,
    /// The variable to hand over, and its value.
    pub variable: Option<(&'static str, PathBuf)>,
    /// The name below the job's home at which it is linked.
    pub link: Option<&'static str>,
    /// The link is for a tree whose network is closed.
    pub cache: bool,
    /// What is made there.
    pub kind: Kind,
}

/// The places that exist, by the user's variables and the defaults below `home`.
pub fn existing(get: &dyn Fn(&str) -> Option<String>, home: Option<&Path>) -> Vec<Found> {
    TABLE.iter().filter_map(|row| find(row, get, home)).collect()
}

/// A variable, in capitals as it is written or in small letters as npm writes it.
fn value(name: &str, get: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let value = get(name).or_else(|| get(&name.to_ascii_lowercase()))?;
    Some(PathBuf::from(value)).filter(|path| path.is_absolute())
}

fn find(row: &Row, get: &dyn Fn(&str) -> Option<String>, home: Option<&Path>) -> Option<Found> {
    let (name, below, hand, secrets) = *row;
    let set = (!name.is_empty()).then(|| value(name, get)).flatten();
    let moved = set.is_some();
    let place = match (name, set, home) {
        // Names the directory above.
        ("PYTHONUSERBASE", Some(base), _) => base.join("lib"),
        ("NPM_CONFIG_CACHE", Some(base), _) => base.join("_cacache"),
        (_, Some(place), _) => place,
        (_, None, Some(home)) => home.join(below),
        (_, None, None) => return None,
    };
    // The home itself, or what holds it, would open everything.
    if home.is_some_and(|home| home.starts_with(&place)) || !place.exists() {
        return None;
    }
    let variable = match (name, hand) {
        ("", _) => None,
        ("PYTHONUSERBASE", _) => place.parent().filter(|_| moved).map(|base| (name, base.to_owned())),
        // The cache is linked; npm writes its logs beside it.
        ("NPM_CONFIG_CACHE", _) => None,
        (_, Variable) => Some((name, place.clone())),
        // Set by the user: passed on.
        _ => moved.then(|| (name, place.clone())),
    };
    Some(Found {
        secrets: secrets.iter().map(|name| place.join(name)).filter(|path| path.exists()).collect(),
        variable,
        link: matches!(hand, Link | Cache | Entries | Own).then_some(below),
        cache: matches!(hand, Cache | Entries | Own),
        kind: match hand {
            Entries => Kind::Entries,
            Own => Kind::Empty,
            _ => Kind::Link,
        },
        place,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tool, its place below the home, what a job gets: a variable, a link, both, or nothing.
    #[test]
    fn each_tool_by_its_default_and_by_its_variable() {
        let home = tempfile::tempdir().expect("temporary directory");
        let (home, moved) = (home.path().join("u"), home.path().join("moved"));
        for (_, below, ..) in TABLE {
            std::fs::create_dir_all(home.join(below)).expect("writable");
        }
        std::fs::create_dir_all(&moved).expect("writable");
        let found = existing(&|_| None, Some(&home));
        assert_eq!(found.len(), TABLE.len(), "every default was made");
        for place in &found {
            assert!(place.place.starts_with(&home), "{place:?}");
        }
        for (name, below, ..) in TABLE.iter().filter(|(name, ..)| !name.is_empty()) {
            let get = |asked: &str| (asked == *name).then(|| moved.display().to_string());
            let here = existing(&get, Some(&home));
            let rest = ["PYTHONUSERBASE", "NPM_CONFIG_CACHE"].contains(name);
            assert_eq!(here.iter().any(|found| found.place == moved), !rest, "{name} moves {below}");
        }
    }

    #[test]
    fn a_variable_that_names_the_home_opens_nothing() {
        let home = tempfile::tempdir().expect("temporary directory");
        for value in [home.path(), home.path().parent().expect("a parent"), Path::new("/"), Path::new("go")] {
            let get = |name: &str| (name == "GOPATH").then(|| value.display().to_string());
            assert_eq!(existing(&get, Some(home.path())), [], "{}", value.display());
        }
    }

    #[test]
    fn credentials_inside_are_named() {
        let home = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir_all(home.path().join("moved")).expect("writable");
        std::fs::write(home.path().join("moved/credentials.toml"), "x").expect("writable");
        let get =
            |name: &str| (name == "CARGO_HOME").then(|| home.path().join("moved").display().to_string());
        let found = existing(&get, Some(home.path()));
        assert_eq!(found[0].secrets, [home.path().join("moved/credentials.toml")]);
    }
}
