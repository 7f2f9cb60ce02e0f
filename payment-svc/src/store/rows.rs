//! A payment as a row and back: the only file that knows both.

use std::{collections::BTreeMap, sync::Arc};

use mailbox::invalid;
use prost::Message as _;
use proto::{Currency, CustomerId, Money, OrderId, SealKeyRing, orders::Sealed};
use rust_decimal::Decimal;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    cards,
    domain::{
        Capture, Card, CardDisplay, Charge, CompensationState, Decline, DeclineCode, Due,
        Instrument, Means, Method, Payment, PaymentProvider, Phase, Refund, Token,
    },
    world::Root,
};

/// A row of `payments`.
pub(super) struct Row {
    pub(super) order_id: Uuid,
    pub(super) customer_id: Option<String>,
    pub(super) revision: Option<i32>,
    pub(super) due: Option<Decimal>,
    pub(super) currency: Option<String>,
    pub(super) instrument: Option<String>,
    pub(super) token: Option<Vec<u8>>,
    pub(super) provider: Option<String>,
    pub(super) phase: String,
    pub(super) tried_revision: Option<i32>,
    pub(super) tried: Option<Decimal>,
    pub(super) tried_method: Option<String>,
    pub(super) tried_token: Option<Vec<u8>>,
    pub(super) tried_provider: Option<String>,
    pub(super) reference: Option<String>,
    pub(super) brand: Option<String>,
    pub(super) last4: Option<String>,
    pub(super) decline_code: Option<String>,
    pub(super) decline_detail: Option<String>,
    pub(super) refunded: Option<Decimal>,
    pub(super) refunds: Option<i32>,
    pub(super) refunding: Option<Decimal>,
    pub(super) compensation: String,
    pub(super) cancelled_revision: Option<i32>,
    pub(super) version: i64,
    pub(super) heard_orders: i64,
    pub(super) heard_stock: i64,
    pub(super) created_at: OffsetDateTime,
    pub(super) updated_at: OffsetDateTime,
    pub(super) outcome_at: Option<OffsetDateTime>,
}

impl Row {
    pub(super) fn of(root: &Root, keys: &SealKeyRing) -> Self {
        let payment = &root.payment;
        let due = payment.due.as_ref();
        let mut row = Self {
            order_id: payment.order.uuid(),
            customer_id: due.map(|due| due.customer.to_string()),
            revision: due.map(|due| due.revision.cast_signed()),
            due: due.map(|due| due.amount.amount()),
            currency: due.map(|due| due.amount.currency().code().to_owned()),
            instrument: None,
            token: None,
            provider: None,
            phase: String::new(),
            tried_revision: None,
            tried: None,
            tried_method: None,
            tried_token: None,
            tried_provider: None,
            reference: None,
            brand: payment.face().map(|face| face.brand.to_string()),
            last4: payment.face().map(|face| face.last4.to_string()),
            decline_code: None,
            decline_detail: None,
            refunded: None,
            refunds: None,
            refunding: None,
            compensation: payment.compensation.as_str().to_owned(),
            cancelled_revision: match payment.compensation {
                CompensationState::Owed { revision } => Some(revision.cast_signed()),
                CompensationState::NotAsked
                | CompensationState::Voided
                | CompensationState::Refunded => None,
            },
            version: root.version,
            heard_orders: root.heard_orders,
            heard_stock: root.heard_stock,
            created_at: root.created_at,
            updated_at: root.updated_at,
            outcome_at: root.outcome_at,
        };
        row.set_instrument(payment, keys);
        row.set_phase(payment, keys);
        row
    }

    fn set_instrument(&mut self, payment: &Payment, keys: &SealKeyRing) {
        let instrument = payment.due.as_ref().and_then(|due| due.instrument.as_ref());
        self.instrument = instrument.map(|instrument| instrument.method().as_str().to_owned());
        if let Some(Instrument::Card(card)) = instrument {
            self.token = Some(sealed(payment.order, &card.token, keys));
            self.provider = Some(card.provider.as_str().to_owned());
        }
    }

    fn set_phase(&mut self, payment: &Payment, keys: &SealKeyRing) {
        let (word, tried) = match &payment.phase {
            Phase::Waiting => ("waiting", None),
            Phase::Charging(charge) => {
                self.tried_token = Some(sealed(payment.order, &charge.card.token, keys));
                ("charging", Some((charge.revision, charge.amount, Method::Card)))
            }
            Phase::Declined(decline) => {
                self.decline_code = Some(decline.code.as_str().to_owned());
                self.decline_detail = Some(decline.detail.to_string());
                ("declined", Some((decline.revision, decline.amount, decline.method)))
            }
            Phase::Captured(capture) => {
                if let Means::Card { reference, .. } = &capture.means {
                    self.reference = Some(reference.to_string());
                }
                self.refunded = Some(capture.refunded.amount());
                let last = capture.refund.as_ref().map_or(0, |refund| refund.number);
                self.refunds = Some(last.cast_signed());
                self.refunding = capture.refunding().map(|refund| refund.amount.amount());
                ("captured", Some((capture.revision, capture.amount, capture.means.method())))
            }
        };
        word.clone_into(&mut self.phase);
        if let Some((revision, amount, method)) = tried {
            self.tried_revision = Some(revision.cast_signed());
            self.tried = Some(amount.amount());
            self.tried_method = Some(method.as_str().to_owned());
            self.tried_provider = payment.provider().map(|provider| provider.as_str().to_owned());
        }
    }
}

/// A token as it stands in a row: whoever reads the table cannot charge the card. Nothing for a
/// token that could not be read: the row keeps what it has.
fn sealed(order: OrderId, token: &Token, keys: &SealKeyRing) -> Vec<u8> {
    if *token == Token::unreadable() {
        return Vec::new();
    }
    keys.seal(order, token.expose().as_bytes()).encode_to_vec()
}

/// The token that was sealed in a row; unreadable if its key is gone, or was not given.
pub(super) fn opened(order: Uuid, sealed: &[u8], keys: Option<&SealKeyRing>) -> Token {
    let open = |keys: &SealKeyRing| {
        let plain = keys.open(OrderId::new(order), &Sealed::decode(sealed).ok()?).ok()?;
        String::from_utf8(plain).ok().map(|token| Token::new(&token))
    };
    keys.and_then(open).unwrap_or_else(Token::unreadable)
}

/// The provider that a column names.
pub(super) fn provider(column: Option<&str>) -> Option<PaymentProvider> {
    column.and_then(PaymentProvider::parse)
}

impl Row {
    /// Order and number of the payment's last refund, if any was begun.
    pub(super) fn last_refund(&self) -> Option<(Uuid, i32)> {
        self.refunds.filter(|number| *number > 0).map(|number| (self.order_id, number))
    }

    /// The row as a root; its last refund is taken from `refunds`. Without `keys` its tokens stay
    /// sealed.
    pub(super) fn root(
        self,
        refunds: &mut BTreeMap<Uuid, Refund>,
        keys: Option<&SealKeyRing>,
    ) -> sqlx::Result<Root> {
        let order = OrderId::new(self.order_id);
        let broken = || invalid(format_args!("the payment of {order}"));
        let compensation = self.compensation().ok_or_else(broken)?;
        let due = self.due(keys)?;
        let mut phase = match (self.phase.as_str(), &due) {
            ("waiting", _) => Phase::Waiting,
            (_, Some(due)) => self.phase(due.amount.currency(), keys)?.ok_or_else(broken)?,
            (_, None) => return Err(broken()),
        };
        if let Phase::Captured(capture) = &mut phase {
            capture.refund = refunds.remove(&self.order_id);
            if capture.refund.is_none() && self.last_refund().is_some() {
                return Err(broken());
            }
        }
        Ok(Root {
            payment: Payment { order, due, phase, compensation },
            version: self.version,
            heard_orders: self.heard_orders,
            heard_stock: self.heard_stock,
            created_at: self.created_at,
            updated_at: self.updated_at,
            outcome_at: self.outcome_at,
        })
    }

    fn compensation(&self) -> Option<CompensationState> {
        match (self.compensation.as_str(), self.cancelled_revision) {
            ("not_asked", None) => Some(CompensationState::NotAsked),
            ("owed", Some(revision)) => {
                Some(CompensationState::Owed { revision: revision.cast_unsigned() })
            }
            ("voided", None) => Some(CompensationState::Voided),
            ("refunded", None) => Some(CompensationState::Refunded),
            _ => None,
        }
    }

    fn due(&self, keys: Option<&SealKeyRing>) -> sqlx::Result<Option<Due>> {
        let (Some(customer), Some(revision), Some(amount), Some(currency)) =
            (&self.customer_id, self.revision, self.due, &self.currency)
        else {
            return Ok(None);
        };
        let currency = Currency::parse(currency).map_err(invalid)?;
        let method = self.instrument.as_deref().map(Method::parse);
        let provider = provider(self.provider.as_deref());
        let instrument = match (method, &self.token, provider) {
            (None, ..) => None,
            (Some(Some(Method::Wallet)), ..) => Some(Instrument::Wallet),
            (Some(Some(Method::Card)), Some(token), Some(provider)) => {
                let token = opened(self.order_id, token, keys);
                Some(Instrument::Card(cards::card(token, provider)))
            }
            (Some(Some(Method::Card)), None, _) => Some(Instrument::CardWithoutToken),
            _ => return Err(invalid("an instrument without what it needs")),
        };
        Ok(Some(Due {
            customer: CustomerId::parse(customer).map_err(invalid)?,
            revision: revision.cast_unsigned(),
            amount: Money::new(amount, currency).map_err(invalid)?,
            instrument,
        }))
    }

    /// The phase of a payment for which something was tried; `None` if its columns do not fit
    /// together.
    fn phase(&self, currency: Currency, keys: Option<&SealKeyRing>) -> sqlx::Result<Option<Phase>> {
        let money = |amount: Decimal| Money::new(amount, currency).map_err(invalid);
        let method = self.tried_method.as_deref().and_then(Method::parse);
        let (Some(revision), Some(tried), Some(method)) = (self.tried_revision, self.tried, method)
        else {
            return Ok(None);
        };
        let (revision, amount) = (revision.cast_unsigned(), money(tried)?);
        let (face, provider) = (self.face(), provider(self.tried_provider.as_deref()));
        match self.phase.as_str() {
            "charging" => {
                let Some((token, provider)) = self.tried_token.as_ref().zip(provider) else {
                    return Ok(None);
                };
                let card = Card { token: opened(self.order_id, token, keys), provider, face };
                Ok(Some(Phase::Charging(Charge { revision, amount, card })))
            }
            "declined" => {
                let code = self.decline_code.as_deref().and_then(DeclineCode::parse);
                let Some(code) = code else { return Ok(None) };
                let detail = Arc::from(self.decline_detail.as_deref().unwrap_or_default());
                let decline = Decline { revision, amount, method, provider, face, code, detail };
                Ok(Some(Phase::Declined(decline)))
            }
            "captured" => {
                let means = match (method, &self.reference, provider) {
                    (Method::Wallet, ..) => Means::Wallet,
                    (Method::Card, Some(reference), Some(provider)) => {
                        Means::Card { provider, reference: Arc::from(reference.as_str()), face }
                    }
                    (Method::Card | Method::Deferred, ..) => return Ok(None),
                };
                let Some(refunded) = self.refunded else { return Ok(None) };
                let (refunded, refund) = (money(refunded)?, None);
                let capture = Capture { revision, amount, means, refunded, refund };
                Ok(Some(Phase::Captured(capture)))
            }
            _ => Ok(None),
        }
    }

    fn face(&self) -> Option<CardDisplay> {
        let (brand, last4) = (self.brand.as_deref()?, self.last4.as_deref()?);
        Some(CardDisplay { brand: Arc::from(brand), last4: Arc::from(last4) })
    }
}
