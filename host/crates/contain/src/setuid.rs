//! Set-user-id and set-group-id files that a tree left where it may write. For a host that
//! runs as root they would make anybody on the machine root, so they lose the bits.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags};

const BITS: u32 = 0o6000;
/// Entries that are looked at after one run.
const MAX_ENTRIES: usize = 500_000;
/// File systems keep times coarsely.
const TICK: Duration = Duration::from_secs(2);

/// Takes the bits from regular files below `places` that were changed since `started`; the
/// files that had them. Does nothing for an ordinary user, whose files make nobody root.
pub(super) fn strip(places: &[PathBuf], started: SystemTime) -> Vec<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let since = started.checked_sub(TICK).unwrap_or(started);
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed();
    strip_since(places, since)
}

fn strip_since(places: &[PathBuf], since: i64) -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = places.to_vec();
    let mut stripped = Vec::new();
    let mut looked = 0;
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            looked += 1;
            if looked > MAX_ENTRIES {
                return stripped;
            }
            let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
            if meta.is_dir() {
                open.push(path);
            } else if meta.is_file() && meta.mode() & BITS != 0 && meta.ctime() >= since && take_bits(&path) {
                stripped.push(path);
            }
        }
    }
    stripped
}

/// By descriptor: what is looked at is what is changed.
fn take_bits(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()).map(std::fs::File::from) else {
        return false;
    };
    let Ok(meta) = file.metadata() else { return false };
    let mode = meta.mode() & 0o7777;
    meta.is_file()
        && mode & BITS != 0
        && file.set_permissions(std::fs::Permissions::from_mode(mode & !BITS)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_taken_from_files_that_changed() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("below")).expect("writable");
        std::os::unix::fs::symlink("below/user", path("link")).expect("writable");
        let set = |name: &str, mode: u32| {
            std::fs::write(path(name), "x").expect("writable");
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(mode)).expect("writable");
        };
        set("below/user", 0o4755);
        set("group", 0o2755);
        set("plain", 0o755);
        let mode = |name: &str| path(name).metadata().expect("there").mode() & 0o7777;
        let places = [dir.path().to_owned()];
        assert!(strip_since(&places, i64::MAX).is_empty(), "files from before stay");
        let mut stripped = strip_since(&places, 0);
        stripped.sort();
        assert_eq!(stripped, [path("below/user"), path("group")]);
        assert_eq!((mode("below/user"), mode("group"), mode("plain")), (0o755, 0o755, 0o755));
    }
}
