//! `analyze`: one cheap question about some files, without an agent, and nothing written.

use serde_json::json;

use crate::support::{Agent, GATEWAY_KEY, SLUG, World, agents, git, write};

#[test]
fn an_answer_with_checked_references_kept_for_the_next_time() {
    let answer = "The words are joined in src/slug.sh:3; see also src/slug.sh:99.";
    let world = World::new(SLUG, &json!({"turns": [{"say": answer}]}), &Agent::Builtin);
    write(&world.repo.join("src/key.sh"), &format!("KEY={GATEWAY_KEY}\n"));
    write(&world.repo.join("src/logo.sh"), "\0\u{1}\u{2}binary");
    write(&world.repo.join(".env"), "TOKEN=not-to-be-sent\n");
    write(&world.repo.join(".gitignore"), "ignored.sh\n");
    write(&world.repo.join("src/ignored.sh"), "echo ignored-content\n");
    let before = git(&world.repo, &["status", "--porcelain", "--ignored"]);

    let mut server = world.serve();
    let paths = ["**/*.sh", ".env"].map(|glob| world.repo.join(glob));
    let ask = json!({"question": "Where are words joined?", "paths": paths});
    let reply = server.call("analyze", ask.clone());
    assert!(!reply.is_error, "{}", reply.text);
    let data = reply.data;
    assert!(data["answer"].to_string().contains("src/slug.sh:3"), "{data}");
    assert!(data["files"].to_string().contains("src/slug.sh"), "{data}");
    assert!(data["bad_references"].to_string().contains("src/slug.sh:99"), "{data}");
    assert!(!data["bad_references"].to_string().contains("slug.sh:3\""), "{data}");
    assert!(data["skipped"].to_string().contains("logo.sh"), "the binary is named: {data}");
    assert!(data["skipped"].to_string().contains(".env"), "the secret file is named: {data}");
    assert!(data["usage"]["input_tokens"].as_u64() > Some(0), "{data}");

    let sent = world.requests(0);
    assert_eq!(sent.len(), 1);
    let body = sent[0]["body"].to_string();
    for secret in [GATEWAY_KEY, "not-to-be-sent", "ignored-content"] {
        assert!(!body.contains(secret), "{secret} was sent");
    }
    let again = server.call("analyze", ask).data;
    assert_eq!(again["cached"], true, "{again}");
    assert_eq!(world.requests(0).len(), 1, "the second answer is kept");
    assert_eq!(git(&world.repo, &["status", "--porcelain", "--ignored"]), before, "nothing is written");
}

#[test]
fn a_path_outside_the_sandbox_root_is_refused() {
    let world = World::new(SLUG, &json!({"turns": [{"say": "unused"}]}), &agents()[0]);
    let reply = world.serve().call("analyze", json!({"question": "?", "paths": ["/etc/passwd"]}));
    assert!(reply.is_error && reply.text.contains("SANDBOX_ROOT"), "{}", reply.text);
    assert!(world.requests(0).is_empty());
}

#[test]
fn what_changes_asks_again_and_what_is_bad_is_said() {
    let world = World::new(SLUG, &json!({"turns": [{"say": "one"}]}), &agents()[0]);
    let mut server = world.serve();
    let file = world.repo.join("src/slug.sh");
    let ask = |question: &str| json!({"question": question, "paths": [file]});
    assert_ne!(server.call("analyze", ask("a?")).data["cached"], true);
    assert_eq!(server.call("analyze", ask("a?")).data["cached"], true, "kept");
    assert_ne!(server.call("analyze", ask("b?")).data["cached"], true, "another question");
    let before = std::fs::read_to_string(&file).expect("the file");
    write(&file, &format!("{before}# changed\n"));
    let third = server.call("analyze", ask("a?")).data;
    assert_ne!(third["cached"], true, "another content: {third}");
    assert_eq!(third["usage"]["requests"], 1);
    assert_eq!(world.requests(0).len(), 3);

    // Nothing that may be sent: no request, and the reason.
    write(&world.repo.join(".env"), "TOKEN=x\n");
    let none = server.call("analyze", json!({"question": "?", "paths": [world.repo.join(".env")]}));
    assert!(none.is_error && none.text.contains("may hold secrets"), "{}", none.text);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/etc", world.repo.join("etc")).expect("a link");
        let out = server.call("analyze", json!({"question": "?", "paths": [world.repo.join("etc/passwd")]}));
        assert!(out.is_error && out.text.contains("SANDBOX_ROOT"), "{}", out.text);
    }
    let empty = server.call("analyze", json!({"question": " ", "paths": [file]}));
    assert!(empty.is_error && empty.text.contains("question"), "{}", empty.text);
    assert_eq!(world.requests(0).len(), 3);
}
