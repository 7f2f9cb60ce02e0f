//! Requests of people about contacts: each is decided as an item of a batch, with its answer.

use chassis::http;
use mailbox::{Answer, DecisionContext, Effects};

use crate::{input::Request, views::ContactView, world::World};

/// Carries a request out, or says why not; a refusal leaves `world` as it was.
pub fn execute(world: &mut World, request: &Request, _context: &DecisionContext) -> Effects {
    let Request::PutContact { customer, contact, conditions } = request;
    let checked = match world.contacts.get(customer) {
        Some(known) => {
            http::if_match(conditions, &service_kit::etag(&ContactView::new(customer, known)))
        }
        None => http::if_nothing_matches(conditions),
    };
    if let Err(stale) = checked {
        return told(service_kit::refusal(&stale));
    }
    let answer = service_kit::json_answer(200, &ContactView::new(customer, contact), None);
    world.contacts.insert(customer.clone(), contact.clone());
    world.put.insert(customer.clone(), contact.clone());
    told(answer)
}

fn told(answer: Answer) -> Effects {
    Effects { answer, ..Effects::default() }
}
