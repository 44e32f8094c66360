//! The documentation of every setting, made from the table: `docs/configuration.md`.

use super::table::{Accepts, SETTINGS};

const HEAD: &str = "\
# Configuration

Made from the code: `codex-worker config reference` prints this page, and a test compares it.

Each setting is a key of `codex-worker.toml` or a variable of the environment. The environment beats
the file, `--set key=value` on the command line beats both. `codex-worker config show` prints each
value with the layer that set it; a bad value is an error that names the variable, the value and what
would be accepted.

The file is the one that `CODEX_WORKER_CONFIG` names, else `codex-worker.toml` in the state directory,
else (without `CODEX_WORKER_HOME`) in `~/.config/codex-worker`. The state directory is
`CODEX_WORKER_HOME`, else `~/.local/state/codex-worker`. `XDG_CONFIG_HOME` and `XDG_STATE_HOME` move
them; on macOS both are in `~/Library/Application Support/codex-worker`.
";

const TAIL: &str = "
## Tables by name

| table | what it is |
| --- | --- |
| `[plugins.<name>]` | a policy's own configuration, and `mode`, `replaces`, limits: [plugins](plugins.md) |
| `[profiles.<name>]` | what a gateway or a model family needs, `prices` among it: [adapter](adapter.md) |
";

/// The page.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut section = None;
    for setting in SETTINGS {
        let table = setting.key.split_once('.').map_or("", |(table, _)| table);
        if section != Some(table) {
            section = Some(table);
            let title = if table.is_empty() { "At the top".to_owned() } else { format!("`[{table}]`") };
            text += &format!(
                "\n## {title}\n\n| key | variable | accepts | default | meaning |\n| --- | --- | --- | --- | --- |\n"
            );
        }
        let names: Vec<String> = setting.env.iter().map(|name| format!("`{name}`")).collect();
        let default = setting.default.map_or("none".to_owned(), |value| format!("`{value}`"));
        let accepts = match setting.accepts {
            Accepts::Int(min, u64::MAX) => format!("a whole number of at least {min}"),
            other => other.to_string(),
        };
        let key = setting.key.rsplit('.').next().unwrap_or(setting.key);
        let secret = if setting.secret { " (a secret: never shown)" } else { "" };
        let cell = |text: &str| text.replace('|', "\\|");
        text += &format!(
            "| `{key}` | {} | {}{secret} | {default} | {} |\n",
            names.join(" or "),
            cell(&accepts),
            cell(setting.doc)
        );
    }
    text + TAIL
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_up_to_date() {
        let page = include_str!("../../../../docs/configuration.md");
        let fresh = super::reference();
        let stale = page.lines().zip(fresh.lines()).find(|(page, fresh)| page != fresh);
        assert!(
            page == fresh,
            "docs/configuration.md is stale at {stale:?}: cargo run -q -- config reference > docs/configuration.md"
        );
    }
}
