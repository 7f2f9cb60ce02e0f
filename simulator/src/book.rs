//! What the provider knows, and every rule about it, without file and clock.

mod forms;

use std::{
    collections::{BTreeMap, HashMap, hash_map},
    ops::Bound,
};

use proto::{Currency, Money, OrderId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use self::forms::FormKey;
pub use self::forms::FormRequest;
use crate::tokens::{self, Decline};

/// A charge that was asked for: captured, or declined for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    pub idempotency_key: String,
    pub order_id: OrderId,
    #[serde(flatten)]
    pub money: Money,
    pub token: String,
    /// None for a captured charge. One that is asked for may be declined whatever its token.
    pub declined: Option<Decline>,
    #[serde(
        serialize_with = "chassis::clock::serialize",
        deserialize_with = "time::serde::rfc3339::deserialize"
    )]
    pub at: OffsetDateTime,
    /// How it was asked for, if in Stripe's protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<FormRequest>,
}

/// Money of a charge that went back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub idempotency_key: String,
    /// The key of the charge.
    pub charge: String,
    pub order_id: OrderId,
    #[serde(flatten)]
    pub money: Money,
    #[serde(
        serialize_with = "chassis::clock::serialize",
        deserialize_with = "time::serde::rfc3339::deserialize"
    )]
    pub at: OffsetDateTime,
    /// How it was asked for, if in Stripe's protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<FormRequest>,
}

/// One line of the ledger's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    Charge(Charge),
    Refund(Refund),
}

impl From<Charge> for Entry {
    fn from(charge: Charge) -> Self {
        Self::Charge(charge)
    }
}

impl From<Refund> for Entry {
    fn from(refund: Refund) -> Self {
        Self::Refund(refund)
    }
}

/// The sums of all requests about one order, in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub order_id: OrderId,
    pub captured: Money,
    pub refunded: Money,
    /// How often money was captured: more than once is a mistake of the one that asked.
    pub captures: u32,
    pub declines: u32,
    pub refunds: u32,
}

/// A charge or refund, and whether this request made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordResult<T> {
    pub entry: T,
    pub is_new: bool,
}

/// Why the provider does not do what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the key was used for another request")]
    KeyReused,
    #[error("there is no such charge")]
    NoSuchCharge,
    #[error("the charge was declined: nothing can be given back")]
    NothingCaptured,
    #[error("only {0} of the charge is left to be given back")]
    MoreThanLeft(Money),
    #[error("the amounts of one order are too large to be summed")]
    TooLarge,
}

/// Everything that was charged and given back.
#[derive(Debug, Default)]
pub struct Book {
    charges: HashMap<String, Charge>,
    refunds: HashMap<String, Refund>,
    /// What was given back, by the charge's key.
    given_back: HashMap<String, Money>,
    accounts: BTreeMap<(OrderId, Currency), Account>,
    /// Keys of Stripe's protocol that are not forgotten.
    form_keys: HashMap<String, FormKey>,
}

impl Book {
    /// Charges once for each key: records `wanted`, or finds what was recorded under its key.
    pub fn charge(&mut self, mut wanted: Charge) -> Result<RecordResult<Charge>, Refusal> {
        if let Some(known) = self.charges.get(&wanted.idempotency_key) {
            let same = known.order_id == wanted.order_id
                && known.money == wanted.money
                && known.token == wanted.token;
            return again(same, known);
        }
        wanted.declined = tokens::declined(&wanted.token).or(wanted.declined);
        self.add_charge(wanted.clone())?;
        Ok(RecordResult { entry: wanted, is_new: true })
    }

    /// Gives money back once for each key.
    pub fn refund(
        &mut self,
        idempotency_key: String,
        charge: &str,
        amount: Money,
        at: OffsetDateTime,
    ) -> Result<RecordResult<Refund>, Refusal> {
        if let Some(known) = self.refunds.get(&idempotency_key) {
            return again(known.charge == charge && known.money == amount, known);
        }
        let left = self.left_of(charge)?;
        // An amount in another currency is neither more nor less than what is left, so it is
        // refused, too.
        if !matches!(amount.partial_cmp(&left), Some(order) if order.is_le()) {
            return Err(Refusal::MoreThanLeft(left));
        }
        let order_id = self.charges.get(charge).ok_or(Refusal::NoSuchCharge)?.order_id;
        let refund = Refund {
            idempotency_key,
            charge: charge.to_owned(),
            order_id,
            money: amount,
            at,
            asked: None,
        };
        self.add_refund(refund.clone())?;
        Ok(RecordResult { entry: refund, is_new: true })
    }

    /// What of a charge has not gone back.
    fn left_of(&self, charge: &str) -> Result<Money, Refusal> {
        let of = self.charges.get(charge).ok_or(Refusal::NoSuchCharge)?;
        if of.declined.is_some() {
            return Err(Refusal::NothingCaptured);
        }
        let left = self.given_back.get(charge).map_or(Ok(of.money), |sum| of.money.minus(*sum));
        left.map_err(|_| Refusal::TooLarge)
    }

    /// Adds an entry that was recorded before.
    pub(crate) fn replay(&mut self, entry: Entry) -> Result<(), Refusal> {
        match entry {
            Entry::Charge(charge) => self.add_charge(charge),
            Entry::Refund(refund) => self.add_refund(refund),
        }
    }

    /// The charge that was made under this key.
    pub fn charge_of(&self, idempotency_key: &str) -> Option<&Charge> {
        self.charges.get(idempotency_key)
    }

    /// The refund that was made under this key.
    pub fn refund_of(&self, idempotency_key: &str) -> Option<&Refund> {
        self.refunds.get(idempotency_key)
    }

    /// The currency of a charge.
    pub fn currency_of(&self, charge: &str) -> Option<Currency> {
        self.charges.get(charge).map(|charge| charge.money.currency())
    }

    /// Accounts by order id, after the position `after`: every order's, or those of one order.
    pub fn accounts(
        &self,
        order: Option<OrderId>,
        after: Option<(OrderId, Currency)>,
        limit: usize,
    ) -> Vec<Account> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let accounts = self.accounts.range((first, Bound::Unbounded)).map(|(_, account)| account);
        let wanted = accounts.filter(|it| order.is_none_or(|order| it.order_id == order));
        wanted.take(limit).cloned().collect()
    }

    fn add_charge(&mut self, charge: Charge) -> Result<(), Refusal> {
        let hash_map::Entry::Vacant(place) = self.charges.entry(charge.idempotency_key.clone())
        else {
            return Err(Refusal::KeyReused);
        };
        let account = account(&mut self.accounts, charge.order_id, charge.money.currency());
        if charge.declined.is_some() {
            account.declines += 1;
        } else {
            account.captured =
                account.captured.plus(charge.money).map_err(|_| Refusal::TooLarge)?;
            account.captures += 1;
        }
        if let Some(asked) = &charge.asked {
            let key = FormKey::intent(&charge.idempotency_key, charge.at);
            self.form_keys.insert(asked.key.clone(), key);
        }
        place.insert(charge);
        Ok(())
    }

    fn add_refund(&mut self, refund: Refund) -> Result<(), Refusal> {
        let hash_map::Entry::Vacant(place) = self.refunds.entry(refund.idempotency_key.clone())
        else {
            return Err(Refusal::KeyReused);
        };
        let currency = refund.money.currency();
        let account = account(&mut self.accounts, refund.order_id, currency);
        account.refunded = account.refunded.plus(refund.money).map_err(|_| Refusal::TooLarge)?;
        account.refunds += 1;
        let given_back =
            self.given_back.entry(refund.charge.clone()).or_insert(Money::zero(currency));
        *given_back = given_back.plus(refund.money).map_err(|_| Refusal::TooLarge)?;
        if let Some(asked) = &refund.asked {
            let key = FormKey::refund(&refund.idempotency_key, refund.at);
            self.form_keys.insert(asked.key.clone(), key);
        }
        place.insert(refund);
        Ok(())
    }
}

fn account(
    accounts: &mut BTreeMap<(OrderId, Currency), Account>,
    order_id: OrderId,
    currency: Currency,
) -> &mut Account {
    accounts.entry((order_id, currency)).or_insert_with(|| Account {
        order_id,
        captured: Money::zero(currency),
        refunded: Money::zero(currency),
        captures: 0,
        declines: 0,
        refunds: 0,
    })
}

fn again<T: Clone>(same: bool, known: &T) -> Result<RecordResult<T>, Refusal> {
    if same {
        Ok(RecordResult { entry: known.clone(), is_new: false })
    } else {
        Err(Refusal::KeyReused)
    }
}
