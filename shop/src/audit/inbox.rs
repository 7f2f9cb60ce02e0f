//! Which service has to hear which event, and what each service's inbox says that it has taken in.
//!
//! A state has only the highest version that it heard. The inbox also shows the versions before it,
//! and a service that takes messages in without using its inbox.

use super::{
    facts::{NOTIFICATIONS, ORDERS, PAYMENTS, STOCK},
    tag,
};

/// How old a message may be to be looked for: inboxes delete ids after 30 days.
const KEPT_SECONDS: u32 = 25 * 86_400;

/// The ids in each service's inbox: the random half of each id, sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Inboxes {
    of: [Vec<u64>; 4],
}

impl Inboxes {
    /// Takes over what is in the inbox of one service.
    pub(super) fn put(&mut self, service: usize, mut ids: Vec<u64>) {
        ids.sort_unstable();
        self.of[service] = ids;
    }

    /// The services that had to take an event in and have not.
    pub(super) fn missing(
        &self,
        topic: usize,
        tag: usize,
        id: u128,
    ) -> impl Iterator<Item = usize> {
        let id = half(id);
        let hearers = hearers(topic, tag).iter().copied();
        hearers.filter(move |service| self.of[*service].binary_search(&id).is_err())
    }
}

/// Whether a message of that age is sure to be in the inboxes of the services that consumed it.
pub(super) fn is_kept(at: u32, now: u32) -> bool {
    now.saturating_sub(at) < KEPT_SECONDS
}

/// The random half of a UUIDv7.
pub(super) fn half(id: u128) -> u64 {
    u64::try_from(id & u128::from(u64::MAX)).unwrap_or_default()
}

/// The services that have to hear an event.
pub(super) fn hearers(topic: usize, tag: usize) -> &'static [usize] {
    match (topic, tag) {
        (ORDERS, tag::PLACED | tag::AMENDED) => &[STOCK],
        (ORDERS, tag::AWAITING | tag::SHIPPED | tag::DELIVERED) => &[NOTIFICATIONS],
        (ORDERS, tag::CONFIRMED) => &[STOCK, NOTIFICATIONS],
        (ORDERS, tag::CANCELLED) => &[STOCK, PAYMENTS, NOTIFICATIONS],
        (STOCK, tag::RESERVED) => &[ORDERS, PAYMENTS],
        (PAYMENTS, tag::REFUNDED) => &[ORDERS, NOTIFICATIONS],
        (STOCK | PAYMENTS | NOTIFICATIONS, _) => &[ORDERS],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_those_who_have_to_hear_an_event_is_looked_at() {
        let mut inboxes = Inboxes::default();
        inboxes.put(STOCK, vec![9, 5]);
        inboxes.put(NOTIFICATIONS, vec![7]);
        let missing = |topic, tag, id| inboxes.missing(topic, tag, id).collect::<Vec<_>>();
        assert!(missing(ORDERS, tag::PLACED, 5).is_empty());
        assert_eq!(missing(ORDERS, tag::PLACED, 7), [STOCK]);
        assert_eq!(missing(ORDERS, tag::CANCELLED, 7), [STOCK, PAYMENTS]);
        assert!(missing(ORDERS, tag::AWAITING, 7).is_empty());
        assert_eq!(missing(STOCK, tag::RESERVED, 5), [ORDERS, PAYMENTS]);
        assert_eq!(missing(PAYMENTS, tag::REFUNDED, 7), [ORDERS]);
    }
}
