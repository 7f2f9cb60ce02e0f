//! What an order's reservation may become: every rule about promising stock and taking it back.
//!
//! Only order-svc says how an order ended, and pieces are given back only when it has said so: when
//! the time of a reservation runs out, that is announced and the pieces stay held. A cancellation
//! that arrives before its order leaves a released reservation, which the order finds and does not
//! change.

use time::{Duration, OffsetDateTime};

use crate::domain::stock::{Allocation, Motion, Shortage, SkuQuantity, Stock};

/// What this service knows of one order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reservation {
    /// This service has heard nothing about the order.
    #[default]
    Unheard,
    /// Pieces of a line were missing; nothing is held.
    Rejected { revision: u32 },
    /// All pieces are held for the order.
    Held {
        revision: u32,
        allocations: Vec<Allocation>,
        expires_at: OffsetDateTime,
        /// Whether it was announced that the reservation's time is over.
        expired: bool,
    },
    /// The order is confirmed and its pieces have left the shelf.
    Sold { revision: u32, allocations: Vec<Allocation> },
    /// The order is cancelled; these pieces went back.
    Released { revision: u32, allocations: Vec<Allocation> },
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

/// A reservation's next state, how its pieces move, and what is announced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    pub state: Reservation,
    pub motion: Option<(Motion, Vec<Allocation>)>,
    pub announce: Option<Announcement>,
}

/// Applies one event to an order's reservation, looking at `stock` and leaving it as it is.
pub fn decide(state: Reservation, event: &Event, stock: &Stock, at: OffsetDateTime) -> Decision {
    use Reservation::{Held, Rejected, Released, Sold, Unheard};
    match (state, event) {
        (Unheard, Event::OrderPlaced { revision, lines, hold }) => {
            place(*revision, lines, at.saturating_add(*hold), stock)
        }
        (Held { revision, allocations, .. }, Event::OrderConfirmed { .. }) => {
            let motion = Some((Motion::Sell, allocations.clone()));
            Decision { state: Sold { revision, allocations }, motion, announce: None }
        }
        (Unheard | Rejected { .. }, Event::OrderCancelled { revision }) => {
            release(*revision, Vec::new(), None)
        }
        (Held { allocations, .. }, Event::OrderCancelled { revision }) => {
            release(*revision, allocations, Some(Motion::Release))
        }
        (Sold { allocations, .. }, Event::OrderCancelled { revision }) => {
            release(*revision, allocations, Some(Motion::PutBack))
        }
        (Held { revision, allocations, expires_at, expired: false }, Event::HoldRanOut)
            if expires_at <= at =>
        {
            let state = Held { revision, allocations, expires_at, expired: true };
            let announce = Some(Announcement::ReservationExpired { revision });
            Decision { state, motion: None, announce }
        }
        // The first answer stands: a repeated order, or one that was cancelled before it came,
        // changes nothing.
        (
            state @ (Rejected { .. } | Held { .. } | Sold { .. } | Released { .. }),
            Event::OrderPlaced { .. },
        )
        // The pieces are sold already, or none are held that could be sold.
        | (
            state @ (Unheard | Rejected { .. } | Sold { .. } | Released { .. }),
            Event::OrderConfirmed { .. },
        )
        // StockReleased was announced already.
        | (state @ Released { .. }, Event::OrderCancelled { .. })
        // The expiry was announced already, it is too early, or the order has ended.
        | (
            state @ (Unheard | Rejected { .. } | Held { .. } | Sold { .. } | Released { .. }),
            Event::HoldRanOut,
        ) => Decision { state, motion: None, announce: None },
    }
}

fn place(
    revision: u32,
    lines: &[SkuQuantity],
    expires_at: OffsetDateTime,
    stock: &Stock,
) -> Decision {
    match stock.allocate(lines) {
        Ok(allocations) => Decision {
            motion: Some((Motion::Hold, allocations.clone())),
            announce: Some(Announcement::StockReserved {
                revision,
                allocations: allocations.clone(),
            }),
            state: Reservation::Held { revision, allocations, expires_at, expired: false },
        },
        Err(missing) => Decision {
            state: Reservation::Rejected { revision },
            motion: None,
            announce: Some(Announcement::StockRejected { revision, missing }),
        },
    }
}

fn release(revision: u32, allocations: Vec<Allocation>, motion: Option<Motion>) -> Decision {
    Decision {
        motion: motion.map(|motion| (motion, allocations.clone())),
        announce: Some(Announcement::StockReleased { revision, allocations: allocations.clone() }),
        state: Reservation::Released { revision, allocations },
    }
}

#[cfg(test)]
mod tests;
