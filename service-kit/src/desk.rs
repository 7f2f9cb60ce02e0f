//! What the operators' handlers of one service share.

use std::{borrow::Cow, error::Error};

use chassis::{
    Code, Problem,
    body::Fields,
    http::{HttpResult, Page, Params},
    problem::FieldError,
};
use mailbox::{Answer, Mailbox, OperatorError, Outcome, Reactor};

use crate::requests::{key_reused, new_response, response};

/// Characters of an operator's reason, as of every other reason in the API.
pub(crate) const REASON_CHARS_MAX: usize = 200;

proto::words! {
    /// Whether what an operator began, a replay or a bulk operation, is over.
    pub(crate) enum RunState {
        Running = "running",
        Ended = "ended",
    }
}

/// The state of the operators' handlers of one service.
pub(crate) struct Desk<R: Reactor> {
    pub(crate) mailbox: Mailbox<R>,
    pub(crate) service: &'static str,
}

impl<R: Reactor> Clone for Desk<R> {
    fn clone(&self) -> Self {
        Self { mailbox: self.mailbox.clone(), service: self.service }
    }
}

impl<R: Reactor> Desk<R> {
    /// Refuses a path that names another service than this one.
    pub(crate) fn check_path(&self, service: &str) -> Result<(), Problem> {
        if service == self.service {
            return Ok(());
        }
        Err(Problem::not_found(format!("this is {}", self.service)))
    }

    /// The page that is asked for, once all other parameters were taken out; refuses a list of
    /// another service than this one.
    pub(crate) fn page(&self, mut params: Params) -> Result<Page, Problem> {
        let service = params.take("service");
        let page = params.take_page()?;
        params.finish()?;
        if service.is_none_or(|service| service == self.service) {
            return Ok(page);
        }
        Err(Problem::new(Code::BadParameter, format!("this is {}", self.service)))
    }
}

/// Why an operator does something.
pub(crate) fn read_reason(fields: &mut Fields<'_>) -> Option<String> {
    fields.words("reason", REASON_CHARS_MAX).map(ToOwned::to_owned)
}

/// The response to an operator's request.
pub(crate) fn answered(end: Result<Answer, OperatorError>) -> HttpResult {
    match end {
        Ok(answer) => Ok(new_response(answer)),
        Err(OperatorError::Answered(answer)) => Ok(response(Outcome { answer, replayed: true })),
        Err(OperatorError::KeyReused) => Err(key_reused()),
        Err(OperatorError::NotParked) => Err(not_parked()),
        Err(OperatorError::Database(error)) => Err(unanswered(&error)),
        // Only releasing a parked key ends so, and `parked` has made an answer of it.
        Err(error @ OperatorError::StillStopped(_)) => Err(unanswered(&error)),
    }
}

/// The problem of a key that is not parked.
pub(crate) fn not_parked() -> Problem {
    Problem::not_found("this key is not parked")
}

/// The problem of one member of a request's body.
pub(crate) fn fault(pointer: &str, code: Code, detail: impl Into<Cow<'static, str>>) -> Problem {
    let (pointer, detail) = (pointer.to_owned(), detail.into());
    Problem::of(vec![FieldError { pointer, code, detail }], 0)
}

/// The problem of a request that the database did not answer; the log has the cause.
pub(crate) fn unanswered(error: &(dyn Error + 'static)) -> Problem {
    tracing::error!(error, "an operator's request failed");
    Problem::new(Code::Overloaded, "the database did not answer").retry_after(1)
}
