//! An operator's request that takes effect once for each idempotency key.

use sqlx::PgConnection;

use crate::{IdempotencyKey, OperatorError, idempotency, reactor::Answer};

/// Who asks for something, why, and under which idempotency key.
#[derive(Clone, Copy, Debug)]
pub struct OperatorRequest<'a> {
    pub caller: &'a str,
    pub reason: &'a str,
    pub key: Option<&'a IdempotencyKey>,
}

/// Claims the key until the transaction ends; an answer that was given before is the end of it.
pub(crate) async fn first(
    db: &mut PgConnection,
    key: Option<&IdempotencyKey>,
) -> Result<(), OperatorError> {
    let Some(key) = key else { return Ok(()) };
    if !idempotency::claim(db, &[key]).await?.is_empty() {
        return Ok(());
    }
    let kept = idempotency::kept(db, &[key]).await?.into_values().next();
    let kept = kept.ok_or(sqlx::Error::RowNotFound)?;
    Err(if kept.fingerprint == key.fingerprint {
        OperatorError::Answered(kept.answer)
    } else {
        OperatorError::KeyReused
    })
}

/// Keeps the answer under the key, as the last thing before the commit.
pub(crate) async fn keep(
    db: &mut PgConnection,
    key: Option<&IdempotencyKey>,
    answer: &Answer,
) -> sqlx::Result<()> {
    let Some(key) = key else { return Ok(()) };
    idempotency::keep(db, &[(key, answer)]).await
}
