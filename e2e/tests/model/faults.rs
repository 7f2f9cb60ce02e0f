//! The faults of the mutants: each wraps a service's `decide` and decides one thing otherwise.

pub(crate) mod amendments;

use inventory_svc::domain::{self as inventory, Motion, Reservation, Stock};
use order_svc::domain::{self as orders, Capture, Event, Order};
use payment_svc::domain::{
    self as payments, Call, ChargeOutcome, CompensationState, Due, LedgerEntry, Movement,
    Operation, Phase, RefundCause,
};
use proto::OrderId;
use time::OffsetDateTime;

pub(super) fn blind_deadline(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    if *event == Event::DeadlinePassed {
        blind(order, event, at)
    } else {
        orders::decide(order, event, at)
    }
}

pub(super) fn blind_expiry(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    let expiry = matches!(event, Event::ReservationExpired { .. });
    if expiry { blind(order, event, at) } else { orders::decide(order, event, at) }
}

/// Deadlines and expiries do not see that a capture is known, nor what followed from it.
fn blind(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    let payment = orders::Payment { captured: None, ..order.payment.clone() };
    let unpaid = Order { payment, confirmed_at: None, ..order.clone() };
    let mut decision = orders::decide(&unpaid, event, at);
    decision.order.payment.captured = order.payment.captured;
    decision.order.confirmed_at = order.confirmed_at;
    decision
}

pub(super) fn confirms_unpaid(
    order: &Order,
    event: &Event,
    at: OffsetDateTime,
) -> orders::Decision {
    let mut seen = order.clone();
    if matches!(event, Event::StockReserved { .. }) {
        let (revision, amount) = (order.present.number, order.present.total);
        seen.payment.captured.get_or_insert(Capture { revision, amount, at });
    }
    orders::decide(&seen, event, at)
}

pub(super) fn revives(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    let mut seen = order.clone();
    if matches!(event, Event::PaymentCaptured { .. }) {
        seen.cancellation = None;
    }
    orders::decide(&seen, event, at)
}

pub(super) fn expiry_frees(
    state: Reservation,
    event: &inventory::Event,
    stock: &Stock,
    at: OffsetDateTime,
) -> inventory::Decision {
    let mut decision = inventory::decide(state, event, stock, at);
    if let Reservation::Held { revision, expired: true, .. } = &decision.state
        && decision.announce.is_some()
    {
        let pieces = decision.state.pieces().cloned().collect();
        decision.motions = vec![(Motion::Release, pieces)];
        decision.state = Reservation::Rejected { revision: *revision };
    }
    decision
}

pub(super) fn keeps_sold(
    state: Reservation,
    event: &inventory::Event,
    stock: &Stock,
    at: OffsetDateTime,
) -> inventory::Decision {
    let mut decision = inventory::decide(state, event, stock, at);
    decision.motions.retain(|(motion, _)| *motion != Motion::PutBack);
    decision
}

pub(super) fn mute_without_stock(
    state: Reservation,
    event: &inventory::Event,
    stock: &Stock,
    at: OffsetDateTime,
) -> inventory::Decision {
    let mut decision = inventory::decide(state, event, stock, at);
    let nothing = inventory::Announcement::StockReleased { revision: 1, allocations: Vec::new() };
    decision.announce.take_if(|said| *said == nothing);
    decision
}

pub(super) fn no_tombstone(
    state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    let unknown = state.payment.is_none() && is_cancel(event);
    let mut decision = payments::decide(state, event, order);
    if unknown {
        decision.state.payment = None;
    }
    decision
}

pub(super) fn answers_at_once(
    mut state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    let charging = charging(&state).filter(|_| is_cancel(event));
    if let (Some(payment), Some(_)) = (&mut state.payment, &charging) {
        payment.phase = Phase::Waiting;
    }
    let mut decision = payments::decide(state, event, order);
    if let (Some(payment), Some(charging)) = (&mut decision.state.payment, charging) {
        payment.phase = charging;
    }
    decision
}

pub(super) fn deaf_during_charge(
    state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    if is_cancel(event) && charging(&state).is_some() {
        return payments::Decision::unchanged(state);
    }
    payments::decide(state, event, order)
}

pub(super) fn keeps_late_money(
    mut state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    let captured = matches!(
        event,
        payments::Event::ChargeAnswered { outcome: ChargeOutcome::Captured { .. }, .. }
    );
    let late = state.payment.as_mut().filter(|payment| {
        captured
            && matches!(payment.compensation, CompensationState::Owed { .. })
            && matches!(payment.phase, Phase::Charging(_))
    });
    let is_late = late.map(|payment| payment.compensation = CompensationState::NotAsked).is_some();
    let mut decision = payments::decide(state, event, order);
    if let (Some(payment), true) = (&mut decision.state.payment, is_late) {
        payment.compensation = CompensationState::Voided;
        decision.announce.push(payments::Announcement::Voided { known: true, revision: 1 });
    }
    decision
}

fn is_cancel(event: &payments::Event) -> bool {
    matches!(event, payments::Event::OrderCancelled { .. })
}

fn charging(state: &payments::State) -> Option<Phase> {
    let phase = &state.payment.as_ref()?.phase;
    matches!(phase, Phase::Charging(_)).then(|| phase.clone())
}

/// The second of the two answers does not confirm the order: only a deadline can end it then.
pub(super) fn waits(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    let mut decision = orders::decide(order, event, at);
    if decision.announce == Some(orders::Announcement::Confirmed) {
        decision.announce = None;
        decision.order.confirmed_at = None;
        decision.order.version = order.version;
    }
    decision
}

pub(super) fn counts_what_is_not_said(
    order: &Order,
    event: &Event,
    at: OffsetDateTime,
) -> orders::Decision {
    let mut decision = orders::decide(order, event, at);
    if decision.announce.is_none() && *event == Event::StockReleased {
        decision.order.version += 1;
    }
    decision
}

/// A cancelled order counts its pieces as released before inventory-svc has said so.
pub(super) fn foresees(order: &Order, event: &Event, at: OffsetDateTime) -> orders::Decision {
    let mut decision = orders::decide(order, event, at);
    if decision.announce == Some(orders::Announcement::Cancelled) {
        decision.order.stock.released_at = Some(at);
    }
    decision
}

pub(super) fn leaves_out_what_is_missing(
    state: Reservation,
    event: &inventory::Event,
    stock: &Stock,
    at: OffsetDateTime,
) -> inventory::Decision {
    let mut event = event.clone();
    if let inventory::Event::OrderPlaced { lines, .. } = &mut event {
        let is_there =
            |line: &inventory::SkuQuantity| stock.available(&line.sku) >= line.quantity.into();
        if lines.iter().any(is_there) {
            lines.retain(is_there);
        }
    }
    inventory::decide(state, &event, stock, at)
}

pub(super) fn repeats_refunds(
    state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    let is_answer = matches!(event, payments::Event::RefundAnswered { .. });
    let mut decision = payments::decide(state, event, order);
    let due =
        decision.state.payment.as_ref().filter(|it| it.compensation == CompensationState::Refunded);
    if let Some(Due { customer, amount, revision, .. }) =
        due.and_then(|payment| payment.due.clone())
        && is_answer
    {
        let (number, cause) = (1, RefundCause::OrderCancelled);
        let again = payments::Announcement::Refunded { customer, revision, number, amount, cause };
        decision.announce = vec![again];
    }
    decision
}

pub(super) fn asks_again(
    state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    let charging = charging(&state).filter(|_| is_cancel(event));
    let mut decision = payments::decide(state, event, order);
    if let Some(Phase::Charging(charge)) = charging {
        let (revision, provider, token) =
            (charge.revision, charge.card.provider, charge.card.token);
        let operation = Operation::Charge { revision, token };
        decision.call = Some(Call { order, amount: charge.amount, provider, operation });
    }
    decision
}

pub(super) fn says_no_capture(
    state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    let mut decision = payments::decide(state, event, order);
    decision.announce.retain(|said| !matches!(said, payments::Announcement::Captured { .. }));
    decision
}

pub(super) fn keeps_holds(
    state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    let wallet = state.wallet.clone();
    let is_cancel = is_cancel(event);
    let mut decision = payments::decide(state, event, order);
    let is_release = |entry: &LedgerEntry| entry.movement == Movement::Release;
    if is_cancel && decision.entries.iter().any(is_release) {
        decision.state.wallet = wallet;
        decision.entries.clear();
    }
    decision
}
