//! How many pieces are on the shelves, how many of them are reserved, and from which warehouses an
//! order's pieces are taken.

use std::{cmp::Reverse, collections::BTreeMap};

use proto::{Sku, WarehouseId};

/// The most pieces on one shelf: a larger number is a typing error.
pub const ON_HAND_MAX: i64 = 1_000_000_000_000;

/// The most warehouses that one line is taken from, so that an order's reservation fits an event.
pub const SPLIT_MAX: usize = 20;

/// Pieces of one SKU in one warehouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shelf {
    /// The warehouse's priority: pieces are taken from the lowest number first.
    pub priority: i32,
    /// The pieces that lie there, reserved ones included.
    pub on_hand: i64,
    /// How many of them are reserved for orders.
    pub reserved: i64,
    /// How many pieces left the shelf for orders that were confirmed.
    pub sold: i64,
}

impl Shelf {
    /// How many pieces can still be reserved.
    pub fn available(&self) -> i64 {
        self.on_hand.saturating_sub(self.reserved)
    }

    /// Pieces received or written off: reserved pieces cannot be written off.
    pub fn adjust(mut self, delta: i64) -> Result<Self, Refusal> {
        let on_hand = self.on_hand.saturating_add(delta);
        if on_hand < self.reserved {
            return Err(Refusal::StockReserved { reserved: self.reserved, on_hand: self.on_hand });
        }
        if on_hand > ON_HAND_MAX {
            return Err(Refusal::TooMuch);
        }
        self.on_hand = on_hand;
        Ok(self)
    }

    fn moved(&mut self, motion: Motion, quantity: u32) {
        let pieces = i64::from(quantity);
        let (on_hand, reserved, sold) = match motion {
            Motion::Hold => (0, pieces, 0),
            Motion::Release => (0, pieces.saturating_neg(), 0),
            Motion::Sell => (pieces.saturating_neg(), pieces.saturating_neg(), pieces),
            Motion::PutBack => (pieces, 0, pieces.saturating_neg()),
        };
        self.on_hand = self.on_hand.saturating_add(on_hand);
        self.reserved = self.reserved.saturating_add(reserved);
        self.sold = self.sold.saturating_add(sold);
    }
}

/// Why a change of stock is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The change would leave fewer pieces than are reserved for orders.
    #[error("{on_hand} on hand, {reserved} of them reserved")]
    StockReserved { reserved: i64, on_hand: i64 },
    /// The change would leave more than any shelf holds.
    #[error("at most {ON_HAND_MAX} pieces on hand")]
    TooMuch,
}

/// A place where stock lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warehouse {
    pub name: String,
    pub priority: i32,
}

/// Pieces of one SKU that an order wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SkuQuantity {
    pub sku: Sku,
    pub quantity: u32,
}

/// Pieces of one SKU in one warehouse that belong to an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Allocation {
    pub sku: Sku,
    pub warehouse: WarehouseId,
    pub quantity: u32,
}

/// Pieces by SKU and warehouse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces(BTreeMap<(Sku, WarehouseId), u32>);

impl Pieces {
    /// The sum of allocations.
    pub fn new<'a>(allocations: impl IntoIterator<Item = &'a Allocation>) -> Self {
        let mut pieces = BTreeMap::new();
        for Allocation { sku, warehouse, quantity } in allocations {
            let there: &mut u32 = pieces.entry((sku.clone(), warehouse.clone())).or_default();
            *there = there.saturating_add(*quantity);
        }
        Self(pieces)
    }

    /// The pieces of a SKU in a warehouse.
    pub fn of(&self, sku: &Sku, warehouse: &WarehouseId) -> u32 {
        if self.0.is_empty() {
            return 0;
        }
        self.0.get(&(sku.clone(), warehouse.clone())).copied().unwrap_or_default()
    }

    /// The pieces that are here beyond those in `others`.
    pub fn beyond(&self, others: &Self) -> Vec<Allocation> {
        let more = self.0.iter().map(|((sku, warehouse), quantity)| Allocation {
            sku: sku.clone(),
            warehouse: warehouse.clone(),
            quantity: quantity.saturating_sub(others.of(sku, warehouse)),
        });
        more.filter(|it| it.quantity > 0).collect()
    }
}

/// A SKU of which an order wants more than it can have: than it holds and is available.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shortage {
    pub sku: Sku,
    /// Pieces that the order wants.
    pub wanted: u32,
    /// Pieces that it can have.
    pub available: u32,
}

/// How an order's pieces move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Motion {
    /// Available pieces become reserved.
    Hold,
    /// Reserved pieces become available.
    Release,
    /// Reserved pieces leave the shelf.
    Sell,
    /// Sold pieces come back onto the shelf.
    PutBack,
}

/// The shelves that a decision may look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stock {
    shelves: BTreeMap<Sku, BTreeMap<WarehouseId, Shelf>>,
}

impl Stock {
    /// Sets a shelf, instead of the one that was known.
    pub fn set(&mut self, sku: Sku, warehouse: WarehouseId, there: Shelf) {
        self.shelves.entry(sku).or_default().insert(warehouse, there);
    }

    /// The shelf of a SKU in a warehouse.
    pub fn shelf(&self, sku: &Sku, warehouse: &WarehouseId) -> Option<Shelf> {
        self.shelves.get(sku)?.get(warehouse).copied()
    }

    /// All shelves, by SKU and warehouse.
    pub fn shelves(&self) -> impl Iterator<Item = (&Sku, &WarehouseId, &Shelf)> {
        self.shelves.iter().flat_map(|(sku, of_sku)| {
            of_sku.iter().map(move |(warehouse, shelf)| (sku, warehouse, shelf))
        })
    }

    /// The shelves of one SKU, by warehouse.
    pub fn of(&self, sku: &Sku) -> impl Iterator<Item = (&WarehouseId, &Shelf)> {
        self.shelves.get(sku).into_iter().flatten()
    }

    /// How many pieces of a SKU can be reserved, over all warehouses.
    pub fn available(&self, sku: &Sku) -> i64 {
        self.of(sku).fold(0, |sum, (_, shelf)| sum.saturating_add(shelf.available()))
    }

    /// Where the pieces of an order would be taken from: all of them, or what is missing. What it
    /// holds already, `own`, is at its disposal, and taken first.
    pub fn allocate(
        &self,
        wanted: &[SkuQuantity],
        own: &Pieces,
    ) -> Result<Vec<Allocation>, Vec<Shortage>> {
        let mut allocations = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for line in merged(wanted) {
            match self.take(&line, own) {
                Ok(pieces) => allocations.extend(pieces),
                Err(short) => missing.push(short),
            }
        }
        if missing.is_empty() { Ok(allocations) } else { Err(missing) }
    }

    /// Moves the pieces of an order.
    pub fn apply(&mut self, motion: Motion, allocations: &[Allocation]) {
        for allocation in allocations {
            let of_sku = self.shelves.entry(allocation.sku.clone()).or_default();
            let place = of_sku.entry(allocation.warehouse.clone()).or_default();
            place.moved(motion, allocation.quantity);
        }
    }

    /// Splits a line over the warehouses, lowest priority number first. When that would take more
    /// than [`SPLIT_MAX`] of them, only the warehouses with the most pieces are used.
    fn take(&self, line: &SkuQuantity, own: &Pieces) -> Result<Vec<Allocation>, Shortage> {
        let source = |(warehouse, shelf): (_, &Shelf)| Source {
            warehouse,
            priority: shelf.priority,
            own: own.of(&line.sku, warehouse),
            // A line never wants more pieces than fit a u32.
            free: u32::try_from(shelf.available().max(0)).unwrap_or(u32::MAX),
        };
        let mut sources: Vec<_> = self.of(&line.sku).map(source).collect();
        sources.sort_by_key(|it| (it.priority, it.warehouse));
        let mut pieces = split(&sources, line);
        if pieces.len() > SPLIT_MAX {
            sources.sort_by_key(|it| Reverse((it.own.saturating_add(it.free), it.own)));
            sources.truncate(SPLIT_MAX);
            sources.sort_by_key(|it| (it.priority, it.warehouse));
            pieces = split(&sources, line);
        }
        let available = pieces.iter().fold(0_u32, |sum, it| sum.saturating_add(it.quantity));
        if available < line.quantity {
            return Err(Shortage { sku: line.sku.clone(), wanted: line.quantity, available });
        }
        Ok(pieces)
    }
}

/// A shelf from which a line may be taken: the pieces on it that are the order's own, and those
/// that are nobody's.
struct Source<'a> {
    warehouse: &'a WarehouseId,
    priority: i32,
    own: u32,
    free: u32,
}

/// Takes a line from sources in their order, own pieces first: as many as there are.
fn split(sources: &[Source<'_>], line: &SkuQuantity) -> Vec<Allocation> {
    let mut missing = line.quantity;
    let mut draw = |there: u32| {
        let quantity = there.min(missing);
        missing = missing.saturating_sub(quantity);
        quantity
    };
    let own: Vec<_> = sources.iter().map(|it| draw(it.own)).collect();
    let drawn = sources.iter().zip(own).map(|(it, own)| Allocation {
        sku: line.sku.clone(),
        warehouse: it.warehouse.clone(),
        quantity: own.saturating_add(draw(it.free)),
    });
    drawn.filter(|it| it.quantity > 0).collect()
}

/// Each SKU once, with the pieces of all its lines: two lines must not get the same pieces.
fn merged(wanted: &[SkuQuantity]) -> Vec<SkuQuantity> {
    let mut by_sku: Vec<SkuQuantity> = Vec::with_capacity(wanted.len());
    for line in wanted {
        match by_sku.iter_mut().find(|known| known.sku == line.sku) {
            Some(known) => known.quantity = known.quantity.saturating_add(line.quantity),
            None => by_sku.push(line.clone()),
        }
    }
    by_sku
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sku(text: &str) -> Sku {
        Sku::parse(text).unwrap()
    }

    fn warehouse(text: &str) -> WarehouseId {
        WarehouseId::parse(text).unwrap()
    }

    fn stock() -> Stock {
        let mut stock = Stock::default();
        let shelf = |priority, on_hand| Shelf { priority, on_hand, ..Shelf::default() };
        stock.set(sku("mug"), warehouse("attic"), shelf(2, 5));
        stock.set(sku("mug"), warehouse("main"), shelf(1, 3));
        stock.set(sku("pot"), warehouse("main"), shelf(1, 1));
        stock
    }

    impl Stock {
        /// Allocates to an order that holds nothing yet.
        fn allocate_new(&self, wanted: &[SkuQuantity]) -> Result<Vec<Allocation>, Vec<Shortage>> {
            self.allocate(wanted, &Pieces::default())
        }
    }

    fn wanted(lines: &[(&str, u32)]) -> Vec<SkuQuantity> {
        lines.iter().map(|&(text, quantity)| SkuQuantity { sku: sku(text), quantity }).collect()
    }

    #[test]
    fn a_line_is_split_from_the_lowest_priority_number_up() {
        let allocations = stock().allocate_new(&wanted(&[("mug", 4)])).unwrap();

        let places: Vec<_> =
            allocations.iter().map(|a| (a.warehouse.as_str(), a.quantity)).collect();
        assert_eq!(places, [("main", 3), ("attic", 1)]);
    }

    #[test]
    fn all_lines_or_none_and_every_missing_one_is_named() {
        let missing =
            stock().allocate_new(&wanted(&[("mug", 9), ("pot", 1), ("jug", 1)])).unwrap_err();

        let named: Vec<_> = missing.iter().map(|m| (m.sku.as_str(), m.available)).collect();
        assert_eq!(named, [("mug", 8), ("jug", 0)]);
    }

    /// Shelves of a mug with these numbers of pieces, in the order of their priority.
    fn shelves(pieces: &[i64]) -> Stock {
        let mut stock = Stock::default();
        for (number, on_hand) in (0..).zip(pieces) {
            let shelf = Shelf { priority: number, on_hand: *on_hand, ..Shelf::default() };
            stock.set(sku("mug"), warehouse(&format!("w{number}")), shelf);
        }
        stock
    }

    #[test]
    fn a_line_is_split_over_twenty_warehouses_at_most() {
        let ones = shelves(&[1; 21]);
        assert_eq!(ones.allocate_new(&wanted(&[("mug", 20)])).unwrap().len(), 20);
        let missing = ones.allocate_new(&wanted(&[("mug", 21)])).unwrap_err();
        assert_eq!(missing, [Shortage { sku: sku("mug"), wanted: 21, available: 20 }]);

        let mut pieces = [1; 25];
        pieces[24] = 30;
        let allocations = shelves(&pieces).allocate_new(&wanted(&[("mug", 40)])).unwrap();
        let last = allocations.last().map(|a| (a.warehouse.as_str(), a.quantity));
        assert!(allocations.len() <= 20 && last == Some(("w24", 21)), "{allocations:?}");
        assert_eq!(allocations.iter().map(|a| a.quantity).sum::<u32>(), 40);
    }

    #[test]
    fn own_pieces_are_taken_first_and_the_split_is_as_wide_as_before() {
        // Everything in twenty warehouses is the order's own; one more piece lies in w0.
        let mut mine = Vec::new();
        let mut stock = shelves(&[1; 22]);
        stock.set(sku("mug"), warehouse("w0"), Shelf { on_hand: 2, ..Shelf::default() });
        for number in 2..22 {
            let warehouse = warehouse(&format!("w{number}"));
            mine.push(Allocation { sku: sku("mug"), warehouse, quantity: 1 });
        }
        stock.apply(Motion::Hold, &mine);
        let own = Pieces::new(&mine);

        let all = stock.allocate(&wanted(&[("mug", 20)]), &own).unwrap();
        assert_eq!(Pieces::new(&all), own, "w0 has a lower number, and is not needed");
        let more = stock.allocate(&wanted(&[("mug", 21)]), &own).unwrap();
        assert_eq!((more.len(), more[0].quantity), (20, 2), "two from w0, nineteen own ones");
        assert_eq!(own.beyond(&Pieces::new(&more)).len(), 1, "one own piece is too far away");
        let missing = stock.allocate(&wanted(&[("mug", 22)]), &own).unwrap_err();
        assert_eq!(missing, [Shortage { sku: sku("mug"), wanted: 22, available: 21 }]);
    }

    #[test]
    fn two_lines_of_one_sku_are_not_promised_the_same_pieces() {
        assert!(stock().allocate_new(&wanted(&[("pot", 1), ("pot", 1)])).is_err());
    }

    #[test]
    fn what_is_reserved_cannot_be_written_off() {
        let shelf = Shelf { on_hand: 5, reserved: 3, ..Shelf::default() };

        assert_eq!(shelf.adjust(-2).unwrap().on_hand, 3);
        assert_eq!(shelf.adjust(-3), Err(Refusal::StockReserved { reserved: 3, on_hand: 5 }));
        assert_eq!(shelf.adjust(i64::MAX), Err(Refusal::TooMuch));
    }
}
