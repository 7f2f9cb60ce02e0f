//! Contacts of customers.

/// Where a customer can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    pub email: Option<String>,
    pub phone: Option<String>,
    pub push_token: Option<String>,
    pub language: Option<String>,
}
