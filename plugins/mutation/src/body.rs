//! Source mutants: a changed function returns at once (extreme mutation, as Descartes and
//! cargo-mutants do it). The body stays behind the return, so that nothing in it becomes
//! unused and a typed language still compiles it.

use crate::lex::Strings;
use crate::operand::Edit;
use crate::source::{Role, Source, Span};

/// The functions of a file that can be emptied, of those that hold one of these lines.
pub fn find(source: &Source<'_>, changed: &[u32]) -> Vec<Edit> {
    let mut found = Vec::new();
    let mut tests_until = 0;
    for block in &source.blocks {
        if block.body.0 < tests_until {
            continue;
        }
        if block.role == Role::Test || block.role == Role::Suite && block.name == "tests" {
            tests_until = block.body.1;
            continue;
        }
        if block.role != Role::Function || block.name.is_empty() || block.body.1 <= block.body.0 + 1 {
            continue;
        }
        let (start, end) = source.bytes((block.head, block.body.1));
        let lines = (source.lines.of(start), source.lines.of(end));
        if !changed.iter().any(|line| (lines.0..=lines.1).contains(line)) {
            continue;
        }
        if let Some(edit) = emptied(source, block.head, block.body, &block.name) {
            found.push(edit);
        }
        if found.len() >= 16 {
            break;
        }
    }
    found
}

fn emptied(source: &Source<'_>, head: usize, body: Span, name: &str) -> Option<Edit> {
    let header = (head, body.0);
    let returned = match source.language.rules.strings {
        Strings::Python => {
            let empty =
                matches!(source.at(body.0), "pass" | "..." | "return" | "raise") || name.starts_with("__");
            if empty
                || !source.first(body.0)
                || source.has_word(header, &["property", "abstractmethod", "overload"])
            {
                return None;
            }
            let (start, _) = source.bytes((body.0, body.1));
            let line = source.text[..start].rfind('\n').map_or(0, |at| at + 1);
            format!("return None\n{}", source.text.get(line..start)?)
        }
        Strings::Ruby => (name != "initialize").then(|| "return nil\n".to_owned())?,
        Strings::Go => format!("if true {{ return{} }}; ", go(source, header)?),
        Strings::Rust => format!("if true {{ return {}; }} ", rust(source, header)?),
        Strings::Java => format!("if (true) return{}; ", java(source, header, name)?),
        // Types are checked when it runs.
        Strings::Php => {
            let close = body.0.checked_sub(2)?;
            let typed = !source.is(close, ")") && !source.is(close, "void");
            (!typed && !name.starts_with("__")).then(|| "return; ".to_owned())?
        }
        // No types by name: TypeScript, Kotlin.
        Strings::JavaScript | Strings::Kotlin => return None,
    };
    // Ruby's header goes to the end of its line.
    let ruby = source.language.rules.strings == Strings::Ruby;
    let first = if ruby { (body.0..body.1).find(|at| source.first(*at))? } else { body.0 };
    let (start, _) = source.bytes((first, body.1));
    let altered = format!("the body of {} was emptied", crate::oracle::quoted(name));
    Some(Edit { range: (start, start), text: returned, altered })
}

/// The zero values of a Go function's results, after a blank.
fn go(source: &Source<'_>, header: Span) -> Option<String> {
    let mut open = (header.0..header.1).find(|at| source.is(*at, "("))?;
    if source.is(header.0 + 1, "(") {
        open = source.pair(open) + 2;
    }
    // Type parameters have no zero value by name.
    if !source.is(open, "(") {
        return None;
    }
    let results = (source.pair(open) + 1, header.1 - 1);
    if results.0 >= results.1 {
        return Some(String::new());
    }
    let types = if source.is(results.0, "(") { source.arguments(results.0) } else { vec![results] };
    let zero = |span: &Span| {
        // Named results keep their names before the type.
        let text = source.slice(*span);
        let last = text.rsplit(' ').next().unwrap_or(text);
        Some(match last {
            "string" => "\"\"",
            "bool" => "false",
            "error" | "any" => "nil",
            "int" | "int8" | "int16" | "int32" | "int64" | "uint" | "uint8" | "uint16" | "uint32"
            | "uint64" | "float32" | "float64" | "byte" | "rune" => "0",
            other
                if other.starts_with(['*', '[']) && !other.starts_with("[1") || other.starts_with("map[") =>
            {
                "nil"
            }
            _ => return None,
        })
    };
    let zeros: Option<Vec<&str>> = types.iter().map(zero).collect();
    Some(format!(" {}", zeros?.join(", ")))
}

fn rust(source: &Source<'_>, header: Span) -> Option<String> {
    if source.has_word(header, &["const", "unsafe", "extern"]) {
        return None;
    }
    let Some(arrow) = (header.0..header.1).rev().find(|at| source.is(*at, "->")) else {
        return Some("()".to_owned());
    };
    let text = source.slice((arrow + 1, header.1 - 1));
    let text = text.split(" where").next().unwrap_or(text).trim();
    value_of_rust(text, 0)
}

fn value_of_rust(text: &str, depth: usize) -> Option<String> {
    let inner = |start: &str| text.strip_prefix(start)?.strip_suffix('>');
    Some(match text {
        "bool" => "false".to_owned(),
        "String" => "String::new()".to_owned(),
        "&str" | "&'static str" => "\"\"".to_owned(),
        "f32" | "f64" => "0.0".to_owned(),
        "()" => "()".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => {
            "0".to_owned()
        }
        _ if inner("Option<").is_some() => "None".to_owned(),
        _ if inner("Vec<").is_some() => "Vec::new()".to_owned(),
        _ => {
            let ok = inner("Result<").or_else(|| inner("io::Result<"))?;
            let first = ok.split(',').next().unwrap_or(ok).trim();
            if depth > 3 {
                return None;
            }
            format!("Ok({})", value_of_rust(first, depth + 1)?)
        }
    })
}

/// The value of a Java method's type, after a blank.
fn java(source: &Source<'_>, header: Span, name: &str) -> Option<String> {
    let at = (header.0..header.1).find(|at| source.is(*at, name) && source.is(*at + 1, "("))?;
    let before = at.checked_sub(1).filter(|before| *before >= header.0)?;
    let primitive = match source.at(before) {
        "void" => return Some(String::new()),
        "boolean" => " false",
        "int" | "long" | "short" | "byte" | "char" | "float" | "double" => " 0",
        "public" | "private" | "protected" | "new" => return None,
        text if text.starts_with(char::is_uppercase) || matches!(text, ">" | "]") => " null",
        _ => return None,
    };
    Some(primitive.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &str) {
        let source = Source::read(text, crate::language::of(path).expect("a language")).expect("it is read");
        let found = find(&source, &(1..100).collect::<Vec<_>>());
        let mutated: Vec<String> = found
            .iter()
            .map(|emptied| {
                let (start, end) = emptied.range;
                let mutated = [&text[..start], &emptied.text, &text[end..]].concat();
                let line = source.lines.of(start) as usize;
                mutated.lines().nth(line - 1).unwrap_or_default().trim().to_owned()
            })
            .collect();
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(mutated, expected, "{text}");
    }

    #[test]
    fn a_function_returns_at_once() {
        check(
            "a.py",
            "def add(a, b):\n    return_value = a + b\n    return return_value\n\ndef nothing():\n    pass\n",
            "return None",
        );
        check(
            "a.go",
            "package a\nfunc Add(a, b int) int { return a + b }\nfunc (m *M) Get(k string) (string, error) { return m.x[k], nil }\nfunc Of[T any](x T) T { return x }\nfunc Do() { f(); g() }\n",
            "func Add(a, b int) int { if true { return 0 }; return a + b }
             func (m *M) Get(k string) (string, error) { if true { return \"\", nil }; return m.x[k], nil }
             func Do() { if true { return }; f(); g() }",
        );
        check(
            "a.rs",
            "pub fn add(a: u8, b: u8) -> u8 { a + b }\nfn x() -> Result<Vec<u8>, E> { y()?; z() }\nfn t<T>() -> T { f() + g() }\n#[cfg(test)]\nmod tests { fn helper() { f(); g(); } }\n",
            "pub fn add(a: u8, b: u8) -> u8 { if true { return 0; } a + b }
             fn x() -> Result<Vec<u8>, E> { if true { return Ok(Vec::new()); } y()?; z() }",
        );
        check("A.java", "class A { A() { f(); g(); } int add(int a, int b) { return a + b; } List<X> all() { return x; } }", "class A { A() { f(); g(); } int add(int a, int b) { if (true) return 0; return a + b; } List<X> all() { return x; } }
            class A { A() { f(); g(); } int add(int a, int b) { return a + b; } List<X> all() { if (true) return null; return x; } }");
        check("a.rb", "def add(a, b)\n  a + b\nend\n", "return nil");
    }
}
