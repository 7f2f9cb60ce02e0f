//! The scenes: who orders what in which small world. Each is explored completely.

mod changed;

use order_svc::domain::Method;

pub(crate) use self::changed::{
    AMENDED, CARD_LATE, CARD_THRICE, CHANGED_CARD, CHANGED_DEFERRED, CHANGED_LATE,
    CHANGED_REFUNDED, DEFERRED_THRICE, DEFERRED_TWICE, LATE_THRICE, REFUNDED_TWICE_CHANGED,
    TOO_MUCH,
};

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
    pub(crate) lines: Basket,
    /// The index of the account of its customer.
    pub(crate) account: usize,
    pub(crate) hearing: DeliveryMode,
    /// Whether its deadline and its reservation may run out.
    pub(crate) clocks: bool,
    /// Whether its customer may hold money for it.
    pub(crate) holds: bool,
    /// What its customer may want instead, and how often they may change their mind.
    pub(crate) amendments: (&'static [Basket], usize),
    /// How often staff may give money back: one dollar, or all that is left. The provider may
    /// refuse to.
    pub(crate) refunds: u32,
}

/// An order's lines: products and quantities.
pub(crate) type Basket = &'static [(Product, u32)];

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
const A_MUG: Basket = &[(Product::Mug, 1)];
const TWO_MUGS: Basket = &[(Product::Mug, 2)];
const THREE_MUGS: Basket = &[(Product::Mug, 3)];
/// As dear as two mugs.
const A_POT: Basket = &[(Product::Pot, 1)];

/// An order of the first customer.
const fn wish(method: Method, lines: Basket) -> Wish {
    Wish {
        method,
        lines,
        account: 0,
        hearing: DeliveryMode::WithCrashes,
        clocks: true,
        holds: false,
        amendments: (&[], 0),
        refunds: 0,
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

/// Staff give money back, all of it or a part, and the provider may refuse.
pub(crate) const REFUNDS: Scene = Scene {
    name: "refunds",
    orders: &[Wish {
        refunds: 2,
        hearing: DeliveryMode::StepByStep,
        clocks: false,
        ..wish(Method::Card, TWO_MUGS)
    }],
    shelves: &[(Product::Mug, &[2])],
    accounts: &[0],
    covers: &[
        "confirmed",
        "cancelled when confirmed",
        "staff gave all of it back before the cancel",
        "a refund is refused, and staff have to settle it",
        "a refund is refused, and staff have settled it",
    ],
};

pub(crate) const SCENES: &[&Scene] = &[
    &WALLET,
    &CARD,
    &DEFERRED,
    &BASKET,
    &NO_CLOCK,
    &LAST_PIECE,
    &PURSE,
    &AMENDED,
    &CHANGED_CARD,
    &TOO_MUCH,
    &CHANGED_DEFERRED,
    &CHANGED_LATE,
    &CARD_LATE,
    &CARD_THRICE,
    &DEFERRED_TWICE,
    &DEFERRED_THRICE,
    &LATE_THRICE,
    &REFUNDS,
    &CHANGED_REFUNDED,
    &REFUNDED_TWICE_CHANGED,
];

impl Scene {
    /// The length that no list reaches: with it, a mutant runs in circles and is not explored
    /// further.
    pub(crate) fn enough(&self) -> usize {
        let of = |wish: &Wish| 5 + 3 * wish.amendments.1 + usize::try_from(wish.refunds).unwrap();
        self.orders.iter().map(of).max().unwrap_or_default()
    }
}
