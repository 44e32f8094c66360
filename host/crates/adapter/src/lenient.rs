//! Deserialisation that takes what real clients and gateways send: borrowed strings, `null`
//! where a list belongs, numbers as strings. It never allocates where it can borrow.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A string that borrows from the input when it has no escapes. Other scalars become their
/// text; lists and objects become the empty string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Str<'a>(pub Cow<'a, str>);

impl Str<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The text of an optional string, empty when it is absent.
pub fn str_of<'x>(value: &'x Option<Str<'_>>) -> &'x str {
    value.as_ref().map_or("", |s| s.as_str())
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Str<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(v.to_owned())))
            }
            fn visit_string<E>(self, v: String) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(v)))
            }
            fn visit_unit<E>(self) -> Result<Str<'de>, E> {
                Ok(Str::default())
            }
            fn visit_bool<E>(self, v: bool) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(v.to_string())))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(v.to_string())))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(v.to_string())))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(v.to_string())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Str<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Str::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Str<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Str::default())
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// A whole number, also from `1.0` and `"1"`; anything else is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LenientInt(pub Option<i64>);

impl LenientInt {
    /// The number when it is known and not negative.
    pub fn count(self) -> Option<u64> {
        self.0.and_then(|n| u64::try_from(n).ok())
    }
}

impl<'de> Deserialize<'de> for LenientInt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get().trim_matches('"');
        let whole = raw.parse::<i64>().ok();
        // A float that is too large saturates, which no limit that we keep minds.
        Ok(LenientInt(whole.or_else(|| raw.parse::<f64>().ok().filter(|f| f.is_finite()).map(|f| f as i64))))
    }
}

/// A value of the expected shape, or none: a field of an unexpected shape is ignored, not an
/// error of the whole document.
#[derive(Clone, Copy, Debug)]
pub struct DefaultOnError<T>(pub Option<T>);

impl<T> Default for DefaultOnError<T> {
    fn default() -> Self {
        DefaultOnError(None)
    }
}

impl<'de: 'a, 'a, T: Deserialize<'a>> Deserialize<'de> for DefaultOnError<T>
where
    T: 'a,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        Ok(DefaultOnError(serde_json::from_str::<T>(raw.get()).ok()))
    }
}

/// A document in which every half of a surrogate pair that is alone is replaced, or none
/// when there is none. JavaScript cuts strings in the middle of an emoji and writes the half
/// as an escape, which no strict parser takes.
pub fn repair_surrogates(json: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| -> Option<u16> {
        let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut lone = Vec::new();
    let mut at = 0;
    while let Some(next) = json[at..].iter().position(|b| *b == b'\\') {
        at += next;
        at += match unit(at) {
            Some(0xd800..0xdc00) if matches!(unit(at + 6), Some(0xdc00..0xe000)) => 12,
            Some(0xd800..0xe000) => {
                lone.push(at);
                6
            }
            Some(_) => 6,
            None => 2.min(json.len() - at),
        };
    }
    if lone.is_empty() {
        return None;
    }
    let mut out = json.to_vec();
    for at in lone {
        out[at + 2..at + 6].copy_from_slice(b"fffd");
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates() {
        let cases = [
            (r#""a\ud83d\ude42b""#, None),
            (r#""a\ud83db""#, Some(r#""a\ufffdb""#)),
            (r#""\ude42\ud83d\ude42\ud83d""#, Some(r#""\ufffd\ud83d\ude42\ufffd""#)),
            (r#""\\ud83d""#, None),
            (r#""\u00"#, None),
            ("\\", None),
        ];
        for (input, expected) in cases {
            let got = repair_surrogates(input.as_bytes()).map(|b| String::from_utf8_lossy(&b).into_owned());
            assert_eq!(got.as_deref(), expected, "{input}");
        }
    }
}
