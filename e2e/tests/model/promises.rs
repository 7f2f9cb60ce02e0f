//! What must hold in every state that can be reached, or in every state in which nothing is left to
//! happen.

use inventory_svc::domain::{self as inventory, Reservation};
use order_svc::domain::{self as orders, AmendmentCause, Line, Phase, Revision, Saga, SagaStatus};
use payment_svc::domain::{self as payments, HoldState};
use proto::{Currency, Money};

use crate::{
    shop::{Shop, dollars},
    steps::NOW,
    world::{Life, Reader, Route, World},
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
            let ended = has_said(life, orders::Announcement::Cancelled)
                || has_said(life, orders::Announcement::Confirmed);
            ended || life.said.stock.iter().all(|said| holds_what_it_reserved(life, said))
        })
    }),
    ("an order has all of its lines or none", |_, world| {
        world.lives.iter().all(|life| match life.reservation {
            Reservation::Held { revision, .. } | Reservation::Sold { revision, .. } => {
                life.asked(revision).lines.iter().all(|line| has_line(life, line))
            }
            Reservation::Unheard
            | Reservation::Rejected { .. }
            | Reservation::Released { .. }
            | Reservation::Tombstone { .. } => life.pieces() == 0,
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
        use orders::Announcement::{Amended, AwaitingPayment, Cancelled, Confirmed, Placed};
        world.lives.iter().all(|life| {
            let said: Vec<_> = life.said.orders.iter().map(|(said, _)| *said).collect();
            let is_open = |said: &orders::Announcement| matches!(said, Amended | AwaitingPayment);
            let Some((first, rest)) = said.split_first() else { return true };
            let end = rest.iter().position(|said| !is_open(said)).unwrap_or(rest.len());
            let ended =
                matches!(&rest[end..], [] | [Confirmed | Cancelled] | [Confirmed, Cancelled]);
            *first == Placed && ended
        })
    }),
    ("only answers to the present revision end an order", only_present_answers_end),
    ("an order that fits is not lost", |_, world| {
        world.lives.iter().all(|life| {
            let lost = life.reason() == Some(orders::Reason::InsufficientInventory);
            !lost || !heard_reserved(life, None)
        })
    }),
    ("what is confirmed is what was paid and asked for", |_, world| {
        world.lives.iter().all(|life| {
            let confirmed = life.said.orders.iter();
            let confirmed = confirmed.filter(|(said, _)| *said == orders::Announcement::Confirmed);
            confirmed.map(|(_, revision)| life.asked(*revision)).all(|it| {
                let paid = captured_revision(life).is_some_and(|paid| life.asked(paid).is_like(it));
                let wanted = |other: &&Revision| {
                    matches!(other.cause, None | Some(AmendmentCause::Requested))
                };
                paid && life.asked.iter().filter(wanted).any(|other| other.is_like(it))
            })
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
    ("nothing grows without end", |shop, world| {
        world.lives.iter().all(|life| life.longest_log() < shop.scene.enough())
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
        world.lives.iter().all(|life| {
            let Some(order) = &life.order else { return true };
            let wanted: u32 = order.present.lines.iter().map(|line| line.quantity).sum();
            let kept = life.net().plus(given_back(life)).unwrap();
            let sold = matches!(life.reservation, Reservation::Sold { .. });
            let all = sold && life.pieces() == i64::from(wanted);
            let any = life.pieces() > 0 || !life.net().is_zero();
            !shop.is_quiet(world)
                || match life.phase() {
                    Some(Phase::Confirmed) => all && kept == order.present.total,
                    Some(Phase::Cancelled) => life.waits_for_staff() || !any,
                    Some(Phase::Open) | None => !any,
                }
        })
    }),
    ("a cancelled order keeps nothing", |shop, world| {
        at_rest(shop, world, |life| {
            let nothing = life.pieces() == 0 && life.net().is_zero();
            nothing || life.phase() != Some(Phase::Cancelled) || life.waits_for_staff()
        })
    }),
    ("both sides answer every cancel", |shop, world| {
        at_rest(shop, world, |life| {
            let cancels = usize::from(has_said(life, orders::Announcement::Cancelled));
            let answered = undone(life) == cancels || life.waits_for_staff();
            released(life) == cancels && answered
        })
    }),
    ("what staff have to settle is stuck", |shop, world| {
        at_rest(shop, world, |life| {
            let Some(order) = &life.order else { return true };
            Saga::of(order).is_stuck(order, NOW) == life.waits_for_staff()
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

/// Whether order-svc has heard that this revision is reserved; any, if none is named.
fn heard_reserved(life: &Life, wanted: Option<u32>) -> bool {
    life.said.stock.iter().enumerate().any(|(index, said)| {
        let inventory::Announcement::StockReserved { revision, .. } = said else { return false };
        wanted.is_none_or(|wanted| wanted == *revision)
            && life.took_effect(Route::StockToOrder, index)
    })
}

/// The revision whose payment was captured.
pub(crate) fn captured_revision(life: &Life) -> Option<u32> {
    life.said.payments.iter().find_map(|said| match said {
        payments::Announcement::Captured { revision, .. } => Some(*revision),
        _ => None,
    })
}

/// What staff gave back of the order's money.
pub(crate) fn given_back(life: &Life) -> Money {
    life.said.payments.iter().fold(nothing(), |sum, said| match said {
        payments::Announcement::Refunded {
            cause: payments::RefundCause::Staff, amount, ..
        } => sum.plus(*amount).unwrap(),
        _ => sum,
    })
}

/// Whether an order that ended for want of stock or money did so because its present revision was
/// refused.
fn only_present_answers_end(_: &Shop, world: &World) -> bool {
    world.lives.iter().all(|life| {
        let Some(order) = &life.order else { return true };
        let present = order.present.number;
        match life.reason() {
            Some(orders::Reason::InsufficientInventory) => life.said.stock.iter().any(|said| {
                matches!(said, inventory::Announcement::StockRejected { revision, .. }
                    if *revision == present)
            }),
            Some(orders::Reason::PaymentDeclined) => life.said.payments.iter().any(|said| {
                matches!(said, payments::Announcement::Declined { revision, .. }
                    if *revision == present)
            }),
            _ => true,
        }
    })
}

/// Whether the pieces of a revision that was reserved are held.
fn holds_what_it_reserved(life: &Life, said: &inventory::Announcement) -> bool {
    let inventory::Announcement::StockReserved { revision, .. } = said else { return true };
    life.asked(*revision).lines.iter().all(|line| {
        let pieces = life.reservation.pieces();
        let held = pieces.filter(|part| Some(&part.sku) == line.sku.as_ref());
        held.map(|part| part.quantity).sum::<u32>() >= line.quantity
    })
}

/// Whether order-svc has heard that the present revision is reserved and that it is paid: then no
/// deadline is needed to end it.
fn heard_both(life: &Life) -> bool {
    let present = life.order.as_ref().map(|order| order.present.number);
    let heard_reserved = present.is_some() && heard_reserved(life, present);
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
            Reservation::Unheard
            | Reservation::Rejected { .. }
            | Reservation::Released { .. }
            | Reservation::Tombstone { .. } => {}
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
        Phase::Cancelled if life.waits_for_staff() => SagaStatus::Compensating,
        Phase::Confirmed => SagaStatus::Completed,
        Phase::Cancelled if anything => SagaStatus::Compensated,
        Phase::Cancelled => SagaStatus::Failed,
    };
    Saga::of(order).status == due
}

pub(crate) fn has_said(life: &Life, what: orders::Announcement) -> bool {
    life.said.orders.iter().any(|(said, _)| *said == what)
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

/// How often the money of the cancelled order was given back.
pub(crate) fn refunded(life: &Life) -> usize {
    let refunded = |said: &&payments::Announcement| {
        let cause = payments::RefundCause::OrderCancelled;
        matches!(said, payments::Announcement::Refunded { cause: why, .. } if *why == cause)
    };
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
