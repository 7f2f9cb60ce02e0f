//! Makes an operator's request take effect once for each idempotency key.

use sqlx::PgConnection;

use crate::{IdempotencyKey, OperatorError, idempotency, reactor::Answer};

/// Who asks for something, why, and under which idempotency key.
#[derive(Clone, Copy, Debug)]
pub struct OperatorRequest<'a> {
    pub caller: &'a str,
    pub reason: &'a str,
    pub key: Option<&'a IdempotencyKey>,
}

/// Fails with [`OperatorError::Answered`] if the request was answered before. Of two requests at
/// once both find nothing; the second then cannot store its answer.
pub(crate) async fn first(
    db: &mut PgConnection,
    key: Option<&IdempotencyKey>,
) -> Result<(), OperatorError> {
    let Some(key) = key else { return Ok(()) };
    match idempotency::known(db, &[key]).await?.into_values().next() {
        None => Ok(()),
        Some(kept) if kept.fingerprint == key.fingerprint => {
            Err(OperatorError::Answered(kept.answer))
        }
        Some(_) => Err(OperatorError::KeyReused),
    }
}

/// Stores the answer under the key, as the last statement before the commit. Fails, with the answer
/// of the other, if an equal request was quicker; then the transaction must not commit.
pub(crate) async fn keep(
    db: &mut PgConnection,
    key: Option<&IdempotencyKey>,
    answer: &Answer,
) -> Result<(), OperatorError> {
    let Some(key) = key else { return Ok(()) };
    if idempotency::keep(db, &[(key, answer)]).await? {
        return Ok(());
    }
    first(db, Some(key)).await?;
    Err(sqlx::Error::RowNotFound.into())
}
