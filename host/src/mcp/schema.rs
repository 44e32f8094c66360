//! JSON schemas of the tools, and arguments checked against them: an unknown name is
//! refused with the nearest known one, a wrong value is named with its location. Serde alone
//! would say neither.

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use config::nearest;

/// The schema of what a tool accepts. Optional arguments are optional, not nullable:
/// `null` is taken as absent before the check.
pub fn input<T: JsonSchema>() -> JsonObject {
    let mut schema = generate::<T>(SchemaSettings::draft2020_12());
    compact(&mut schema, true);
    close(&mut schema);
    into_object(schema)
}

/// The schema of what a tool gives. Without descriptions: no client shows them to a model
/// before it has called, and each listing would pay for them. Members that may be missing
/// are left out when they have no value, never null.
pub fn output<T: JsonSchema>() -> JsonObject {
    let mut schema = generate::<T>(SchemaSettings::draft2020_12().for_serialize());
    compact(&mut schema, false);
    drop_optional_nulls(&mut schema);
    into_object(schema)
}

fn generate<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let mut schema = settings
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    if let Value::Object(object) = &mut schema {
        object.remove("title");
        object.remove("description");
    }
    schema
}

fn into_object(schema: Value) -> JsonObject {
    match schema {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

/// Takes out what only costs bytes: `uint` formats that validators warn about, defaults,
/// and null as an alternative of an optional argument.
fn compact(schema: &mut Value, is_input: bool) {
    match schema {
        Value::Object(object) => {
            object.remove("format");
            object.remove("default");
            // Every number of ours is counted from nothing.
            if object.get("minimum").and_then(Value::as_f64) == Some(0.0) {
                object.remove("minimum");
            }
            if !is_input && object.get("description").is_some_and(Value::is_string) {
                object.remove("description");
            }
            if is_input {
                drop_null(object);
            }
            collapse_words(object);
            for value in object.values_mut() {
                compact(value, is_input);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| compact(item, is_input)),
        _ => {}
    }
}

/// Takes null out of the alternatives of one schema.
fn drop_null(object: &mut JsonObject) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(options)) = object.get_mut("anyOf") {
        options.retain(|option| option.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = options.as_mut_slice() {
            let only = std::mem::take(only);
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
}

/// Takes null out of the members that are not required.
fn drop_optional_nulls(schema: &mut Value) {
    let Value::Object(object) = schema else {
        if let Value::Array(items) = schema {
            items.iter_mut().for_each(drop_optional_nulls);
        }
        return;
    };
    let required = object.get("required").cloned().unwrap_or_default();
    if let Some(Value::Object(members)) = object.get_mut("properties") {
        for (name, member) in members {
            let demanded = required.as_array().is_some_and(|names| names.iter().any(|known| known == name));
            if let Value::Object(member) = member
                && !demanded
            {
                drop_null(member);
            }
        }
    }
    object.values_mut().for_each(drop_optional_nulls);
}

/// `oneOf` of documented constants, as schemars writes an enum, becomes `enum`.
fn collapse_words(object: &mut JsonObject) {
    let Some(Value::Array(options)) = object.get("oneOf") else { return };
    let mut words = Vec::new();
    for option in options {
        match (option.get("const"), option.get("enum")) {
            (Some(word), _) => words.push(word.clone()),
            (None, Some(Value::Array(more))) => words.extend(more.iter().cloned()),
            _ => return,
        }
    }
    object.remove("oneOf");
    object.insert("type".to_owned(), Value::String("string".to_owned()));
    object.insert("enum".to_owned(), Value::Array(words));
}

/// Objects with named properties accept no others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Removes members that are null: clients send them for arguments that were left out.
pub fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Writes numbers without a fraction as integers: `60000.0` is an integer by JSON Schema, and
/// JavaScript and Lua clients send it so.
pub fn whole_numbers(value: &mut Value) {
    // Above this not every integer has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            if let Some(float) = float.filter(|f| f.fract() == 0.0 && f.abs() <= EXACT) {
                *value = Value::from(float as i64);
            }
        }
        Value::Object(object) => object.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// What is wrong with `value`, first line what, second line what to do.
pub fn check(value: &Value, schema: &Value, location: &str) -> Result<(), (String, String)> {
    if let Some(Value::Array(options)) = schema.get("anyOf") {
        let fitting = options.iter().find(|option| type_fits(value, option));
        return match fitting {
            Some(option) => check(value, option, location),
            None => Err((
                format!("{location} is {}, which is neither of {}", seen(value), types_of(options)),
                hint(schema, location),
            )),
        };
    }
    if !type_fits(value, schema) {
        let wanted = schema.get("type").and_then(Value::as_str).unwrap_or("value");
        return Err((
            format!("{location} is {}, which is not {}", seen(value), article(wanted)),
            hint(schema, location),
        ));
    }
    // No argument of a program and no name of a file can hold one.
    if value.as_str().is_some_and(|text| text.contains('\0')) {
        return Err((format!("{location} holds a NUL byte"), "take the NUL byte out".to_owned()));
    }
    if let Some(Value::Array(words)) = schema.get("enum")
        && !words.contains(value)
    {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        let meant = value.as_str().and_then(|text| nearest(text, words.iter().copied()));
        let todo = match meant {
            Some(word) => format!("did you mean {word}?"),
            None => format!("use one of {}", words.join(", ")),
        };
        return Err((
            format!("{location} is {}, which is not one of {}", seen(value), words.join(", ")),
            todo,
        ));
    }
    if let (Some(minimum), Some(number)) = (schema.get("minimum").and_then(Value::as_f64), value.as_f64())
        && number < minimum
    {
        return Err((
            format!("{location} is {number}, which is less than {minimum}"),
            hint(schema, location),
        ));
    }
    if let Value::Array(items) = value
        && let Some(of) = schema.get("items")
    {
        for (index, item) in items.iter().enumerate() {
            check(item, of, &format!("{location}[{index}]"))?;
        }
    }
    if let Value::Object(members) = value {
        check_members(members, schema, location)?;
    }
    Ok(())
}

fn check_members(members: &JsonObject, schema: &Value, location: &str) -> Result<(), (String, String)> {
    let at = |name: &str| if location.is_empty() { name.to_owned() } else { format!("{location}.{name}") };
    let Some(Value::Object(known)) = schema.get("properties") else {
        if let Some(of @ Value::Object(_)) = schema.get("additionalProperties") {
            for (name, value) in members {
                check(value, of, &at(name))?;
            }
        }
        return Ok(());
    };
    for name in members.keys() {
        if !known.contains_key(name) {
            let todo = match nearest(name, known.keys().map(String::as_str)) {
                Some(meant) => format!("did you mean {}?", at(meant)),
                None => format!("known are {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
            };
            return Err((format!("unknown argument {}", at(name)), todo));
        }
    }
    if let Some(Value::Array(required)) = schema.get("required") {
        for name in required.iter().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                let of = known.get(name).unwrap_or(&Value::Null);
                return Err((format!("{} is missing", at(name)), hint(of, &at(name))));
            }
        }
    }
    for (name, value) in members {
        if let Some(of) = known.get(name) {
            check(value, of, &at(name))?;
        }
    }
    Ok(())
}

fn type_fits(value: &Value, schema: &Value) -> bool {
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    }
}

fn types_of(options: &[Value]) -> String {
    let types: Vec<&str> =
        options.iter().filter_map(|option| option.get("type").and_then(Value::as_str)).collect();
    types.join(" and ")
}

fn article(kind: &str) -> String {
    match kind {
        "integer" => "a whole number".to_owned(),
        "array" | "object" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

/// The value, short enough for one line.
fn seen(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn hint(schema: &Value, location: &str) -> String {
    match schema.get("description").and_then(Value::as_str) {
        Some(description) => format!("{location}: {description}"),
        None => "see the tool's input schema".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What JSON Schema calls an integer is taken as one, and nothing else is.
    #[test]
    fn integers_in_every_spelling() {
        let schema = json!({"type": "object", "properties": {
            "n": {"type": "integer", "minimum": 1},
            "either": {"anyOf": [{"type": "boolean"}, {"type": "object", "properties": {"max": {"type": "integer"}}}]},
            "list": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        }});
        for (given, taken) in [
            (r#"{"n":60000.0}"#, Some(json!({"n": 60000}))),
            (r#"{"n":6e4}"#, Some(json!({"n": 60000}))),
            (r#"{"n":60000.000}"#, Some(json!({"n": 60000}))),
            (r#"{"n":60000}"#, Some(json!({"n": 60000}))),
            (r#"{"either":{"max":2.0}}"#, Some(json!({"either": {"max": 2}}))),
            (r#"{"list":[{"n":1.0},{"n":2}]}"#, Some(json!({"list": [{"n": 1}, {"n": 2}]}))),
            (r#"{"n":1.5}"#, None),
            (r#"{"n":0.0}"#, None),
            (r#"{"n":1e300}"#, None),
            (r#"{"n":"60000"}"#, None),
        ] {
            let mut value: Value = serde_json::from_str(given).expect(given);
            whole_numbers(&mut value);
            let checked = check(&value, &schema, "");
            assert_eq!(checked.ok().map(|()| value), taken, "{given}");
        }
    }
}
