//! Members of the topics' messages, by their numbers in the `.proto` files.

/// Length of the arrays that are indexed by a member's number: above the highest number.
pub(super) const LENGTH: usize = 8;

pub(super) const PLACED: usize = 1;
pub(super) const AWAITING: usize = 2;
pub(super) const CONFIRMED: usize = 3;
pub(super) const CANCELLED: usize = 4;
pub(super) const AMENDED: usize = 5;
pub(super) const SHIPPED: usize = 6;
pub(super) const DELIVERED: usize = 7;
pub(super) const RESERVED: usize = 1;
pub(super) const REJECTED: usize = 2;
pub(super) const RELEASED: usize = 3;
pub(super) const EXPIRED: usize = 4;
pub(super) const CAPTURED: usize = 1;
pub(super) const DECLINED: usize = 2;
pub(super) const VOIDED: usize = 3;
pub(super) const REFUNDED: usize = 4;
pub(super) const REFUND_REFUSED: usize = 5;
pub(super) const SENT: usize = 1;
pub(super) const FAILED: usize = 2;

#[cfg(test)]
mod tests {
    use proto::{EVENT_TYPES, topic};

    use super::*;

    #[test]
    fn every_member_has_a_place_in_the_arrays() {
        for topic in topic::ALL {
            let members = EVENT_TYPES.iter().filter(|known| known.topic == topic).count();
            assert!(members < LENGTH, "{topic} has {members} members");
        }
    }
}
