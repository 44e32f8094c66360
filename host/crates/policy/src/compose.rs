//! How the answers of several policies become one. Pure.

use model::outcome::POLICY_BROKEN;
use model::types::{Budget, Finding, Mutant, Mutants, Severity, Span};

use super::accept::overlap;

/// A finding and who it comes from.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Judged {
    /// `name@version`, or `host`.
    pub plugin: String,
    /// What it found.
    pub finding: Finding,
    /// It gave no answer: the finding is the host's and says so.
    #[serde(default)]
    pub broken: bool,
}

/// Every finding of every policy, the strictest first, else in the order of the policies. A
/// policy that may deny and gave no answer denies.
pub fn judge(answers: Vec<(String, Result<Vec<Finding>, String>)>) -> Vec<Judged> {
    let mut judged: Vec<_> = answers
        .into_iter()
        .flat_map(|(plugin, answer)| {
            let gave_none = answer.is_err();
            let findings = answer.unwrap_or_else(|reason| vec![broken(&plugin, &reason)]);
            findings.into_iter().map(move |finding| Judged {
                plugin: plugin.clone(),
                finding,
                broken: gave_none,
            })
        })
        .collect();
    judged.sort_by_key(|judged| judged.finding.severity);
    judged
}

/// What the failure of a policy that may deny means.
pub fn broken(plugin: &str, reason: &str) -> Finding {
    Finding {
        rule: POLICY_BROKEN.into(),
        severity: Severity::Deny,
        message: format!("policy {plugin} could not judge: {reason}"),
        path: None,
        line: None,
        remedy: Some(format!(
            "nothing in the change is at fault; the operator must repair, replace or switch off the policy {plugin}"
        )),
    }
}

/// The union of all spans, in order; overlapping ones become one that keeps the name of the
/// rule that begins first.
pub fn union(lists: Vec<Vec<Span>>) -> Vec<Span> {
    let mut spans: Vec<Span> = lists.into_iter().flatten().collect();
    spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    spans.dedup_by(|next, kept| {
        let overlaps = next.start < kept.end;
        if overlaps {
            kept.end = kept.end.max(next.end);
        }
        overlaps
    });
    spans
}

/// The verdict of findings: what a flip is measured by.
pub fn verdict(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).min()
}

/// The mutants of all policies within the budget of one. Where oracle mutants of two policies
/// overlap, the earlier policy's is kept: they share one overlay.
pub fn within(all: Mutants, budget: &Budget) -> Mutants {
    let mut kept: Vec<Mutant> = Vec::new();
    let mut bytes = 0u64;
    for mutant in all.mutants {
        if kept.iter().any(|other| overlap(other, &mutant)) {
            continue;
        }
        bytes += mutant.text.len() as u64;
        if kept.len() >= budget.max_mutants as usize || bytes > budget.max_bytes {
            break;
        }
        kept.push(mutant);
    }
    Mutants { mutants: kept, not_mutated: all.not_mutated }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u32, end: u32, rule: &str) -> Span {
        Span { start, end, rule: rule.into() }
    }

    #[test]
    fn spans_become_their_union() {
        let cases: [(&[&[(u32, u32)]], &[(u32, u32)]); 4] = [
            (&[&[(0, 3)], &[(5, 8)]], &[(0, 3), (5, 8)]),
            (&[&[(5, 8)], &[(0, 6)]], &[(0, 8)]),
            (&[&[(0, 9)], &[(2, 3), (4, 5)]], &[(0, 9)]),
            (&[&[(0, 3)], &[(3, 6)]], &[(0, 3), (3, 6)]),
        ];
        for (lists, expected) in cases {
            let lists =
                lists.iter().map(|list| list.iter().map(|&(s, e)| span(s, e, "r")).collect()).collect();
            let got: Vec<_> = union(lists).into_iter().map(|s| (s.start, s.end)).collect();
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_policy_without_an_answer_denies_and_the_strictest_comes_first() {
        let warn = Finding { severity: Severity::Warn, ..broken("x", "y") };
        let judged = judge(vec![("a@1".into(), Ok(vec![warn])), ("b@1".into(), Err("deadline".into()))]);
        let seen: Vec<_> = judged.iter().map(|j| (j.plugin.as_str(), j.finding.severity)).collect();
        assert_eq!(seen, [("b@1", Severity::Deny), ("a@1", Severity::Warn)]);
    }
}
