//! Puts a decision about an order's money into the world: the same way for reactions and requests.

use mailbox::{DecisionContext, OutboxEvent, Trace};
use proto::{CustomerId, OrderId};
use uuid::Uuid;

use crate::{
    domain::{Decision, LedgerEntry, Payment, State, Wallet},
    wire,
    world::{EntryRow, World},
};

/// The state that a decision about an order is made from. `customer` is the customer that the input
/// names, for an order whose payment does not know one yet.
pub fn state(world: &World, order: OrderId, customer: Option<&CustomerId>) -> State {
    let payment = world.root(order).map(|root| root.payment.clone());
    let customer = payment.as_ref().and_then(Payment::customer).or(customer);
    let wallet = customer.map_or_else(Wallet::default, |customer| world.wallet(customer, order));
    State { payment, wallet }
}

/// Puts a decision into the world, and returns the outbox events that announce it.
pub fn keep(
    world: &mut World,
    order: OrderId,
    decision: Decision,
    trace: Option<Trace>,
    context: &DecisionContext,
) -> Vec<OutboxEvent> {
    let Decision { state, announce, declined, entries, refunds, call } = decision;
    if let Some(decline) = declined {
        world.add_declined(order, decline, context.now);
    }
    world.put_wallet(order, state.wallet);
    for entry in entries {
        add_entry(world, entry, context);
    }
    let in_flight = |payment: &Payment| payment.is_in_flight();
    let was_asked = world.root(order).is_some_and(|root| in_flight(&root.payment));
    if was_asked && (call.is_some() || !state.payment.as_ref().is_some_and(in_flight)) {
        world.end_call(order);
    }
    let customer = state.payment.as_ref().and_then(Payment::customer).cloned();
    if let Some((call, customer)) = call.zip(customer) {
        world.begin_call(call, customer, trace);
    }
    for refund in refunds {
        world.put_refund(order, &refund);
    }
    let Some(payment) = state.payment else { return Vec::new() };
    world.put_payment(payment, context.now);
    announce
        .into_iter()
        .map(|announcement| {
            let version = world.say(order, announcement.outcome());
            service_kit::announce(context, order.key(), version, wire::encode(order, announcement))
        })
        .collect()
}

/// Writes a movement of an account into its ledger; returns the line's id.
pub fn add_entry(world: &mut World, entry: LedgerEntry, context: &DecisionContext) -> Uuid {
    let id = context.new_id();
    world.add_entry(EntryRow { id, entry });
    id
}
