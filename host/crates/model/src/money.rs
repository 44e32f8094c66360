//! An amount in the currency of the configured prices, exact to a billionth: sums of many small
//! requests do not drift, and two processes compare the same numbers.

use serde::{Deserialize, Serialize};

/// Billionths of the currency's unit.
const UNIT: f64 = 1e9;

/// A non-negative amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(u64);

impl Money {
    /// From billionths.
    pub fn from_nanos(nanos: u64) -> Money {
        Money(nanos)
    }

    /// From units, rounded up: an estimate is never smaller than what it estimates. None for
    /// what is no amount.
    pub fn from_units(units: f64) -> Option<Money> {
        let nanos = (units * UNIT).ceil();
        (units.is_finite() && units >= 0.0 && nanos < 9e18).then_some(Money(nanos as u64))
    }

    /// Billionths.
    pub fn nanos(self) -> u64 {
        self.0
    }

    /// Units.
    pub fn units(self) -> f64 {
        self.0 as f64 / UNIT
    }

    /// The sum; the largest amount where it would be larger.
    pub fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// What is left of it; nothing where `other` is larger.
    pub fn minus(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }

    /// Whether this is at least four fifths of `limit`.
    pub fn is_near(self, limit: Money) -> bool {
        u128::from(self.0) * 5 >= u128::from(limit.0) * 4
    }
}

impl std::fmt::Display for Money {
    /// At least two decimals, and as many as the first two digits need.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = self.units();
        let decimals = if units >= 0.1 || self.0 == 0 { 2 } else { (-units.log10()).ceil() as usize + 1 };
        write!(f, "{units:.*}", decimals.min(9))
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn amounts_round_up_and_are_shown_short() {
        let of = |units: f64| Money::from_units(units).expect("an amount");
        for (units, shown) in [
            (0.0, "0.00"),
            (1.5, "1.50"),
            (0.25, "0.25"),
            (0.0123, "0.012"),
            (0.000_004_2, "0.0000042"),
            (12.0, "12.00"),
        ] {
            assert_eq!(of(units).to_string(), shown);
        }
        assert_eq!(of(1e-10).nanos(), 1, "never less than it is");
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Money::from_units(wrong), None);
        }
        assert!(of(0.8).is_near(of(1.0)) && !of(0.799).is_near(of(1.0)));
    }
}
