//! The settings of identity: whose tokens are taken, and how their claims are named.

use std::{path::PathBuf, str::FromStr, time::Duration};

use reqwest::Url;

use super::claims::{Claim, ClaimRules, RoleNames};
use crate::config::duration;

/// Whose tokens are taken. How Keycloak's and Auth0's claims are mapped: docs/identity.md.
// No doc comment of clap's: it would be shown as the process's own.
#[derive(Clone, Debug, clap::Args)]
pub struct IdentitySettings {
    /// The public keys that tokens are verified with: a JWK set in a file, or the https:// address
    /// of a set, of an issuer's discovery document or of the issuer; `off` trusts every caller to
    /// do everything
    #[arg(long, env = "SHOP_JWKS")]
    pub jwks: KeyLocation,
    /// The issuer that tokens have to name (iss); any, unless set
    #[arg(long, env = "SHOP_ISSUER")]
    pub issuer: Option<String>,
    /// The audience that tokens have to be for (aud)
    #[arg(long, env = "SHOP_AUDIENCE", default_value = "shop")]
    pub audience: String,
    /// The claim that names the caller, and so the customer: a name, or a JSON pointer
    #[arg(long, env = "SHOP_SUBJECT_CLAIM", default_value = "sub")]
    pub subject_claim: Claim,
    /// The claim that lists the caller's roles: a name, or a JSON pointer
    #[arg(long, env = "SHOP_ROLES_CLAIM", default_value = "roles")]
    pub roles_claim: Claim,
    /// How the issuer calls our roles: staff=shop-staff,operator=…
    #[arg(long, env = "SHOP_ROLE_NAMES", default_value = "", hide_default_value = true)]
    pub role_names: RoleNames,
    /// How often an issuer's keys are asked for again; a file is read every 5 s
    #[arg(long, env = "SHOP_JWKS_REFRESH", default_value = "5m", value_parser = duration)]
    pub jwks_refresh: Duration,
    /// How long keys are used while the issuer does not answer
    #[arg(long, env = "SHOP_JWKS_STALE", default_value = "1h", value_parser = duration)]
    pub jwks_stale: Duration,
}

impl IdentitySettings {
    pub(super) fn rules(&self) -> ClaimRules {
        ClaimRules {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            subject: self.subject_claim.clone(),
            roles: self.roles_claim.clone(),
            names: self.role_names.clone(),
        }
    }
}

/// Where the public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// Nowhere: nobody is asked who they are.
    Off,
    File(PathBuf),
    Url(Url),
}

impl FromStr for KeyLocation {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("write a file's name, an https:// address, or off"),
            "off" => Ok(Self::Off),
            text if text.contains("://") => {
                let url: Option<Url> = text.parse().ok();
                let wrong = "write an https:// address; http:// is for this machine alone";
                url.filter(is_private).map(Self::Url).ok_or(wrong)
            }
            path => Ok(Self::File(path.into())),
        }
    }
}

/// Whether nobody on the way can change what is fetched from an address.
pub(super) fn is_private(url: &Url) -> bool {
    let is_here = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && is_here))
}
