//! Where the gateway's key comes from when it is no setting itself: another variable, or a file
//! that only its owner can read.

use std::path::Path;

use super::env::Env;
use super::load::{Source, Value, Values};
use model::error::{Error, Kind, Result};

/// A key is not longer than this.
const MAX: u64 = 64 << 10;

/// Fills `gateway.api_key` from `gateway.api_key_env`, else from `gateway.api_key_file`.
pub(super) fn resolve(values: &mut Values, env: &Env) -> Result<()> {
    if values.0.contains_key("gateway.api_key") {
        return Ok(());
    }
    let named = values.text("gateway.api_key_env");
    let found = match named.as_deref().and_then(|name| Some((name, env.get(name)?))) {
        Some((name, key)) => Some((key.trim().to_owned(), Source::Environment(name.to_owned()))),
        None => match values.path("gateway.api_key_file") {
            Some(file) => Some((read(&file)?, Source::File(file))),
            None => None,
        },
    };
    if let Some((key, source)) = found {
        values.0.insert("gateway.api_key", (Value::Text(key), source));
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    let named = |what: String| Error::new(Kind::Config, format!("gateway.api_key_file {what}"));
    let metadata = std::fs::metadata(file).map_err(|error| {
        named(format!("names {}: {error}", file.display()))
            .hint("write the key into that file, or run `codex-worker setup --key file`")
    })?;
    if !metadata.is_file() || metadata.len() > MAX {
        return Err(named(format!("names {}, which is no file with a key", file.display()))
            .hint("name a file that holds the key and nothing else"));
    }
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        return Err(named(format!("names {}, which other users may read or write", file.display()))
            .hint(format!("chmod 600 {}", file.display())));
    }
    let text = jobfs::own::text_at_most(file, MAX)
        .map_err(|error| named(format!("names {}: {error}", file.display())).hint("let this user read it"))?;
    match text.trim() {
        "" => Err(named(format!("names {}, which is empty", file.display())).hint("write the key into it")),
        key if key.contains(char::is_whitespace) => {
            Err(named(format!("names {}, which holds more than one word", file.display()))
                .hint("leave the key alone in it"))
        }
        key => Ok(key.to_owned()),
    }
}
