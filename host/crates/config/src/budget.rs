//! What may be spent, in the currency of the prices.

use super::load::Values;
use model::error::{Error, Kind, Result};
use model::money::Money;

/// Budgets in money; none is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetSettings {
    /// `WORKER_MAX_COST`: one job.
    pub job: Option<Money>,
    /// `WORKER_BUDGET_DAY`: everything on one day.
    pub day: Option<Money>,
    /// `WORKER_BUDGET_REPOSITORY_DAY`: the jobs of one repository on one day.
    pub repository_day: Option<Money>,
    /// `WORKER_BUDGET_LABELS`: name, value and amount a day.
    pub labels: Vec<(String, String, Money)>,
}

impl BudgetSettings {
    pub(super) fn of(values: &Values) -> Result<BudgetSettings> {
        let amount = |key: &str| values.number(key).and_then(Money::from_units);
        let labels = values.list("budget.labels").iter().map(|text| label(text)).collect::<Result<_>>()?;
        Ok(BudgetSettings {
            job: amount("budget.job"),
            day: amount("budget.day"),
            repository_day: amount("budget.repository_day"),
            labels,
        })
    }
}

/// `team=web:2.50`.
fn label(text: &str) -> Result<(String, String, Money)> {
    let parsed = || {
        let (label, amount) = text.rsplit_once(':')?;
        let (name, value) = label.split_once('=')?;
        let amount = amount.trim().parse().ok().and_then(Money::from_units)?;
        let (name, value) = (name.trim(), value.trim());
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned(), amount))
    };
    parsed().ok_or_else(|| {
        Error::new(Kind::Config, format!("budget.labels holds {text:?}, which is not name=value:amount"))
            .hint("write it as team=web:2.50: jobs with the label team=web may cost 2.50 a day")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_amounts() {
        let amount = Money::from_units(2.5).expect("an amount");
        assert_eq!(label("team = web : 2.50").expect("it is one"), ("team".into(), "web".into(), amount));
        assert_eq!(label("url=a:b:2.5").expect("it is one").1, "a:b");
        for wrong in ["team", "team=web", "team:5", "=web:5", "team=web:-1", "team=web:x"] {
            assert!(label(wrong).expect_err(wrong).to_string().contains("name=value:amount"));
        }
    }
}
