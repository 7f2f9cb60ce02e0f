//! A provider that does what a test wants: it loses answers, is away, or never answers.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
};

use payment_svc::{
    domain::{Call, ChargeOutcome, DeclineCode},
    provider::{Provider, Unknown},
};

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The request never arrives.
    Away,
    /// It is done, and the answer gets lost.
    Lost,
    /// It is done, and the answer never comes.
    Silent,
}

#[derive(Clone, Default)]
pub(super) struct Stub(Arc<Mutex<Book>>);

#[derive(Default)]
pub(super) struct Book {
    pub(super) charges: BTreeMap<String, ChargeOutcome>,
    pub(super) refunds: BTreeMap<String, String>,
    /// Every request, in order.
    pub(super) asked: Vec<String>,
    troubles: VecDeque<Trouble>,
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

    /// Does what is asked unless it is away, and answers unless there is trouble.
    async fn answer<T>(
        &self,
        asked: String,
        act: impl FnOnce(&mut Book) -> T,
    ) -> Result<T, Unknown> {
        let (trouble, answer) = {
            let mut book = self.book();
            book.asked.push(asked);
            let trouble = book.troubles.pop_front();
            if trouble == Some(Trouble::Away) {
                return Err(Unknown("away".to_owned()));
            }
            (trouble, act(&mut book))
        };
        match trouble {
            Some(Trouble::Silent) => pending().await,
            Some(_) => Err(Unknown("the answer got lost".to_owned())),
            None => Ok(answer),
        }
    }
}

impl Provider for Stub {
    async fn charge(&self, key: &str, _: &Call, token: &str) -> Result<ChargeOutcome, Unknown> {
        let outcome = match token {
            "tok_declined" => ChargeOutcome::Declined {
                code: DeclineCode::CardDeclined,
                detail: "the card was declined".into(),
            },
            _ => ChargeOutcome::Captured { reference: key.into(), face: None },
        };
        self.answer(format!("charge {key}"), |book| {
            book.charges.entry(key.to_owned()).or_insert(outcome).clone()
        })
        .await
    }

    async fn charge_of(&self, key: &str) -> Result<Option<ChargeOutcome>, Unknown> {
        self.answer(format!("look {key}"), |book| book.charges.get(key).cloned()).await
    }

    async fn refund(&self, key: &str, _: &Call, reference: &str) -> Result<(), Unknown> {
        self.answer(format!("refund {key}"), |book| {
            book.refunds.insert(key.to_owned(), reference.to_owned());
        })
        .await
    }
}
