//! The end of an erasure, which is the same in every service that holds what people wrote.

use std::time::Duration;

use chassis::{Code, Problem};
use proto::CustomerId;
use sqlx::PgConnection;

/// How long an erasure waits for what was under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// Empties the answers that are kept to a customer and about one, once the customer's texts are
/// erased. A batch that had read a text before may still write it, and keep an answer with it, so
/// that is waited for first. When it takes too long: 503, and the erasure is to be repeated.
pub async fn finish_erasure(db: &mut PgConnection, customer: &CustomerId) -> Result<(), Problem> {
    if !mailbox::await_writers(db, PATIENCE).await? {
        let why = "what was under way before is not over yet";
        return Err(Problem::new(Code::Overloaded, why).retry_after(1));
    }
    mailbox::erase_answers(db, customer.as_str()).await?;
    Ok(())
}
