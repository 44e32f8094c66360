//! Links at every component, by both ways of resolving names; pipes; size caps; a race.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Kind, Resolver, Tree, delete};

const WAYS: [Resolver; 2] = [Resolver::Kernel, Resolver::Components];

struct Site {
    _dir: tempfile::TempDir,
    top: PathBuf,
    outside: PathBuf,
}

/// `top` with `a/b/file`, and `outside` with a secret that nothing may reach.
fn site() -> Site {
    let dir = tempfile::tempdir().unwrap();
    let real = fs::canonicalize(dir.path()).unwrap();
    let (top, outside) = (real.join("top"), real.join("outside"));
    fs::create_dir_all(top.join("a/b")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::write(top.join("a/b/file"), "inside").unwrap();
    fs::write(outside.join("file"), "secret").unwrap();
    Site { _dir: dir, top, outside }
}

#[test]
fn links_are_followed_by_no_operation() {
    for way in WAYS {
        let site = site();
        symlink(&site.outside, site.top.join("link")).unwrap();
        symlink("../../outside", site.top.join("a/up")).unwrap();
        symlink("b", site.top.join("a/inner")).unwrap();
        symlink(site.outside.join("file"), site.top.join("leaf")).unwrap();
        let tree = Tree::open_by(&site.top, way).unwrap();
        for name in ["link/file", "a/up/file", "a/inner/file", "leaf"] {
            let name = name.as_bytes();
            assert!(tree.read(name, 100).is_err(), "{way:?}");
            assert!(tree.file(name).is_err(), "{way:?}");
        }
        for dir in ["link", "a/up", "a/inner"] {
            let (dir, below) = (dir.as_bytes(), format!("{dir}/new").into_bytes());
            assert!(tree.dir(dir).is_err() && tree.entries(dir).is_err(), "{way:?}");
            assert!(tree.replace(&below, b"x", 0o644).is_err(), "{way:?}");
            assert!(tree.create(&below, 0o644).is_err(), "{way:?}");
            assert!(tree.symlink(b"t", &below).is_err(), "{way:?}");
            assert!(tree.make_dir(&below).is_err() && tree.make_dirs(&below).is_err(), "{way:?}");
            assert!(tree.make_dirs(dir).is_err(), "{way:?}");
            let file = [dir, b"/file"].concat();
            assert!(tree.meta(&file).is_err(), "{way:?}");
            assert!(tree.remove(&file).is_err() && tree.remove_file(&file).is_err(), "{way:?}");
            assert!(tree.rename(b"a/b/file", &below).is_err(), "{way:?}");
            assert!(tree.hard_link(&file, b"stolen").is_err(), "{way:?}");
        }
        assert_eq!(tree.meta(b"leaf").unwrap().kind, Kind::Symlink);
        assert_eq!(tree.read_link(b"a/up").unwrap(), b"../../outside");
        // A link that is to be replaced or removed is itself meant.
        tree.replace(b"leaf", b"mine", 0o600).unwrap();
        tree.remove(b"link").unwrap();
        assert_eq!(tree.read(b"leaf", 100).unwrap(), b"mine");
        assert_eq!(fs::read_to_string(site.outside.join("file")).unwrap(), "secret");
        assert_eq!(fs::read_dir(&site.outside).unwrap().count(), 1);
    }
}

#[test]
fn names_do_not_lead_out() {
    for way in WAYS {
        let site = site();
        let tree = Tree::open_by(&site.top, way).unwrap();
        for name in ["..", "../outside/file", "a/../../outside/file", "/etc/passwd", "a/b\0"] {
            assert!(tree.read(name.as_bytes(), 100).is_err(), "{way:?} {name:?}");
            assert!(tree.replace(name.as_bytes(), b"", 0o644).is_err(), "{way:?} {name:?}");
            assert!(tree.remove(name.as_bytes()).is_err(), "{way:?} {name:?}");
        }
        assert_eq!(tree.read(b"a/b/file", 6).unwrap(), b"inside");
        assert_eq!(tree.read(b"a//./b/file", 6).unwrap(), b"inside");
    }
}

#[test]
fn a_root_with_a_link_in_its_path_is_refused_and_a_swapped_one_too() {
    for way in WAYS {
        let site = site();
        let inner = site.top.join("a/b");
        let seen = Tree::open_by(&inner, way).unwrap();
        let identity = seen.identity().unwrap();
        assert!(seen.is_in_place());
        fs::rename(site.top.join("a"), site.top.join("moved")).unwrap();
        symlink("moved", site.top.join("a")).unwrap();
        assert!(Tree::open_by(&inner, way).is_err(), "{way:?}");
        assert!(!seen.is_in_place());
        // What was opened stays what it was.
        assert_eq!(seen.read(b"file", 10).unwrap(), b"inside");
        fs::remove_file(site.top.join("a")).unwrap();
        fs::create_dir_all(&inner).unwrap();
        assert!(Tree::open_same(&inner, identity).is_err());
        assert!(Tree::open_same(&site.top.join("moved/b"), identity).is_ok());
    }
}

#[test]
fn pipes_devices_and_large_files_do_not_hold_anybody_up() {
    let site = site();
    let pipe = site.top.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(site.top.join("socket")).unwrap();
    fs::File::create(site.top.join("sparse")).unwrap().set_len(2 << 40).unwrap();
    for way in WAYS {
        let tree = Tree::open_by(&site.top, way).unwrap();
        let started = Instant::now();
        for name in ["pipe", "socket"] {
            assert_eq!(tree.meta(name.as_bytes()).unwrap().kind, Kind::Special);
            assert!(tree.file(name.as_bytes()).is_err(), "{name}");
        }
        assert_eq!(tree.read(b"sparse", 1 << 20).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert!(tree.read(b"a/b", 10).is_err(), "a directory");
        assert!(started.elapsed() < Duration::from_secs(5), "{way:?}");
    }
}

#[test]
fn a_race_of_directories_and_links_reaches_nothing_outside() {
    for way in WAYS {
        let site = site();
        let top = site.top.clone();
        let mut swapper = swapper(&site.top.join("a"), &site.outside);
        let tree = Tree::open_by(&top, way).unwrap();
        let (mut inside, until) = (0, Instant::now() + Duration::from_secs(2));
        while Instant::now() < until {
            if let Ok(content) = tree.read(b"a/file", 100) {
                panic!("{way:?} read {content:?} through a link");
            }
            inside += u32::from(tree.read(b"a/b/file", 100).is_ok_and(|content| content == b"inside"));
            let _ = tree.replace(b"a/planted", b"x", 0o644);
            let _ = tree.make_dirs(b"a/made/deep");
            let _ = tree.remove(b"a/file");
        }
        swapper.kill().unwrap();
        swapper.wait().unwrap();
        assert!(inside > 0, "{way:?}: the directory was never there");
        let left: Vec<_> = fs::read_dir(&site.outside).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["file"], "{way:?}");
        assert_eq!(fs::read_to_string(site.outside.join("file")).unwrap(), "secret");
    }
}

/// Exchanges `dir` and a link to `outside` for each other as fast as a process can.
fn swapper(dir: &Path, outside: &Path) -> std::process::Child {
    let link = dir.with_added_extension("link");
    symlink(outside, &link).unwrap();
    let script = "import ctypes,os,sys\nd,l=(os.fsencode(a) for a in sys.argv[1:])\nc=ctypes.CDLL(None)\n\
         while True: c.renameat2(-100,d,-100,l,2)\n";
    std::process::Command::new("python3").args(["-c", script]).arg(dir).arg(&link).spawn().unwrap()
}

#[test]
fn trees_are_removed_whole_also_closed_and_deep_ones() {
    let site = site();
    let tree = Tree::open(&site.top).unwrap();
    fs::create_dir_all(site.top.join("c/closed/in")).unwrap();
    symlink(&site.outside, site.top.join("c/closed/link")).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(site.top.join("c/closed"), fs::Permissions::from_mode(0o0)).unwrap();
    tree.remove(b"c").unwrap();
    tree.remove(b"never/there").unwrap();
    assert!(!tree.exists(b"c") && site.outside.join("file").exists());

    let trash = site.top.join("trash");
    fs::create_dir_all(&trash).unwrap();
    let script = "import os\nfor i in range(1500):\n  os.mkdir('d'); open('f','w'); os.chdir('d')\n";
    let made =
        std::process::Command::new("python3").args(["-c", script]).current_dir(&trash).status().unwrap();
    assert!(made.success());
    symlink(&site.outside, trash.join("link")).unwrap();
    // Two that delete the same do not leave anything to each other.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| delete(&trash).unwrap());
        }
    });
    assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
    assert!(site.outside.join("file").exists());
}

#[test]
fn what_the_host_makes_is_new() {
    let site = site();
    symlink(&site.outside, site.top.join("made")).unwrap();
    assert_eq!(Tree::make(&site.top, "made").unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(Tree::open_in(&site.top, "made").is_err());
    let tree = Tree::make(&site.top, "new").unwrap();
    tree.make_dirs(b"x/y").unwrap();
    tree.create(b"x/y/z", 0o600).unwrap();
    assert!(tree.create(b"x/y/z", 0o600).is_err());
    assert_eq!(tree.entries(b"x/y").unwrap().len(), 1);
}
