//! Orders whose customers change their minds. Each further amendment makes eight to nine times as
//! many states, of which the two cores of a small machine visit about 90,000 a second; that bounds
//! how often each kind of order is amended.

use order_svc::domain::Method;

use super::{
    A_MUG, A_POT, Basket, DeliveryMode, Product, RIVAL, Scene, THREE_MUGS, TWO_MUGS, Wish, wish,
};

/// An order whose customer changes their mind, and which only answers can end.
const fn fickle(method: Method, lines: Basket, amendments: (&'static [Basket], usize)) -> Wish {
    Wish { amendments, hearing: DeliveryMode::StepByStep, clocks: false, ..wish(method, lines) }
}

/// Three amendments of an order that is paid from the account, and a rival for its stock.
pub(crate) const AMENDED: Scene = Scene {
    name: "amended",
    orders: &[
        fickle(Method::Wallet, TWO_MUGS, (&[A_MUG, A_POT, TWO_MUGS], 3)),
        Wish { lines: A_POT, ..RIVAL },
    ],
    shelves: &[(Product::Mug, &[2]), (Product::Pot, &[1])],
    accounts: &[2, 2],
    covers: &[
        "confirmed",
        "confirmed as amended",
        "an amendment is rejected and undone",
        "the payment of an earlier revision is first, and the amendment undone",
        "the payment of an earlier revision counts for the same lines",
        "cancelled while open",
        "cancelled when confirmed",
        "released pieces go to the rival",
    ],
};

/// Two amendments of an order that is paid by card, so that they come during charges: one never
/// fits, and what the other one does not need, a rival wants.
pub(crate) const CHANGED_CARD: Scene = Scene {
    name: "changed card",
    orders: &[fickle(Method::Card, TWO_MUGS, (&[A_POT, A_MUG], 2)), RIVAL],
    shelves: &[(Product::Mug, &[2])],
    accounts: &[0, 2],
    covers: &[
        "confirmed as amended",
        "an amendment is rejected and undone",
        "the payment of an earlier revision is first, and the amendment undone",
        "declined",
        "an earlier revision is declined, and the present one paid",
        "cancelled during a charge",
    ],
};

/// An order that does not fit at first, and is amended until it does.
pub(crate) const TOO_MUCH: Scene = Scene {
    name: "too much",
    orders: &[fickle(Method::Wallet, THREE_MUGS, (&[A_MUG, THREE_MUGS], 3))],
    shelves: &[(Product::Mug, &[2])],
    accounts: &[2],
    covers: &["out of stock", "rejected at first, and confirmed as amended"],
};

/// An amendment of a deferred order, which asks for its payment anew.
pub(crate) const CHANGED_DEFERRED: Scene = Scene {
    name: "changed deferred",
    orders: &[fickle(Method::Deferred, TWO_MUGS, (&[A_MUG], 1))],
    shelves: &[(Product::Mug, &[2])],
    accounts: &[2],
    covers: &["confirmed as amended", "asked for its payment anew"],
};

/// An amendment of an order whose deadline and reservation may run out, and for which the account
/// has enough only once it is amended.
pub(crate) const CHANGED_LATE: Scene = Scene {
    name: "changed late",
    orders: &[Wish { clocks: true, ..fickle(Method::Wallet, TWO_MUGS, (&[A_MUG], 1)) }],
    shelves: &[(Product::Mug, &[2])],
    accounts: &[1],
    covers: &["confirmed as amended", "payment timed out", "reservation ran out"],
};

/// Three amendments of an order that is paid by card: for as much money, and for less.
pub(crate) const CARD_THRICE: Scene = Scene {
    name: "card, thrice",
    orders: &[fickle(Method::Card, TWO_MUGS, (&[A_POT, A_MUG], 3))],
    shelves: &[(Product::Mug, &[2]), (Product::Pot, &[1])],
    accounts: &[0],
    covers: &[
        "confirmed as amended",
        "the payment of an earlier revision is first, and the amendment undone",
        "declined",
        "an earlier revision is declined, and the present one paid",
        "cancelled during a charge",
    ],
};

/// An amendment of an order that is paid by card, and whose clocks may run out.
pub(crate) const CARD_LATE: Scene = Scene {
    name: "card, late",
    orders: &[Wish { clocks: true, ..fickle(Method::Card, TWO_MUGS, (&[A_POT, A_MUG], 1)) }],
    shelves: &[(Product::Mug, &[2]), (Product::Pot, &[1])],
    accounts: &[0],
    covers: &[
        "confirmed as amended",
        "payment timed out",
        "reservation ran out",
        "cancelled during a charge",
    ],
};

/// A deferred order amended three times, always for less than at first.
pub(crate) const DEFERRED_THRICE: Scene = Scene {
    name: "deferred, thrice",
    orders: &[fickle(Method::Deferred, TWO_MUGS, (&[A_MUG], 3))],
    ..CHANGED_DEFERRED
};

/// A deferred order amended twice: for as much money, and for less.
pub(crate) const DEFERRED_TWICE: Scene = Scene {
    name: "deferred, twice",
    orders: &[fickle(Method::Deferred, TWO_MUGS, (&[A_MUG, A_POT], 2))],
    shelves: &[(Product::Mug, &[2]), (Product::Pot, &[1])],
    ..CHANGED_DEFERRED
};

/// Three amendments, for as much money and for less, of an order whose clocks may run out.
pub(crate) const LATE_THRICE: Scene = Scene {
    name: "late, thrice",
    orders: &[Wish { clocks: true, ..fickle(Method::Wallet, TWO_MUGS, (&[A_MUG, A_POT], 3)) }],
    shelves: &[(Product::Mug, &[2]), (Product::Pot, &[1])],
    ..CHANGED_LATE
};

/// An order paid by card that is amended, during a charge as well, while a rival wants its pieces;
/// of what it has paid staff give back all or a part, which the provider may refuse.
pub(crate) const CHANGED_REFUNDED: Scene = Scene {
    name: "changed, refunded",
    orders: &[Wish { refunds: 2, ..fickle(Method::Card, TWO_MUGS, (&[A_POT, A_MUG], 1)) }, RIVAL],
    shelves: &[(Product::Mug, &[2])],
    accounts: &[0, 2],
    covers: &[
        "confirmed as amended",
        "an amendment is rejected and undone",
        "the payment of an earlier revision is first, and the amendment undone",
        "cancelled when confirmed",
        "staff gave all of it back before the cancel",
        "a refund is refused, and staff have to settle it",
        "a refund is refused, and staff have settled it",
        "released pieces go to the rival",
    ],
};

/// The same, amended twice and refunded once, without a rival: all three together are ten times as
/// many states as both scenes.
pub(crate) const REFUNDED_TWICE_CHANGED: Scene = Scene {
    name: "twice changed",
    orders: &[Wish { refunds: 1, ..fickle(Method::Card, TWO_MUGS, (&[A_POT, A_MUG], 2)) }],
    shelves: &[(Product::Mug, &[2])],
    accounts: &[0],
    covers: &[
        "confirmed as amended",
        "an amendment is rejected and undone",
        "the payment of an earlier revision is first, and the amendment undone",
        "cancelled when confirmed",
        "staff gave all of it back before the cancel",
        "a refund is refused, and staff have to settle it",
    ],
};
