//! The answers in codex-worker.toml: put over what is there, comments and order kept. Pure.

use std::path::PathBuf;

use toml_edit::{DocumentMut, Item, Value};

use model::error::{Error, Kind, Result};

/// Begins a file that `setup` made; such a file goes with `--remove`.
const MADE: &str = "# Written by `codex-worker setup`; `codex-worker setup --remove` deletes it.";

/// What the file is to say; none takes a value out.
#[derive(Clone, Debug)]
pub struct Values {
    pub sandbox_root: PathBuf,
    pub base_url: String,
    pub model: String,
    pub key_env: Option<String>,
    pub key_file: Option<PathBuf>,
    /// None leaves it as it is.
    pub agent: Option<String>,
}

fn parse(text: &str) -> Result<DocumentMut> {
    text.parse::<DocumentMut>().map_err(|error| {
        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
        Error::new(Kind::Config, format!("codex-worker.toml is not valid TOML: {first}"))
            .hint("repair it first; nothing was written")
    })
}

fn path_text(path: &std::path::Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::new(Kind::Config, format!("{} is not valid UTF-8, which TOML needs", path.display()))
            .hint("name a path of plain letters")
    })
}

/// `old` with the answers in it.
pub fn merge(old: Option<&str>, values: &Values) -> Result<String> {
    let start = format!(
        "{MADE}\n# Every setting: docs/configuration.md. `codex-worker config show` prints what is in force.\n"
    );
    let mut doc = parse(old.unwrap_or(&start))?;
    let key_file = values.key_file.as_deref().map(path_text).transpose()?;
    set(&mut doc, None, "sandbox_root", Some(path_text(&values.sandbox_root)?));
    set(&mut doc, Some("gateway"), "base_url", Some(values.base_url.clone()));
    set(&mut doc, Some("gateway"), "model", Some(values.model.clone()));
    set(&mut doc, Some("gateway"), "api_key_env", values.key_env.clone());
    set(&mut doc, Some("gateway"), "api_key_file", key_file);
    if let Some(agent) = &values.agent {
        set(&mut doc, Some("agent"), "kind", Some(agent.clone()));
    }
    let text = doc.to_string();
    // The head of an empty document is its tail for the parser.
    Ok(match old {
        None => start.clone() + "\n" + text.replace(&start, "").trim_start(),
        Some(_) => text,
    })
}

fn set(doc: &mut DocumentMut, table: Option<&str>, key: &str, value: Option<String>) {
    let target: &mut dyn toml_edit::TableLike = match table {
        None => doc.as_table_mut(),
        Some(name) => {
            if value.is_none() && !doc.contains_key(name) {
                return;
            }
            if !doc.contains_key(name) {
                doc.insert(name, toml_edit::table());
            }
            match doc.get_mut(name).and_then(Item::as_table_like_mut) {
                Some(table) => table,
                None => return,
            }
        }
    };
    match (value, target.get_mut(key).and_then(Item::as_value_mut)) {
        (None, _) => {
            target.remove(key);
        }
        (Some(text), Some(old)) if old.as_str() == Some(&text) => {}
        (Some(text), Some(old)) => {
            let decor = old.decor().clone();
            *old = Value::from(text);
            *old.decor_mut() = decor;
        }
        (Some(text), None) => {
            target.insert(key, Item::Value(text.into()));
        }
    }
}

/// Whether `setup` made this file.
pub fn is_ours(text: &str) -> bool {
    text.starts_with(MADE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values {
            sandbox_root: "/home/u/src".into(),
            base_url: "https://g.example/v1".to_owned(),
            model: "m".to_owned(),
            key_env: Some("MY_KEY".to_owned()),
            key_file: None,
            agent: None,
        }
    }

    #[test]
    fn a_new_file_and_one_that_is_there() {
        let new = merge(None, &values()).expect("it merges");
        insta::assert_snapshot!(new, @r#"
        # Written by `codex-worker setup`; `codex-worker setup --remove` deletes it.
        # Every setting: docs/configuration.md. `codex-worker config show` prints what is in force.

        sandbox_root = "/home/u/src"

        [gateway]
        base_url = "https://g.example/v1"
        model = "m"
        api_key_env = "MY_KEY"
        "#);
        assert!(is_ours(&new));
        assert_eq!(merge(Some(&new), &values()).expect("it merges"), new);

        let mine = "# mine\n[jobs]\nmax_running = 2 # two\n[gateway] # here\nmodel = \"old\" # name\napi_key_file = \"/k\"\n";
        let merged = merge(Some(mine), &values()).expect("it merges");
        for kept in ["# mine", "max_running = 2 # two", "[gateway] # here", "model = \"m\" # name"] {
            assert!(merged.contains(kept), "{kept}\n{merged}");
        }
        assert!(!merged.contains("api_key_file") && !is_ours(&merged));
        let table: toml::Table = merged.parse().expect("valid TOML");
        assert_eq!(table["sandbox_root"].as_str(), Some("/home/u/src"));
        assert!(
            merge(Some("a ="), &values()).expect_err("broken").to_string().contains("nothing was written")
        );
    }
}
