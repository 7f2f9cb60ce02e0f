//! Why a person's request is refused.

use proto::Money;

/// A refusal by the rules: nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no stock has been reserved for such an order")]
    UnknownOrder,
    #[error("the order is paid already")]
    AlreadyPaid,
    #[error("the order is cancelled")]
    Cancelled,
    #[error("the payment was declined, and the order ends with it")]
    Declined,
    #[error("another payment of the order was under way, and was declined")]
    OtherDeclined,
    #[error("due are {due}")]
    OtherAmount { due: Money },
    #[error("the customer has no account")]
    UnknownAccount,
    #[error("the customer has an account already")]
    AccountExists,
    #[error("the amount has to be more than nothing")]
    NotPositive,
    #[error("the amount has to be in {}", wanted.code())]
    OtherCurrency { wanted: proto::Currency },
    #[error("the account cannot hold so much")]
    TooMuch,
    #[error("insufficient funds: {available} available")]
    InsufficientFunds { available: Money },
    #[error("{held} are held for this order already")]
    HoldExists { held: Money },
    #[error("what was held for this order has been paid with")]
    HoldCaptured,
    #[error("nothing was ever held for this order")]
    NeverHeld,
    #[error("there is no such payment")]
    UnknownPayment,
    #[error("nothing was captured: nothing can be given back")]
    NothingCaptured,
    #[error("{left} are left of what was captured")]
    NotRefundable { left: Money },
    #[error("another refund is under way")]
    RefundUnderWay,
    #[error("the order has ended: nothing is held for it any more")]
    OrderEnded,
}
