//! What the operators' handlers of one service share.

use std::error::Error;

use chassis::{
    Code, Problem,
    http::{Page, Params},
};
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

pub(crate) fn unanswered(error: &(dyn Error + 'static)) -> Problem {
    tracing::error!(error, "an operator's request failed");
    Problem::new(Code::Overloaded, "the database did not answer").retry_after(1)
}
