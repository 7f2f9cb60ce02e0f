//! A reservation that staff made for no order: it holds pieces until it is released, or until its
//! time is over, and then they go back by themselves.

use time::OffsetDateTime;

use crate::domain::stock::{Allocation, Motion, Pieces, Shortage, SkuQuantity, Stock};

/// A reservation without an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualReservation {
    /// By what staff find it again.
    pub reference: Option<String>,
    pub phase: ManualPhase,
    /// The pieces that it holds, or held when it ended.
    pub allocations: Vec<Allocation>,
}

/// How far a reservation without an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManualPhase {
    Held { until: OffsetDateTime },
    Released,
    Expired { since: OffsetDateTime },
}

/// A reservation's next state, and how pieces move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualDecision {
    pub reservation: ManualReservation,
    pub motions: Vec<(Motion, Vec<Allocation>)>,
}

/// Why a reservation without an order is not made or not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManualRefusal {
    /// The reservation has ended, or its time is over.
    Over,
    /// More is wanted than there is.
    Insufficient(Vec<Shortage>),
}

impl ManualReservation {
    /// A reservation that is to hold all of `wanted` until `until`, or nothing.
    pub fn make(
        reference: Option<String>,
        wanted: &[SkuQuantity],
        until: OffsetDateTime,
        stock: &Stock,
    ) -> Result<ManualDecision, ManualRefusal> {
        let phase = ManualPhase::Held { until };
        Self { reference, phase, allocations: Vec::new() }.holding(wanted, stock)
    }

    /// Holds other pieces, or until another time; what is `None` stays.
    pub fn amend(
        &self,
        wanted: Option<&[SkuQuantity]>,
        until: Option<OffsetDateTime>,
        stock: &Stock,
        at: OffsetDateTime,
    ) -> Result<ManualDecision, ManualRefusal> {
        let held_until = self.held_until(at)?;
        let phase = ManualPhase::Held { until: until.unwrap_or(held_until) };
        let reservation = Self { phase, ..self.clone() };
        match wanted {
            Some(wanted) => reservation.holding(wanted, stock),
            None => Ok(ManualDecision { reservation, motions: Vec::new() }),
        }
    }

    /// Gives the pieces back.
    pub fn release(&self, at: OffsetDateTime) -> Result<ManualDecision, ManualRefusal> {
        self.held_until(at)?;
        Ok(self.ended(ManualPhase::Released))
    }

    /// What the sweep does with it: nothing before its time is over, or after it has ended.
    pub fn expire(&self, at: OffsetDateTime) -> Option<ManualDecision> {
        match self.phase {
            ManualPhase::Held { until } if until <= at => {
                Some(self.ended(ManualPhase::Expired { since: until }))
            }
            ManualPhase::Held { .. } | ManualPhase::Released | ManualPhase::Expired { .. } => None,
        }
    }

    /// Until when it holds its pieces; refused from then on, even before the sweep has seen it.
    pub fn held_until(&self, at: OffsetDateTime) -> Result<OffsetDateTime, ManualRefusal> {
        match self.phase {
            ManualPhase::Held { until } if at < until => Ok(until),
            ManualPhase::Held { .. } | ManualPhase::Released | ManualPhase::Expired { .. } => {
                Err(ManualRefusal::Over)
            }
        }
    }

    fn holding(
        self,
        wanted: &[SkuQuantity],
        stock: &Stock,
    ) -> Result<ManualDecision, ManualRefusal> {
        let own = Pieces::new(&self.allocations);
        let allocations = stock.allocate(wanted, &own).map_err(ManualRefusal::Insufficient)?;
        let pieces = Pieces::new(&allocations);
        let motions =
            vec![(Motion::Hold, pieces.beyond(&own)), (Motion::Release, own.beyond(&pieces))];
        Ok(ManualDecision { reservation: Self { allocations, ..self }, motions })
    }

    fn ended(&self, phase: ManualPhase) -> ManualDecision {
        let motions = vec![(Motion::Release, self.allocations.clone())];
        ManualDecision { reservation: Self { phase, ..self.clone() }, motions }
    }
}

#[cfg(test)]
mod tests {
    use proto::{Sku, WarehouseId};
    use time::Duration;

    use super::*;
    use crate::domain::stock::Shelf;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn sku() -> Sku {
        Sku::parse("mug").unwrap()
    }

    fn wanted(quantity: u32) -> Vec<SkuQuantity> {
        vec![SkuQuantity { sku: sku(), quantity }]
    }

    fn minutes(count: i64) -> OffsetDateTime {
        AT.saturating_add(Duration::minutes(count))
    }

    /// Three mugs and what is reserved of them by one reservation.
    struct Shop {
        stock: Stock,
        reservation: ManualReservation,
    }

    impl Shop {
        fn with(quantity: u32) -> Self {
            let mut stock = Stock::default();
            for (name, on_hand) in [("main", 2), ("attic", 1)] {
                let shelf = Shelf { on_hand, ..Shelf::default() };
                stock.set(sku(), WarehouseId::parse(name).unwrap(), shelf);
            }
            let made = ManualReservation::make(None, &wanted(quantity), minutes(1), &stock);
            let ManualDecision { reservation, motions } = made.unwrap();
            let mut shop = Self { stock, reservation };
            shop.moved(&motions);
            shop
        }

        fn moved(&mut self, motions: &[(Motion, Vec<Allocation>)]) {
            for (motion, pieces) in motions {
                self.stock.apply(*motion, pieces);
            }
        }

        fn take(&mut self, decision: ManualDecision) {
            self.moved(&decision.motions);
            self.reservation = decision.reservation;
        }

        fn reserved(&self) -> i64 {
            self.stock.shelves().map(|(_, _, shelf)| shelf.reserved).sum()
        }
    }

    #[test]
    fn it_holds_all_or_nothing_and_what_it_no_longer_wants_goes_back_at_once() {
        let mut shop = Shop::with(2);
        assert_eq!(shop.reserved(), 2);

        let amended = shop.reservation.amend(Some(&wanted(3)), None, &shop.stock, AT).unwrap();
        shop.take(amended);
        assert_eq!(shop.reserved(), 3);
        let missing = Shortage { sku: sku(), wanted: 4, available: 3 };
        assert_eq!(
            shop.reservation.amend(Some(&wanted(4)), None, &shop.stock, AT),
            Err(ManualRefusal::Insufficient(vec![missing])),
            "its own pieces are at its disposal"
        );
        let amended = shop.reservation.amend(Some(&wanted(1)), None, &shop.stock, AT).unwrap();
        shop.take(amended);
        assert_eq!(shop.reserved(), 1);
        assert_eq!(shop.reservation.phase, ManualPhase::Held { until: minutes(1) });
    }

    #[test]
    fn it_ends_once_by_hand_or_by_the_clock_and_then_stays_as_it_is() {
        for by_hand in [true, false] {
            let mut shop = Shop::with(3);
            let at = if by_hand { AT } else { minutes(1) };
            assert_eq!(shop.reservation.expire(AT), None, "too early");
            let ended = if by_hand {
                shop.reservation.release(at).unwrap()
            } else {
                assert_eq!(shop.reservation.release(at), Err(ManualRefusal::Over));
                shop.reservation.expire(at).unwrap()
            };
            shop.take(ended);

            assert_eq!(shop.reserved(), 0);
            assert_eq!(shop.reservation.allocations.len(), 2, "what it held is still told");
            assert_eq!(shop.reservation.expire(minutes(9)), None);
            assert_eq!(shop.reservation.release(AT), Err(ManualRefusal::Over));
            let later = Some(minutes(9));
            assert_eq!(
                shop.reservation.amend(None, later, &shop.stock, AT),
                Err(ManualRefusal::Over)
            );
        }
    }

    #[test]
    fn another_time_moves_no_piece() {
        let shop = Shop::with(1);

        let later = shop.reservation.amend(None, Some(minutes(5)), &shop.stock, AT).unwrap();
        assert_eq!(later.motions, []);
        assert_eq!(later.reservation.phase, ManualPhase::Held { until: minutes(5) });
        assert_eq!(later.reservation.expire(minutes(1)), None);
    }
}
