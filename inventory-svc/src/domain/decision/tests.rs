//! The golden table, and every short sequence of events of two orders that want the same pieces.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers; an overflow fails the test")]

use std::fmt::Write as _;

use proto::{Sku, WarehouseId};

use super::*;
use crate::domain::stock::Shelf;

const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn sku() -> Sku {
    Sku::parse("mug").unwrap()
}

fn at(place: &str, quantity: u32) -> Allocation {
    Allocation { sku: sku(), warehouse: WarehouseId::parse(place).unwrap(), quantity }
}

/// Three free pieces in two warehouses, beside those that are the order's own.
fn three_beside(own: &Reservation) -> Stock {
    let mut stock = Stock::default();
    for (name, priority, on_hand) in [("main", 1, 2), ("attic", 2, 1)] {
        let shelf = Shelf { priority, on_hand, ..Shelf::default() };
        stock.set(sku(), WarehouseId::parse(name).unwrap(), shelf);
    }
    // The order's own pieces were free before it held them.
    for Allocation { warehouse, quantity, .. } in own.pieces() {
        let mut shelf = stock.shelf(&sku(), warehouse).unwrap();
        shelf.on_hand += i64::from(*quantity);
        shelf.reserved += i64::from(*quantity);
        stock.set(sku(), warehouse.clone(), shelf);
    }
    stock
}

fn lines(quantity: u32) -> Vec<SkuQuantity> {
    if quantity == 0 { vec![] } else { vec![SkuQuantity { sku: sku(), quantity }] }
}

fn placed(quantity: u32) -> Event {
    Event::OrderPlaced { revision: 1, lines: lines(quantity), hold: Duration::ZERO }
}

fn amended(revision: u32, quantity: u32) -> Event {
    Event::OrderAmended { revision, lines: lines(quantity), hold: Duration::ZERO }
}

fn states() -> Vec<(&'static str, Reservation)> {
    let held = |answered, surplus: &[Allocation], expires_at, expired| Reservation::Held {
        revision: 1,
        answered,
        allocations: vec![at("main", 2)],
        surplus: surplus.to_vec(),
        expires_at,
        expired,
    };
    vec![
        ("unheard", Reservation::Unheard),
        ("rejected", Reservation::Rejected { revision: 1 }),
        ("held, not over", held(1, &[], AT + Duration::SECOND, false)),
        ("held, over", held(1, &[], AT, false)),
        ("held, expiry said", held(1, &[], AT, true)),
        ("held, with surplus", held(1, &[at("attic", 1)], AT + Duration::SECOND, false)),
        ("held, 2 rejected", held(2, &[], AT, true)),
        ("sold", Reservation::Sold { revision: 1, allocations: vec![at("main", 2)] }),
        ("released", Reservation::Released { revision: 1, allocations: vec![at("main", 2)] }),
        ("tombstone", Reservation::Tombstone { revision: 1 }),
    ]
}

fn listed(allocations: &[Allocation]) -> String {
    let each: Vec<_> = allocations
        .iter()
        .map(|a| format!("{} {}@{}", a.quantity, a.sku.as_str(), a.warehouse.as_str()))
        .collect();
    if each.is_empty() { "nothing".to_owned() } else { each.join(" + ") }
}

fn words(state: &Reservation) -> String {
    match state {
        Reservation::Unheard => "unheard".to_owned(),
        Reservation::Rejected { revision } => format!("rejected r{revision}"),
        Reservation::Held { revision, answered, allocations, surplus, expires_at, expired } => {
            let mut text = format!("held r{revision} {}", listed(allocations));
            if !surplus.is_empty() {
                write!(text, ", surplus {}", listed(surplus)).unwrap();
            }
            if answered != revision {
                write!(text, ", r{answered} rejected").unwrap();
            }
            if *expired {
                text.push_str(", expiry said");
            }
            if *expires_at > AT { text + ", not over" } else { text }
        }
        Reservation::Sold { revision, allocations } => {
            format!("sold r{revision} {}", listed(allocations))
        }
        Reservation::Released { revision, allocations } => {
            format!("released r{revision} {}", listed(allocations))
        }
        Reservation::Tombstone { revision } => format!("tombstone r{revision}"),
    }
}

fn table() -> String {
    let events = [
        ("OrderPlaced, fits", placed(3)),
        ("OrderPlaced, does not fit", placed(4)),
        ("OrderPlaced, needs none", placed(0)),
        ("OrderAmended 1", amended(1, 1)),
        ("OrderAmended 2, fewer", amended(2, 1)),
        ("OrderAmended 2, as before", amended(2, 2)),
        ("OrderAmended 2, needs none", amended(2, 0)),
        ("OrderAmended 3, more", amended(3, 3)),
        ("OrderAmended 3, does not fit", amended(3, 7)),
        ("OrderConfirmed 1", Event::OrderConfirmed { revision: 1 }),
        ("OrderCancelled 1", Event::OrderCancelled { revision: 1 }),
        ("OrderCancelled 2", Event::OrderCancelled { revision: 2 }),
        ("HoldRanOut", Event::HoldRanOut),
    ];
    let mut table =
        String::from("# state | event -> next | moves | announced (free: 2 mugs@main, 1@attic)\n");
    for (name, state) in states() {
        for (event_name, event) in &events {
            let decision = decide(state.clone(), event, &three_beside(&state), AT);
            let next =
                if decision.state == state { "same".to_owned() } else { words(&decision.state) };
            let moves: Vec<_> = decision
                .motions
                .iter()
                .map(|(motion, pieces)| format!("{motion:?} {}", listed(pieces)))
                .collect();
            let moves = if moves.is_empty() { "-".to_owned() } else { moves.join(", ") };
            let said = said_in_words(decision.announce.as_ref());
            writeln!(table, "{name} | {event_name} -> {next} | {moves} | {said}").unwrap();
        }
        table.push('\n');
    }
    table
}

fn said_in_words(said: Option<&Announcement>) -> String {
    match said {
        None => "-".to_owned(),
        Some(Announcement::StockReserved { revision, allocations }) => {
            format!("StockReserved r{revision} {}", listed(allocations))
        }
        Some(Announcement::StockRejected { revision, missing }) => {
            let short = missing.iter().map(|it| format!("{} of {}", it.available, it.wanted));
            format!("StockRejected r{revision} {}", short.collect::<String>())
        }
        Some(Announcement::StockReleased { revision, allocations }) => {
            format!("StockReleased r{revision} {}", listed(allocations))
        }
        Some(Announcement::ReservationExpired { revision }) => {
            format!("ReservationExpired r{revision}")
        }
    }
}

#[test]
fn every_state_meets_every_event_as_the_golden_table_says() {
    let table = table();
    assert!(table == include_str!("../decision.golden"), "decision.golden should be:\n{table}");
}

/// Two orders that want the same three pieces, and all that was announced about them.
#[derive(Clone, Default)]
struct Shop {
    stock: Stock,
    orders: [Reservation; 2],
    cancelled: [bool; 2],
    said: [Vec<Announcement>; 2],
}

impl Shop {
    fn react(&mut self, order: usize, event: &Event) {
        let state = std::mem::take(&mut self.orders[order]);
        let decision = decide(state, event, &self.stock, AT);
        self.orders[order] = decision.state;
        self.cancelled[order] |= matches!(event, Event::OrderCancelled { .. });
        self.said[order].extend(decision.announce);
        for (motion, allocations) in decision.motions {
            self.stock.apply(motion, &allocations);
        }
    }

    fn check(&self) {
        let (mut held, mut sold) = (0, 0);
        for order in &self.orders {
            match order {
                Reservation::Held { .. } => held += sum(order.pieces()),
                Reservation::Sold { .. } => sold += sum(order.pieces()),
                Reservation::Unheard
                | Reservation::Rejected { .. }
                | Reservation::Released { .. }
                | Reservation::Tombstone { .. } => {}
            }
        }
        let of = |count: fn(&Shelf) -> i64| self.stock.shelves().map(|s| count(s.2)).sum::<i64>();
        assert_eq!(of(|s| s.reserved), held, "promised to orders");
        assert_eq!(of(|s| s.sold), sold, "sold to orders");
        assert_eq!(of(|s| s.on_hand) + sold, 3, "no piece appears or vanishes");
        for (_, _, shelf) in self.stock.shelves() {
            assert!(shelf.reserved >= 0 && shelf.sold >= 0, "{shelf:?}");
            assert!(shelf.reserved <= shelf.on_hand, "oversold: {shelf:?}");
        }
        for ((order, said), cancelled) in self.orders.iter().zip(&self.said).zip(self.cancelled) {
            check_said(said, cancelled);
            check_held(order, said);
        }
    }
}

fn check_said(said: &[Announcement], cancelled: bool) {
    let count = |which: fn(&Announcement) -> bool| said.iter().filter(|&a| which(a)).count();
    let released = count(|a| matches!(a, Announcement::StockReleased { .. }));
    assert_eq!(released, usize::from(cancelled), "StockReleased once for each cancel: {said:?}");
    let answers = said.iter().filter_map(|a| match a {
        Announcement::StockReserved { revision, .. }
        | Announcement::StockRejected { revision, .. } => Some(*revision),
        Announcement::StockReleased { .. } | Announcement::ReservationExpired { .. } => None,
    });
    let answers: Vec<_> = answers.collect();
    assert!(answers.is_sorted_by(|a, b| a < b), "one answer a revision: {said:?}");
    if let Some(last) = said.iter().position(|a| matches!(a, Announcement::StockReleased { .. })) {
        assert_eq!(last + 1, said.len(), "nothing after StockReleased: {said:?}");
    }
    let clocks = said.iter().filter_map(|a| match a {
        Announcement::StockReserved { revision, .. } => Some((*revision, false)),
        Announcement::ReservationExpired { revision } => Some((*revision, true)),
        Announcement::StockRejected { .. } | Announcement::StockReleased { .. } => None,
    });
    let clocks: Vec<_> = clocks.collect();
    assert!(clocks.is_sorted_by(|a, b| a < b), "one expiry a reserved revision: {said:?}");
}

/// What is held or sold is the revision reserved last, whole, and while it is held so is every
/// revision before: the order may go back to it.
fn check_held(order: &Reservation, said: &[Announcement]) {
    let reserved: Vec<_> = said
        .iter()
        .filter_map(|a| match a {
            Announcement::StockReserved { revision, allocations } => Some((*revision, allocations)),
            Announcement::StockRejected { .. }
            | Announcement::StockReleased { .. }
            | Announcement::ReservationExpired { .. } => None,
        })
        .collect();
    match order {
        Reservation::Held { revision, allocations, .. } => {
            assert_eq!(reserved.last(), Some(&(*revision, allocations)));
            let all = Pieces::new(order.pieces());
            for (_, allocations) in reserved {
                assert_eq!(Pieces::new(allocations).beyond(&all), [], "{order:?}: {said:?}");
            }
        }
        Reservation::Sold { revision, allocations } => {
            assert_eq!(reserved.last(), Some(&(*revision, allocations)));
        }
        Reservation::Unheard | Reservation::Rejected { .. } | Reservation::Tombstone { .. } => {
            assert_eq!(reserved, []);
        }
        Reservation::Released { allocations, .. } => {
            assert_eq!(reserved.last().map(|it| it.1), Some(allocations));
        }
    }
}

fn sum<'a>(allocations: impl Iterator<Item = &'a Allocation>) -> i64 {
    allocations.map(|a| i64::from(a.quantity)).sum()
}

fn explore(shop: &Shop, events: &[Event], depth: usize) -> usize {
    shop.check();
    if depth == 0 {
        return 1;
    }
    let mut sequences = 1;
    for order in 0..2 {
        for event in events {
            let mut next = shop.clone();
            next.react(order, event);
            sequences += explore(&next, events, depth - 1);
        }
    }
    sequences
}

#[test]
fn nothing_is_oversold_however_the_events_of_two_orders_arrive() {
    let events = [
        placed(2),
        Event::OrderConfirmed { revision: 1 },
        Event::OrderCancelled { revision: 1 },
        Event::HoldRanOut,
    ];
    let shop = Shop { stock: three_beside(&Reservation::Unheard), ..Shop::default() };

    assert_eq!(explore(&shop, &events, 6), 299_593);
}

#[test]
fn nothing_is_oversold_or_lost_however_amendments_arrive() {
    let events = [
        placed(1),
        amended(2, 3),
        amended(3, 1),
        amended(4, 2),
        Event::OrderConfirmed { revision: 4 },
        Event::OrderCancelled { revision: 4 },
        Event::HoldRanOut,
    ];
    let shop = Shop { stock: three_beside(&Reservation::Unheard), ..Shop::default() };

    assert_eq!(explore(&shop, &events, 5), 579_195);
}
