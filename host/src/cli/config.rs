//! `codex-worker config show`: each setting with the layer that set it.

use super::print;
use super::settings::SettingsArgs;
use config::{Config, Env, SETTINGS, Source};
use model::error::{Error, Kind, Result};

/// Look at the settings.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print each setting, its value (secrets masked) and the layer that set it.
    Show {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the documentation of every setting.
    Reference,
}

/// Prints the settings to standard output.
pub fn run(args: Args) -> Result<()> {
    let Command::Show { settings, json } = args.command else { return print(&config::reference()) };
    let (_, sources) = Config::load_from(settings.overrides(), Env::of_this_process())?;
    let text = if json {
        let rows: Vec<serde_json::Value> = sources
            .iter()
            .map(|shown| {
                let setting = SETTINGS.iter().find(|setting| setting.key == shown.key);
                serde_json::json!({
                    "key": shown.key,
                    "value": shown.value,
                    "source": shown.source.to_string(),
                    "environment": setting.map(|setting| setting.env),
                    "accepts": setting.map(|setting| setting.accepts.to_string()),
                    "about": setting.map(|setting| setting.doc),
                })
            })
            .collect();
        serde_json::to_string_pretty(&rows).map_err(|error| Error::new(Kind::Internal, error.to_string()))?
            + "\n"
    } else {
        let width = sources.iter().map(|shown| shown.key.len()).max().unwrap_or(0);
        sources
            .iter()
            .map(|shown| {
                let value = shown.value.as_deref().unwrap_or("-");
                let setting = SETTINGS.iter().find(|setting| setting.key == shown.key);
                // Where nothing is set, how it could be.
                let how = match (&shown.source, setting) {
                    (Source::Default, Some(setting)) => format!("; {}", setting.env.join(" or ")),
                    _ => String::new(),
                };
                format!("{:width$}  {value}  ({}{how})\n", shown.key, shown.source)
            })
            .collect()
    };
    print(&text)
}
