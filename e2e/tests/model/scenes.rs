//! Who orders what in which small world: each scene is explored whole.

use order_svc::domain::Method;

/// A world to start from.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) orders: &'static [Wish],
    /// Pieces of each SKU, by warehouse.
    pub(crate) shelves: &'static [(Product, &'static [i64])],
    /// What is in the customers' accounts, in whole dollars.
    pub(crate) accounts: &'static [u32],
    /// What has to be seen in it, or it shows less than it says.
    pub(crate) covers: &'static [&'static str],
}

/// An order that somebody may place.
pub(crate) struct Wish {
    pub(crate) method: Method,
    /// How many of what.
    pub(crate) lines: &'static [(Product, u32)],
    /// Whose account.
    pub(crate) account: usize,
    pub(crate) hearing: DeliveryMode,
    /// Whether its clocks may run out.
    pub(crate) clocks: bool,
    /// Whether its customer may set its money aside.
    pub(crate) holds: bool,
}

/// How its messages are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryMode {
    /// All at once: those of a rival that takes pieces and gives them back, no more.
    AtOnce,
    StepByStep,
    /// And consumers die over them. Only where one order is heard so: what comes again moves an
    /// offset and nothing else, so it does not meet the other order.
    WithCrashes,
}

/// Something for sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Mug,
    Pot,
}

impl Product {
    pub(crate) const ALL: [Self; 2] = [Self::Mug, Self::Pot];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mug => "mug",
            Self::Pot => "pot",
        }
    }

    /// In whole dollars.
    pub(crate) fn price(self) -> u32 {
        match self {
            Self::Mug => 1,
            Self::Pot => 2,
        }
    }
}

const RIVAL: Wish = Wish {
    account: 1,
    hearing: DeliveryMode::AtOnce,
    clocks: false,
    ..wish(Method::Wallet, A_MUG)
};
const A_MUG: &[(Product, u32)] = &[(Product::Mug, 1)];
const TWO_MUGS: &[(Product, u32)] = &[(Product::Mug, 2)];

/// An order of the first customer.
const fn wish(method: Method, lines: &'static [(Product, u32)]) -> Wish {
    Wish {
        method,
        lines,
        account: 0,
        hearing: DeliveryMode::WithCrashes,
        clocks: true,
        holds: false,
    }
}

pub(crate) const WALLET: Scene = Scene {
    name: "wallet",
    orders: &[Wish { holds: true, ..wish(Method::Wallet, TWO_MUGS) }, RIVAL],
    shelves: &[(Product::Mug, &[1, 1])],
    accounts: &[4, 1],
    covers: &[
        "confirmed",
        "out of stock",
        "payment timed out",
        "reservation ran out",
        "cancelled while open",
        "cancelled when confirmed",
        "money heard of before stock",
        "an event comes again after its effect",
        "cancel outruns stock on its way to payment",
        "a clock outruns a capture, which goes back",
        "run out and confirmed all the same",
        "released pieces go to the rival",
        "paid with what was held",
        "what was held is free again",
    ],
};

pub(crate) const CARD: Scene = Scene {
    name: "card",
    orders: &[wish(Method::Card, TWO_MUGS), RIVAL],
    shelves: &[(Product::Mug, &[1, 1])],
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
    orders: &[wish(Method::Deferred, TWO_MUGS), RIVAL],
    shelves: &[(Product::Mug, &[1, 1])],
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

/// Two products in one order, which pays from its account or by card, and a rival who wants one of
/// them for another price.
pub(crate) const BASKET: Scene = Scene {
    name: "basket",
    orders: &[
        wish(Method::Deferred, &[(Product::Mug, 1), (Product::Pot, 1)]),
        Wish { lines: &[(Product::Pot, 1)], ..RIVAL },
    ],
    shelves: &[(Product::Mug, &[1]), (Product::Pot, &[1])],
    accounts: &[3, 2],
    covers: &[
        "paid from the account",
        "paid by card",
        "out of stock though one product is there",
        "released pieces go to the rival",
    ],
};

/// Nothing but answers can end it.
pub(crate) const NO_CLOCK: Scene = Scene {
    name: "no clock",
    orders: &[Wish { clocks: false, ..wish(Method::Wallet, A_MUG) }],
    shelves: &[(Product::Mug, &[1])],
    accounts: &[1],
    covers: &["confirmed", "cancelled while open", "cancelled when confirmed"],
};

/// Two orders out of one purse, which has enough for one.
pub(crate) const PURSE: Scene = Scene {
    name: "purse",
    orders: &[
        Wish { hearing: DeliveryMode::StepByStep, ..wish(Method::Wallet, A_MUG) },
        Wish { hearing: DeliveryMode::StepByStep, clocks: false, ..wish(Method::Wallet, A_MUG) },
    ],
    shelves: &[(Product::Mug, &[2])],
    accounts: &[1],
    covers: &["confirmed", "declined", "a refund pays the other order"],
};

/// Two customers after the last piece.
pub(crate) const LAST_PIECE: Scene = Scene {
    name: "last piece",
    orders: &[
        Wish { hearing: DeliveryMode::StepByStep, ..wish(Method::Wallet, A_MUG) },
        Wish {
            account: 1,
            hearing: DeliveryMode::StepByStep,
            clocks: false,
            ..wish(Method::Card, A_MUG)
        },
    ],
    shelves: &[(Product::Mug, &[1])],
    accounts: &[1, 1],
    covers: &["confirmed", "out of stock", "released pieces go to the rival"],
};

pub(crate) const SCENES: &[&Scene] =
    &[&WALLET, &CARD, &DEFERRED, &BASKET, &NO_CLOCK, &LAST_PIECE, &PURSE];
