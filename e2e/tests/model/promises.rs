//! What must hold in every state that can be reached, or in every state in which nothing is left to
//! happen.

use inventory_svc::domain::{self as inventory, Reservation};
use order_svc::domain::{self as orders, Line, Phase, Saga, SagaStatus};
use payment_svc::domain::{self as payments, HoldState};
use proto::{Currency, Money};

use crate::{
    shop::{Shop, dollars},
    world::{ENOUGH, Life, Reader, Route, World},
};

type Promise = fn(&Shop, &World) -> bool;

/// Each promise with its name.
pub(crate) const PROMISES: &[(&str, Promise)] = &[
    ("stock is never oversold", |_, world| {
        let sound =
            |shelf: &inventory::Shelf| 0 <= shelf.reserved && shelf.reserved <= shelf.on_hand;
        world.stock.shelves().all(|(_, _, shelf)| sound(shelf))
    }),
    ("pieces are conserved", pieces_are_conserved),
    ("held pieces go back only when the order has ended", |_, world| {
        world.lives.iter().all(|life| {
            let ended = has_said(life, orders::Announcement::Cancelled);
            ended || reserved(life) == 0 || life.pieces() > 0
        })
    }),
    ("an order has all of its lines or none", |shop, world| {
        world.lives.iter().zip(&shop.placed).all(|(life, order)| {
            life.pieces() == 0 || order.present.lines.iter().all(|line| has_line(life, line))
        })
    }),
    ("an order is captured at most once", |_, world| {
        world.lives.iter().all(|life| life.captures() <= 1)
    }),
    ("no more money goes back than came", |_, world| {
        world.lives.iter().all(|life| !life.net().is_negative())
    }),
    ("money is conserved", |shop, world| {
        let accounts = world.accounts.iter().zip(shop.scene.accounts).enumerate();
        accounts.into_iter().all(|(place, (account, first))| {
            let of_account = shop.scene.orders.iter().zip(&world.lives);
            let paid = of_account
                .filter(|(wish, _)| wish.account == place)
                .fold(nothing(), |sum, (_, life)| sum.plus(life.net_of_account()).unwrap());
            let held = shop
                .scene
                .orders
                .iter()
                .zip(&world.lives)
                .filter_map(|(wish, life)| held(life).filter(|_| wish.account == place));
            let held = held.fold(nothing(), |sum, amount| sum.plus(amount).unwrap());
            let is_sound = !account.available().is_negative() && account.held == held;
            is_sound && account.balance.plus(paid) == Ok(dollars(*first))
        })
    }),
    ("the provider has one call in hand", |_, world| {
        world.lives.iter().all(|life| life.calls.len() <= 1)
    }),
    ("confirmed only if stock and payment said yes", |_, world| {
        world.lives.iter().all(|life| {
            let yes = reserved(life) > 0 && captured(life) > 0;
            yes || !has_said(life, orders::Announcement::Confirmed)
        })
    }),
    ("an order ends once", |_, world| {
        use orders::Announcement::{AwaitingPayment, Cancelled, Confirmed, Placed};
        world.lives.iter().all(|life| match life.said.orders.as_slice() {
            [] | [Placed] => true,
            [Placed, AwaitingPayment, rest @ ..] | [Placed, rest @ ..] => {
                matches!(rest, [] | [Confirmed | Cancelled] | [Confirmed, Cancelled])
            }
            _ => false,
        })
    }),
    ("a clock never ends what is paid", |_, world| world.lives.iter().all(|life| !life.ended_paid)),
    ("a cancel is answered at most once by each side", |_, world| {
        world.lives.iter().all(|life| {
            let cancels = usize::from(has_said(life, orders::Announcement::Cancelled));
            released(life) <= cancels && undone(life) <= cancels
        })
    }),
    ("an event takes effect at most once", |_, world| {
        readers(world).all(|reader| !reader.repeated)
    }),
    // The real rules are explored completely: no state reaches the bound at which the model stops.
    ("nothing grows without end", |_, world| {
        world.lives.iter().all(|life| life.longest_log() < ENOUGH)
    }),
    ("no event is skipped", |_, world| readers(world).all(|reader| !reader.has_skipped())),
    ("versions have no gap", |_, world| {
        world.lives.iter().all(|life| {
            let version = life.order.as_ref().map_or(0, |order| order.version);
            usize::try_from(version) == Ok(life.said.orders.len())
        })
    }),
    ("an order is the fold of its history", |_, world| {
        world.lives.iter().all(|life| !life.strayed)
    }),
    ("reserved and captured, hence confirmed", |_, world| {
        world.lives.iter().all(|life| !heard_both(life) || life.phase() != Some(Phase::Open))
    }),
    ("every order ends", |shop, world| {
        at_rest(shop, world, |life| life.phase() != Some(Phase::Open))
    }),
    ("a confirmed order has its pieces and its money, no other", |shop, world| {
        world.lives.iter().enumerate().all(|(at, life)| {
            let order = &shop.placed[at];
            let wanted: u32 = order.present.lines.iter().map(|line| line.quantity).sum();
            let sold = matches!(life.reservation, Reservation::Sold { .. });
            let all = sold && life.pieces() == i64::from(wanted);
            let any = life.pieces() > 0 || !life.net().is_zero();
            !shop.is_quiet(world)
                || match life.phase() {
                    Some(Phase::Confirmed) => all && life.net() == order.present.total,
                    Some(Phase::Cancelled | Phase::Open) | None => !any,
                }
        })
    }),
    ("a cancelled order keeps nothing", |shop, world| {
        at_rest(shop, world, |life| {
            let nothing = life.pieces() == 0 && life.net().is_zero();
            nothing || life.phase() != Some(Phase::Cancelled)
        })
    }),
    ("both sides answer every cancel", |shop, world| {
        at_rest(shop, world, |life| {
            let cancels = usize::from(has_said(life, orders::Announcement::Cancelled));
            released(life) == cancels && undone(life) == cancels
        })
    }),
    ("no saga is stuck", |shop, world| at_rest(shop, world, is_over)),
    ("what is held for an order ends with it", |shop, world| {
        at_rest(shop, world, |life| held(life).is_none() || life.phase() == Some(Phase::Open))
    }),
    ("payment said what the ledgers hold", |shop, world| {
        at_rest(shop, world, |life| captured(life) == life.captures())
    }),
];

/// Whether `holds` for every order, in a state in which nothing is left to happen.
fn at_rest(shop: &Shop, world: &World, holds: fn(&Life) -> bool) -> bool {
    !shop.is_quiet(world) || world.lives.iter().all(|life| holds(life))
}

fn readers(world: &World) -> impl Iterator<Item = &Reader> {
    world.lives.iter().flat_map(|life| &life.readers)
}

/// Whether order-svc has heard that the order is reserved and that it is paid: then no deadline is
/// needed to end it.
fn heard_both(life: &Life) -> bool {
    let heard_reserved = life.said.stock.iter().enumerate().any(|(index, said)| {
        let is_yes = matches!(said, inventory::Announcement::StockReserved { .. });
        is_yes && life.took_effect(Route::StockToOrder, index)
    });
    let heard_captured = life.said.payments.iter().enumerate().any(|(index, said)| {
        let is_yes = matches!(said, payments::Announcement::Captured { .. });
        is_yes && life.took_effect(Route::PaymentsToOrder, index)
    });
    heard_reserved && heard_captured
}

fn has_line(life: &Life, wanted: &Line) -> bool {
    let of_line = life.allocations().iter().filter(|part| Some(&part.sku) == wanted.sku.as_ref());
    of_line.map(|part| part.quantity).sum::<u32>() == wanted.quantity
}

/// The amount that is held for an order.
fn held(life: &Life) -> Option<Money> {
    let hold = life.hold.as_ref().filter(|hold| hold.state == HoldState::Held);
    hold.map(|hold| hold.amount)
}

fn pieces_are_conserved(shop: &Shop, world: &World) -> bool {
    let stock = shop.stock();
    let shelves = world.stock.shelves().zip(stock.shelves());
    let kept = shelves
        .into_iter()
        .all(|((_, _, now), (_, _, first))| now.on_hand + now.sold == first.on_hand);
    let (mut held, mut sold) = (0, 0);
    for life in &world.lives {
        match life.reservation {
            Reservation::Held { .. } => held += life.pieces(),
            Reservation::Sold { .. } => sold += life.pieces(),
            Reservation::Unheard | Reservation::Rejected { .. } | Reservation::Released { .. } => {}
        }
    }
    let promised: i64 = world.stock.shelves().map(|(_, _, shelf)| shelf.reserved).sum();
    let gone: i64 = world.stock.shelves().map(|(_, _, shelf)| shelf.sold).sum();
    kept && promised == held && gone == sold
}

/// Whether the saga has the status that the events require, judged from outside of order-svc.
fn is_over(life: &Life) -> bool {
    let Some(order) = &life.order else { return true };
    let anything = reserved(life) > 0 || captured(life) > 0;
    let due = match order.phase() {
        Phase::Open => return false,
        Phase::Confirmed => SagaStatus::Completed,
        Phase::Cancelled if anything => SagaStatus::Compensated,
        Phase::Cancelled => SagaStatus::Failed,
    };
    Saga::of(order).status == due
}

pub(crate) fn has_said(life: &Life, what: orders::Announcement) -> bool {
    life.said.orders.contains(&what)
}

pub(crate) fn reserved(life: &Life) -> usize {
    let reserved = |said: &&inventory::Announcement| {
        matches!(said, inventory::Announcement::StockReserved { .. })
    };
    life.said.stock.iter().filter(reserved).count()
}

fn released(life: &Life) -> usize {
    let released = |said: &&inventory::Announcement| {
        matches!(said, inventory::Announcement::StockReleased { .. })
    };
    life.said.stock.iter().filter(released).count()
}

pub(crate) fn captured(life: &Life) -> usize {
    let captured =
        |said: &&payments::Announcement| matches!(said, payments::Announcement::Captured { .. });
    life.said.payments.iter().filter(captured).count()
}

pub(crate) fn refunded(life: &Life) -> usize {
    let refunded =
        |said: &&payments::Announcement| matches!(said, payments::Announcement::Refunded { .. });
    life.said.payments.iter().filter(refunded).count()
}

fn undone(life: &Life) -> usize {
    let voided =
        |said: &&payments::Announcement| matches!(said, payments::Announcement::Voided { .. });
    refunded(life) + life.said.payments.iter().filter(voided).count()
}

fn nothing() -> Money {
    Money::zero(Currency::USD)
}
