//! What the exploration has to see at least once: each ending and each race. Otherwise a promise
//! could hold because nothing was tried.

use inventory_svc::domain::{self as inventory, Reservation};
use order_svc::domain::{self as orders, AmendmentCause, Phase, Reason};
use payment_svc::domain::{self as payments, CompensationState, HoldState, Phase as Money};

use crate::{
    promises::{captured, captured_revision, has_said, refunded, reserved},
    shop::Shop,
    world::{Life, World},
};

type Cover = fn(&Shop, &World) -> bool;

/// Each cover with its name; most look at the first order.
pub(crate) const COVERS: &[(&str, Cover)] = &[
    ("confirmed", |shop, world| {
        shop.is_quiet(world) && world.lives[0].phase() == Some(Phase::Confirmed)
    }),
    ("out of stock", |shop, world| ended(shop, world, Reason::InsufficientInventory)),
    ("declined", |shop, world| ended(shop, world, Reason::PaymentDeclined)),
    ("payment timed out", |shop, world| ended(shop, world, Reason::PaymentTimeout)),
    ("reservation ran out", |shop, world| ended(shop, world, Reason::ReservationExpired)),
    ("cancelled while open", |shop, world| {
        let confirmed = has_said(&world.lives[0], orders::Announcement::Confirmed);
        ended(shop, world, Reason::CustomerRequest) && !confirmed
    }),
    ("cancelled when confirmed", |shop, world| {
        let confirmed = has_said(&world.lives[0], orders::Announcement::Confirmed);
        ended(shop, world, Reason::CustomerRequest) && confirmed
    }),
    ("confirmed as amended", |shop, world| {
        let requested = last_cause(&world.lives[0]) == Some(AmendmentCause::Requested);
        requested && is_confirmed(shop, world)
    }),
    ("an amendment is rejected and undone", |shop, world| {
        last_cause(&world.lives[0]) == Some(AmendmentCause::StockRejected)
            && is_confirmed(shop, world)
    }),
    ("the payment of an earlier revision is first, and the amendment undone", |shop, world| {
        last_cause(&world.lives[0]) == Some(AmendmentCause::CapturedFirst)
            && is_confirmed(shop, world)
    }),
    ("the payment of an earlier revision counts for the same lines", |shop, world| {
        let life = &world.lives[0];
        let present = life.order.as_ref().map(|order| order.present.number);
        last_cause(life) == Some(AmendmentCause::Requested)
            && captured_revision(life) < present
            && is_confirmed(shop, world)
    }),
    ("an earlier revision is declined, and the present one paid", |shop, world| {
        is_confirmed(shop, world) && world.lives[0].said.payments.iter().any(is_decline)
    }),
    ("rejected at first, and confirmed as amended", |shop, world| {
        let rejected = |said: &inventory::Announcement| {
            matches!(said, inventory::Announcement::StockRejected { revision: 1, .. })
        };
        is_confirmed(shop, world) && world.lives[0].said.stock.iter().any(rejected)
    }),
    ("asked for its payment anew", |_, world| {
        let asks =
            |said: &&(orders::Announcement, u32)| said.0 == orders::Announcement::AwaitingPayment;
        world.lives[0].said.orders.iter().filter(asks).count() > 1
    }),
    ("staff gave all of it back before the cancel", |shop, world| {
        let life = &world.lives[0];
        let compensation = life.payment.as_ref().map(|payment| payment.compensation);
        shop.is_quiet(world)
            && compensation == Some(CompensationState::Voided)
            && captured(life) > 0
    }),
    ("a refund is refused, and staff have to settle it", |shop, world| {
        shop.is_quiet(world) && world.lives[0].waits_for_staff()
    }),
    ("a refund is refused, and staff have settled it", |shop, world| {
        let life = &world.lives[0];
        let refused = |said: &payments::Announcement| {
            matches!(
                said,
                payments::Announcement::RefundRefused {
                    cause: payments::RefundCause::OrderCancelled,
                    ..
                }
            )
        };
        shop.is_quiet(world) && life.said.payments.iter().any(refused) && refunded(life) > 0
    }),
    ("money heard of before stock", |_, world| {
        let order = world.lives[0].order.as_ref().unwrap();
        order.payment.captured.is_some() && order.stock.reserved.is_none()
    }),
    ("paid before the order heard that it waits", |_, world| {
        let order = world.lives[0].order.as_ref().unwrap();
        let asked = has_said(&world.lives[0], orders::Announcement::AwaitingPayment);
        order.confirmed_at.is_some() && !asked
    }),
    ("an event comes again after its effect", |_, world| world.is_behind()),
    ("cancel outruns stock on its way to payment", |shop, world| {
        let payment = world.lives[0].payment.as_ref();
        let tombstone = payment.is_some_and(|payment| {
            payment.due.is_none() && payment.compensation == CompensationState::Voided
        });
        shop.is_quiet(world) && tombstone && reserved(&world.lives[0]) > 0
    }),
    ("cancelled during a charge", |_, world| is_charging(&world.lives[0])),
    ("a charge for a cancelled order is declined", |_, world| {
        let life = &world.lives[0];
        let compensation = life.payment.as_ref().map(|payment| payment.compensation);
        let declined = life.said.payments.iter().any(is_decline);
        compensation == Some(CompensationState::Voided)
            && declined
            && life.reason() != Some(Reason::PaymentDeclined)
    }),
    ("a refund under way", |_, world| {
        let payment = world.lives[0].payment.as_ref();
        payment.is_some_and(|payment| match &payment.phase {
            Money::Captured(capture) => capture.refunding().is_some(),
            Money::Waiting | Money::Charging(_) | Money::Declined(_) => false,
        })
    }),
    ("a clock outruns a capture, which goes back", |shop, world| {
        let life = &world.lives[0];
        let back = captured(life) > 0 && refunded(life) > 0;
        back && ended(shop, world, Reason::PaymentTimeout)
    }),
    ("run out and confirmed all the same", |shop, world| {
        let ran_out = |said: &inventory::Announcement| {
            matches!(said, inventory::Announcement::ReservationExpired { .. })
        };
        let life = &world.lives[0];
        let confirmed = life.phase() == Some(Phase::Confirmed);
        shop.is_quiet(world) && confirmed && life.said.stock.iter().any(ran_out)
    }),
    ("released pieces go to the rival", |_, world| {
        let first = &world.lives[0].reservation;
        let back =
            matches!(first, Reservation::Released { allocations, .. } if !allocations.is_empty());
        back && world.lives[1].pieces() > 0
    }),
    ("a refund pays the other order", |shop, world| {
        let [first, second] = world.lives.as_slice() else { return false };
        let back = refunded(first) > 0 && captured(second) > 0;
        shop.is_quiet(world) && back && second.phase() == Some(Phase::Confirmed)
    }),
    ("paid from the account", |shop, world| {
        let life = &world.lives[0];
        let taken = !life.net_of_account().is_zero();
        shop.is_quiet(world) && taken && life.phase() == Some(Phase::Confirmed)
    }),
    ("paid by card", |shop, world| {
        let life = &world.lives[0];
        let taken = life.provider.iter().any(|performed| performed.done);
        shop.is_quiet(world) && taken && life.phase() == Some(Phase::Confirmed)
    }),
    ("out of stock though one product is there", |shop, world| {
        let free = world.stock.shelves().filter(|(_, _, shelf)| shelf.available() > 0).count();
        free == 1 && ended(shop, world, Reason::InsufficientInventory)
    }),
    ("paid with what was held", |shop, world| {
        let held = world.lives[0].hold.as_ref().map(|hold| hold.state);
        shop.is_quiet(world) && held == Some(HoldState::Captured)
    }),
    ("what was held is free again", |shop, world| {
        let held = world.lives[0].hold.as_ref().map(|hold| hold.state);
        shop.is_quiet(world) && held == Some(HoldState::Released)
    }),
];

fn is_confirmed(shop: &Shop, world: &World) -> bool {
    shop.is_quiet(world) && world.lives[0].phase() == Some(Phase::Confirmed)
}

/// Why the present revision followed the one before.
fn last_cause(life: &Life) -> Option<AmendmentCause> {
    life.asked.last()?.cause
}

fn ended(shop: &Shop, world: &World, reason: Reason) -> bool {
    shop.is_quiet(world) && world.lives[0].reason() == Some(reason)
}

fn is_charging(life: &Life) -> bool {
    life.payment.as_ref().is_some_and(|payment| {
        matches!(payment.compensation, CompensationState::Owed { .. })
            && matches!(payment.phase, Money::Charging(_))
    })
}

fn is_decline(said: &payments::Announcement) -> bool {
    matches!(said, payments::Announcement::Declined { .. })
}
