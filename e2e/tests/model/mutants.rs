//! Mistakes that look harmless, each with the promise that it breaks.
//!
//! A mutant wraps one service's `decide`, or takes away one thing that the world grants; what ships
//! has no switch for either. Some need a second fault beside them, because two guards stand behind
//! one promise: the name says which.

use inventory_svc::domain::{self as inventory, Motion, Reservation, Stock};
use order_svc::domain::{self as orders, Capture, Event, Order};
use payment_svc::domain::{self as payments, ChargeOutcome, Operation, Standing, Undoing};
use proto::OrderId;
use time::OffsetDateTime;

use crate::{
    rules::{Ground, Rules},
    scenes::{CARD, DEFERRED, PURSE, Scene, WALLET},
};

/// A mistake.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) breaks: &'static str,
    pub(crate) scene: &'static Scene,
    pub(crate) rules: Rules,
}

const OURS: Rules = Rules::ours();

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a deadline ends what is paid",
        breaks: "a clock never ends what is paid",
        scene: &WALLET,
        rules: Rules { order: blind_deadline, ..OURS },
    },
    Mutant {
        name: "an expiry ends what is paid",
        breaks: "a clock never ends what is paid",
        scene: &WALLET,
        rules: Rules { order: blind_expiry, ..OURS },
    },
    Mutant {
        name: "reserved is confirmed before the money is known",
        breaks: "confirmed only if stock and payment said yes",
        scene: &WALLET,
        rules: Rules { order: confirms_unpaid, ..OURS },
    },
    Mutant {
        name: "a late answer revives a cancelled order",
        breaks: "an order ends once",
        scene: &CARD,
        rules: Rules { order: revives, ..OURS },
    },
    Mutant {
        name: "no inbox",
        breaks: "history has every event once",
        scene: &WALLET,
        rules: Rules { lacks: Some(Ground::Inbox), ..OURS },
    },
    Mutant {
        name: "payment keeps no tombstone",
        breaks: "a cancelled order keeps nothing",
        scene: &WALLET,
        rules: Rules { money: no_tombstone, ..OURS },
    },
    Mutant {
        name: "inventory keeps no tombstone, no inbox",
        breaks: "a cancel is answered at most once by each side",
        scene: &WALLET,
        rules: Rules { stock: forgets_released, lacks: Some(Ground::Inbox), ..OURS },
    },
    Mutant {
        name: "payment charges at every StockReserved, no inbox",
        breaks: "an order is captured at most once",
        scene: &WALLET,
        rules: Rules { money: charges_always, lacks: Some(Ground::Inbox), ..OURS },
    },
    Mutant {
        name: "a cancel is answered during a charge",
        breaks: "a cancelled order keeps nothing",
        scene: &CARD,
        rules: Rules { money: answers_at_once, ..OURS },
    },
    Mutant {
        name: "a cancel heard during a charge is forgotten",
        breaks: "no saga is stuck",
        scene: &CARD,
        rules: Rules { money: deaf_during_charge, ..OURS },
    },
    Mutant {
        name: "money captured late is kept",
        breaks: "a cancelled order keeps nothing",
        scene: &CARD,
        rules: Rules { money: keeps_late_money, ..OURS },
    },
    Mutant {
        name: "a lost answer is taken for a decline",
        breaks: "a cancelled order keeps nothing",
        scene: &CARD,
        rules: Rules { lacks: Some(Ground::Patience), ..OURS },
    },
    Mutant {
        name: "no idempotency key on charges",
        breaks: "an order is captured at most once",
        scene: &DEFERRED,
        rules: Rules {
            key: |call, count| match call.operation {
                Operation::Charge { .. } => format!("try {count}"),
                Operation::Refund { .. } => call.key(),
            },
            ..OURS
        },
    },
    Mutant {
        name: "no idempotency key on refunds",
        breaks: "no more money goes back than came",
        scene: &CARD,
        rules: Rules {
            key: |call, count| match call.operation {
                Operation::Charge { .. } => call.key(),
                Operation::Refund { .. } => format!("try {count}"),
            },
            ..OURS
        },
    },
    Mutant {
        name: "an expiry frees what is held",
        breaks: "held pieces go back only when the order has ended",
        scene: &WALLET,
        rules: Rules { stock: expiry_frees, ..OURS },
    },
    Mutant {
        name: "an expiry frees what is held (seen at the end)",
        breaks: "a confirmed order has its pieces and its money, no other",
        scene: &CARD,
        rules: Rules { stock: expiry_frees, ..OURS },
    },
    Mutant {
        name: "sold pieces stay sold when the order is cancelled",
        breaks: "pieces are conserved",
        scene: &WALLET,
        rules: Rules { stock: keeps_sold, ..OURS },
    },
    Mutant {
        name: "a cancel of what was never held is not answered",
        breaks: "both sides answer every cancel",
        scene: &WALLET,
        rules: Rules { stock: mute_without_stock, ..OURS },
    },
    Mutant {
        name: "shelves and accounts are read without a lock",
        breaks: "stock is never oversold",
        scene: &WALLET,
        rules: Rules { lacks: Some(Ground::Locks), ..OURS },
    },
    Mutant {
        name: "shelves and accounts are read without a lock (money)",
        breaks: "money is conserved",
        scene: &PURSE,
        rules: Rules { lacks: Some(Ground::Locks), ..OURS },
    },
    Mutant {
        name: "state commits without its event",
        breaks: "every order ends",
        scene: &WALLET,
        rules: Rules { lacks: Some(Ground::Outbox), ..OURS },
    },
];

fn blind_deadline(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    if *event == Event::DeadlinePassed {
        blind(order, event, at)
    } else {
        orders::decide(order, event, at)
    }
}

fn blind_expiry(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    let expiry = matches!(event, Event::ReservationExpired { .. });
    if expiry { blind(order, event, at) } else { orders::decide(order, event, at) }
}

/// A clock does not see that a capture is known, nor what followed from it.
fn blind(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    let payment = orders::Payment { captured: None, ..order.payment.clone() };
    let unpaid = Order { payment, confirmed_at: None, ..order.clone() };
    let mut decision = orders::decide(&unpaid, event, at);
    decision.order.payment.captured = order.payment.captured;
    decision.order.confirmed_at = order.confirmed_at;
    decision
}

fn confirms_unpaid(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    let mut seen = order.clone();
    if matches!(event, Event::StockReserved { .. }) {
        let (revision, amount) = (order.revision, order.total);
        seen.payment.captured.get_or_insert(Capture { revision, amount, at });
    }
    orders::decide(&seen, event, at)
}

fn revives(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    let mut seen = order.clone();
    if matches!(event, Event::PaymentCaptured { .. }) {
        seen.cancellation = None;
    }
    orders::decide(&seen, event, at)
}

fn forgets_released(
    state: Reservation,
    event: &inventory::Event,
    stock: &Stock,
    at: OffsetDateTime,
) -> inventory::Decision {
    let mut decision = inventory::decide(state, event, stock, at);
    if matches!(event, inventory::Event::OrderCancelled { .. }) {
        decision.state = Reservation::Unheard;
    }
    decision
}

fn expiry_frees(
    state: Reservation,
    event: &inventory::Event,
    stock: &Stock,
    at: OffsetDateTime,
) -> inventory::Decision {
    let mut decision = inventory::decide(state, event, stock, at);
    if let Reservation::Held { revision, allocations, expired: true, .. } = &decision.state
        && decision.announce.is_some()
    {
        decision.motion = Some((Motion::Release, allocations.clone()));
        decision.state = Reservation::Rejected { revision: *revision };
    }
    decision
}

fn keeps_sold(
    state: Reservation,
    event: &inventory::Event,
    stock: &Stock,
    at: OffsetDateTime,
) -> inventory::Decision {
    let mut decision = inventory::decide(state, event, stock, at);
    decision.motion.take_if(|(motion, _)| *motion == Motion::PutBack);
    decision
}

fn mute_without_stock(
    state: Reservation,
    event: &inventory::Event,
    stock: &Stock,
    at: OffsetDateTime,
) -> inventory::Decision {
    let mut decision = inventory::decide(state, event, stock, at);
    let nothing = inventory::Announcement::StockReleased { allocations: Vec::new() };
    decision.announce.take_if(|said| *said == nothing);
    decision
}

fn no_tombstone(
    order: OrderId,
    state: payments::State,
    event: payments::Event,
) -> payments::Decision {
    let unknown = state.payment.is_none() && event == payments::Event::OrderCancelled;
    let mut decision = payments::decide(order, state, event);
    if unknown {
        decision.state.payment = None;
    }
    decision
}

fn charges_always(
    order: OrderId,
    mut state: payments::State,
    event: payments::Event,
) -> payments::Decision {
    if let (payments::Event::StockReserved(_), Some(payment)) = (&event, &mut state.payment) {
        payment.due = None;
        payment.standing = Standing::Waiting;
    }
    payments::decide(order, state, event)
}

fn answers_at_once(
    order: OrderId,
    mut state: payments::State,
    event: payments::Event,
) -> payments::Decision {
    let charging = charging(&state).filter(|_| event == payments::Event::OrderCancelled);
    if let (Some(payment), Some(_)) = (&mut state.payment, &charging) {
        payment.standing = Standing::Waiting;
    }
    let mut decision = payments::decide(order, state, event);
    if let (Some(payment), Some(charging)) = (&mut decision.state.payment, charging) {
        payment.standing = charging;
    }
    decision
}

fn deaf_during_charge(
    order: OrderId,
    state: payments::State,
    event: payments::Event,
) -> payments::Decision {
    if event == payments::Event::OrderCancelled && charging(&state).is_some() {
        let (announce, entries) = (Vec::new(), Vec::new());
        return payments::Decision { state, announce, entries, call: None };
    }
    payments::decide(order, state, event)
}

fn keeps_late_money(
    order: OrderId,
    mut state: payments::State,
    event: payments::Event,
) -> payments::Decision {
    let captured = matches!(
        event,
        payments::Event::ChargeAnswered { outcome: ChargeOutcome::Captured { .. }, .. }
    );
    let late = state.payment.as_mut().filter(|payment| {
        captured
            && payment.undoing == Undoing::Owed
            && matches!(payment.standing, Standing::Charging(_))
    });
    let is_late = late.map(|payment| payment.undoing = Undoing::NotAsked).is_some();
    let mut decision = payments::decide(order, state, event);
    if let (Some(payment), true) = (&mut decision.state.payment, is_late) {
        payment.undoing = Undoing::Voided;
        decision.announce.push(payments::Announcement::Voided { known: true });
    }
    decision
}

fn charging(state: &payments::State) -> Option<Standing> {
    let standing = &state.payment.as_ref()?.standing;
    matches!(standing, Standing::Charging(_)).then(|| standing.clone())
}
