//! Requests of people: each is decided as an item of a batch, with its answer.

use std::sync::Arc;

use chassis::{Problem, http};
use mailbox::{DecisionContext, Effects};

use crate::{
    domain::{self, Decision, Order, Reason, Refusal, Shipment},
    input::{Change, ChangeOrder, PlaceOrder, Request},
    pressure, refusals,
    views::OrderView,
    world::World,
};

/// Carries a request out, or says why not; a refusal leaves `world` as it was.
pub fn execute(world: &mut World, request: &Request, context: &DecisionContext) -> Effects {
    match request {
        Request::Place(asked) => place(world, asked, context),
        Request::Change(asked) => change(world, asked, context),
    }
}

fn place(world: &mut World, asked: &PlaceOrder, context: &DecisionContext) -> Effects {
    if !asked.is_admitted {
        return refused(&pressure::overloaded());
    }
    match domain::place(&asked.request, &world.catalogue, context.now) {
        Ok(decision) => {
            let id = asked.request.id;
            let announced = world.place(decision, asked, context);
            let at = Some(format!("/v1/orders/{id}"));
            Effects { announced, ..told(world, asked.request.id, 201, at) }
        }
        Err(refusal) => provisional(&refusals::problem(&refusal, &asked.names)),
    }
}

fn change(world: &mut World, asked: &ChangeOrder, context: &DecisionContext) -> Effects {
    let ChangeOrder { order: id, caller, change, conditions } = asked;
    // What is somebody else's is not there for the caller.
    let order = world.order(*id).filter(|order| caller.may_act_for(&order.customer));
    let Some(order) = order else {
        return refused(&refusals::no_order(id));
    };
    let present = service_kit::etag(&OrderView::new(order, &world.texts(*id)));
    if let Err(stale) = http::if_match(conditions, &present) {
        return refused(&stale);
    }
    let decision = match decide(world, order, asked, context) {
        Ok(decision) => decision,
        Err(refusal) => {
            let (names, is_of_lines): (&[_], _) = match change {
                Change::Amend(wanted) => (&wanted.names, refusal.is_of_lines()),
                Change::Cancel { .. } | Change::Ship { .. } | Change::Deliver => (&[], false),
            };
            let problem = refusals::problem(&refusal, names);
            return if is_of_lines { provisional(&problem) } else { refused(&problem) };
        }
    };
    let mut announced = Vec::new();
    if decision.announce.is_some() {
        if let Change::Cancel { words, .. } = change {
            world.keep_words(*id, words);
        }
        announced = world.apply(decision, context);
    }
    Effects { announced, ..told(world, *id, 200, None) }
}

fn decide(
    world: &World,
    order: &Order,
    asked: &ChangeOrder,
    context: &DecisionContext,
) -> Result<Decision, Refusal> {
    let at = context.now;
    match &asked.change {
        Change::Amend(wanted) => domain::amend(order, &wanted.lines, &world.catalogue, at),
        Change::Cancel { .. } => {
            let caller = &asked.caller;
            let reason = if caller.is_staff_for(&order.customer) {
                Reason::StaffRequest
            } else {
                Reason::CustomerRequest
            };
            domain::cancel(order, reason, caller.subject().into(), at)
        }
        Change::Ship { carrier, tracking_number } => {
            let (carrier, tracking_number) = (Arc::clone(carrier), Arc::clone(tracking_number));
            let shipment = Shipment { carrier, tracking_number, at, delivered_at: None };
            domain::ship(order, shipment)
        }
        Change::Deliver => domain::deliver(order, at),
    }
}

/// Tells an order as the batch has left it.
fn told(world: &World, id: proto::OrderId, status: u16, location: Option<String>) -> Effects {
    let answer = world.order(id).map(|order| {
        service_kit::json_answer(status, &OrderView::new(order, &world.texts(id)), location)
    });
    Effects {
        answer: answer.unwrap_or_else(|| service_kit::refusal(&refusals::no_order(id))),
        ..Effects::default()
    }
}

/// The product, price or stock that would make the lines acceptable may be on its way to
/// `products_seen`: the same request may be accepted in a moment (`http/placing.rs`).
fn provisional(problem: &Problem) -> Effects {
    Effects { is_provisional: true, ..refused(problem) }
}

fn refused(problem: &Problem) -> Effects {
    Effects { answer: service_kit::refusal(problem), ..Effects::default() }
}
