//! What operators look at without changing a message: the lists, and the flood that they may end.

use sqlx::Connection;

use crate::{
    operate::Operators,
    operations::{self, Action, Operation},
    parked::{
        bounds,
        list::{self, ParkedKey, ParkedMessage, ParkedQuery},
    },
    reactor::Reactor,
};

/// The class under which events of unknown types are listed, though they stop no key.
const UNKNOWN_EVENT: &str = "unknown_event";

impl<R: Reactor> Operators<R> {
    pub(crate) async fn keys(&self, query: &ParkedQuery) -> sqlx::Result<Vec<ParkedKey>> {
        let mut session = self.session()?;
        let db = session.connection().await?;
        match query.class.as_deref() {
            Some(UNKNOWN_EVENT) => list::unknown_keys(db, query).await,
            _ => list::keys(db, query).await,
        }
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
