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

fn pieces(quantity: u32) -> Vec<Allocation> {
    vec![Allocation { sku: sku(), warehouse: WarehouseId::parse("main").unwrap(), quantity }]
}

/// Three pieces in two warehouses.
fn three() -> Stock {
    let mut stock = Stock::default();
    for (name, priority, on_hand) in [("main", 1, 2), ("attic", 2, 1)] {
        let shelf = Shelf { priority, on_hand, ..Shelf::default() };
        stock.set(sku(), WarehouseId::parse(name).unwrap(), shelf);
    }
    stock
}

fn placed(quantity: u32) -> Event {
    let lines = vec![SkuQuantity { sku: sku(), quantity }];
    Event::OrderPlaced { revision: 1, lines, hold: Duration::ZERO }
}

fn states() -> Vec<(&'static str, Reservation)> {
    let held = |expires_at, expired| Reservation::Held {
        revision: 1,
        allocations: pieces(2),
        expires_at,
        expired,
    };
    vec![
        ("unheard", Reservation::Unheard),
        ("rejected", Reservation::Rejected { revision: 1 }),
        ("held, not over", held(AT + Duration::SECOND, false)),
        ("held, over", held(AT, false)),
        ("held, expiry said", held(AT, true)),
        ("sold", Reservation::Sold { revision: 1, allocations: pieces(2) }),
        ("released", Reservation::Released { revision: 1, allocations: pieces(2) }),
        ("tombstone", Reservation::Released { revision: 1, allocations: vec![] }),
    ]
}

fn words(state: &Reservation) -> String {
    let text = |allocations: &[Allocation]| {
        let each: Vec<_> = allocations
            .iter()
            .map(|a| format!("{} {}@{}", a.quantity, a.sku.as_str(), a.warehouse.as_str()))
            .collect();
        if each.is_empty() { "nothing".to_owned() } else { each.join(" + ") }
    };
    match state {
        Reservation::Unheard => "unheard".to_owned(),
        Reservation::Rejected { .. } => "rejected".to_owned(),
        Reservation::Held { allocations, expired: false, .. } => {
            format!("held {}", text(allocations))
        }
        Reservation::Held { allocations, expired: true, .. } => {
            format!("held {}, expiry said", text(allocations))
        }
        Reservation::Sold { allocations, .. } => format!("sold {}", text(allocations)),
        Reservation::Released { allocations, .. } => format!("released {}", text(allocations)),
    }
}

fn table() -> String {
    let events = [
        ("OrderPlaced, fits", placed(3)),
        ("OrderPlaced, does not fit", placed(4)),
        (
            "OrderPlaced, needs none",
            Event::OrderPlaced { revision: 1, lines: vec![], hold: Duration::ZERO },
        ),
        ("OrderConfirmed", Event::OrderConfirmed { revision: 1 }),
        ("OrderCancelled", Event::OrderCancelled { revision: 1 }),
        ("HoldRanOut", Event::HoldRanOut),
    ];
    let mut table =
        String::from("# state | event -> next | moves | announced (3 mugs: 2@main, 1@attic)\n");
    for (name, state) in states() {
        for (event_name, event) in &events {
            let decision = decide(state.clone(), event, &three(), AT);
            let next =
                if decision.state == state { "same".to_owned() } else { words(&decision.state) };
            let moves = decision.motion.map_or("-".to_owned(), |(motion, _)| format!("{motion:?}"));
            let said = match decision.announce {
                None => "-",
                Some(Announcement::StockReserved { .. }) => "StockReserved",
                Some(Announcement::StockRejected { .. }) => "StockRejected",
                Some(Announcement::StockReleased { .. }) => "StockReleased",
                Some(Announcement::ReservationExpired { .. }) => "ReservationExpired",
            };
            writeln!(table, "{name} | {event_name} -> {next} | {moves} | {said}").unwrap();
        }
        table.push('\n');
    }
    table
}

#[test]
fn every_state_meets_every_event_as_the_golden_table_says() {
    let table = table();
    assert!(table == include_str!("../decision.golden"), "decision.golden should be:\n{table}");
}

/// Two orders that want two of three pieces each, and all that was announced about them.
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
        if let Some((motion, allocations)) = decision.motion {
            self.stock.apply(motion, &allocations);
        }
    }

    fn check(&self) {
        let (mut held, mut sold) = (0, 0);
        for order in &self.orders {
            match order {
                Reservation::Held { allocations, .. } => held += sum(allocations),
                Reservation::Sold { allocations, .. } => sold += sum(allocations),
                Reservation::Unheard
                | Reservation::Rejected { .. }
                | Reservation::Released { .. } => {}
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
        for (said, cancelled) in self.said.iter().zip(self.cancelled) {
            check_said(said, cancelled);
        }
    }
}

fn check_said(said: &[Announcement], cancelled: bool) {
    let count = |which: fn(&Announcement) -> bool| said.iter().filter(|&a| which(a)).count();
    let released = count(|a| matches!(a, Announcement::StockReleased { .. }));
    assert_eq!(released, usize::from(cancelled), "StockReleased once for each cancel: {said:?}");
    let answers = count(|a| {
        matches!(a, Announcement::StockReserved { .. } | Announcement::StockRejected { .. })
    });
    assert!(answers <= 1, "one answer: {said:?}");
    assert!(count(|a| matches!(a, Announcement::ReservationExpired { .. })) <= 1, "{said:?}");
    if let Some(last) = said.iter().position(|a| matches!(a, Announcement::StockReleased { .. })) {
        assert_eq!(last + 1, said.len(), "nothing after StockReleased: {said:?}");
    }
}

fn sum(allocations: &[Allocation]) -> i64 {
    allocations.iter().map(|a| i64::from(a.quantity)).sum()
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
    let shop = Shop { stock: three(), ..Shop::default() };

    assert_eq!(explore(&shop, &events, 6), 299_593);
}
