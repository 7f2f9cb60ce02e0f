//! The scenes: who orders what in which small world. Each is explored completely.

use order_svc::domain::Method;

/// A world to start from, and the orders that may be placed in it.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) orders: &'static [Wish],
    /// How many pieces of each SKU there are, by warehouse.
    pub(crate) shelves: &'static [(Product, &'static [i64])],
    /// The balances of the customers' accounts, in whole dollars.
    pub(crate) accounts: &'static [u32],
    /// What has to be seen while the scene is explored; otherwise the scene shows less than it
    /// claims.
    pub(crate) covers: &'static [&'static str],
}

/// An order that somebody may place.
pub(crate) struct Wish {
    pub(crate) method: Method,
    /// The order's lines: products and quantities.
    pub(crate) lines: &'static [(Product, u32)],
    /// The index of the account of its customer.
    pub(crate) account: usize,
    pub(crate) hearing: DeliveryMode,
    /// Whether its deadline and its reservation may run out.
    pub(crate) clocks: bool,
    /// Whether its customer may hold money for it.
    pub(crate) holds: bool,
}

/// How the order's messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryMode {
    /// All at once: for another order that takes pieces and gives them back, and does nothing else.
    AtOnce,
    StepByStep,
    /// Step by step, and consumers may die over them. Only in scenes where one order is heard like
    /// this: a repetition moves an offset and nothing else, so it cannot affect the other order.
    WithCrashes,
}

/// A product for sale.
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

    /// The price in whole dollars.
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

/// One order of two products, paid from the account or by card, and another order for one of them
/// at another price.
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

/// An order that only answers can end, because no deadline passes.
pub(crate) const NO_CLOCK: Scene = Scene {
    name: "no clock",
    orders: &[Wish { clocks: false, ..wish(Method::Wallet, A_MUG) }],
    shelves: &[(Product::Mug, &[1])],
    accounts: &[1],
    covers: &["confirmed", "cancelled while open", "cancelled when confirmed"],
};

/// Two orders paid from one account, which has enough for one.
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

/// Two customers who order the last piece.
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
