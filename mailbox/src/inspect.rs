//! What operators look at without changing a message: the lists. Also how they end a flood.

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

/// The class under which keys with unknown events are listed; such keys have not stopped.
pub const UNKNOWN_EVENT: &str = "unknown_event";

impl<R: Reactor> Mailbox<R> {
    /// The first 200 of the keys that stopped, the oldest first.
    pub async fn parked(&self) -> sqlx::Result<Vec<ParkedKey>> {
        self.parked_page(&ParkedQuery { limit: 200, ..ParkedQuery::default() }).await
    }

    /// A page of the keys that stopped, the oldest first. With class `unknown_event`, a page of the
    /// keys that have unknown events, and did not stop.
    pub async fn parked_page(&self, query: &ParkedQuery) -> sqlx::Result<Vec<ParkedKey>> {
        self.operators.keys(query).await
    }

    /// A parked key's messages after the one with id `after`, in order, each with the beginning of
    /// its payload; empty if the key is not parked.
    pub async fn parked_messages(
        &self,
        topic: &str,
        key: &str,
        after: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<ParkedMessage>> {
        self.operators.messages((topic, key), after, limit).await
    }

    /// One message of a parked key, with its whole payload.
    pub async fn parked_message(
        &self,
        topic: &str,
        key: &str,
        parked_id: i64,
    ) -> sqlx::Result<Option<ParkedMessage>> {
        self.operators.message((topic, key), parked_id).await
    }

    /// The operations of operators before the one with id `before`, the newest first.
    pub async fn operations(&self, before: i64, limit: i64) -> sqlx::Result<Vec<OperationRecord>> {
        self.operators.operations(before, limit).await
    }

    /// Lets consuming go on although a flood of keys is parked (`flood`). The reason is recorded
    /// among the operations. `false` if there is no flood.
    pub async fn lift_flood(&self, caller: &str, reason: &str) -> sqlx::Result<bool> {
        self.operators.lift_flood(caller, reason).await
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
        key_ref: (&str, &str),
        after: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<ParkedMessage>> {
        let mut session = self.session()?;
        list::messages(session.connection().await?, key_ref, after, limit).await
    }

    pub(crate) async fn message(
        &self,
        key_ref: (&str, &str),
        parked_id: i64,
    ) -> sqlx::Result<Option<ParkedMessage>> {
        let mut session = self.session()?;
        list::message(session.connection().await?, key_ref, parked_id).await
    }

    /// Ends the present flood, and records that as an operation. `false` if there is none.
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
