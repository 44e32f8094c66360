//! Globs of paths as scopes, `copy_in`, guard patterns and `analyze` mean them: `*` and `?`
//! stay within one component, `**` crosses them, and a glob that names a directory means
//! everything below it. Text is a name before it is a pattern, so `app/[slug]/page.tsx`
//! names the file that is called so.

use globset::{GlobBuilder, GlobMatcher};

/// A broken pattern, as a fragment fit for "… cannot be used: {error}".
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BrokenGlob(#[from] globset::Error);

/// One compiled glob.
#[derive(Clone, Debug)]
pub struct PathGlob {
    /// The text as a path.
    name: String,
    pattern: Option<GlobMatcher>,
}

impl PathGlob {
    /// Reads `text`. A name and a pattern both match.
    pub fn new(text: &str) -> Result<PathGlob, BrokenGlob> {
        let name = name(text);
        let pattern = has_wildcard(&name).then(|| compile(&name)).transpose()?;
        Ok(PathGlob { name, pattern })
    }

    /// Reads `text`; where `exists` knows something of this very name, nothing else is meant.
    pub fn resolve(text: &str, exists: impl Fn(&str) -> bool) -> Result<PathGlob, BrokenGlob> {
        let name = name(text);
        if exists(&name) { Ok(PathGlob { name, pattern: None }) } else { PathGlob::new(text) }
    }

    /// Reads `text`; without a `/` it means a file or directory of that name anywhere.
    pub fn anywhere(text: &str) -> Result<PathGlob, BrokenGlob> {
        let name = name(text);
        if name.contains('/') {
            return PathGlob::new(text);
        }
        let pattern = Some(compile(&format!("**/{name}"))?);
        Ok(PathGlob { name, pattern })
    }

    /// The path is meant itself.
    pub fn is_exactly(&self, path: &str) -> bool {
        path == self.name || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(path))
    }

    /// The path is meant itself, or is below a directory that is.
    pub fn is_match(&self, path: &str) -> bool {
        let mut end = path.len();
        loop {
            let part = &path[..end];
            if self.is_exactly(part) {
                return true;
            }
            match part.rfind('/') {
                Some(at) => end = at,
                None => return self.name.is_empty(),
            }
        }
    }

    /// The components before the first with a wildcard: everything that is meant is below.
    pub fn literal_prefix(&self) -> String {
        if self.pattern.is_none() {
            return self.name.clone();
        }
        let plain: Vec<&str> = self.name.split('/').take_while(|part| !has_wildcard(part)).collect();
        plain.join("/")
    }
}

fn compile(pattern: &str) -> Result<GlobMatcher, BrokenGlob> {
    Ok(GlobBuilder::new(pattern).literal_separator(true).build()?.compile_matcher())
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The text without `.`, empty components and a `/` at its end.
fn name(text: &str) -> String {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::PathGlob;

    #[test]
    fn names_come_before_patterns_and_stars_stay_within_a_component() {
        for (text, path, matches) in [
            ("src", "src", true),
            ("src", "src/a/b.rs", true),
            ("./src/", "src/a.rs", true),
            ("src", "srcs/a.rs", false),
            (".", "anything/at/all", true),
            ("src/*.rs", "src/a.rs", true),
            ("src/*.rs", "src/a/b.rs", false),
            ("src/**/*.rs", "src/a/b.rs", true),
            ("src/*", "src/a/b.rs", true),
            ("app/[slug]/page.tsx", "app/[slug]/page.tsx", true),
            ("app/[slug]", "app/[slug]/page.tsx", true),
            ("app/[slug]/page.tsx", "app/s/page.tsx", true),
            ("{a,b}.rs", "b.rs", true),
        ] {
            assert_eq!(PathGlob::new(text).expect(text).is_match(path), matches, "{text} {path}");
        }
        assert!(!PathGlob::new("src/*").expect("a glob").is_exactly("src/a/b.rs"));
        let existing = PathGlob::resolve("app/[slug]/page.tsx", |name| name == "app/[slug]/page.tsx");
        let existing = existing.expect("a name");
        assert!(existing.is_match("app/[slug]/page.tsx") && !existing.is_match("app/s/page.tsx"));
        assert_eq!(existing.literal_prefix(), "app/[slug]/page.tsx");
        assert!(PathGlob::resolve("a[b", |name| name == "a[b").expect("a name").is_match("a[b/c"));
        assert!(PathGlob::new("a[b").is_err());
        for (text, path, matches) in [
            ("*.case", "deep/in/x.case", true),
            ("support", "tests/support/a.rs", true),
            ("contract/**", "contract/a/b.sh", true),
            ("contract/*.sh", "contract/a/b.sh", false),
        ] {
            assert_eq!(PathGlob::anywhere(text).expect(text).is_match(path), matches, "{text} {path}");
        }
    }
}
