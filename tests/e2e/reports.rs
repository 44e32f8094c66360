//! What public bug reports of neighbouring projects showed, one test for each kind of fault,
//! with siblings that nobody reported. The agent is a shell script.

use std::path::Path;

use serde_json::{Value, json};
use test_support::mcp::Client;

use crate::support::{Agent, World, git, write};

/// A world whose agent is `script`; `$REPO` in it is the repository.
fn world(files: &[(&str, &str)], script: &str) -> World {
    agent(World::outside_tmp(files, &json!({"turns": []}), &Agent::Builtin), script)
}

fn agent(mut world: World, script: &str) -> World {
    let script = script.replace("$REPO", &world.repo.display().to_string());
    world.set("AGENT", "command");
    world.set("AGENT_COMMAND", &format!("cat >/dev/null; set -e; {script}"));
    world
}

fn check(command: &str) -> Value {
    json!([{"name": "c", "command": command}])
}

/// Runs a job in a worktree with the scope `src` to its end.
fn run(world: &World, server: &mut Client, extra: Value) -> (String, Value) {
    let mut job = json!({"isolation": "worktree", "scoped_patch": {"paths": ["src"]}});
    if let (Value::Object(job), Value::Object(extra)) = (&mut job, extra) {
        job.extend(extra);
    }
    let id = server.start_job(world.job(job));
    let result = server.finish(&id);
    (id, result)
}

fn completed(world: &World, extra: Value) -> Value {
    let mut server = world.serve();
    let (id, result) = run(world, &mut server, extra);
    assert_eq!(result["job_status"], "completed", "{result}\n{}", log(world, &id));
    result
}

/// The log of the check `c`.
fn log(world: &World, id: &str) -> String {
    let log = world.home.join("jobs").join(id).join("artifacts/checks/c.log");
    std::fs::read_to_string(log).unwrap_or_default()
}

const MONOREPO: &[(&str, &str)] = &[
    ("packages/web/src/a.txt", "old\n"),
    ("packages/api/x", "x\n"),
    ("package.json", "{\"private\": true}\n"),
    (".gitignore", "private.env\n"),
];

/// A worktree job sees what the same job without one sees: the planner's absolute paths, the
/// repository around its directory, git. It does not see the user's own tree, and it writes
/// its directory alone.
#[test]
fn a_worktree_is_at_the_users_path() {
    let below_tmp = agent(
        World::new(MONOREPO, &json!({"turns": []}), &Agent::Builtin),
        "sed -i s/old/new/ $REPO/packages/web/src/a.txt; git -C $REPO log --oneline; git status --short",
    );
    let elsewhere = world(
        MONOREPO,
        "sed -i s/old/new/ $REPO/packages/web/src/a.txt; ! touch ../api/y; ! touch $REPO/z; \
         ! cat $REPO/private.env; test \"$(pwd)\" = $REPO/packages/web; git log --oneline; git fsck",
    );
    for world in [below_tmp, elsewhere] {
        write(&world.repo.join("private.env"), "secret\n");
        let web = world.repo.join("packages/web");
        let (repo, bound) = (world.repo.display(), contain::can_show(&[&web], &[]));
        let place = if bound {
            format!("test \"$(pwd)\" = {repo}/packages/web; ! ls {repo}/private.env")
        } else {
            "true".into()
        };
        let command = format!(
            "set -e; {place}; grep new {repo}/packages/web/src/a.txt; grep private ../../package.json; \
             cat ../api/x; git diff --stat | grep a.txt; git log --oneline"
        );
        let result = completed(&world, json!({"allowed_dirs": [web], "checks": check(&command)}));
        assert_eq!(result["changed_files"], json!(["src/a.txt"]), "{result}");
        assert_eq!(world.read("packages/web/src/a.txt"), "old\n");
    }
}

/// Two repositories side by side in one job: each is at its own path.
#[test]
fn several_repositories_are_each_at_their_own_path() {
    let mut world = world(&[("src/f", "old\n")], "");
    let other = world.repo.with_file_name("other");
    write(&other.join("g"), "other\n");
    git(&other, &["init", "-q", "-b", "main"]);
    git(&other, &["add", "-A"]);
    git(&other, &["commit", "-q", "-m", "start"]);
    let root = world.repo.parent().expect("a parent").display().to_string();
    world.set("SANDBOX_ROOT", &root);
    let both = format!("set -e; grep other {root}/other/g ../other/g; git -C {root}/other log --oneline");
    world.set("AGENT_COMMAND", &format!("{both}; sed -i s/old/new/ {root}/repo/src/f"));
    let check = check(&format!("{both}; grep new {root}/repo/src/f; git diff --stat | grep f"));
    completed(&world, json!({"allowed_dirs": [world.repo, other], "checks": check}));
    assert_eq!(world.read("src/f"), "old\n");
}

/// Where the worktree cannot be shown there (the state directory is in the repository here),
/// texts are rewritten both ways.
#[test]
fn a_worktree_elsewhere_is_told() {
    let mut world = world(MONOREPO, "true");
    let state = world.repo.join(".state");
    let web = world.repo.join("packages/web");
    world.set("CODEX_WORKER_HOME", &state.display().to_string());
    world.set(
        "AGENT_COMMAND",
        "sed -n 's/^Change the file \\(.*\\)\\.$/\\1/p' >file; sed -i s/old/new/ \"$(cat file)\"; rm file; echo \"changed $(pwd)/src/a.txt\"",
    );
    let mut server = world.serve();
    let file = web.join("src/a.txt");
    let (id, result) = run(
        &world,
        &mut server,
        json!({
            "allowed_dirs": [web],
            "prompt": format!("Change the file {}.", file.display()),
            "checks": check(&format!("set -e; grep new {0}; echo \"at {0}\"; pwd", file.display())),
        }),
    );
    let log = std::fs::read_to_string(state.join("jobs").join(&id).join("artifacts/checks/c.log"));
    assert_eq!(result["job_status"], "completed", "{result}\n{log:?}");
    assert_eq!(log.unwrap_or_default(), format!("new\nat {}\n{}\n", file.display(), web.display()));
    assert!(
        result["summary"].as_str().is_some_and(|said| said.contains(&format!("changed {}", file.display()))),
        "{result}"
    );
    assert_eq!(world.read("packages/web/src/a.txt"), "old\n");
}

/// `pip install -e`: tests import the tree that they are about.
#[test]
fn an_editable_install_is_the_worktrees() {
    if !Path::new("/usr/bin/python3").exists() || !contain::can_show(&[], &[]) {
        return;
    }
    let files = &[("src/pkg/__init__.py", "def f():\n    return 1\n")];
    let unit = "python3 -c 'import pkg, sys; print(pkg.__file__); sys.exit(pkg.f() != 1)'";
    for (script, status) in [
        ("printf 'def f():\\n    return 2\\n' >src/pkg/__init__.py", "failed"),
        ("printf 'def f():\\n    # the same\\n    return 1\\n' >src/pkg/__init__.py", "completed"),
    ] {
        let mut world = world(files, script);
        let site = world.repo.with_file_name("site");
        write(&site.join("pkg.pth"), "");
        // What a `.pth` file of an editable install does.
        write(
            &site.join("sitecustomize.py"),
            &format!("import sys; sys.path.insert(0, '{}/src')\n", world.repo.display()),
        );
        world.set("PYTHONPATH", &site.display().to_string());
        let mut server = world.serve();
        let (id, result) = run(&world, &mut server, json!({"checks": check(unit)}));
        assert_eq!(result["job_status"], status, "{result}\n{}", log(&world, &id));
        assert!(log(&world, &id).contains(&format!("{}/src/pkg", world.repo.display())));
    }
}

/// A repository with `secrets.txt` behind a filter such as git-crypt's.
fn filtered(script: &str) -> World {
    let world = world(&[("src/a.txt", "old\n"), (".gitattributes", "secrets.txt filter=crypt\n")], script);
    let tool = world.repo.with_file_name("crypt");
    write(&tool, "#!/bin/sh\n[ \"$1\" = clean ] && echo CRYPT || read -r _\ntr a-zA-Z n-za-mN-ZA-M\n");
    for what in ["clean", "smudge"] {
        git(
            &world.repo,
            &["config", &format!("filter.crypt.{what}"), &format!("sh {} {what}", tool.display())],
        );
    }
    write(&world.repo.join("secrets.txt"), "the phrase is swordfish\n");
    git(&world.repo, &["add", "-A"]);
    git(&world.repo, &["commit", "-q", "-m", "secrets"]);
    assert!(!git(&world.repo, &["show", "HEAD:secrets.txt"]).contains("swordfish"));
    world
}

/// git's own form of a file is what is published; a worktree has the file as the user has it.
#[test]
fn what_a_filter_makes_is_published_in_gits_form() {
    let world = filtered(
        "sed -i s/old/new/ src/a.txt; git status --porcelain | tee status; ! grep -q secrets status; rm status",
    );
    // Git must look at the content: touched.
    write(&world.repo.join("secrets.txt"), "the phrase is swordfish\n");
    let result =
        completed(&world, json!({"checks": check("grep swordfish secrets.txt; grep new src/a.txt")}));
    let branch = result["workspace"]["branch"].as_str().expect("a ref").to_owned();
    assert_eq!(git(&world.repo, &["diff", "--name-only", "main", &branch]), "src/a.txt\n");
    assert!(git(&world.repo, &["show", &format!("{branch}:secrets.txt")]).starts_with("CRYPT"));
}

/// A change of such a file is left out and named; `apply` brings it.
#[test]
fn what_a_filter_would_have_to_make_is_left_out_and_named() {
    let script = "echo 'swordfish too' >>secrets.txt; cp secrets.txt kept.txt; sed -i /crypt/d .gitattributes; cat src/a.txt";
    let world = filtered(script);
    let mut server = world.serve();
    let extra = json!({"scoped_patch": null, "expects_change": true});
    let (id, result) = run(&world, &mut server, extra);
    assert_eq!(result["job_status"], "completed", "{result}");
    let branch = result["workspace"]["branch"].as_str().expect("a ref").to_owned();
    assert!(git(&world.repo, &["show", &format!("{branch}:secrets.txt")]).starts_with("CRYPT"));
    let notes = result["checks"].to_string();
    assert!(
        notes.contains("the ref lacks the change of secrets.txt") && notes.contains("`crypt`"),
        "{result}"
    );
    let refused = server.call("apply", json!({"job_id": id, "mode": "branch"}));
    assert!(format!("{refused:?}").contains("a branch cannot take secrets.txt"), "{refused:?}");
    server.call("apply", json!({"job_id": id}));
    assert_eq!(world.read("secrets.txt"), "the phrase is swordfish\nswordfish too\n");
}

/// What was checked is what `apply` delivers, in the encoding and the line ends that any
/// source of attributes asks for; modes that git does not look at stay as they are.
#[test]
fn encodings_line_ends_and_modes_are_kept() {
    let utf16 = |text: &str| -> Vec<u8> {
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let files = &[
        ("src/crlf.txt", "a\r\nold\r\n"),
        (".gitattributes", "*.ps1 working-tree-encoding=UTF-16LE-BOM\n"),
        ("run", "x\n"),
    ];
    let script = "sed -i s/old/new/ src/crlf.txt; printf '\\377\\376n\\0e\\0w\\0' >src/s.ps1; printf '\\377\\376m\\0\\n\\0' >src/t.ps1";
    let world = world(files, script);
    write(&world.repo.join(".git/info/attributes"), "*.txt text eol=crlf\n");
    std::fs::write(world.repo.join("src/s.ps1"), utf16("old")).expect("a file");
    git(&world.repo, &["config", "core.fileMode", "false"]);
    git(&world.repo, &["add", "--renormalize", "."]);
    git(&world.repo, &["add", "-A"]);
    git(&world.repo, &["commit", "-q", "-m", "files"]);
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(world.repo.join(path), std::fs::Permissions::from_mode(0o755)).expect("set");
    };
    ["run", "src/crlf.txt", "src/s.ps1"].iter().for_each(|path| mode(path));
    let mut server = world.serve();
    let command = "set -e; grep -q $'new\\r' src/crlf.txt; od -c src/s.ps1 | grep 377";
    let (id, result) = run(&world, &mut server, json!({"checks": check(command)}));
    assert_eq!(result["job_status"], "completed", "{result}\n{}", log(&world, &id));
    let branch = result["workspace"]["branch"].as_str().expect("a ref").to_owned();
    assert_eq!(
        git(&world.repo, &["diff", "--name-only", "main", &branch]),
        "src/crlf.txt\nsrc/s.ps1\nsrc/t.ps1\n"
    );
    assert!(!git(&world.repo, &["diff", "--raw", "main", &branch]).contains("100755"));
    assert_eq!(git(&world.repo, &["show", &format!("{branch}:src/s.ps1")]), "new");
    assert_eq!(git(&world.repo, &["show", &format!("{branch}:src/crlf.txt")]), "a\nnew\n");
    server.call("apply", json!({"job_id": id}));
    let bytes = |path: &str| std::fs::read(world.repo.join(path)).expect("there");
    assert_eq!(bytes("src/s.ps1"), utf16("new"));
    assert_eq!(bytes("src/t.ps1"), utf16("m\n"));
    assert_eq!(bytes("src/crlf.txt"), b"a\r\nnew\r\n");
}

/// Root's contained processes cannot write another user's directory: said at the start.
#[test]
fn root_in_another_users_repository_is_told_at_the_start() {
    let world = world(&[("src/a.txt", "old\n")], "sed -i s/old/new/ src/a.txt");
    let chown = |path: &Path| std::os::unix::fs::chown(path, Some(1000), Some(1000));
    if chown(&world.repo.join("src")).is_err() || !contain::strength().limits_files() {
        return;
    }
    chown(&world.repo).expect("as before");
    let refused = world.serve().call("start", world.job(json!({})));
    assert!(refused.is_error && refused.text.contains("belongs to user 1000"), "{}", refused.text);
    let shared = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&world.repo, shared).expect("set");
    assert!(!world.serve().call("start", world.job(json!({}))).is_error);
}

/// What `PATH` names inside the repository and git ignores, an active virtual environment, is
/// there without `copy_in`; and text is a name before it is a pattern.
#[test]
fn tools_in_the_repository_and_names_with_brackets() {
    let files =
        &[("app/[slug]/page.tsx", "old\n"), ("app/s/page.tsx", "old\n"), (".gitignore", ".venv\ngen\n")];
    let script = "sed -i s/old/new/ 'app/[slug]/page.tsx'; tool; ln -s page.tsx 'app/[slug]/link.tsx'; ! touch .venv/x";
    let mut world = world(files, script);
    write(&world.repo.join(".venv/bin/tool"), "#!/bin/sh\necho a tool of $0\n");
    write(&world.repo.join("gen/[slug]/x"), "x\n");
    let bin = world.repo.join(".venv/bin");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("tool"), mode).expect("set");
    if !contain::can_show(&[], &[]) {
        return;
    }
    // A virtual environment's `activate`.
    let path = std::env::var("PATH").unwrap_or_default();
    world.set("VIRTUAL_ENV", &world.repo.join(".venv").display().to_string());
    let mut start = world.command(&["mcp"]);
    start.env("PATH", format!("{}:{path}", bin.display()));
    let mut server = Client::connect(start);
    let extra = json!({
        "scoped_patch": {"paths": ["app/[slug]/page.tsx", "app/[slug]/link.tsx"]},
        "copy_in": ["gen/[slug]"],
        "checks": check("set -e; tool; grep new 'app/[slug]/page.tsx'; cat 'gen/[slug]/x'"),
    });
    let (id, result) = run(&world, &mut server, extra);
    assert_eq!(result["job_status"], "completed", "{result}\n{}", log(&world, &id));
    assert_eq!(result["changed_files"], json!(["app/[slug]/link.tsx", "app/[slug]/page.tsx"]), "{result}");
}
