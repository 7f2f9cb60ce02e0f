//! Test addresses: how the sink behaves towards what is sent to them.

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The message is taken.
    Takes,
    /// The message is refused for good.
    Refuses,
    /// The message is refused for now, always.
    Later,
    /// The message is refused for now at the first attempt, and taken at the next.
    Once,
    /// There is no answer.
    Hangs,
    /// The connection is closed in the middle.
    Closes,
}

/// The test addresses: mail addresses at `sink.example`, telephone numbers, and push tokens.
const ADDRESSES: [(&str, &str, Manner); 5] = [
    ("refused", "+15550100001", Manner::Refuses),
    ("later", "+15550100002", Manner::Later),
    ("once", "+15550100003", Manner::Once),
    ("hangs", "+15550100004", Manner::Hangs),
    ("closes", "+15550100005", Manner::Closes),
];

impl Manner {
    /// The manner towards an address of any channel.
    pub fn of(address: &str) -> Self {
        let name = address.strip_suffix("@sink.example").unwrap_or(address);
        let known = ADDRESSES.iter().find(|(word, number, _)| [*word, *number].contains(&name));
        known.map_or(Self::Takes, |(_, _, manner)| *manner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_address_is_known_on_every_channel() {
        assert_eq!(Manner::of("once@sink.example"), Manner::Once);
        assert_eq!(Manner::of("+15550100003"), Manner::Once);
        assert_eq!(Manner::of("once"), Manner::Once);
        assert_eq!(Manner::of("once@shop.example"), Manner::Takes);
    }
}
