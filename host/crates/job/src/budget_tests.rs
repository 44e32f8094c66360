//! No race lets requests overspend: many threads, each with a store of its own, as processes have.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

fn money(units: f64) -> Money {
    Money::from_units(units).expect("an amount")
}

fn scope(key: &str, limit: f64) -> SpendScope {
    SpendScope { key: key.to_owned(), limit: money(limit), name: key.to_owned() }
}

#[test]
fn fifty_requests_at_once_never_overspend_one_budget() {
    let home = tempfile::tempdir().expect("a temporary directory");
    SqliteStore::open(home.path()).expect("the store");
    let (granted, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|threads| {
        for job in 0..50 {
            let (home, granted, refused) = (home.path(), &granted, &refused);
            threads.spawn(move || {
                let store = SqliteStore::open(home).expect("the store");
                let scopes = [scope(&format!("job {}", job % 10), 1.0), scope("day", 1.0)];
                for _ in 0..4 {
                    match store.reserve(&scopes, money(0.03)).expect("it answers") {
                        Reserved::Granted(number) => {
                            granted.fetch_add(1, Ordering::Relaxed);
                            let all = store.spent("day").expect("it answers");
                            assert!(all <= money(1.0), "{all} of 1.00");
                            store.settle(number, Some(money(0.02))).expect("it settles");
                        }
                        Reserved::Refused { index, spent } => {
                            assert_eq!(index, 1);
                            assert!(spent.plus(money(0.03)) > money(1.0));
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let store = SqliteStore::open(home.path()).expect("the store");
    let spent = store.spent("day").expect("it answers");
    assert_eq!(spent, money(0.02 * granted.load(Ordering::Relaxed) as f64));
    assert!(spent <= money(1.0) && spent >= money(0.96), "{spent}");
    assert!(refused.load(Ordering::Relaxed) > 100);
    let jobs: u64 = (0..10).map(|n| store.spent(&format!("job {n}")).expect("it answers").nanos()).sum();
    assert_eq!(jobs, spent.nanos(), "what is refused in one sum is taken from none");
}

#[test]
fn what_is_not_settled_stays_counted_and_nothing_is_settled_twice() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = SqliteStore::open(home.path()).expect("the store");
    let scopes = [scope("a", 1.0)];
    let Reserved::Granted(first) = store.reserve(&scopes, money(0.6)).expect("it answers") else { panic!() };
    // The worker of this one died: nobody knows what it cost.
    assert_eq!(
        store.reserve(&scopes, money(0.5)).expect("it answers"),
        Reserved::Refused { index: 0, spent: money(0.6) }
    );
    assert_eq!(store.settle(first, Some(money(0.7))).expect("it settles"), [money(0.7)]);
    assert_eq!(store.settle(first, Some(money(0.7))).expect("it settles"), []);
    let Reserved::Granted(second) = store.reserve(&scopes, money(0.3)).expect("it answers") else { panic!() };
    assert_eq!(store.settle(second, None).expect("it settles"), [money(1.0)]);
}

#[test]
fn a_purse_says_once_that_a_budget_is_near_and_why_it_refuses() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::for_tests(home.path());
    config.budget.day = Some(money(1.0));
    config.budget.labels = vec![("team".to_owned(), "web".to_owned(), money(5.0))];
    let store: Arc<dyn JobStore> = Arc::new(SqliteStore::open(home.path()).expect("the store"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let (config, heard) = (Arc::new(config), Arc::clone(&told));
    let tell = move |notice| heard.lock().expect("not poisoned").push(notice);
    let purse = purse(&config, store, None, tell).expect("a day's budget");
    for (reserved, cost) in [(0.5, 0.4), (0.5, 0.45), (0.1, 0.1)] {
        let number = purse.reserve(money(reserved)).expect("it is granted");
        purse.settle(number, Some(money(cost)));
    }
    let why = purse.reserve(money(0.2)).expect_err("it is refused");
    assert!(
        why.contains("the budget of 1.00") && why.contains("0.95 spent") && why.contains("0.20"),
        "{why}"
    );
    let told = told.lock().expect("not poisoned").clone();
    assert!(
        matches!(&told[..], [Notice::Near(near), Notice::Refused(_)] if near.contains("80 %")),
        "{told:?}"
    );
}
