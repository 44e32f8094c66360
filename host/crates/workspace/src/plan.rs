//! Which paths of a result can go into the user's files: the three-way decision. Pure.
//!
//! Whole paths only: a file that both sides changed is refused, never merged line by line,
//! because the result was judged as it is.

use std::collections::{BTreeMap, BTreeSet};

/// What stands at a path: git's mode and the object id; none for nothing.
pub type Entry = Option<(u32, String)>;

/// One path that the job changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Below the top.
    pub name: Vec<u8>,
    /// At the job's start.
    pub base: Entry,
    /// In the job's result.
    pub result: Entry,
}

/// What is known of the user's side of one path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// What is recorded there.
    pub entry: Entry,
    /// Something stands there that is not recorded (an ignored file, a pipe).
    pub unrecorded: bool,
    /// The names of what stands below it, if it is a directory.
    pub below: Vec<Vec<u8>>,
    /// The nearest parent that is no directory.
    pub blocked_by: Option<Vec<u8>>,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was changed there since the job began.
    ChangedMeanwhile,
    /// Something that git does not record stands there.
    InTheWay,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyPlan {
    /// Paths to write, with what.
    pub write: Vec<(Vec<u8>, (u32, String))>,
    /// Paths to take away.
    pub remove: Vec<Vec<u8>>,
    /// Paths that are already as the job left them.
    pub already: Vec<Vec<u8>>,
    /// Paths that are refused; with one of them nothing is done at all.
    pub refused: Vec<(Vec<u8>, Why)>,
}

/// Decides every path; `now` holds those that the user's side has anything to say about.
pub fn decide(wanted: &[Wanted], now: &BTreeMap<Vec<u8>, Now>) -> ApplyPlan {
    let nothing = Now::default();
    let mut plan = ApplyPlan::default();
    for path in wanted {
        let now = now.get(&path.name).unwrap_or(&nothing);
        if now.entry == path.result && !now.unrecorded {
            plan.already.push(path.name.clone());
        } else if now.entry != path.base {
            plan.refused.push((path.name.clone(), Why::ChangedMeanwhile));
        } else if now.unrecorded {
            plan.refused.push((path.name.clone(), Why::InTheWay));
        } else {
            match &path.result {
                Some(entry) => plan.write.push((path.name.clone(), entry.clone())),
                None => plan.remove.push(path.name.clone()),
            }
        }
    }
    // A file may take the place of a directory only if all in it goes, and a directory the
    // place of a file only if that file goes.
    let going: BTreeSet<&Vec<u8>> = plan.remove.iter().collect();
    let mut late = Vec::new();
    for (name, _) in &plan.write {
        let Some(now) = now.get(name) else { continue };
        let stays = now.below.iter().any(|b| !going.contains(b));
        let blocked = now.blocked_by.as_ref().is_some_and(|b| !going.contains(b));
        if stays || blocked {
            late.push(name.clone());
        }
    }
    plan.write.retain(|(name, _)| !late.contains(name));
    plan.refused.extend(late.into_iter().map(|name| (name, Why::InTheWay)));
    plan.refused.sort();
    plan
}

impl PartialOrd for Why {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Why {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        (text != "-").then(|| (0o100644, text.to_owned()))
    }

    /// base, result, now -> what becomes of the path.
    #[test]
    fn three_sides_of_one_path() {
        let cases = [
            ("a", "b", "a", "write"),
            ("a", "b", "b", "already"),
            ("a", "b", "c", "changed"),
            ("a", "b", "-", "changed"),
            ("-", "b", "-", "write"),
            ("-", "b", "b", "already"),
            ("-", "b", "c", "changed"),
            ("a", "-", "a", "remove"),
            ("a", "-", "-", "already"),
            ("a", "-", "c", "changed"),
        ];
        for (base, result, now, expected) in cases {
            let name = b"f".to_vec();
            let wanted = [Wanted { name: name.clone(), base: entry(base), result: entry(result) }];
            let known = BTreeMap::from([(name, Now { entry: entry(now), ..Now::default() })]);
            let plan = decide(&wanted, &known);
            let got = match (&plan.write[..], &plan.remove[..], &plan.already[..], &plan.refused[..]) {
                ([_], [], [], []) => "write",
                ([], [_], [], []) => "remove",
                ([], [], [_], []) => "already",
                ([], [], [], [(_, Why::ChangedMeanwhile)]) => "changed",
                other => panic!("{other:?}"),
            };
            assert_eq!(got, expected, "{base} {result} {now}");
        }
    }

    #[test]
    fn files_and_directories_that_change_places() {
        let wanted = |name: &str, base: &str, result: &str| Wanted {
            name: name.into(),
            base: entry(base),
            result: entry(result),
        };
        let below = |names: &[&str]| Now {
            below: names.iter().map(|n| n.as_bytes().to_vec()).collect(),
            ..Now::default()
        };
        let has = |text: &str| Now { entry: entry(text), ..Now::default() };
        let blocked = Now { blocked_by: Some(b"d".to_vec()), ..Now::default() };
        let unrecorded = Now { unrecorded: true, ..Now::default() };
        // (wanted, now, refused)
        let cases: [(Vec<Wanted>, Vec<(&str, Now)>, Vec<&str>); 5] = [
            (
                vec![wanted("d", "-", "n"), wanted("d/a", "a", "-")],
                vec![("d", below(&["d/a"])), ("d/a", has("a"))],
                vec![],
            ),
            (
                vec![wanted("d", "-", "n"), wanted("d/a", "a", "-")],
                vec![("d", below(&["d/a", "d/x"])), ("d/a", has("a"))],
                vec!["d"],
            ),
            (
                vec![wanted("d", "a", "-"), wanted("d/a", "-", "n")],
                vec![("d", has("a")), ("d/a", blocked.clone())],
                vec![],
            ),
            (vec![wanted("d/a", "-", "n")], vec![("d/a", blocked)], vec!["d/a"]),
            (vec![wanted("new", "-", "n")], vec![("new", unrecorded)], vec!["new"]),
        ];
        for (wanted, now, refused) in cases {
            let now = now.into_iter().map(|(n, v)| (n.as_bytes().to_vec(), v)).collect();
            let plan = decide(&wanted, &now);
            let got: Vec<String> =
                plan.refused.iter().map(|r| String::from_utf8_lossy(&r.0).into_owned()).collect();
            assert_eq!(got, refused, "{wanted:?}");
        }
    }
}
