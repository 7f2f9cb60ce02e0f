//! One event of an order, decided: its notice changes, and what follows is announced.

use std::mem;

use mailbox::{DecisionContext, OutboxEvent, Tracked};
use proto::OrderId;

use crate::{
    domain::{Event, NotificationState, decide},
    wire,
    world::{Root, World},
};

/// Applies one event to an order's notice: returns the announcement and the notification that
/// changed.
pub(crate) fn apply(
    world: &mut World,
    order: OrderId,
    event: &Event,
    context: &DecisionContext,
) -> (Vec<OutboxEvent>, Option<NotificationState>) {
    let root = &mut world.roots.entry(order).or_insert_with(|| Tracked::new(Root::default())).now;
    let decision = decide(mem::take(&mut root.notice), event);
    root.notice = decision.state;
    let announced = decision.announce.map(|announcement| {
        root.version += 1;
        service_kit::announce(context, order.key(), root.version, wire::encode(order, announcement))
    });
    (announced.into_iter().collect(), decision.touched)
}
