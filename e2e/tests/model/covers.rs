//! What has to be seen at least once: each ending and each race, so that no promise stands for want
//! of trying.

use inventory_svc::domain::{self as inventory, Reservation};
use order_svc::domain::{self as orders, Reason, Standing};
use payment_svc::domain::{self as payments, Standing as Money, Undoing};

use crate::{
    promises::{captured, has_said, refunded, reserved},
    shop::Shop,
    world::{Life, World},
};

type Cover = fn(&Shop, &World) -> bool;

/// Each by its name; most look at the first order.
pub(crate) const COVERS: &[(&str, Cover)] = &[
    ("confirmed", |_, world| {
        world.is_quiet() && world.lives[0].standing() == Some(Standing::Confirmed)
    }),
    ("out of stock", |_, world| ended(world, Reason::InsufficientInventory)),
    ("declined", |_, world| ended(world, Reason::PaymentDeclined)),
    ("payment timed out", |_, world| ended(world, Reason::PaymentTimeout)),
    ("reservation ran out", |_, world| ended(world, Reason::ReservationExpired)),
    ("cancelled while open", |_, world| {
        let confirmed = has_said(&world.lives[0], orders::Announcement::Confirmed);
        ended(world, Reason::CustomerRequest) && !confirmed
    }),
    ("cancelled when confirmed", |_, world| {
        let confirmed = has_said(&world.lives[0], orders::Announcement::Confirmed);
        ended(world, Reason::CustomerRequest) && confirmed
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
    ("cancel outruns stock on its way to payment", |_, world| {
        let payment = world.lives[0].payment.as_ref();
        let tombstone = payment
            .is_some_and(|payment| payment.due.is_none() && payment.undoing == Undoing::Voided);
        world.is_quiet() && tombstone && reserved(&world.lives[0]) > 0
    }),
    ("cancelled during a charge", |_, world| is_charging(&world.lives[0])),
    ("a charge for a cancelled order is declined", |_, world| {
        let life = &world.lives[0];
        let undoing = life.payment.as_ref().map(|payment| payment.undoing);
        let declined = life.said.payments.iter().any(is_decline);
        undoing == Some(Undoing::Voided)
            && declined
            && life.reason() != Some(Reason::PaymentDeclined)
    }),
    ("a refund under way", |_, world| {
        let payment = world.lives[0].payment.as_ref();
        payment.is_some_and(|payment| match &payment.standing {
            Money::Captured(capture) => capture.refunding.is_some(),
            Money::Waiting | Money::Charging(_) | Money::Declined(_) => false,
        })
    }),
    ("a clock outruns a capture, which goes back", |_, world| {
        let life = &world.lives[0];
        let back = captured(life) > 0 && refunded(life) > 0;
        back && ended(world, Reason::PaymentTimeout)
    }),
    ("run out and confirmed all the same", |_, world| {
        let ran_out = |said: &inventory::Announcement| {
            matches!(said, inventory::Announcement::ReservationExpired { .. })
        };
        let life = &world.lives[0];
        let confirmed = life.standing() == Some(Standing::Confirmed);
        world.is_quiet() && confirmed && life.said.stock.iter().any(ran_out)
    }),
    ("released pieces go to the rival", |_, world| {
        let first = &world.lives[0].reservation;
        let back =
            matches!(first, Reservation::Released { allocations, .. } if !allocations.is_empty());
        back && world.lives[1].pieces() > 0
    }),
    ("a refund pays the other order", |_, world| {
        let [first, second] = world.lives.as_slice() else { return false };
        let back = refunded(first) > 0 && captured(second) > 0;
        world.is_quiet() && back && second.standing() == Some(Standing::Confirmed)
    }),
];

fn ended(world: &World, reason: Reason) -> bool {
    world.is_quiet() && world.lives[0].reason() == Some(reason)
}

fn is_charging(life: &Life) -> bool {
    life.payment.as_ref().is_some_and(|payment| {
        payment.undoing == Undoing::Owed && matches!(payment.standing, Money::Charging(_))
    })
}

fn is_decline(said: &payments::Announcement) -> bool {
    matches!(said, payments::Announcement::Declined { .. })
}
