//! Gitignore-style patterns for one path component, and `**` across components.
//! Total and without backtracking blow-up: one component is matched in the product of
//! the two lengths, a whole path in the product of the component counts.

/// One element of a component pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`: any one character but `/`.
    One,
    /// `*`: any run of characters but `/`, also none.
    Many,
    /// `[a-z]`, `[!a-z]`.
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// The pattern of one path component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    tokens: Vec<Token>,
}

/// What is wrong with a pattern, in words for the planner.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl Component {
    /// Reads the pattern of one component; `text` holds no `/`.
    pub fn parse(text: &str) -> Result<Component, Malformed> {
        let mut tokens = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            tokens.push(match c {
                '?' => Token::One,
                '*' => {
                    // `**` inside a component means what `*` means.
                    if tokens.last() == Some(&Token::Many) {
                        continue;
                    }
                    Token::Many
                }
                '[' => parse_set(&mut rest, text)?,
                '\\' => match rest.next() {
                    Some(next @ ('*' | '?' | '[' | ']' | '\\')) => Token::Literal(next),
                    _ => {
                        return Err(Malformed(format!(
                            "`{text}` holds a backslash: separate directories with `/`; before `*`, `?`, `[` and `\\` it takes the special meaning away"
                        )));
                    }
                },
                c => Token::Literal(c),
            });
        }
        Ok(Component { tokens })
    }

    /// The pattern that matches exactly this name.
    pub fn verbatim(name: &str) -> Component {
        Component { tokens: name.chars().map(Token::Literal).collect() }
    }

    /// The literal text, when the pattern can match nothing else.
    pub fn literal(&self) -> Option<String> {
        self.tokens
            .iter()
            .map(|token| match token {
                Token::Literal(c) => Some(*c),
                _ => None,
            })
            .collect()
    }

    /// How many characters precede the first wildcard.
    pub fn literal_start(&self) -> usize {
        self.tokens.iter().take_while(|token| matches!(token, Token::Literal(_))).count()
    }

    /// The same pattern with every literal passed through `fold`.
    pub fn folded(&self, fold: impl Fn(&str) -> String) -> Component {
        let mut tokens = Vec::new();
        for token in &self.tokens {
            match token {
                Token::Literal(c) => tokens.extend(fold(&c.to_string()).chars().map(Token::Literal)),
                Token::Set { negated, ranges } => {
                    // Folding a range changes which characters it holds: keep the range
                    // and add the folded ends' range, which is exact for letters.
                    let mut both = ranges.clone();
                    for (low, high) in ranges {
                        let (low, high) = (fold(&low.to_string()), fold(&high.to_string()));
                        if let (Some(low), Some(high)) = (low.chars().next(), high.chars().next()) {
                            both.push((low, high));
                        }
                    }
                    tokens.push(Token::Set { negated: *negated, ranges: both });
                }
                other => tokens.push(other.clone()),
            }
        }
        Component { tokens }
    }

    /// Whether the whole component matches.
    pub fn matches(&self, name: &str) -> bool {
        // Most patterns of the list of sensitive files fail here, before anything is allocated.
        if let Some(Token::Literal(first)) = self.tokens.first()
            && first.is_ascii()
            && name.as_bytes().first() != Some(&(*first as u8))
        {
            return false;
        }
        let name: Vec<char> = name.chars().collect();
        // The classic two-pointer walk: on a mismatch, let the last `*` take one more.
        let (mut token, mut at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < name.len() {
            let fits = match self.tokens.get(token) {
                Some(Token::Many) => {
                    retry = Some((token + 1, at));
                    token += 1;
                    continue;
                }
                Some(Token::One) => true,
                Some(Token::Literal(c)) => *c == name[at],
                Some(Token::Set { negated, ranges }) => {
                    ranges.iter().any(|(low, high)| (*low..=*high).contains(&name[at])) != *negated
                }
                None => false,
            };
            if fits {
                token += 1;
                at += 1;
            } else if let Some((after, from)) = retry {
                retry = Some((after, from + 1));
                token = after;
                at = from + 1;
            } else {
                return false;
            }
        }
        self.tokens[token..].iter().all(|token| *token == Token::Many)
    }
}

fn parse_set(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, whole: &str) -> Result<Token, Malformed> {
    let unclosed = || Malformed(format!("`{whole}` opens a `[` without `]`; write `\\[` for the character"));
    let negated = rest.next_if(|c| *c == '!' || *c == '^').is_some();
    let mut ranges = Vec::new();
    loop {
        let mut low = rest.next().ok_or_else(unclosed)?;
        // A `]` that comes first is a literal.
        if low == ']' && !ranges.is_empty() {
            return Ok(Token::Set { negated, ranges });
        }
        if low == '\\' {
            low = rest.next().ok_or_else(unclosed)?;
        }
        let mut high = low;
        if rest.next_if_eq(&'-').is_some() {
            match rest.peek() {
                None => return Err(unclosed()),
                Some(']') => ranges.push(('-', '-')),
                Some(_) => high = rest.next().ok_or_else(unclosed)?,
            }
        }
        ranges.push((low.min(high), low.max(high)));
    }
}

/// One part of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `**`: any number of components, also none.
    AnyDepth,
    /// Exactly one component.
    One(Component),
}

/// Whether `parts` matches `path`, or, with `subtree`, a directory that holds `path`.
pub fn matches(parts: &[Part], path: &[&str], subtree: bool) -> bool {
    // reached[i]: the parts read so far can match the first i components.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for (index, part) in parts.iter().enumerate() {
        let mut next = vec![false; path.len() + 1];
        match part {
            Part::AnyDepth => {
                // A final `**` means what is below, not the directory itself.
                let least = usize::from(index + 1 == parts.len());
                let mut seen = false;
                for i in 0..=path.len() {
                    seen |= i >= least && reached[i - least];
                    next[i] = seen;
                }
            }
            Part::One(component) => {
                for i in 0..path.len() {
                    next[i + 1] = reached[i] && component.matches(path[i]);
                }
            }
        }
        reached = next;
    }
    if subtree { reached.iter().skip(1).any(|r| *r) } else { reached[path.len()] }
}
