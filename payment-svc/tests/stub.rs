//! A provider whose behaviour a test chooses: it loses answers, is away, or never answers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use payment_svc::{
    domain::{Call, ChargeOutcome, DeclineCode},
    provider::{Provider, ProviderError, ProviderResult},
};
use tokio::time::sleep;

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The request never arrives.
    Away,
    /// The request is carried out, and the answer gets lost.
    Lost,
    /// The request is carried out, and the answer never comes.
    Silent,
    /// The request is not carried out, and never will be.
    Refused,
    /// The request is carried out, and the answer comes after this long.
    Slow(Duration),
}

#[derive(Clone, Default)]
pub(super) struct Stub(Arc<Mutex<Book>>);

#[derive(Default)]
pub(super) struct Book {
    pub(super) charges: BTreeMap<String, ChargeOutcome>,
    pub(super) refunds: BTreeMap<String, String>,
    /// Every request, in order.
    pub(super) asked: Vec<String>,
    /// Keys that were asked for while another request for them had no answer yet.
    pub(super) asked_at_once: BTreeSet<String>,
    /// Whether no request about a refund arrives, whatever happens to charges.
    pub(super) is_away_for_refunds: bool,
    troubles: VecDeque<Trouble>,
    under_way: BTreeSet<String>,
}

/// A request without an answer yet; it ends when dropped.
struct UnderWay {
    stub: Stub,
    key: String,
}

impl UnderWay {
    fn enter(stub: &Stub, key: &str) -> Self {
        let mut book = stub.book();
        if !book.under_way.insert(key.to_owned()) {
            book.asked_at_once.insert(key.to_owned());
        }
        Self { stub: stub.clone(), key: key.to_owned() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.stub.book().under_way.remove(&self.key);
    }
}

impl Stub {
    pub(super) fn with(troubles: &[Trouble]) -> Self {
        let stub = Self::default();
        stub.book().troubles.extend(troubles);
        stub
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    /// Carries out the request unless the provider is away, and answers unless there is trouble.
    async fn answer<T>(
        &self,
        (verb, key): (&str, &str),
        act: impl FnOnce(&mut Book) -> T,
    ) -> ProviderResult<T> {
        let (trouble, answer) = {
            let mut book = self.book();
            book.asked.push(format!("{verb} {key}"));
            let trouble = if book.is_away_for_refunds && key.contains(".refund.") {
                Some(Trouble::Away)
            } else {
                book.troubles.pop_front()
            };
            match trouble {
                Some(Trouble::Away) => return Err(ProviderError::Unknown("away".to_owned())),
                Some(Trouble::Refused) => {
                    return Err(ProviderError::Refused("no such thing".to_owned()));
                }
                Some(Trouble::Lost | Trouble::Silent | Trouble::Slow(_)) | None => {}
            }
            (trouble, act(&mut book))
        };
        let _under_way = UnderWay::enter(self, key);
        match trouble {
            Some(Trouble::Silent) => pending().await,
            Some(Trouble::Slow(time)) => {
                // A real pause: the provider's slowness is what is tested.
                sleep(time).await;
                Ok(answer)
            }
            Some(Trouble::Away | Trouble::Lost | Trouble::Refused) => {
                Err(ProviderError::Unknown("the answer got lost".to_owned()))
            }
            None => Ok(answer),
        }
    }
}

impl Provider for Stub {
    async fn charge(&self, key: &str, _: &Call, token: &str) -> ProviderResult<ChargeOutcome> {
        let outcome = match token {
            "tok_declined" => ChargeOutcome::Declined {
                code: DeclineCode::CardDeclined,
                detail: "the card was declined".into(),
            },
            _ => ChargeOutcome::Captured { reference: key.into(), face: None },
        };
        self.answer(("charge", key), |book| {
            book.charges.entry(key.to_owned()).or_insert(outcome).clone()
        })
        .await
    }

    async fn charge_of(
        &self,
        key: &str,
        _: &Call,
        _: Duration,
    ) -> ProviderResult<Option<ChargeOutcome>> {
        self.answer(("look", key), |book| book.charges.get(key).cloned()).await
    }

    async fn refund(&self, key: &str, _: &Call, reference: &str) -> ProviderResult<()> {
        self.answer(("refund", key), |book| {
            book.refunds.insert(key.to_owned(), reference.to_owned());
        })
        .await
    }

    async fn refund_of(&self, key: &str, _: &Call, _: &str) -> ProviderResult<bool> {
        self.answer(("look", key), |book| book.refunds.contains_key(key)).await
    }
}
