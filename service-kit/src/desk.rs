//! What the operators' handlers of one service share.

use std::error::Error;

use chassis::{Code, Problem};
use mailbox::{Mailbox, Reactor};

/// Characters of an operator's reason, as of every other reason in the API.
pub(crate) const REASON_CHARS_MAX: usize = 200;

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

/// Refuses a list of another service than this one.
pub(crate) fn check_service(wanted: Option<&str>, here: &'static str) -> Result<(), Problem> {
    if wanted.is_none_or(|wanted| wanted == here) {
        return Ok(());
    }
    Err(Problem::new(Code::BadParameter, format!("this is {here}")))
}

pub(crate) fn unanswered(error: &(dyn Error + 'static)) -> Problem {
    tracing::error!(error, "an operator's request failed");
    Problem::new(Code::Overloaded, "the database did not answer").retry_after(1)
}
