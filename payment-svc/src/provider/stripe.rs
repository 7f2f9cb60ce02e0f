//! Stripe as a provider: payment intents that are confirmed at once, and their refunds.
//!
//! A request may be lost, and so may its answer. Stripe keeps a key with its answer for at least 24
//! hours: until half of that has passed, the same request under the same key is the look-up. It is
//! exact, one request, and takes no money twice. Later it would be a new charge, so a charge that
//! old is never asked for again, only looked for.
//!
//! It is looked for with the search, by our key in the intent's metadata: one request, however many
//! intents were made meanwhile. A list by time of creation would have to be read through, all of
//! half a day, and there is no customer object to list by. The search lags (a minute as a rule, an
//! hour in an outage, says its documentation). So what it finds is read anew under its id, and that
//! it finds nothing counts only when the last request is half a day old; then the charge never came
//! to be, and it is too late for it. Refunds are few for each intent, and listed without a lag.
//!
//! What a key replays is the first answer, not the present state, and a 500 is replayed as well.
//! An intent that was not at its end is therefore read by its id, and a replayed failure is looked
//! for like an old charge.

mod amounts;
mod client;
mod objects;
pub mod webhook;

use std::time::Duration;

use tokio::time::timeout;

use self::{
    amounts::minor_units,
    client::{Client, Failure},
    objects::{Intent, Page, RefundObject},
};
use super::{Provider, ProviderError, ProviderResult};
use crate::domain::{Call, ChargeOutcome, DeclineCode};

/// How long after its beginning a charge may be repeated under its key: half of the time for which
/// Stripe keeps keys, so that neither clocks nor an attempt under way come near the end.
const REPEAT_WITHIN: Duration = Duration::from_hours(12);
/// When a charge that the search does not find was never made: the last request for it is twelve
/// times as old by then as the search has ever been said to lag.
const NEVER_MADE_AFTER: Duration = Duration::from_hours(24);
/// Pages of an intent's refunds that are read: 100 refunds each, far more than an order has.
const PAGES_MAX: usize = 10;
/// Our key in the metadata of intents and refunds.
const KEY: &str = "metadata[payment_key]";
const ORDER: &str = "metadata[order_id]";

/// Stripe, over HTTP.
#[derive(Clone, Debug)]
pub struct Stripe {
    client: Client,
    /// What one call may take, of up to three requests.
    patience: Duration,
}

/// Whether a token has the form of Stripe's: `pm_` and then letters, digits and underscores.
pub fn is_payment_method(token: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    token.strip_prefix("pm_").is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain))
}

impl Stripe {
    /// `timeout` bounds each request: an answer that has not come by then is unknown. `key` is the
    /// account's secret key.
    pub fn new(url: &str, key: &str, timeout: Duration) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new(url, key, timeout)?, patience: timeout * 2 })
    }

    async fn within<T>(
        &self,
        asked: impl Future<Output = ProviderResult<T>> + Send,
    ) -> ProviderResult<T> {
        let late = || Err(ProviderError::Unknown("its answers take too long".to_owned()));
        timeout(self.patience, asked).await.unwrap_or_else(|_| late())
    }

    /// The intent of a charge as it is now, if the search knows it.
    async fn find(&self, key: &str) -> ProviderResult<Option<Intent>> {
        let query = format!("metadata['payment_key']:'{key}'");
        let found: Page<Intent> =
            self.client.get("/v1/payment_intents/search", &[("query", &query)]).await?;
        // One that took money counts before all others, if there should ever be others.
        let taken = found.data.iter().find(|intent| intent.is_taken());
        match taken.or(found.data.first()) {
            Some(known) => self.intent(&known.id).await.map(Some),
            None => Ok(None),
        }
    }

    async fn intent(&self, id: &str) -> ProviderResult<Intent> {
        let path = format!("/v1/payment_intents/{id}");
        self.client.get(&path, &[("expand[]", "latest_charge")]).await
    }

    /// What an intent comes to. One that waits for its customer is cancelled: nobody is there.
    async fn conclude(&self, mut intent: Intent, call: &Call) -> ProviderResult<ChargeOutcome> {
        intent.verify(call)?;
        if intent.outcome().is_none() {
            intent = self.intent(&intent.id).await?;
            intent.verify(call)?;
        }
        if intent.is_waiting() {
            let path = format!("/v1/payment_intents/{}/cancel", intent.id);
            let key = format!("{}.cancel", call.key());
            intent = self.client.post(&path, &key, &[]).await?;
            intent.verify(call)?;
        }
        let open = || ProviderError::Unknown(format!("the intent is {}", intent.status()));
        intent.outcome().ok_or_else(open)
    }

    async fn ask(&self, key: &str, call: &Call, token: &str) -> ProviderResult<ChargeOutcome> {
        let order = call.order.to_string();
        let form = [
            ("amount", &*units(call)?),
            ("currency", &*currency(call)),
            ("payment_method", token),
            // Cards alone: other methods lead the customer elsewhere first.
            ("payment_method_types[]", "card"),
            ("confirm", "true"),
            // Nobody waits at a checkout, so a bank that wants to ask the customer declines.
            ("error_on_requires_action", "true"),
            (ORDER, &*order),
            (KEY, key),
            ("expand[]", "latest_charge"),
        ];
        match self.client.post("/v1/payment_intents", key, &form).await {
            Ok(intent) => self.conclude(intent, call).await,
            Err(Failure::Declined { code, detail }) => {
                Ok(ChargeOutcome::Declined { code, detail: detail.into() })
            }
            Err(Failure::Replayed(why)) => match self.find(key).await? {
                Some(intent) => self.conclude(intent, call).await,
                None => Err(ProviderError::Unknown(why)),
            },
            Err(Failure::Other(error)) => Err(error),
        }
    }

    async fn look(
        &self,
        key: &str,
        call: &Call,
        age: Duration,
    ) -> ProviderResult<Option<ChargeOutcome>> {
        match self.find(key).await? {
            Some(intent) => self.conclude(intent, call).await.map(Some),
            None if age >= NEVER_MADE_AFTER => Ok(Some(ChargeOutcome::Declined {
                code: DeclineCode::CardDeclined,
                detail: "the provider never got the charge, and it is too late for it".into(),
            })),
            None => {
                let why = "the charge is too old to be asked for again, and not found yet";
                Err(ProviderError::Unknown(why.to_owned()))
            }
        }
    }

    /// The refund of an intent that has our key.
    async fn refund_under(&self, key: &str, intent: &str) -> ProviderResult<Option<RefundObject>> {
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("payment_intent", intent), ("limit", "100")];
            query.extend(after.as_deref().map(|after| ("starting_after", after)));
            let page: Page<RefundObject> = self.client.get("/v1/refunds", &query).await?;
            after = page.data.last().map(|last| last.id.clone());
            let found = page.data.into_iter().find(|refund| refund.key() == Some(key));
            if found.is_some() || !page.has_more || after.is_none() {
                return Ok(found);
            }
        }
        Err(ProviderError::Unknown("the intent has too many refunds to look through".to_owned()))
    }
}

impl Provider for Stripe {
    async fn charge(&self, key: &str, call: &Call, token: &str) -> ProviderResult<ChargeOutcome> {
        self.within(self.ask(key, call, token)).await
    }

    async fn charge_of(
        &self,
        key: &str,
        call: &Call,
        age: Duration,
    ) -> ProviderResult<Option<ChargeOutcome>> {
        if age < REPEAT_WITHIN {
            return Ok(None);
        }
        self.within(self.look(key, call, age)).await
    }

    async fn refund(&self, key: &str, call: &Call, reference: &str) -> ProviderResult<()> {
        let order = call.order.to_string();
        let form = [
            ("payment_intent", reference),
            ("amount", &*units(call)?),
            (ORDER, &*order),
            (KEY, key),
        ];
        let refund: RefundObject =
            self.within(async { Ok(self.client.post("/v1/refunds", key, &form).await?) }).await?;
        refund.verify(call)?;
        refund.outcome().unwrap_or_else(|| Err(refund.open()))
    }

    /// Stripe knows a refund by its key while it is young, and lists it long before it forgets the
    /// key: so a refund that is not listed may be asked for, however old its call is.
    async fn refund_of(&self, key: &str, call: &Call, reference: &str) -> ProviderResult<bool> {
        let Some(refund) = self.within(self.refund_under(key, reference)).await? else {
            return Ok(false);
        };
        refund.verify(call)?;
        refund.outcome().unwrap_or_else(|| Err(refund.open())).map(|()| true)
    }
}

fn units(call: &Call) -> ProviderResult<String> {
    let refused = || {
        let why = format!("Stripe cannot count {} exactly", call.amount);
        ProviderError::Refused(why)
    };
    minor_units(call.amount).map(|units| units.to_string()).ok_or_else(refused)
}

fn currency(call: &Call) -> String {
    call.amount.currency().code().to_ascii_lowercase()
}
