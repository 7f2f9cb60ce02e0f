//! Who sent a request.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use proto::{CustomerId, Role, Roles};

use crate::problem::{Code, Problem};

/// Who sent a request, and what they may do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    subject: String,
    /// The customer of this name, if it can be one.
    customer: Option<CustomerId>,
    roles: Roles,
    /// When the token ends, in seconds since 1970.
    expires_at: u64,
    /// Whether identity is off, and so this caller stands for everyone.
    is_everyone: bool,
}

impl Caller {
    pub(crate) fn new(subject: String, roles: Roles, expires_at: u64) -> Self {
        let customer = CustomerId::parse(&subject).ok();
        Self(Arc::new(Inner { subject, customer, roles, expires_at, is_everyone: false }))
    }

    /// The caller of every request where identity is off: it may do everything.
    pub fn anonymous() -> Self {
        let (subject, roles) = ("anonymous".to_owned(), Roles::ALL);
        let inner =
            Inner { subject, customer: None, roles, expires_at: u64::MAX, is_everyone: true };
        Self(Arc::new(inner))
    }

    /// The caller of an open path who sent no token.
    pub(crate) fn unknown() -> Self {
        Self::new(String::new(), Roles::default(), u64::MAX)
    }

    /// The token's subject: the name under which what they did is kept.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Whether a token has named the caller.
    pub fn has_name(&self) -> bool {
        !self.0.is_everyone && !self.0.subject.is_empty()
    }

    pub fn roles(&self) -> Roles {
        self.0.roles
    }

    /// When the token ends, in seconds since 1970.
    pub fn expires_at(&self) -> u64 {
        self.0.expires_at
    }

    pub fn is_staff(&self) -> bool {
        self.0.roles.contains(Role::Staff)
    }

    /// Whose things the caller sees: `None` means everyone's. Goes into the condition of the SQL
    /// that reads them, so that what is not theirs is not there.
    pub fn sees(&self) -> Option<&str> {
        if self.0.roles.contains(Role::Viewer) { None } else { self.acts_for() }
    }

    /// For whom the caller may change things: `None` means for everyone.
    pub fn acts_for(&self) -> Option<&str> {
        // No customer has an empty name.
        (!self.is_staff()).then(|| self.customer().map_or("", CustomerId::as_str))
    }

    /// Whether things of `customer` may be read.
    pub fn may_see(&self, customer: &CustomerId) -> bool {
        self.sees().is_none_or(|own| own == customer.as_str())
    }

    /// Whether things of `customer` may be changed.
    pub fn may_act_for(&self, customer: &CustomerId) -> bool {
        self.acts_for().is_none_or(|own| own == customer.as_str())
    }

    /// Whether the caller acts for this customer as staff, not as the customer.
    pub fn is_staff_for(&self, customer: &CustomerId) -> bool {
        self.is_staff() && !self.0.is_everyone && self.customer() != Some(customer)
    }

    /// Whether addresses are shown to the caller whole.
    pub fn sees_addresses(&self) -> bool {
        self.is_staff() && !self.0.is_everyone
    }

    /// The customer for whom the caller acts without naming one.
    pub fn customer(&self) -> Option<&CustomerId> {
        self.0.customer.as_ref().filter(|_| self.0.roles.contains(Role::Customer))
    }

    /// Refuses with 403 who is not staff.
    pub fn require_staff(&self, what: &'static str) -> Result<(), Problem> {
        if self.is_staff() { Ok(()) } else { Err(Problem::new(Code::Forbidden, what)) }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| {
            tracing::error!("a request came to a handler without a caller: no guard is before it");
            Problem::internal()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(subject: &str, roles: &[Role]) -> Caller {
        Caller::new(subject.to_owned(), roles.iter().copied().collect(), 0)
    }

    fn customer(id: &str) -> CustomerId {
        CustomerId::parse(id).unwrap()
    }

    #[test]
    fn a_customer_has_their_own_and_staff_has_everyones() {
        let ann = caller("ann", &[Role::Customer]);
        assert_eq!(ann.sees(), Some("ann"));
        assert!(ann.may_see(&customer("ann")) && ann.may_act_for(&customer("ann")));
        assert!(!ann.may_see(&customer("bob")) && !ann.may_act_for(&customer("bob")));

        let clerk = caller("clerk", &[Role::Staff]);
        assert_eq!(clerk.sees(), None);
        assert!(clerk.may_act_for(&customer("bob")));
        assert_eq!(clerk.customer(), None, "staff has to name the customer");
    }

    #[test]
    fn a_viewer_sees_everyones_and_changes_nothing() {
        let viewer = caller("eve", &[Role::Viewer]);
        assert_eq!(viewer.sees(), None);
        assert!(!viewer.may_act_for(&customer("eve")));
    }

    #[test]
    fn a_subject_that_no_customer_can_have_owns_nothing() {
        let odd = caller("auth0|123", &[Role::Customer]);
        assert_eq!(odd.sees(), Some(""));
        assert_eq!(odd.customer(), None);
    }

    #[test]
    fn an_operator_alone_has_no_customers_things() {
        let operator = caller("ann", &[Role::Operator]);
        assert!(!operator.may_act_for(&customer("ann")));
    }
}
