//! What operators look at without changing a message: the lists, and the flood that they may end.

use sqlx::Connection;

use crate::{
    Mailbox,
    operate::Operators,
    operations::{self, Action, Operation, OperationRecord},
    parked::{
        bounds,
        list::{self, ParkedKey, ParkedMessage, ParkedQuery},
    },
    reactor::Reactor,
};

/// The class under which events of unknown types are listed, though they stop no key.
const UNKNOWN_EVENT: &str = "unknown_event";

impl<R: Reactor> Mailbox<R> {
    /// The keys that stopped, the oldest first: the first page of them.
    pub async fn parked(&self) -> sqlx::Result<Vec<ParkedKey>> {
        self.parked_page(&ParkedQuery { limit: 200, ..ParkedQuery::default() }).await
    }

    /// A page of the keys that stopped, the oldest first; of class `unknown_event`, of those that
    /// did not stop although events of them are kept.
    pub async fn parked_page(&self, query: &ParkedQuery) -> sqlx::Result<Vec<ParkedKey>> {
        self.operators.keys(query).await
    }

    /// A parked key's messages after `after`, the first first, of each payload the beginning; none
    /// where nothing is parked.
    pub async fn parked_messages(
        &self,
        topic: &str,
        key: &str,
        after: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<ParkedMessage>> {
        self.operators.messages((topic, key), after, limit).await
    }

    /// One message of a parked key, whole.
    pub async fn parked_message(
        &self,
        topic: &str,
        key: &str,
        parked_id: i64,
    ) -> sqlx::Result<Option<ParkedMessage>> {
        self.operators.message((topic, key), parked_id).await
    }
}

impl<R: Reactor> Operators<R> {
    pub(crate) async fn keys(&self, query: &ParkedQuery) -> sqlx::Result<Vec<ParkedKey>> {
        let mut session = self.session()?;
        let db = session.connection().await?;
        match query.class.as_deref() {
            Some(UNKNOWN_EVENT) => list::unknown_keys(db, query).await,
            _ => list::keys(db, query).await,
        }
    }

    pub(crate) async fn operations(
        &self,
        before: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<OperationRecord>> {
        let mut session = self.session()?;
        operations::list(session.connection().await?, before, limit).await
    }

    pub(crate) async fn messages(
        &self,
        place: (&str, &str),
        after: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<ParkedMessage>> {
        let mut session = self.session()?;
        list::messages(session.connection().await?, place, after, limit).await
    }

    pub(crate) async fn message(
        &self,
        place: (&str, &str),
        parked_id: i64,
    ) -> sqlx::Result<Option<ParkedMessage>> {
        let mut session = self.session()?;
        list::message(session.connection().await?, place, parked_id).await
    }

    /// Lets the consuming go on in spite of a flood. `false` if there is none.
    pub(crate) async fn lift_flood(&self, caller: &str, reason: &str) -> sqlx::Result<bool> {
        let mut session = self.session()?;
        let mut tx = session.connection().await?.begin().await?;
        let is_lifted = bounds::lift_flood(&mut tx).await?;
        if is_lifted {
            let done = Operation::new(caller, Action::ConsumersResume, reason);
            operations::record(&mut tx, done).await?;
        }
        tx.commit().await?;
        Ok(is_lifted)
    }
}
