//! The options that every subcommand with settings shares.

use std::path::PathBuf;

use config::{Config, Overrides};
use model::error::Result;

/// Where the settings come from, besides the environment and the file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SettingsArgs {
    /// The state directory (else CODEX_WORKER_HOME).
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// The settings file (else CODEX_WORKER_CONFIG).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting by its key in the file, such as jobs.max_running=2; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.to_owned())),
        None => Err("this is not KEY=VALUE".to_owned()),
    }
}

impl SettingsArgs {
    /// The layer of the command line.
    pub fn overrides(self) -> Overrides {
        // A worker is started in another directory: relative paths must not change.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Overrides {
            home: self.home.map(absolute),
            config: self.config.map(absolute),
            set: self.set.into_iter().collect(),
        }
    }

    /// Loads the settings and leaves the environment behind, so that nothing that this process
    /// starts inherits the gateway's key or finds its programs where jobs write.
    pub fn load(self) -> Result<Config> {
        let config = self.peek()?;
        let root = config.sandbox_root.as_deref();
        if let Err(error) = config::handover::leave_environment(&config.env, root) {
            tracing::warn!(%error, "the environment stays as it is");
        }
        if let Some(root) = root {
            contain::set_sandbox_root(root);
        }
        contain::protect_this_process();
        Ok(config)
    }

    /// Loads the settings, for what starts an author's own tools.
    pub fn peek(self) -> Result<Config> {
        Config::load(self.overrides())
    }
}
