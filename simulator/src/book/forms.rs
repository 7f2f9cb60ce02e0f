//! Charges and refunds that are asked for in Stripe's protocol: they have ids of the provider's own,
//! and keys that are forgotten.

use std::collections::BTreeMap;

use proto::Money;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::{Book, Charge, RecordResult, Refund, Refusal, again};

/// How long a key is kept: as long as Stripe promises, and no longer.
const KEY_KEPT: Duration = Duration::hours(24);

/// A request as it was made: its key and its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormRequest {
    pub key: String,
    pub form: BTreeMap<String, String>,
}

/// What a key was used for, and when.
#[derive(Clone, Debug)]
pub(super) struct FormKey {
    made: FormEntry,
    at: OffsetDateTime,
}

/// The entry that a request made.
#[derive(Clone, Debug)]
enum FormEntry {
    Intent(String),
    Refund(String),
}

impl FormKey {
    pub(super) fn intent(id: &str, at: OffsetDateTime) -> Self {
        Self { made: FormEntry::Intent(id.to_owned()), at }
    }

    pub(super) fn refund(id: &str, at: OffsetDateTime) -> Self {
        Self { made: FormEntry::Refund(id.to_owned()), at }
    }
}

impl FormRequest {
    /// The metadata among the parameters.
    pub fn metadata(&self) -> BTreeMap<&str, &str> {
        self.form
            .iter()
            .filter_map(|(param, value)| {
                let name = param.strip_prefix("metadata[")?.strip_suffix(']')?;
                Some((name, value.as_str()))
            })
            .collect()
    }
}

impl Book {
    /// Records a charge, or finds what was recorded under its key.
    pub fn intend(&mut self, wanted: Charge) -> Result<RecordResult<Charge>, Refusal> {
        let Some(asked) = &wanted.asked else { return self.charge(wanted) };
        match self.under(asked, wanted.at) {
            Some(FormEntry::Intent(id)) => {
                let known = self.charges.get(&id).ok_or(Refusal::NoSuchCharge)?;
                return again(known.asked.as_ref() == Some(asked), known);
            }
            Some(FormEntry::Refund(_)) => return Err(Refusal::KeyReused),
            None => {}
        }
        self.add_charge(wanted.clone())?;
        Ok(RecordResult { entry: wanted, is_new: true })
    }

    /// Records a refund of an intent, or finds what was recorded under its key; `amount` is all that
    /// is left where it is not said.
    pub fn give_back(
        &mut self,
        asked: FormRequest,
        (id, intent): (String, &str),
        amount: Option<Money>,
        at: OffsetDateTime,
    ) -> Result<RecordResult<Refund>, Refusal> {
        match self.under(&asked, at) {
            Some(FormEntry::Refund(id)) => {
                let known = self.refunds.get(&id).ok_or(Refusal::NoSuchCharge)?;
                return again(known.asked.as_ref() == Some(&asked), known);
            }
            Some(FormEntry::Intent(_)) => return Err(Refusal::KeyReused),
            None => {}
        }
        let left = self.left_of(intent)?;
        let money = amount.unwrap_or(left);
        if !money.is_positive() || !matches!(money.partial_cmp(&left), Some(it) if it.is_le()) {
            return Err(Refusal::MoreThanLeft(left));
        }
        let order_id = self.charges.get(intent).ok_or(Refusal::NoSuchCharge)?.order_id;
        let (charge, asked) = (intent.to_owned(), Some(asked));
        let refund = Refund { idempotency_key: id, charge, order_id, money, at, asked };
        self.add_refund(refund.clone())?;
        Ok(RecordResult { entry: refund, is_new: true })
    }

    /// The intents whose metadata has this value under this name.
    pub fn intents_with(&self, name: &str, value: &str) -> Vec<Charge> {
        let has = |charge: &&Charge| {
            let asked = charge.asked.as_ref();
            asked.is_some_and(|asked| asked.metadata().get(name) == Some(&value))
        };
        self.charges.values().filter(has).cloned().collect()
    }

    /// The refunds of an intent, the newest first.
    pub fn refunds_of(&self, intent: &str) -> Vec<Refund> {
        let of = |refund: &&Refund| refund.charge == intent && refund.asked.is_some();
        let mut refunds: Vec<Refund> = self.refunds.values().filter(of).cloned().collect();
        refunds.sort_by(|a, b| (b.at, &b.idempotency_key).cmp(&(a.at, &a.idempotency_key)));
        refunds
    }

    /// Forgets every key, as Stripe may a day later; returns how many there were.
    pub fn forget_keys(&mut self) -> usize {
        let count = self.form_keys.len();
        self.form_keys.clear();
        count
    }

    fn under(&self, asked: &FormRequest, now: OffsetDateTime) -> Option<FormEntry> {
        let known = self.form_keys.get(&asked.key)?;
        (now - known.at < KEY_KEPT).then(|| known.made.clone())
    }
}
