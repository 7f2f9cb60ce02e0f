//! What the exploration has to see at least once: each ending and each race. Otherwise a promise
//! could hold because nothing was tried.

use inventory_svc::domain::{self as inventory, Reservation};
use order_svc::domain::{self as orders, Phase, Reason};
use payment_svc::domain::{self as payments, CompensationState, HoldState, Phase as Money};

use crate::{
    promises::{captured, has_said, refunded, reserved},
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
