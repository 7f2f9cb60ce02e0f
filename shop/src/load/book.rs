//! The book of orders under way: joins the HTTP answer and the final event of each order.
//!
//! The event may come before the answer, so an order is entered by whichever comes first. Times run
//! from the *intended* start: an order that starts late because the system is slow has waited.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::plan::Kind;
use crate::by_id::ById;

/// An order that was placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedOrder {
    pub(super) intended: Instant,
    pub(super) kind: Kind,
    /// False for an order of the warm-up: it is followed, but not counted.
    pub(super) counted: bool,
}

/// How an order ended, as its event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderEnd {
    Confirmed,
    Cancelled,
}

/// What a customer or staff do to an order after it was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Amend it, then pay for it.
    Amend,
    Cancel,
    /// Give part of its money back.
    Refund,
    /// Ship it, then deliver it.
    Ship,
}

/// What follows from an answer or a final event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// Whether the order is over: both have come.
    pub(super) is_over: bool,
    pub(super) errand: Option<Errand>,
}

impl Next {
    const WAIT: Self = Self { is_over: false, errand: None };
}

/// What has been counted so far.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) confirmed: u64,
    pub(super) cancelled: u64,
    pub(super) errors: u64,
    /// Refusals by their code.
    pub(super) refusals: BTreeMap<String, u64>,
    /// Times from the intended start to the answer (`accept`) and to the final event
    /// (`end_to_end`), in microseconds.
    pub(super) accept: Histogram<u64>,
    pub(super) end_to_end: Histogram<u64>,
    /// When the last final event was read.
    pub(super) last_end: Option<Instant>,
}

/// Orders under way, and the counts of those that are over.
#[derive(Debug)]
pub(super) struct Book {
    halves: ById<Half>,
    waiting: u64,
    waiting_counted: u64,
    tally: Tally,
}

/// What came first for an order: the answer or the final event.
#[derive(Clone, Copy, Debug)]
enum Half {
    PlacedOrder(PlacedOrder),
    Ended(OrderEnd, Instant),
}

impl Default for Book {
    fn default() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("an hour in three digits");
        Self {
            halves: ById::default(),
            waiting: 0,
            waiting_counted: 0,
            tally: Tally {
                accepted: 0,
                rejected: 0,
                confirmed: 0,
                cancelled: 0,
                errors: 0,
                refusals: BTreeMap::new(),
                accept: histogram(),
                end_to_end: histogram(),
                last_end: None,
            },
        }
    }
}

impl Book {
    /// The gateway accepted the order.
    pub(super) fn accepted(&mut self, order: u128, placed: PlacedOrder, at: Instant) -> Next {
        if placed.counted {
            self.tally.accepted += 1;
            self.tally.accept.saturating_record(micros(at - placed.intended));
        }
        self.waiting += 1;
        self.waiting_counted += u64::from(placed.counted);
        let next = match self.halves.insert(order, Half::PlacedOrder(placed)) {
            Some(Half::Ended(ending, at)) => self.settle(order, placed, ending, at),
            Some(Half::PlacedOrder(_)) | None => Next::WAIT,
        };
        match placed.kind {
            Kind::Amended if !next.is_over => Next { errand: Some(Errand::Amend), ..next },
            Kind::CancelledAtOnce if !next.is_over => Next { errand: Some(Errand::Cancel), ..next },
            _ => next,
        }
    }

    /// The gateway, or a service behind it, refused the order.
    pub(super) fn rejected(&mut self, placed: PlacedOrder, code: String) {
        if placed.counted {
            self.tally.rejected += 1;
            *self.tally.refusals.entry(code).or_default() += 1;
        }
    }

    /// It is unknown whether the order was accepted.
    pub(super) fn failed(&mut self, placed: PlacedOrder) {
        self.tally.errors += u64::from(placed.counted);
    }

    /// A final event was read. Those of unknown orders are remembered: an order of this run may end
    /// before its answer is here.
    pub(super) fn ended(&mut self, order: u128, ending: OrderEnd, at: Instant) -> Next {
        match self.halves.get(&order) {
            Some(Half::PlacedOrder(placed)) => self.settle(order, *placed, ending, at),
            Some(Half::Ended(..)) | None => {
                self.halves.insert(order, Half::Ended(ending, at));
                Next::WAIT
            }
        }
    }

    fn settle(&mut self, order: u128, placed: PlacedOrder, ending: OrderEnd, at: Instant) -> Next {
        let errand = match (placed.kind, ending) {
            (Kind::CancelledAtOnce, OrderEnd::Confirmed) => return Next::WAIT,
            (Kind::CancelledLater, OrderEnd::Confirmed) => {
                return Next { is_over: false, errand: Some(Errand::Cancel) };
            }
            (Kind::Refunded, OrderEnd::Confirmed) => Some(Errand::Refund),
            (Kind::Shipped, OrderEnd::Confirmed) => Some(Errand::Ship),
            _ => None,
        };
        self.halves.remove(&order);
        self.waiting -= 1;
        if placed.counted {
            self.waiting_counted -= 1;
            self.tally.end_to_end.saturating_record(micros(at - placed.intended));
            self.tally.last_end = Some(self.tally.last_end.map_or(at, |last| last.max(at)));
            match ending {
                OrderEnd::Confirmed => self.tally.confirmed += 1,
                OrderEnd::Cancelled => self.tally.cancelled += 1,
            }
        }
        Next { is_over: true, errand }
    }

    /// How many accepted orders have not ended yet.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// How many of the orders that count have not ended yet.
    pub(super) fn unfinished(&self) -> u64 {
        self.waiting_counted
    }

    /// The ids of the orders that have not ended.
    pub(super) fn missing(&self) -> impl Iterator<Item = u128> + '_ {
        let placed =
            |(id, half): (&u128, &Half)| matches!(half, Half::PlacedOrder(_)).then_some(*id);
        self.halves.iter().filter_map(placed)
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVER: Next = Next { is_over: true, errand: None };
    const CANCEL: Next = Next { is_over: false, errand: Some(Errand::Cancel) };

    fn an_order(kind: Kind) -> PlacedOrder {
        PlacedOrder { intended: Instant::now(), kind, counted: true }
    }

    #[test]
    fn it_does_not_matter_which_side_tells_first() {
        let (mut book, now) = (Book::default(), Instant::now());
        assert_eq!(book.accepted(1, an_order(Kind::Happy), now), Next::WAIT);
        assert_eq!(book.ended(2, OrderEnd::Confirmed, now), Next::WAIT);
        assert_eq!((book.waiting(), book.unfinished()), (1, 1));
        assert_eq!(book.ended(1, OrderEnd::Confirmed, now), OVER);
        assert_eq!(book.accepted(2, an_order(Kind::Happy), now), OVER);
        assert_eq!((book.waiting(), book.tally().confirmed, book.tally().accepted), (0, 2, 2));
    }

    #[test]
    fn time_runs_from_the_intended_start() {
        let (mut book, start) = (Book::default(), Instant::now());
        let placed = PlacedOrder { intended: start, kind: Kind::Happy, counted: true };
        book.accepted(1, placed, start + Duration::from_millis(300));
        book.ended(1, OrderEnd::Confirmed, start + Duration::from_millis(500));
        let tally = book.tally();
        assert!(tally.accept.max().abs_diff(300_000) < 300, "{}", tally.accept.max());
        assert!(tally.end_to_end.max().abs_diff(500_000) < 500, "{}", tally.end_to_end.max());
    }

    #[test]
    fn an_order_to_be_cancelled_is_through_when_it_is_cancelled() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.accepted(1, an_order(Kind::CancelledAtOnce), now);
        book.accepted(2, an_order(Kind::CancelledLater), now);
        assert_eq!(book.ended(1, OrderEnd::Confirmed, now), Next::WAIT);
        assert_eq!(book.ended(2, OrderEnd::Confirmed, now), CANCEL);
        assert_eq!(book.waiting(), 2);
        assert_eq!(book.ended(1, OrderEnd::Cancelled, now), OVER);
        assert_eq!(book.ended(2, OrderEnd::Cancelled, now), OVER);
        assert_eq!((book.waiting(), book.tally().cancelled, book.tally().confirmed), (0, 2, 0));
    }

    #[test]
    fn both_endings_may_be_read_before_the_answer() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.ended(1, OrderEnd::Confirmed, now);
        assert_eq!(book.accepted(1, an_order(Kind::CancelledLater), now), CANCEL);
        assert_eq!(book.waiting(), 1);
        book.ended(2, OrderEnd::Confirmed, now);
        book.ended(2, OrderEnd::Cancelled, now);
        assert_eq!(book.accepted(2, an_order(Kind::CancelledAtOnce), now), OVER);
    }

    #[test]
    fn warm_up_is_followed_but_not_counted() {
        let (mut book, now) = (Book::default(), Instant::now());
        let placed = PlacedOrder { counted: false, ..an_order(Kind::Happy) };
        book.accepted(1, placed, now);
        book.failed(placed);
        book.rejected(placed, "overloaded".into());
        assert_eq!((book.waiting(), book.unfinished()), (1, 0));
        book.ended(1, OrderEnd::Confirmed, now);
        let tally = book.tally();
        assert_eq!((tally.accepted, tally.confirmed, tally.errors, tally.rejected), (0, 0, 0, 0));
        assert_eq!(tally.end_to_end.len(), 0);
    }

    #[test]
    fn an_order_without_its_ending_is_named() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.accepted(7, an_order(Kind::Happy), now);
        book.ended(8, OrderEnd::Confirmed, now);
        assert_eq!(book.missing().collect::<Vec<_>>(), [7]);
        assert_eq!(book.unfinished(), 1);
    }

    #[test]
    fn what_is_done_to_an_order_afterwards_follows_from_its_kind() {
        let (mut book, now) = (Book::default(), Instant::now());
        let amend = Next { is_over: false, errand: Some(Errand::Amend) };
        assert_eq!(book.accepted(1, an_order(Kind::Amended), now), amend);
        assert_eq!(book.ended(1, OrderEnd::Confirmed, now), OVER);
        for (kind, errand) in [(Kind::Refunded, Errand::Refund), (Kind::Shipped, Errand::Ship)] {
            book.accepted(2, an_order(kind), now);
            let next = Next { is_over: true, errand: Some(errand) };
            assert_eq!(book.ended(2, OrderEnd::Confirmed, now), next);
            book.accepted(3, an_order(kind), now);
            assert_eq!(book.ended(3, OrderEnd::Cancelled, now), OVER, "nothing to give back");
        }
    }
}
