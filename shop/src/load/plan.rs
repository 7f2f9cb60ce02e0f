//! What is ordered, by whom, and when: everything about a run that is decided before it starts.

use std::{str::FromStr, time::Duration};

/// What is to become of an order, as far as its customer decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is stock, and there is money.
    Happy,
    /// The card is declined.
    Declined,
    /// The product has no stock.
    OutOfStock,
    /// Cancelled by the customer as soon as it is placed.
    CancelledAtOnce,
    /// Cancelled by the customer once it is confirmed: the money goes back.
    CancelledLater,
    /// Amended once to three times while it waits for its payment, then paid.
    Amended,
    /// Part of the money goes back once the order is confirmed.
    Refunded,
    /// Shipped and delivered once it is confirmed.
    Shipped,
}

/// The kinds, by the words of a mix; half of the cancelled ones are cancelled later.
const KINDS: [(&str, Kind); 7] = [
    ("happy", Kind::Happy),
    ("declined", Kind::Declined),
    ("out_of_stock", Kind::OutOfStock),
    ("cancelled", Kind::CancelledAtOnce),
    ("amended", Kind::Amended),
    ("refunded", Kind::Refunded),
    ("shipped", Kind::Shipped),
];

/// How many orders of each kind, as weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    weights: [u32; KINDS.len()],
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Self::default();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or("write it as happy=90,declined=10")?;
            let known = KINDS.iter().position(|(known, _)| *known == name.trim());
            let place = known.ok_or_else(|| format!("there is no kind of order {name}"))?;
            let number: u16 =
                weight.trim().parse().map_err(|_| format!("{weight} is no weight"))?;
            mix.weights[place] = u32::from(number);
        }
        if mix.total() == 0 { Err("nothing is left to order".into()) } else { Ok(mix) }
    }
}

impl Mix {
    /// The sum of the weights.
    pub fn total(&self) -> u32 {
        self.weights.iter().sum()
    }

    /// The kind that `draw` (below the total) falls on.
    pub fn pick(&self, draw: u32) -> Kind {
        let mut reached = 0;
        let found = KINDS.iter().zip(self.weights).find(|(_, weight)| {
            reached += weight;
            draw < reached
        });
        match found.map_or(Kind::Happy, |((_, kind), _)| *kind) {
            Kind::CancelledAtOnce if draw % 2 == 1 => Kind::CancelledLater,
            kind => kind,
        }
    }
}

/// How often each product is ordered: the n-th 1/n^s as often as the first.
#[derive(Clone, Debug)]
pub struct Popularity {
    cumulative: Vec<f64>,
}

impl Popularity {
    /// For `products` products; with `exponent` 0 all are ordered alike.
    #[expect(clippy::float_arithmetic, reason = "a distribution, not money")]
    pub fn new(products: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=products.max(1))
            .map(|n| {
                sum += f64::from(n).powf(-exponent);
                sum
            })
            .collect();
        Self { cumulative }
    }

    /// The product (counted from 1) that `draw`, from 0 to before 1, falls on.
    #[expect(clippy::float_arithmetic, reason = "a distribution, not money")]
    pub fn pick(&self, draw: f64) -> u32 {
        let aim = draw * self.cumulative.last().copied().unwrap_or(1.0);
        let found = self.cumulative.partition_point(|reached| *reached <= aim);
        u32::try_from(found.min(self.cumulative.len() - 1)).unwrap_or(u32::MAX - 1) + 1
    }
}

/// When orders are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At fixed times, this many a second, whatever becomes of those before: a late start counts as
    /// waiting.
    Open { rate: u32 },
    /// This many under way at once, each until its end.
    Closed { concurrency: u32 },
}

impl Pace {
    /// When the order with this number is to start, in an open loop.
    pub fn start_of(self, index: u64) -> Option<Duration> {
        match self {
            Self::Open { rate } => {
                let nanos = u128::from(index) * 1_000_000_000 / u128::from(rate.max(1));
                Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
            }
            Self::Closed { .. } => None,
        }
    }

    /// How many connections are needed: as many as orders start in a second, because a connection
    /// that waits longer measures little.
    pub fn connections(self) -> u32 {
        const MOST: u32 = 256;
        match self {
            Self::Open { rate } => rate.clamp(8, MOST),
            Self::Closed { concurrency } => concurrency.clamp(1, MOST),
        }
    }
}

/// How many orders are started, or for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Orders(u64),
    Lasting(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_deals_out_its_weights() {
        let mix: Mix =
            "happy=90,declined=5,out_of_stock=3,cancelled=2,amended=4,refunded=3,shipped=1"
                .parse()
                .unwrap();
        assert_eq!(mix.total(), 108);
        let count = |kind| (0..108).filter(|draw| mix.pick(*draw) == kind).count();
        assert_eq!(count(Kind::Happy), 90);
        assert_eq!(count(Kind::Declined), 5);
        assert_eq!(count(Kind::OutOfStock), 3);
        assert_eq!((count(Kind::CancelledAtOnce), count(Kind::CancelledLater)), (1, 1));
        assert_eq!((count(Kind::Amended), count(Kind::Refunded), count(Kind::Shipped)), (4, 3, 1));
    }

    #[test]
    fn a_mix_of_nothing_or_of_unknown_kinds_is_refused() {
        assert!("happy=0".parse::<Mix>().is_err());
        assert!("merry=1".parse::<Mix>().is_err());
        assert!("happy".parse::<Mix>().is_err());
        assert!("happy=-1".parse::<Mix>().is_err());
    }

    #[test]
    fn popularity_is_even_without_an_exponent() {
        let even = Popularity::new(10, 0.0);
        assert_eq!(even.pick(0.0), 1);
        assert_eq!(even.pick(0.55), 6);
        assert_eq!(even.pick(0.999_999), 10);
        assert_eq!(Popularity::new(1, 1.2).pick(0.999), 1);
    }

    #[test]
    fn the_first_product_is_wanted_most() {
        let skewed = Popularity::new(100, 1.0);
        // Harmonic: the first product of a hundred takes 1 / 5.187 of the orders.
        assert_eq!(skewed.pick(0.192), 1);
        assert_eq!(skewed.pick(0.194), 2);
        assert_eq!(skewed.pick(0.999_999), 100);
    }

    #[test]
    fn an_open_loop_starts_at_fixed_times() {
        let pace = Pace::Open { rate: 3 };
        assert_eq!(pace.start_of(0), Some(Duration::ZERO));
        assert_eq!(pace.start_of(3), Some(Duration::from_secs(1)));
        assert_eq!(pace.start_of(3_000_000), Some(Duration::from_secs(1_000_000)));
        assert_eq!(Pace::Closed { concurrency: 4 }.start_of(7), None);
    }
}
