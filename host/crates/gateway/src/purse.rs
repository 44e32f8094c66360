//! Who pays: money is reserved before a request by its estimate and settled after it by its
//! counts. The gateway knows no budgets; a [`Purse`] does.

use std::sync::Arc;

use config::Prices;
use model::money::Money;

use crate::usage::{Tokens, cost};

/// Bytes of a request for which one input token is reserved. A token of code and prose is about
/// four bytes, of Chinese about three: the reservation is rather too large, for a moment.
const BYTES_A_TOKEN: u64 = 3;
/// Output tokens that are reserved when a request sets no limit.
const OUTPUT: u64 = 32_000;

/// A place that money for requests is taken from. Its methods block.
pub trait Purse: Send + Sync + std::fmt::Debug {
    /// Takes `amount` before a request; gives the reservation's number, or one line that says why
    /// not. No two reservations together exceed what is there.
    ///
    /// # Errors
    /// Why there is not enough.
    fn reserve(&self, amount: Money) -> Result<u64, String>;

    /// Puts the true amount in the place of the reservation; none keeps what was reserved,
    /// because nobody knows better.
    fn settle(&self, reservation: u64, amount: Option<Money>);
}

/// What a request may cost at most; none without prices.
pub fn estimate(request_bytes: usize, max_output: Option<u64>, prices: &Prices) -> Option<Money> {
    let input = (request_bytes as u64).div_ceil(BYTES_A_TOKEN);
    let tokens =
        Tokens { input: Some(input), output: Some(max_output.unwrap_or(OUTPUT)), ..Tokens::default() };
    Money::from_units(cost(&tokens, prices)?)
}

/// One reservation; dropped, it is settled with what is known then.
#[derive(Debug)]
pub(crate) struct Reservation {
    purse: Arc<dyn Purse>,
    number: u64,
    /// What is known of the cost; none keeps the estimate.
    pub(crate) actual: Option<Money>,
}

impl Reservation {
    /// Reserves off the async threads.
    pub(crate) async fn make(purse: Arc<dyn Purse>, amount: Money) -> Result<Reservation, String> {
        let asked = Arc::clone(&purse);
        let reserved = tokio::task::spawn_blocking(move || asked.reserve(amount)).await;
        let number =
            reserved.unwrap_or_else(|error| Err(format!("the budget could not be read: {error}")))?;
        Ok(Reservation { purse, number, actual: None })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let (purse, number, actual) = (Arc::clone(&self.purse), self.number, self.actual);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || purse.settle(number, actual))),
            Err(_) => purse.settle(number, actual),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_the_most_that_a_request_can_cost() {
        let prices = Prices { input: Some(1.0), output: Some(10.0), cache: Some(0.1) };
        let at_most = estimate(3_000_000, Some(100_000), &prices).expect("prices are known");
        assert_eq!(at_most, Money::from_units(2.0).expect("an amount"));
        assert_eq!(estimate(3, None, &prices), Money::from_units(0.320_001));
        assert_eq!(estimate(3, None, &Prices::default()), None);
    }
}
