//! Bearer tokens of MCP over HTTP: made once, shown once, kept as digests, each with the
//! directories that its holder may use.

use std::path::{Path, PathBuf};

use config::Config;
use job::artifacts::write_whole;
use model::error::{Error, Kind, Result};
use model::spec::AllowedDir;
use policy::record::digest;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// In the state directory, readable by the user alone.
const FILE: &str = "tokens.json";
const VERSION: u32 = 1;
/// Says what the text is to whoever finds it, people and secret scanners alike.
const PREFIX: &str = "cwt_";
const NAME_MAX: usize = 64;

/// What the holder of a token may touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// How its owner calls it.
    pub name: String,
    /// SHA-256 of the token.
    sha256: String,
    /// Jobs may work in these and below; empty for all of the sandbox root.
    pub dirs: Vec<PathBuf>,
    /// Milliseconds since 1970, UTC.
    pub created_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    v: u32,
    tokens: Vec<Grant>,
}

impl Grant {
    /// All of these directories are allowed.
    pub fn allows(&self, dirs: &[AllowedDir]) -> bool {
        self.dirs.is_empty()
            || dirs.iter().all(|dir| self.dirs.iter().any(|allowed| dir.path().starts_with(allowed)))
    }

    /// Two grants of the same token.
    pub fn id(&self) -> &str {
        &self.sha256
    }
}

/// Every token, oldest first.
pub fn list(home: &Path) -> Result<Vec<Grant>> {
    let path = home.join(FILE);
    let fault = |what: String| {
        Error::new(Kind::Environment, format!("failed to read {}: {what}", path.display()))
            .hint("move the file away to begin without tokens")
    };
    let text = match jobfs::own::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fault(error.to_string())),
    };
    let kept: Kept = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
    if kept.v != VERSION {
        return Err(fault(format!("this version cannot read version {}", kept.v)));
    }
    Ok(kept.tokens)
}

/// Makes a token; its text is given here and kept nowhere.
pub fn new(config: &Config, name: &str, dirs: &[PathBuf]) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
        return Err(Error::new(Kind::Usage, format!("{name:?} is no name of a token"))
            .hint("use up to 64 letters, digits, `-`, `_` and `.`"));
    }
    let sandbox = super::parse::sandbox_root(config)?;
    let forbidden = super::parse::forbidden(config);
    let dirs: Vec<PathBuf> = dirs
        .iter()
        .map(|dir| {
            let resolved = workspace::root::resolve(&dir.to_string_lossy(), sandbox, &forbidden)?;
            Ok(resolved.path().to_owned())
        })
        .collect::<Result<_>>()?;
    let random = model::hex::random(32)
        .map_err(|error| Error::new(Kind::Environment, format!("no random numbers: {error}")))?;
    let token = format!("{PREFIX}{random}");
    let grant = Grant {
        name: name.to_owned(),
        sha256: digest(&token),
        dirs,
        created_ms: job::identity::now().wall_ms,
    };
    change(&config.home, |tokens| {
        if tokens.iter().any(|known| known.name == name) {
            return Err(Error::new(Kind::Usage, format!("there is a token {name} already"))
                .hint(format!("choose another name, or `codex-worker token revoke {name}` first")));
        }
        tokens.push(grant);
        Ok(())
    })?;
    Ok(token)
}

/// Takes a token back. A server notices within seconds.
pub fn revoke(home: &Path, name: &str) -> Result<()> {
    change(home, |tokens| {
        let before = tokens.len();
        let names: Vec<String> = tokens.iter().map(|known| known.name.clone()).collect();
        tokens.retain(|known| known.name != name);
        if tokens.len() < before {
            return Ok(());
        }
        let error = Error::new(Kind::NotFound, format!("there is no token {name}"));
        Err(match config::nearest(name, names.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint("`codex-worker token list` names them"),
        })
    })
}

/// The grant of a token's text; none if it is not known.
pub fn find(tokens: &[Grant], token: &str) -> Option<Grant> {
    // The digest of what was sent is compared: the time that takes tells nothing of the token.
    let sent = digest(token);
    tokens.iter().find(|known| known.sha256 == sent).cloned()
}

fn change(home: &Path, edit: impl FnOnce(&mut Vec<Grant>) -> Result<()>) -> Result<()> {
    let path = home.join(FILE);
    let fault = |error: std::io::Error| {
        Error::new(Kind::Environment, format!("failed to write {}: {error}", path.display()))
    };
    job::paths::create_private(home).map_err(fault)?;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(home.join("tokens.lock")).map_err(fault)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| fault(error.into()))?;
    let mut tokens = list(home)?;
    edit(&mut tokens)?;
    let kept = Kept { v: VERSION, tokens };
    let text = serde_json::to_string_pretty(&kept).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
    write_whole(&path, (text + "\n").as_bytes()).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_kept_as_digests_and_can_be_taken_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("its path");
        for sub in ["code/a/deep", "code/b", "state"] {
            std::fs::create_dir_all(root.join(sub)).expect("made");
        }
        let home = root.join("state");
        let mut config = Config::for_tests(&home);
        config.sandbox_root = None;
        assert!(new(&config, "x", &[]).is_err(), "no sandbox root");
        config.sandbox_root = Some(root.join("code"));
        let token = new(&config, "ci", &[root.join("code/a")]).expect("made");
        let kept = std::fs::read_to_string(home.join(FILE)).expect("kept");
        assert!(token.starts_with(PREFIX) && token.len() == 68 && !kept.contains(&token[4..]), "{kept}");
        let tokens = list(&home).expect("read");
        let grant = find(&tokens, &token).expect("known");
        let allowed = |path: &str| grant.allows(&[AllowedDir::resolved(root.join(path))]);
        assert_eq!(["code/a", "code/a/deep", "code/b", "code"].map(allowed), [true, true, false, false]);
        assert!(find(&tokens, &token[..67]).is_none() && find(&tokens, "").is_none());
        for (name, dirs) in [("ci", vec![]), ("", vec![]), ("a b", vec![]), ("out", vec![root.join("state")])]
        {
            assert!(new(&config, name, &dirs).is_err(), "{name:?}");
        }
        new(&config, "all", &[]).expect("made");
        assert!(revoke(&home, "al").expect_err("unknown").to_string().contains("did you mean all?"));
        revoke(&home, "ci").expect("revoked");
        let tokens = list(&home).expect("read");
        assert!(find(&tokens, &token).is_none());
        assert!(tokens[0].allows(&[AllowedDir::resolved(root.join("code/b"))]));
    }
}
