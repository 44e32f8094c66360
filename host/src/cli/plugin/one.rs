//! What `check`, `run`, `inspect` and `bench` share: one component, by itself.

use std::path::{Path, PathBuf};

use crate::cli::settings::SettingsArgs;
use model::error::{Error, Kind, Result};
use policy::inspect::Refusal;
use policy::load::Settings;
use policy::lock::Mode;
use policy::plugin::{Origin, Plugin, Prepared, Table, read_file};
use policy::{record, shipped};

/// Which component, and with which configuration.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The component, or the name of a shipped policy.
    pub file: PathBuf,
    /// Its configuration as JSON; `{}` by default.
    #[arg(long, value_name = "JSON")]
    pub plugin_config: Option<String>,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

impl Which {
    /// Its bytes.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let shipped = shipped::COMPONENTS.iter().find(|(name, _)| Path::new(name) == self.file);
        match shipped {
            Some((_, bytes)) if !self.file.exists() => Ok(bytes.to_vec()),
            _ => read_file(&self.file).map_err(|refusal| refused(&self.file, &refusal)),
        }
    }

    /// Compiled, and asked who it is.
    pub fn prepare(&self) -> Result<Prepared> {
        let bytes = self.bytes()?;
        // Compiled code is kept where the state directory is known; without one it still works.
        let cache =
            self.settings.clone().peek().ok().map(|config| config.home.join("cache").join("policies"));
        let settings = Settings { cache_dir: cache, ..Settings::default() };
        let runtime = settings.runtime().map_err(|error| Error::new(Kind::Internal, error))?;
        Prepared::new(&runtime, &bytes, record::digest(&bytes))
            .map_err(|refusal| refused(&self.file, &refusal))
    }

    /// Configured for use.
    pub fn configure(&self, prepared: Prepared) -> Result<Plugin> {
        let value = match self.plugin_config.as_deref().map(serde_json::from_str::<serde_json::Value>) {
            None => None,
            Some(Ok(value)) => Some(value),
            Some(Err(error)) => {
                return Err(Error::new(Kind::Usage, format!("--plugin-config is no JSON: {error}")));
            }
        };
        let table = Table::parse(&prepared.about.name, value.as_ref())
            .map_err(|error| Error::new(Kind::Usage, error))?;
        prepared
            .into_plugin(Origin::File(self.file.clone()), Mode::Enforce, &table)
            .map_err(|refusal| refused(&self.file, &refusal))
    }
}

/// A refusal for a person.
pub fn refused(file: &Path, refusal: &Refusal) -> Error {
    // Names and messages inside come from the file.
    let reason = redact::sanitize::line(&refusal.to_string(), 6_000);
    let error = Error::new(Kind::Plugin, format!("{} is refused: {reason}", file.display()));
    match refusal {
        Refusal::ForbiddenImport(_) => {
            error.hint("build Rust with `codex-worker plugin build`, Python with componentize-py --stub-wasi")
        }
        Refusal::OtherVersion(_) => {
            error.hint("build it against wit/v0.1 of this host: `codex-worker plugin new`")
        }
        Refusal::Unreadable(_) => {
            let shipped: Vec<_> = shipped::COMPONENTS.iter().map(|(name, _)| *name).collect();
            error.hint(format!("name a component file, or a shipped policy: {}", shipped.join(", ")))
        }
        Refusal::Example { .. } => {
            error.hint("correct the policy or its example; the host would refuse it at load")
        }
        _ => error,
    }
}
