//! What a token says, and whether that is acceptable: pure, and after the signature was verified.
//!
//! The claims are checked here and not by the crate that verifies the signature, because that one
//! cannot read a number where `serde_json` keeps numbers as text, as this workspace does for money.

use std::str::FromStr;

use proto::{Role, Roles};
use serde_json::{Map, Value};

use super::Caller;

/// Seconds by which the clocks of issuer and service may differ.
const LEEWAY: u64 = 5;
/// Longest name of a caller: it is kept with what they did.
const SUBJECT_CHARS_MAX: usize = 200;

/// Where a claim stands in a token: a name (`sub`), or a JSON pointer
/// (`/realm_access/roles`, RFC 6901) into what is nested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim(String);

impl Claim {
    fn of<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let Some(path) = self.0.strip_prefix('/') else { return claims.get(&self.0) };
        let (first, rest) = path.split_once('/').map_or((path, None), |(a, b)| (a, Some(b)));
        let value = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
        rest.map_or(Some(value), |rest| value.pointer(&format!("/{rest}")))
    }
}

impl FromStr for Claim {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text == "/" {
            return Err("write a claim's name, or a JSON pointer");
        }
        Ok(Self(text.to_owned()))
    }
}

/// How an issuer calls our roles: `staff=shop-staff,operator=shop-operator`. A role that is not
/// named here has its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleNames(Vec<(Role, String)>);

impl RoleNames {
    fn role(&self, name: &str) -> Option<Role> {
        let named = self.0.iter().find(|(_, known)| known == name).map(|(role, _)| *role);
        named.or_else(|| {
            let role: Role = name.parse().ok()?;
            // A role with another name does not answer to its own.
            (!self.0.iter().any(|(renamed, _)| *renamed == role)).then_some(role)
        })
    }
}

impl FromStr for RoleNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (role, name) = pair.split_once('=').ok_or("write role=name,…")?;
            let role =
                role.trim().parse().map_err(|unknown: proto::UnknownRole| unknown.to_string())?;
            Ok((role, name.trim().to_owned()))
        });
        pairs.collect::<Result<_, String>>().map(Self)
    }
}

/// What a token has to say.
#[derive(Clone, Debug)]
pub(super) struct ClaimRules {
    pub(super) issuer: Option<String>,
    pub(super) audience: String,
    pub(super) subject: Claim,
    pub(super) roles: Claim,
    pub(super) names: RoleNames,
}

/// Why a token is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ClaimFault {
    #[error("the token has expired")]
    Expired,
    #[error("the token has no end (exp) that is a number")]
    NoEnd,
    #[error("the token is not valid yet (nbf)")]
    NotYet,
    #[error("the token is for another audience (aud)")]
    Audience,
    #[error("the token is of another issuer (iss)")]
    Issuer,
    #[error("the token names no subject of 1 to 200 visible characters")]
    Subject,
}

impl ClaimRules {
    /// The caller whom verified claims name, at `now` (seconds since 1970).
    pub(super) fn caller(
        &self,
        claims: &Map<String, Value>,
        now: u64,
    ) -> Result<Caller, ClaimFault> {
        let expires_at = claims.get("exp").and_then(seconds).ok_or(ClaimFault::NoEnd)?;
        if is_over(expires_at, now) {
            return Err(ClaimFault::Expired);
        }
        if let Some(begins) = claims.get("nbf") {
            let begins = seconds(begins).ok_or(ClaimFault::NotYet)?;
            if begins > now.saturating_add(LEEWAY) {
                return Err(ClaimFault::NotYet);
            }
        }
        if !texts(claims.get("aud")).any(|audience| audience == self.audience) {
            return Err(ClaimFault::Audience);
        }
        let issuer = claims.get("iss").and_then(Value::as_str);
        if self.issuer.as_deref().is_some_and(|wanted| issuer != Some(wanted)) {
            return Err(ClaimFault::Issuer);
        }
        let subject = self.subject.of(claims).and_then(Value::as_str).unwrap_or_default();
        let fits = (1..=SUBJECT_CHARS_MAX).contains(&subject.chars().count())
            && !subject.chars().any(|c| c.is_control() || c.is_whitespace());
        if !fits {
            return Err(ClaimFault::Subject);
        }
        // Roles of other applications stand among ours in the tokens of many issuers.
        let roles: Roles = match self.roles.of(claims) {
            // One text lists roles as `scope` lists scopes; a name in a list may have spaces.
            Some(Value::String(text)) => {
                text.split_whitespace().filter_map(|name| self.names.role(name)).collect()
            }
            said => texts(said).filter_map(|name| self.names.role(name)).collect(),
        };
        Ok(Caller::new(subject.to_owned(), roles.or_customer(), expires_at))
    }
}

/// Whether a token that ends at `expires_at` has ended, clocks being what they are.
pub(super) fn is_over(expires_at: u64, now: u64) -> bool {
    expires_at.saturating_add(LEEWAY) < now
}

/// A `NumericDate` (RFC 7519 §2) in whole seconds.
fn seconds(value: &Value) -> Option<u64> {
    let Value::Number(number) = value else { return None };
    let text = number.as_str();
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    whole.parse().ok()
}

/// The texts of a claim that is one text or a list of texts.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let (one, many) = match value {
        Some(Value::String(text)) => (Some(text.as_str()), [].as_slice()),
        Some(Value::Array(values)) => (None, values.as_slice()),
        _ => (None, [].as_slice()),
    };
    one.into_iter().chain(many.iter().filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn rules() -> ClaimRules {
        ClaimRules {
            issuer: None,
            audience: "shop".to_owned(),
            subject: "sub".parse().unwrap(),
            roles: "roles".parse().unwrap(),
            names: RoleNames::default(),
        }
    }

    fn read(rules: &ClaimRules, claims: Value) -> Result<Caller, ClaimFault> {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        rules.caller(&claims, NOW)
    }

    #[test]
    fn a_token_without_roles_is_a_customers() {
        let caller = read(&rules(), json!({"sub":"ann","aud":"shop","exp":NOW + 60})).unwrap();
        assert_eq!(caller.subject(), "ann");
        assert_eq!(caller.roles(), Roles::from_iter([Role::Customer]));
        assert_eq!(caller.expires_at(), NOW + 60);
    }

    #[test]
    fn clocks_may_differ_by_five_seconds() {
        let at = |exp: u64| read(&rules(), json!({"sub":"a","aud":"shop","exp":exp})).err();
        assert_eq!(at(NOW - 5), None);
        assert_eq!(at(NOW - 6), Some(ClaimFault::Expired));
        let from = |nbf: u64| {
            read(&rules(), json!({"sub":"a","aud":"shop","exp":NOW + 60,"nbf":nbf})).err()
        };
        assert_eq!(from(NOW + 5), None);
        assert_eq!(from(NOW + 6), Some(ClaimFault::NotYet));
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_kind_is_refused() {
        let table = [
            (json!({"sub":"a","aud":"shop"}), ClaimFault::NoEnd),
            (json!({"sub":"a","aud":"shop","exp":"1900000000"}), ClaimFault::NoEnd),
            (json!({"sub":"a","aud":"shop","exp":-1}), ClaimFault::NoEnd),
            (json!({"sub":"a","aud":"shop","exp":null}), ClaimFault::NoEnd),
            (json!({"sub":"a","aud":"shop","exp":NOW,"nbf":"soon"}), ClaimFault::NotYet),
            (json!({"sub":"a","exp":NOW}), ClaimFault::Audience),
            (json!({"sub":"a","aud":"other","exp":NOW}), ClaimFault::Audience),
            (json!({"sub":"a","aud":["other"],"exp":NOW}), ClaimFault::Audience),
            (json!({"sub":"a","aud":{"shop":1},"exp":NOW}), ClaimFault::Audience),
            (json!({"aud":"shop","exp":NOW}), ClaimFault::Subject),
            (json!({"sub":"","aud":"shop","exp":NOW}), ClaimFault::Subject),
            (json!({"sub":7,"aud":"shop","exp":NOW}), ClaimFault::Subject),
            (json!({"sub":"a\nb","aud":"shop","exp":NOW}), ClaimFault::Subject),
            (json!({"sub":"a".repeat(201),"aud":"shop","exp":NOW}), ClaimFault::Subject),
        ];
        for (claims, fault) in table {
            assert_eq!(read(&rules(), claims.clone()).err(), Some(fault), "{claims}");
        }
    }

    #[test]
    fn an_issuer_that_is_asked_for_has_to_be_there() {
        let strict = ClaimRules { issuer: Some("https://id.example".to_owned()), ..rules() };
        let with = |iss: Value| {
            read(&strict, json!({"sub":"a","aud":["shop","x"],"exp":NOW,"iss":iss})).err()
        };
        assert_eq!(with(json!("https://id.example")), None);
        assert_eq!(with(json!("https://evil.example")), Some(ClaimFault::Issuer));
        assert_eq!(with(json!(null)), Some(ClaimFault::Issuer));
    }

    #[test]
    fn a_fraction_of_a_second_is_a_number_too() {
        let claims = r#"{"sub":"a","aud":"shop","exp":1800000060.5}"#;
        let claims = serde_json::from_str(claims).unwrap();
        assert_eq!(read(&rules(), claims).unwrap().expires_at(), NOW + 60);
    }

    /// The claims of an access token as Keycloak 26 writes them, shortened.
    #[test]
    fn keycloaks_roles_are_nested() {
        let keycloak = ClaimRules {
            roles: "/resource_access/shop/roles".parse().unwrap(),
            names: "staff=shop-staff".parse().unwrap(),
            subject: "preferred_username".parse().unwrap(),
            ..rules()
        };
        let claims = json!({"exp":NOW + 300,"iat":NOW,"iss":"https://sso.example/realms/shop",
            "aud":["shop","account"],"sub":"f2c9a6e0-8d0b-4c5e-9b1a-1f0a54a7c3de","typ":"Bearer",
            "azp":"storefront","realm_access":{"roles":["offline_access","staff"]},
            "resource_access":{"shop":{"roles":["shop-staff","staff"]},
                "account":{"roles":["manage-account"]}},
            "scope":"openid profile","preferred_username":"clerk-7"});
        let caller = read(&keycloak, claims).unwrap();
        assert_eq!(caller.subject(), "clerk-7");
        assert_eq!(caller.roles(), Roles::from_iter([Role::Staff]));
    }

    /// The claims of an access token as Auth0 writes them, with roles added by an action.
    #[test]
    fn auth0s_claims_have_an_address_for_a_name() {
        let auth0 = ClaimRules {
            roles: "https://shop.example/roles".parse().unwrap(),
            subject: "/https:~1~1shop.example~1customer".parse().unwrap(),
            ..rules()
        };
        let claims = json!({"https://shop.example/roles":["operator","viewer"],
            "https://shop.example/customer":"customer-456","iss":"https://shop.eu.auth0.com/",
            "sub":"auth0|65f1","aud":["shop","https://shop.eu.auth0.com/userinfo"],
            "iat":NOW,"exp":NOW + 86_400,"scope":"openid","azp":"x"});
        let caller = read(&auth0, claims).unwrap();
        assert_eq!(caller.subject(), "customer-456");
        assert_eq!(caller.roles(), Roles::from_iter([Role::Operator, Role::Viewer]));
    }

    #[test]
    fn a_name_with_a_space_is_one_name() {
        let roles = |said: Value| {
            let named = ClaimRules { names: "viewer=Shop Viewer".parse().unwrap(), ..rules() };
            let claims = json!({"sub":"a","aud":"shop","exp":NOW,"roles":said});
            read(&named, claims).unwrap().roles()
        };
        let customer = Roles::from_iter([Role::Customer]);
        assert_eq!(roles(json!(["former staff", "no operator"])), customer);
        assert_eq!(roles(json!(["Shop Viewer"])), Roles::from_iter([Role::Viewer]));
        let both = Roles::from_iter([Role::Staff, Role::Operator]);
        assert_eq!(roles(json!("staff operator")), both, "one text is a list, as scopes are");
    }

    #[test]
    fn a_role_with_another_name_does_not_answer_to_its_own() {
        let names: RoleNames = "staff=shop-staff".parse().unwrap();
        assert_eq!(names.role("shop-staff"), Some(Role::Staff));
        assert_eq!(names.role("staff"), None);
        assert_eq!(names.role("viewer"), Some(Role::Viewer));
        assert!("boss=x".parse::<RoleNames>().is_err());
        assert!("staff".parse::<RoleNames>().is_err());
    }
}
