//! What operators did to parked messages: its consequences are excused, and counted.

use std::collections::HashSet;

use uuid::Uuid;

/// A message, as the service that parked it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MessageRef {
    /// Indexes of [`SERVICES`](super::facts::SERVICES) and [`TOPICS`](super::facts::TOPICS).
    pub(super) service: usize,
    pub(super) topic: usize,
    pub(super) order: u128,
    pub(super) version: u32,
}

/// Everything that operators discarded or replaced.
#[derive(Clone, Debug, Default)]
pub(super) struct Interventions {
    /// How many messages were discarded.
    pub(super) discards: u64,
    discarded: HashSet<MessageRef>,
    replaced: HashSet<MessageRef>,
    ids: HashSet<Uuid>,
}

impl Interventions {
    pub(super) fn discard(&mut self, event: Option<Uuid>, message: Option<MessageRef>) {
        self.discards += 1;
        self.ids.extend(event);
        self.discarded.extend(message);
    }

    pub(super) fn replace(&mut self, message: MessageRef) {
        self.replaced.insert(message);
    }

    /// Whether this message was discarded at a service.
    pub(super) fn is_discarded(&self, message: &MessageRef) -> bool {
        self.discarded.contains(message)
    }

    /// Whether an order's history may hold something else than this message.
    pub(super) fn is_other_in_history(&self, topic: usize, order: u128, version: u32) -> bool {
        let message = MessageRef { service: super::facts::ORDERS, topic, order, version };
        self.discarded.contains(&message) || self.replaced.contains(&message)
    }

    /// Whether some service discarded this event.
    pub(super) fn names(&self, event: Uuid) -> bool {
        self.ids.contains(&event)
    }

    /// The orders with a discarded or replaced message.
    pub(super) fn orders(&self) -> impl Iterator<Item = u128> {
        self.discarded.iter().chain(&self.replaced).map(|message| message.order)
    }
}
