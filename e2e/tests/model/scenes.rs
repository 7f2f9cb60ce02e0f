//! Who orders what in which small world: each scene is explored whole.

use order_svc::domain::Method;

/// A world to start from.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) orders: &'static [Wish],
    /// Pieces of the one SKU, by warehouse.
    pub(crate) shelves: &'static [i64],
    /// What is in the customers' accounts, in whole dollars; a piece costs one.
    pub(crate) accounts: &'static [u32],
    /// What has to be seen in it, or it shows less than it says.
    pub(crate) covers: &'static [&'static str],
}

/// An order that somebody may place.
pub(crate) struct Wish {
    pub(crate) method: Method,
    pub(crate) quantity: u32,
    /// Whose account.
    pub(crate) account: usize,
    /// A rival whose messages are all heard at once: it takes pieces and gives them back, no more.
    pub(crate) brisk: bool,
    /// Whether its clocks may run out.
    pub(crate) clocks: bool,
}

const RIVAL: Wish =
    Wish { method: Method::Wallet, quantity: 1, account: 1, brisk: true, clocks: false };

const fn wish(method: Method) -> Wish {
    Wish { method, quantity: 2, account: 0, brisk: false, clocks: true }
}

pub(crate) const WALLET: Scene = Scene {
    name: "wallet",
    orders: &[wish(Method::Wallet), RIVAL],
    shelves: &[1, 1],
    accounts: &[4, 1],
    covers: &[
        "confirmed",
        "out of stock",
        "payment timed out",
        "reservation ran out",
        "cancelled while open",
        "cancelled when confirmed",
        "money heard of before stock",
        "cancel outruns stock on its way to payment",
        "a clock outruns a capture, which goes back",
        "run out and confirmed all the same",
        "released pieces go to the rival",
    ],
};

pub(crate) const CARD: Scene = Scene {
    name: "card",
    orders: &[wish(Method::Card), RIVAL],
    shelves: &[1, 1],
    accounts: &[0, 1],
    covers: &[
        "confirmed",
        "out of stock",
        "declined",
        "payment timed out",
        "reservation ran out",
        "cancelled while open",
        "cancelled when confirmed",
        "cancelled during a charge",
        "a charge for a cancelled order is declined",
        "a refund under way",
        "a clock outruns a capture, which goes back",
        "run out and confirmed all the same",
    ],
};

pub(crate) const DEFERRED: Scene = Scene {
    name: "deferred",
    orders: &[wish(Method::Deferred), RIVAL],
    shelves: &[1, 1],
    accounts: &[2, 1],
    covers: &[
        "confirmed",
        "out of stock",
        "declined",
        "payment timed out",
        "reservation ran out",
        "cancelled while open",
        "cancelled when confirmed",
        "cancelled during a charge",
        "paid before the order heard that it waits",
        "a clock outruns a capture, which goes back",
    ],
};

/// Two orders out of one purse, which has enough for one.
pub(crate) const PURSE: Scene = Scene {
    name: "purse",
    orders: &[
        Wish { method: Method::Wallet, quantity: 1, account: 0, brisk: false, clocks: true },
        Wish { method: Method::Wallet, quantity: 1, account: 0, brisk: false, clocks: false },
    ],
    shelves: &[2],
    accounts: &[1],
    covers: &["confirmed", "declined", "a refund pays the other order"],
};

/// Two customers after the last piece.
pub(crate) const LAST_PIECE: Scene = Scene {
    name: "last piece",
    orders: &[
        Wish { method: Method::Wallet, quantity: 1, account: 0, brisk: false, clocks: true },
        Wish { method: Method::Card, quantity: 1, account: 1, brisk: false, clocks: false },
    ],
    shelves: &[1],
    accounts: &[1, 1],
    covers: &["confirmed", "out of stock", "released pieces go to the rival"],
};

pub(crate) const SCENES: &[&Scene] = &[&WALLET, &CARD, &DEFERRED, &LAST_PIECE, &PURSE];
