//! Requests of people: each is decided as an item of a batch, with its answer.

use std::sync::Arc;

use chassis::{Problem, http};
use mailbox::{DecisionContext, Effects};

use crate::{
    domain,
    input::{CancelOrder, PlaceOrder, Request},
    pressure, refusals,
    views::OrderView,
    world::World,
};

/// Carries a request out, or says why not; a refusal leaves `world` as it was.
pub fn execute(world: &mut World, request: &Request, context: &DecisionContext) -> Effects {
    match request {
        Request::Place(asked) => place(world, asked, context),
        Request::Cancel(asked) => cancel(world, asked, context),
    }
}

fn place(world: &mut World, asked: &PlaceOrder, context: &DecisionContext) -> Effects {
    let PlaceOrder { request, details, trace_id, names, is_admitted } = asked;
    if !is_admitted {
        return refused(&pressure::overloaded());
    }
    match domain::place(request, &world.catalogue, context.now) {
        Ok(decision) => {
            let at = Some(format!("/v1/orders/{}", request.id));
            let answer = service_kit::json_answer(201, &OrderView::new(&decision.order), at);
            let announced = world.place(decision, details.as_ref(), *trace_id, context);
            Effects { announced, answer, ..Effects::default() }
        }
        Err(refusal) => Effects {
            // The product or price that would make the order acceptable may be on its way to
            // `products_seen`: the same request may be accepted in a moment (`http/placing.rs`).
            is_provisional: true,
            ..refused(&refusals::problem(&refusal, names))
        },
    }
}

fn cancel(world: &mut World, asked: &CancelOrder, context: &DecisionContext) -> Effects {
    let CancelOrder { order: id, by, text, conditions } = asked;
    let Some(order) = world.order(*id) else {
        return refused(&refusals::no_order(id));
    };
    if let Err(stale) = http::if_match(conditions, &service_kit::etag(&OrderView::new(order))) {
        return refused(&stale);
    }
    let decision = domain::cancel(order, Arc::clone(by), Arc::clone(text), context.now);
    let answer = service_kit::json_answer(200, &OrderView::new(&decision.order), None);
    let announced =
        if decision.announce.is_some() { world.apply(decision, context) } else { Vec::new() };
    Effects { announced, answer, ..Effects::default() }
}

fn refused(problem: &Problem) -> Effects {
    Effects { answer: service_kit::refusal(problem), ..Effects::default() }
}
