//! What an order's reservation may become: every rule about promising stock and taking it back.
//!
//! Only order-svc says how an order ended, and pieces are given back only when it has said so: when
//! the time of a reservation runs out, that is announced and the pieces stay held, and what an
//! amendment no longer needs stays held, too, because the order may yet go back to the revision
//! before. A cancellation that arrives before its order leaves a tombstone, which the order finds and
//! does not change.

use time::{Duration, OffsetDateTime};

use crate::domain::stock::{Allocation, Motion, Pieces, Shortage, SkuQuantity, Stock};

/// What this service knows of one order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reservation {
    /// This service has heard nothing about the order.
    #[default]
    Unheard,
    /// Pieces of a line were missing, in each revision so far; nothing is held.
    Rejected { revision: u32 },
    /// All pieces of a revision are held for the order.
    Held {
        /// The last revision that was reserved.
        revision: u32,
        /// The last revision that was answered: higher than `revision` if it was rejected.
        answered: u32,
        /// The pieces of the revision.
        allocations: Vec<Allocation>,
        /// What is held beside them: pieces of revisions before.
        surplus: Vec<Allocation>,
        expires_at: OffsetDateTime,
        /// Whether it was announced that the reservation's time is over.
        expired: bool,
    },
    /// The order is confirmed and its pieces have left the shelf.
    Sold { revision: u32, allocations: Vec<Allocation> },
    /// The order is cancelled; these pieces of the revision reserved last went back, with what was
    /// held beside them. There may be none: an order of lines without stock is reserved all the same.
    Released { revision: u32, allocations: Vec<Allocation> },
    /// The order is cancelled, and nothing was ever reserved for it.
    Tombstone { revision: u32 },
}

impl Reservation {
    /// Everything that is held for the order or sold to it.
    pub fn pieces(&self) -> impl Iterator<Item = &Allocation> {
        let (allocations, surplus): (&[_], &[_]) = match self {
            Self::Held { allocations, surplus, .. } => (allocations, surplus),
            Self::Sold { allocations, .. } => (allocations, &[]),
            Self::Unheard
            | Self::Rejected { .. }
            | Self::Released { .. }
            | Self::Tombstone { .. } => (&[], &[]),
        };
        allocations.iter().chain(surplus)
    }
}

/// What a reservation hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// An order wants these pieces, and they are to be held for `hold`.
    OrderPlaced {
        revision: u32,
        lines: Vec<SkuQuantity>,
        hold: Duration,
    },
    /// An order wants these pieces instead of those of the revision before.
    OrderAmended {
        revision: u32,
        lines: Vec<SkuQuantity>,
        hold: Duration,
    },
    OrderConfirmed {
        revision: u32,
    },
    OrderCancelled {
        revision: u32,
    },
    /// The sweep found that the reservation's time is over.
    HoldRanOut,
}

/// What is announced about a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Announcement {
    StockReserved { revision: u32, allocations: Vec<Allocation> },
    StockRejected { revision: u32, missing: Vec<Shortage> },
    StockReleased { revision: u32, allocations: Vec<Allocation> },
    ReservationExpired { revision: u32 },
}

/// A reservation's next state, how pieces move, and what is announced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    pub state: Reservation,
    pub motions: Vec<(Motion, Vec<Allocation>)>,
    pub announce: Option<Announcement>,
}

/// Applies one event to an order's reservation, looking at `stock` and leaving it as it is.
pub fn decide(state: Reservation, event: &Event, stock: &Stock, at: OffsetDateTime) -> Decision {
    use Reservation::{Held, Rejected, Released, Sold, Tombstone, Unheard};
    match (state, event) {
        (
            Unheard,
            Event::OrderPlaced { revision, lines, hold }
            | Event::OrderAmended { revision, lines, hold },
        ) => reserve(Unheard, *revision, lines, at.saturating_add(*hold), stock),
        // Nothing is held after a rejection, so that an amendment is tried like a new order.
        (
            state @ (Rejected { revision: answered } | Held { answered, .. }),
            Event::OrderAmended { revision, lines, hold },
        ) if answered < *revision => {
            reserve(state, *revision, lines, at.saturating_add(*hold), stock)
        }
        (Held { revision, allocations, surplus, .. }, Event::OrderConfirmed { .. }) => {
            let motions = vec![(Motion::Sell, allocations.clone()), (Motion::Release, surplus)];
            decided(Sold { revision, allocations }, motions, None)
        }
        (Unheard | Rejected { .. }, Event::OrderCancelled { revision }) => {
            let revision = *revision;
            let announcement =
                Announcement::StockReleased { revision, allocations: Vec::new() };
            decided(Tombstone { revision }, Vec::new(), Some(announcement))
        }
        (
            Held { revision, allocations, surplus, .. },
            Event::OrderCancelled { revision: cancelled },
        ) => {
            let motions = vec![(Motion::Release, allocations.clone()), (Motion::Release, surplus)];
            release(*cancelled, (revision, allocations), motions)
        }
        (Sold { revision, allocations }, Event::OrderCancelled { revision: cancelled }) => {
            let motions = vec![(Motion::PutBack, allocations.clone())];
            release(*cancelled, (revision, allocations), motions)
        }
        (
            Held { revision, answered, allocations, surplus, expires_at, expired: false },
            Event::HoldRanOut,
        ) if expires_at <= at => {
            let expired = true;
            let state = Held { revision, answered, allocations, surplus, expires_at, expired };
            decided(state, Vec::new(), Some(Announcement::ReservationExpired { revision }))
        }
        // The first answer stands: a repeated revision, one before it, or one of an order that has
        // ended changes nothing.
        (
            state
            @ (Rejected { .. } | Held { .. } | Sold { .. } | Released { .. } | Tombstone { .. }),
            Event::OrderPlaced { .. } | Event::OrderAmended { .. },
        )
        // The pieces are sold already, or none are held that could be sold.
        | (
            state
            @ (Unheard | Rejected { .. } | Sold { .. } | Released { .. } | Tombstone { .. }),
            Event::OrderConfirmed { .. },
        )
        // StockReleased was announced already.
        | (state @ (Released { .. } | Tombstone { .. }), Event::OrderCancelled { .. })
        // The expiry was announced already, it is too early, or the order has ended.
        | (
            state
            @ (Unheard
            | Rejected { .. }
            | Held { .. }
            | Sold { .. }
            | Released { .. }
            | Tombstone { .. }),
            Event::HoldRanOut,
        ) => decided(state, Vec::new(), None),
    }
}

/// Holds all lines of a revision or none. What is held already counts for it, and stays held in
/// either case.
fn reserve(
    state: Reservation,
    revision: u32,
    lines: &[SkuQuantity],
    expires_at: OffsetDateTime,
    stock: &Stock,
) -> Decision {
    let own = Pieces::new(state.pieces());
    match stock.allocate(lines, &own) {
        Ok(allocations) => {
            let wanted = Pieces::new(&allocations);
            let motions = vec![(Motion::Hold, wanted.beyond(&own))];
            let announcement =
                Announcement::StockReserved { revision, allocations: allocations.clone() };
            let state = Reservation::Held {
                revision,
                answered: revision,
                allocations,
                surplus: own.beyond(&wanted),
                expires_at,
                expired: false,
            };
            decided(state, motions, Some(announcement))
        }
        Err(missing) => {
            let state = rejected(state, revision);
            decided(state, Vec::new(), Some(Announcement::StockRejected { revision, missing }))
        }
    }
}

/// The state after `rejected` was: what was held stays held for the revision before, as long as it
/// would have been.
fn rejected(mut state: Reservation, rejected: u32) -> Reservation {
    let Reservation::Held { answered, .. } = &mut state else {
        return Reservation::Rejected { revision: rejected };
    };
    *answered = rejected;
    state
}

fn release(
    cancelled: u32,
    (revision, allocations): (u32, Vec<Allocation>),
    motions: Vec<(Motion, Vec<Allocation>)>,
) -> Decision {
    let announcement =
        Announcement::StockReleased { revision: cancelled, allocations: allocations.clone() };
    decided(Reservation::Released { revision, allocations }, motions, Some(announcement))
}

/// A decision, without motions that move nothing.
fn decided(
    state: Reservation,
    mut motions: Vec<(Motion, Vec<Allocation>)>,
    announce: Option<Announcement>,
) -> Decision {
    motions.retain(|(_, pieces)| !pieces.is_empty());
    Decision { state, motions, announce }
}

#[cfg(test)]
mod tests;
