//! The payment of one order: what is due, its phase, and what a cancellation still waits for.
//!
//! An order has one payment however often it is amended, so money can be captured once. The phase
//! is one enum, so a payment that is charging is not captured, and the reverse.

use std::sync::Arc;

use proto::{CustomerId, Money, OrderId, PaymentId, words};
use uuid::Uuid;

use super::{Card, CardDisplay, PaymentProvider, Refund};

/// A payment's id is its order's id with these random bits flipped: unique by construction, found
/// without an index, and still a valid UUIDv7, because time and version bits stay.
const PAYMENT_ID_MASK: u128 = 0x1f6b_94d2_7c3e_a85b;

/// The id of `order`'s payment.
pub fn payment_id(order: OrderId) -> PaymentId {
    PaymentId::new(Uuid::from_u128(order.uuid().as_u128() ^ PAYMENT_ID_MASK))
}

/// The order that `payment` pays.
pub fn order_of(payment: PaymentId) -> OrderId {
    OrderId::new(Uuid::from_u128(payment.uuid().as_u128() ^ PAYMENT_ID_MASK))
}

/// All that is known about one order's money. Without `due` it is a tombstone: the order was
/// cancelled before this service heard that its stock was reserved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payment {
    pub order: OrderId,
    pub due: Option<Due>,
    pub phase: Phase,
    pub compensation: CompensationState,
}

/// What an order has to pay: the newest revision whose stock was reserved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Due {
    pub customer: CustomerId,
    pub revision: u32,
    pub amount: Money,
    /// `None` for a deferred order, which somebody will pay over HTTP.
    pub instrument: Option<Instrument>,
}

/// What the money is taken from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Instrument {
    Wallet,
    Card(Card),
    /// A card that cannot be charged: its details could not be read, or it has been charged and its
    /// token was deleted.
    CardWithoutToken,
}

/// A payment's phase. It has exactly one, whatever was heard in whatever order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing has been tried for what is due.
    Waiting,
    /// The charge is with the provider, even when its answer was lost.
    Charging(Charge),
    /// The last attempt ended without money.
    Declined(Decline),
    /// The money was taken; some or all of it may have gone back since.
    Captured(Capture),
}

/// A charge that the provider is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Charge {
    pub revision: u32,
    pub amount: Money,
    pub card: Card,
}

/// An attempt to take money that failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decline {
    pub revision: u32,
    pub amount: Money,
    pub method: Method,
    /// Who was asked, if anybody was.
    pub provider: Option<PaymentProvider>,
    pub face: Option<CardDisplay>,
    pub code: DeclineCode,
    pub detail: Arc<str>,
}

words! {
    /// Why a payment was declined.
    pub enum DeclineCode {
        CardDeclined = "card_declined",
        InsufficientFunds = "insufficient_funds",
        ExpiredCard = "expired_card",
        NoAccount = "no_account",
        CurrencyMismatch = "currency_mismatch",
    }
}

/// Money that was taken, and how much of it went back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Capture {
    pub revision: u32,
    pub amount: Money,
    pub means: Means,
    pub refunded: Money,
    /// The last refund: each begins after the one before it has ended.
    pub refund: Option<Refund>,
}

/// Where the money came from, which is where a refund goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Means {
    Wallet,
    /// `reference` is the provider's name for its charge.
    Card {
        provider: PaymentProvider,
        reference: Arc<str>,
        face: Option<CardDisplay>,
    },
}

/// What a cancelled order is owed: one answer, once nothing is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompensationState {
    NotAsked,
    /// `revision` is the one that was cancelled.
    Owed {
        revision: u32,
    },
    Voided,
    Refunded,
}

words! {
    /// How an order is paid.
    pub enum Method {
        Wallet = "wallet",
        Card = "card",
        Deferred = "deferred",
    }
}

words! {
    /// How a payment is described to people.
    pub enum Status {
        Pending = "pending",
        Processing = "processing",
        Captured = "captured",
        Declined = "declined",
        Refunded = "refunded",
        PartiallyRefunded = "partially_refunded",
        Voided = "voided",
    }
}

impl CompensationState {
    /// The word for it in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::Owed { .. } => "owed",
            Self::Voided => "voided",
            Self::Refunded => "refunded",
        }
    }
}

impl Instrument {
    /// The payment method that it belongs to.
    pub fn method(&self) -> Method {
        match self {
            Self::Wallet => Method::Wallet,
            Self::Card(_) | Self::CardWithoutToken => Method::Card,
        }
    }
}

impl Means {
    /// The payment method that it belongs to.
    pub fn method(&self) -> Method {
        match self {
            Self::Wallet => Method::Wallet,
            Self::Card { .. } => Method::Card,
        }
    }
}

impl Payment {
    /// A payment of which nothing is known yet.
    pub fn of(order: OrderId) -> Self {
        Self { order, due: None, phase: Phase::Waiting, compensation: CompensationState::NotAsked }
    }

    /// Whose payment it is, once that is known.
    pub fn customer(&self) -> Option<&CustomerId> {
        self.due.as_ref().map(|due| &due.customer)
    }

    /// The last refund that was begun.
    pub fn last_refund(&self) -> Option<&Refund> {
        match &self.phase {
            Phase::Captured(capture) => capture.refund.as_ref(),
            Phase::Waiting | Phase::Charging(_) | Phase::Declined(_) => None,
        }
    }

    /// Whether the provider owes an answer to a charge or a refund.
    pub fn is_in_flight(&self) -> bool {
        match &self.phase {
            Phase::Charging(_) => true,
            Phase::Captured(capture) => capture.refunding().is_some(),
            Phase::Waiting | Phase::Declined(_) => false,
        }
    }

    /// Whether nothing will be charged for this order any more.
    pub fn is_over(&self) -> bool {
        let newest = self.due.as_ref().map_or(0, |due| due.revision);
        let has_ended = match &self.phase {
            Phase::Waiting | Phase::Charging(_) => false,
            Phase::Declined(decline) => decline.revision >= newest,
            Phase::Captured(_) => true,
        };
        has_ended || self.compensation != CompensationState::NotAsked
    }

    /// Which revision has an outcome, and whether the outcome is money.
    pub fn outcome(&self) -> Option<(u32, bool)> {
        match &self.phase {
            Phase::Waiting | Phase::Charging(_) => None,
            Phase::Declined(decline) => Some((decline.revision, false)),
            Phase::Captured(capture) => Some((capture.revision, true)),
        }
    }

    /// Which revision the last attempt was for; `None` while nothing was tried for what is due.
    pub fn tried_revision(&self) -> Option<u32> {
        match &self.phase {
            Phase::Waiting => None,
            Phase::Charging(charge) => Some(charge.revision),
            Phase::Declined(decline) => Some(decline.revision),
            Phase::Captured(capture) => Some(capture.revision),
        }
    }

    /// Deletes the token of what is due once it will not be charged from there: whoever has a token
    /// can charge the card. A charge under way has a copy of its own.
    pub(super) fn forget_token(&mut self) {
        let is_over = self.is_over();
        let Some(due) = &mut self.due else { return };
        let is_charging = matches!(&self.phase, Phase::Charging(charge)
            if charge.revision >= due.revision);
        if (is_over || is_charging) && matches!(due.instrument, Some(Instrument::Card(_))) {
            due.instrument = Some(Instrument::CardWithoutToken);
        }
    }

    /// The status for people: derived from phase and compensation, never stored.
    pub fn status(&self) -> Status {
        match (&self.phase, self.compensation) {
            (Phase::Waiting, CompensationState::NotAsked | CompensationState::Owed { .. }) => {
                Status::Pending
            }
            (Phase::Waiting, CompensationState::Voided | CompensationState::Refunded) => {
                Status::Voided
            }
            (Phase::Charging(_), _) => Status::Processing,
            (Phase::Declined(_), _) => Status::Declined,
            (Phase::Captured(capture), _) if capture.refunded.is_zero() => Status::Captured,
            (Phase::Captured(capture), _) if capture.refunded < capture.amount => {
                Status::PartiallyRefunded
            }
            (Phase::Captured(_), _) => Status::Refunded,
        }
    }

    /// What the order is, was or will be paid with.
    pub fn method(&self) -> Method {
        match &self.phase {
            Phase::Waiting => {
                let instrument = self.due.as_ref().and_then(|due| due.instrument.as_ref());
                instrument.map_or(Method::Deferred, Instrument::method)
            }
            Phase::Charging(_) => Method::Card,
            Phase::Declined(decline) => decline.method,
            Phase::Captured(capture) => capture.means.method(),
        }
    }

    /// Whom the card is, was or will be charged through; `None` where no provider is asked.
    pub fn provider(&self) -> Option<PaymentProvider> {
        match &self.phase {
            Phase::Waiting => match self.due.as_ref()?.instrument.as_ref()? {
                Instrument::Wallet | Instrument::CardWithoutToken => None,
                Instrument::Card(card) => Some(card.provider),
            },
            Phase::Charging(charge) => Some(charge.card.provider),
            Phase::Declined(decline) => decline.provider,
            Phase::Captured(capture) => match &capture.means {
                Means::Wallet => None,
                Means::Card { provider, .. } => Some(*provider),
            },
        }
    }

    /// The amount of the last attempt; before any, the amount due.
    pub fn amount(&self) -> Option<Money> {
        match &self.phase {
            Phase::Waiting => self.due.as_ref().map(|due| due.amount),
            Phase::Charging(charge) => Some(charge.amount),
            Phase::Declined(decline) => Some(decline.amount),
            Phase::Captured(capture) => Some(capture.amount),
        }
    }

    /// What may be shown of the card that is, was or will be charged.
    pub fn face(&self) -> Option<&CardDisplay> {
        match &self.phase {
            Phase::Waiting => match self.due.as_ref()?.instrument.as_ref()? {
                Instrument::Wallet | Instrument::CardWithoutToken => None,
                Instrument::Card(card) => card.face.as_ref(),
            },
            Phase::Charging(charge) => charge.card.face.as_ref(),
            Phase::Declined(decline) => decline.face.as_ref(),
            Phase::Captured(capture) => match &capture.means {
                Means::Wallet => None,
                Means::Card { face, .. } => face.as_ref(),
            },
        }
    }
}
