//! Who may call: the roles that a token gives, and what each kind of path asks for.

use std::{fmt, str::FromStr};

crate::words! {
    /// A role that a token may give. Roles add up; a token without any is a customer's.
    pub enum Role {
        /// Acts for the customer that the token names.
        Customer = "customer",
        /// Acts for every customer, and looks after products, stock, shipments and refunds.
        Staff = "staff",
        /// Sees and moves what has stopped; nothing of the shop itself.
        Operator = "operator",
        /// Reads what staff and operators read, addresses and payloads masked; changes nothing.
        Viewer = "viewer",
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A name that no role has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write customer, staff, operator or viewer")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        Self::parse(name).ok_or(UnknownRole)
    }
}

/// The roles of one caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    pub const ALL: Self = Self(0b1111);

    pub const fn contains(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// The roles, and a customer's where there is none.
    #[must_use]
    pub fn or_customer(self) -> Self {
        if self.0 == 0 { Self::from_iter([Role::Customer]) } else { self }
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | 1 << role as u8))
    }
}

/// Who may use a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone, without a token.
    Open,
    /// Customers, for what is their own, and staff; viewers may read.
    Customer,
    /// Staff; viewers may read.
    Staff,
    /// Operators; viewers may read.
    Operator,
}

impl Access {
    /// Whether a caller with these roles may use the path, to read it only or to change something.
    /// Whose the thing is that they ask for is another question.
    pub const fn permits(self, roles: Roles, reads: bool) -> bool {
        let held = match self {
            Self::Open => true,
            Self::Customer => roles.contains(Role::Customer) || roles.contains(Role::Staff),
            Self::Staff => roles.contains(Role::Staff),
            Self::Operator => roles.contains(Role::Operator),
        };
        held || (reads && roles.contains(Role::Viewer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(access: Access, reads: bool) -> Vec<&'static str> {
        let permits = |role: &Role| access.permits(Roles::from_iter([*role]), reads);
        Role::ALL.into_iter().filter(permits).map(Role::as_str).collect()
    }

    #[test]
    fn each_kind_of_path_has_its_roles() {
        assert_eq!(permitted(Access::Open, false).len(), 4);
        assert_eq!(permitted(Access::Customer, false), ["customer", "staff"]);
        assert_eq!(permitted(Access::Customer, true), ["customer", "staff", "viewer"]);
        assert_eq!(permitted(Access::Staff, false), ["staff"]);
        assert_eq!(permitted(Access::Staff, true), ["staff", "viewer"]);
        assert_eq!(permitted(Access::Operator, false), ["operator"]);
        assert_eq!(permitted(Access::Operator, true), ["operator", "viewer"]);
    }

    #[test]
    fn roles_add_up_and_none_is_a_customer() {
        let both = Roles::from_iter([Role::Operator, Role::Staff]);
        assert!(Access::Staff.permits(both, false) && Access::Operator.permits(both, false));
        assert_eq!(Roles::default().or_customer(), Roles::from_iter([Role::Customer]));
        assert!(!both.or_customer().contains(Role::Customer));
        assert!(Role::ALL.into_iter().all(|role| Roles::ALL.contains(role)));
    }
}
