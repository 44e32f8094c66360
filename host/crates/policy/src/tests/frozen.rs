//! Promises: the released WIT does not change, and a component built against it goes on
//! loading.

use super::super::inspect::Interface;
use super::super::record::digest;
use super::{changed, files, set_of};
use model::types::{AgentEnd, AgentOutcome, Severity, VerifyInput};

/// `examples/changelog`, built against version 0.1.0 when it was released. Never rebuilt.
const GOLDEN: &[u8] = include_bytes!("../../../../../tests/fixtures/plugins/changelog-v0.1.wasm");

#[test]
fn the_released_wit_is_frozen() {
    let wit = include_bytes!("../../../../../wit/v0.1/policy.wit");
    assert_eq!(
        digest(wit),
        "2eb73109581d3580f96df73ebc521cee1b5db1312316d134c670ce40750b57f8",
        "wit/v0.1 is released: make wit/v0.2 and a bindings file of its own instead"
    );
}

#[test]
fn a_component_of_the_first_version_loads_and_judges() {
    let set = set_of(&[GOLDEN]);
    assert!(set.broken().is_empty(), "{:?}", set.broken());
    assert_eq!(set.names(), ["changelog@0.1.0"]);
    assert_eq!(set.digests()[0].interfaces, [Interface::Verifier]);
    let agent = AgentOutcome {
        ended: AgentEnd::Completed,
        turns: 3,
        tool_calls: 2,
        permission_denials: 0,
        claim: "done".into(),
        commands: vec!["make".into()],
    };
    let mut input = VerifyInput { job: super::job(), changes: files(2).changes, checks: Vec::new(), agent };
    let judged = set.verify(&input);
    assert_eq!(judged.len(), 1);
    assert_eq!(
        (judged[0].finding.rule.as_str(), judged[0].finding.severity),
        ("no-changelog", Severity::Deny)
    );
    input.changes.files.push(changed("CHANGELOG.md"));
    assert!(set.verify(&input).is_empty());
    let decisions = set.take_decisions();
    assert_eq!(decisions.len(), 2);
    assert!(decisions.iter().all(|decision| decision.input.is_some() && decision.output.is_some()));
}

#[test]
fn the_shipped_policies_load_and_hold_their_examples() {
    let set = super::PolicySet::load(&super::Settings::default());
    assert!(set.broken().is_empty(), "{:?}", set.broken());
    assert_eq!(set.names().len(), super::super::shipped::COMPONENTS.len());
}
