//! What defines a check in files that hold other things too: the scripts and runner settings
//! of `package.json`, `pyproject.toml` and `setup.cfg`. Pure.

use serde_json::Value;

/// Members of `package.json` that say what a test run is.
const MEMBERS: &[&str] =
    &["scripts", "jest", "mocha", "ava", "vitest", "tap", "c8", "nyc", "wireit", "nx", "jasmine", "karma"];

/// Beginnings of section names in `pyproject.toml`, `setup.cfg` and the like.
const SECTIONS: &[&str] = &[
    "tool.pytest",
    "tool:pytest",
    "tool.tox",
    "tool.nox",
    "tool.hatch.envs",
    "tool.pdm.scripts",
    "tool.poe",
    "tool.taskipy",
    "tool.coverage",
    "tool.nose",
    "nosetests",
    "coverage:",
    "aliases",
    "tox",
    "testenv",
];

/// A part of the file can be put back alone.
pub fn has_parts(path: &str) -> bool {
    matches!(name(path), "package.json" | "pyproject.toml" | "setup.cfg")
}

/// The new file with the base's definition; the whole base file where the two cannot be told
/// apart. Dependencies and everything else stay as they are now.
pub fn with_base(path: &str, base: &str, new: &str) -> String {
    let merged = match name(path) {
        "package.json" => members(base, new),
        "pyproject.toml" | "setup.cfg" => Some(sections(base, new)),
        _ => None,
    };
    merged.unwrap_or_else(|| base.to_owned())
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn members(base: &str, new: &str) -> Option<String> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    let (Value::Object(base), Value::Object(mut merged)) = (parse(base)?, parse(new)?) else { return None };
    for name in MEMBERS {
        match base.get(*name) {
            Some(value) => merged.insert((*name).to_owned(), value.clone()),
            None => merged.remove(*name),
        };
    }
    serde_json::to_string_pretty(&Value::Object(merged)).ok()
}

/// The new file's other sections, then the base's that define.
fn sections(base: &str, new: &str) -> String {
    let mut merged = String::with_capacity(new.len());
    for (text, defining) in [(new, false), (base, true)] {
        let mut inside = false;
        for line in text.split_inclusive('\n') {
            if let Some(header) = line.trim_start().strip_prefix('[') {
                let header = header.trim_start_matches('[').trim_start().replace(['"', '\''], "");
                inside = SECTIONS.iter().any(|section| header.starts_with(section));
            }
            if inside == defining {
                merged.push_str(line);
            }
        }
        if !merged.is_empty() && !merged.ends_with('\n') {
            merged.push('\n');
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::with_base;

    #[test]
    fn definitions_go_back_and_dependencies_stay() {
        let base = r#"{"scripts": {"test": "jest"}, "dependencies": {"a": "1"}}"#;
        let new = r#"{"scripts": {"test": "true"}, "jest": {"x": 1}, "dependencies": {"a": "1", "b": "2"}}"#;
        let merged: serde_json::Value =
            serde_json::from_str(&with_base("web/package.json", base, new)).expect("JSON");
        let expected = serde_json::json!(
            {"scripts": {"test": "jest"}, "dependencies": {"a": "1", "b": "2"}});
        assert_eq!(merged, expected);
        let base = "[project]\nname = 'a'\n\n[tool.pytest.ini_options]\naddopts = ''\n";
        let new = "[project]\nname = 'a'\ndependencies = ['b']\n[tool.pytest.ini_options]\naddopts = '-k x'\n[tool.ruff]\nx = 1";
        assert_eq!(
            with_base("pyproject.toml", base, new),
            "[project]\nname = 'a'\ndependencies = ['b']\n[tool.ruff]\nx = 1\n[tool.pytest.ini_options]\naddopts = ''\n"
        );
        for (path, new) in [("Makefile", "test:\n\ttrue\n"), ("package.json", "no JSON")] {
            assert_eq!(with_base(path, "base", new), "base");
        }
    }
}
