//! Who calls: a token (JWT, RFC 7519) is verified with the keys of its issuer, and becomes a
//! [`Caller`], an extension of the request.
//!
//! ```text
//! request ─► Guard ─► Verifier ─► KeySource (a file, or an issuer's URL)
//!              │          └ cache of verified tokens
//!              ├ 401: no token where one is asked for, or one that is not valid
//!              ├ 403: none of the caller's roles may use the path (proto::api)
//!              └► handler, which asks the Caller whose things it may touch
//! ```

mod caller;
mod claims;
mod guard;
mod issuer;
mod key_source;
mod keys;
mod settings;
mod verifier;

pub use caller::Caller;
pub use claims::{Claim, RoleNames};
pub use guard::{Guard, GuardedHandler};
pub use issuer::{Issuer, IssuerError};
pub use settings::{IdentitySettings, KeyLocation};
