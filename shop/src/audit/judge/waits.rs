//! What an order waits for, and how long it may.
//!
//! A message has a minute to be published and consumed, a restart included. A deadline and a
//! reservation have their own time, and then half a minute for the sweep. A call and a delivery are
//! leased to one process; a minute after the lease has ended another process must have taken them
//! over.

use super::{
    super::facts::{Facts, Hold, OrderEnd, TOPICS},
    View, counted,
};

const MESSAGE_SECONDS: u32 = 60;
const SWEEP_SECONDS: u32 = 30;
const LEASE_SECONDS: u32 = 60;

/// The wait of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Nothing,
    /// Since when the order waits.
    Young {
        since: u32,
    },
    /// What the order waits for and for how long, in words.
    Overdue(String),
}

impl Waits {
    /// Takes in a wait that began at `since` and should have ended by `by`.
    fn take(&mut self, since: u32, by: u32, now: u32, what: impl FnOnce() -> String) {
        let before = match self {
            Self::Overdue(_) => return,
            Self::Young { since } => Some(*since),
            Self::Nothing => None,
        };
        *self = if now > by {
            Self::Overdue(format!("{}, {} s ago", what(), now.saturating_sub(since)))
        } else {
            Self::Young { since: before.map_or(since, |before| before.min(since)) }
        };
    }
}

/// What an order waits for; an overdue wait comes before a young one.
pub(super) fn overdue(id: u128, facts: &Facts, view: &View) -> Waits {
    let mut waits = Waits::Nothing;
    messages(id, facts, view, &mut waits);
    let now = view.now;
    // When an event about the order was last published.
    let moved = facts.said.iter().map(|told| told.at).max().unwrap_or_default();
    let since = |until: u32| if moved == 0 { until } else { moved.min(until) };
    if let Some(payment) = facts.payment.filter(|payment| payment.call_until > 0) {
        let until = payment.call_until;
        let what = || "nobody asks the provider for its answer: last asked for".to_owned();
        waits.take(since(until), until.saturating_add(LEASE_SECONDS), now, what);
    }
    if let Some(notices) = facts.notices.filter(|notices| notices.delivery_until > 0) {
        let until = notices.delivery_until;
        let what = || "nobody delivers a notification: begun".to_owned();
        waits.take(since(until), until.saturating_add(LEASE_SECONDS), now, what);
    }
    let held = facts.reservation.filter(|it| it.hold == Hold::Held && !it.is_expired);
    if let Some(reservation) = held {
        let until = reservation.expires_at;
        if now > until.saturating_add(SWEEP_SECONDS) {
            let what = || "its hold ran out, and inventory-svc has not said so".to_owned();
            waits.take(until, until, now, what);
        }
    }
    if let Some(order) = facts.order.filter(|it| it.ending == OrderEnd::Open && it.due_at > 0) {
        let by = order.due_at.saturating_add(SWEEP_SECONDS);
        let what = || "its deadline passed".to_owned();
        let since = if now > by { order.due_at } else { since(order.due_at) };
        waits.take(since, by, now, what);
    }
    waits
}

/// Events that were announced and are not in their topic, or are there and have not been consumed.
fn messages(id: u128, facts: &Facts, view: &View, waits: &mut Waits) {
    let counted = counted(facts);
    for (topic, name) in TOPICS.into_iter().enumerate() {
        let told = &facts.said[topic];
        if counted[topic] > told.version {
            let said = told.outbox_at;
            if !view.is_gone(topic, id, told) {
                let what = || match said {
                    0 => format!("what {name} misses is in no outbox: it was to be said"),
                    _ => format!("version {} is not on {name}: it was said", told.version + 1),
                };
                waits.take(said, said.saturating_add(MESSAGE_SECONDS), view.now, what);
            }
        } else if told.version > 0 && !view.consumed.is_past(topic, told.partition, told.offset) {
            let by = told.at.saturating_add(MESSAGE_SECONDS);
            let what = || format!("not all have heard {name}: the last came");
            waits.take(told.at, by, view.now, what);
        }
    }
}
