//! Bounded slices of a job's artifacts. They are redacted before they are written; here
//! only the path and the size are judged.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::budget;
use super::tools::ArtifactReply;
use model::error::{Error, Kind, Result};

const DEFAULT_BYTES: u64 = 4000;
const MOST_BYTES: u64 = 8000;
/// One character must always fit, else a reader would never get on.
const LEAST_BYTES: u64 = 4;
/// Of a slice as JSON: escapes may double it.
const JSON_MAX: usize = 8600;

/// Reads up to `max_bytes` of `name` in `dir`, from byte `offset` on. Blocks.
pub fn read(dir: &Path, name: &str, offset: u64, max_bytes: Option<u64>) -> Result<ArtifactReply> {
    let max = max_bytes.unwrap_or(DEFAULT_BYTES).clamp(LEAST_BYTES, MOST_BYTES);
    slice(dir, name, offset, max, JSON_MAX)
}

/// The same for a resource, which no model reads by itself: larger.
pub fn read_whole(dir: &Path, name: &str) -> Result<ArtifactReply> {
    slice(dir, name, 0, 1 << 20, usize::MAX)
}

fn slice(dir: &Path, name: &str, offset: u64, max: u64, json_max: usize) -> Result<ArtifactReply> {
    let fault = |error: std::io::Error| {
        Error::new(Kind::Environment, format!("failed to read artifact {name}: {error}"))
    };
    let path = find(dir, name)?;
    let mut file = jobfs::own::open(&path).map_err(fault)?;
    let total_bytes = file.metadata().map_err(fault)?.len();
    if offset > total_bytes {
        return Err(Error::new(
            Kind::Usage,
            format!("offset is {offset}, but {name} has {total_bytes} bytes"),
        )
        .hint("use the next_offset of the last reply"));
    }
    file.seek(SeekFrom::Start(offset)).map_err(fault)?;
    let mut bytes = Vec::new();
    // Three more: a character may be cut at the end.
    file.take(max + 3).read_to_end(&mut bytes).map_err(fault)?;
    let at_end = offset + bytes.len() as u64 == total_bytes && bytes.len() as u64 <= max;
    let mut text = decode(&bytes, if at_end { bytes.len() } else { max as usize });
    while budget::size(&text) > json_max {
        let keep = text.floor_char_boundary(text.len() * 3 / 4);
        text.truncate(keep);
    }
    // Invalid bytes become one replacement character of three bytes: count what was read.
    let consumed = consumed(&bytes, text.chars().count());
    let next = offset + consumed as u64;
    Ok(ArtifactReply { text, total_bytes, next_offset: (next < total_bytes).then_some(next) })
}

/// Text of at most `max` bytes, not cut inside a character.
fn decode(bytes: &[u8], max: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            used += c.len_utf8();
            if used > max {
                return out;
            }
            out.push(c);
        }
        if !chunk.invalid().is_empty() {
            used += chunk.invalid().len();
            if used > max {
                return out;
            }
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
    out
}

/// How many of `bytes` the first `characters` decoded ones came from.
fn consumed(bytes: &[u8], characters: usize) -> usize {
    let mut left = characters;
    let mut used = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if left == 0 {
                return used;
            }
            left -= 1;
            used += c.len_utf8();
        }
        if !chunk.invalid().is_empty() {
            if left == 0 {
                return used;
            }
            left -= 1;
            used += chunk.invalid().len();
        }
    }
    used
}

fn find(dir: &Path, name: &str) -> Result<PathBuf> {
    let plain = !name.is_empty()
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
        && !name.contains(['\\', '\0']);
    let real_dir = dir.canonicalize().ok();
    let real = real_dir.as_ref().filter(|_| plain).and_then(|dir| dir.join(name).canonicalize().ok());
    match (real, real_dir) {
        (Some(real), Some(dir)) if real.starts_with(&dir) && real.is_file() => Ok(real),
        (_, dir) => {
            let known = dir.map(|dir| names(&dir)).unwrap_or_default();
            let error = Error::new(Kind::NotFound, format!("there is no artifact {name:?}"));
            Err(match config::nearest(name, known.iter().map(String::as_str)) {
                Some(meant) => error.hint(format!("did you mean {meant}?")),
                None if known.is_empty() => error.hint("this job has none yet; wait for its end"),
                None => error.hint(format!("known are {}", known.join(", "))),
            })
        }
    }
}

/// The artifacts below `dir`, sorted; at most 40.
fn names(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && open.len() < 100 {
                open.push(path);
            } else if let Ok(name) = path.strip_prefix(dir) {
                found.push(name.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found.truncate(40);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_join_to_the_whole() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let whole = "é\"\n\u{1F600}".repeat(1500);
        std::fs::create_dir(dir.path().join("checks")).expect("it is made");
        std::fs::write(dir.path().join("checks/unit.log"), &whole).expect("it is written");
        for max in [4, 700, 4000, 8000, 1_000_000] {
            let mut text = String::new();
            let mut offset = 0;
            let mut slices = 0;
            loop {
                let reply = read(dir.path(), "checks/unit.log", offset, Some(max)).expect("a slice");
                assert!(budget::size(&reply) < 8800);
                text.push_str(&reply.text);
                slices += 1;
                match reply.next_offset {
                    Some(next) => {
                        assert!(next > offset, "no progress at {offset}");
                        offset = next;
                    }
                    None => break,
                }
                assert!(slices < 20_000);
            }
            assert_eq!(text, whole);
        }
    }

    #[test]
    fn only_artifacts_are_read() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let artifacts = dir.path().join("artifacts");
        std::fs::create_dir(&artifacts).expect("it is made");
        std::fs::write(artifacts.join("diff.patch"), b"a\xffb").expect("it is written");
        std::fs::write(dir.path().join("secret"), "s").expect("it is written");
        #[cfg(unix)]
        std::os::unix::fs::symlink("../secret", artifacts.join("link")).expect("a link");
        for name in ["../secret", "/etc/passwd", "link", "", ".", "a\0b", "..\\secret"] {
            assert_eq!(read(&artifacts, name, 0, None).expect_err(name).kind, Kind::NotFound, "{name}");
        }
        let error = read(&artifacts, "dif.patch", 0, None).expect_err("a misspelling").to_string();
        assert!(error.contains("did you mean diff.patch?"), "{error}");
        let reply = read(&artifacts, "diff.patch", 0, None).expect("invalid bytes do no harm");
        assert_eq!((reply.text.as_str(), reply.total_bytes, reply.next_offset), ("a\u{fffd}b", 3, None));
        assert!(read(&artifacts, "diff.patch", 9, None).is_err());
    }
}
