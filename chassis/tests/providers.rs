//! Tokens as Keycloak and Auth0 write them, with settings as docs/identity.md shows them: each names
//! its caller and opens what their roles open. The key sets are of the providers' form, too.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::identity::{ES256, ES256_ID, KEYCLOAK, Process, RS256, RS256_ID, now};

const AUTH0: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/auth0.json");
const AUTH0_KEY: &str = include_str!("keys/auth0.pem");
const AUTH0_ID: &str = "2Yl0nCk5vJmQxW8rTzFhB";

/// A customer's path, one that staff alone may change, and one for operators.
const CALLS: [(&str, &str); 3] =
    [("GET", "/v1/orders"), ("PUT", "/v1/products/mug"), ("GET", "/v1/operations")];
const CUSTOMER: [u16; 3] = [200, 403, 403];

/// What signs the tokens of a provider.
struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    id: &'static str,
}

impl Signer {
    fn rsa(pem: &str, id: &'static str) -> Self {
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
        Self { key, algorithm: Algorithm::RS256, id }
    }

    fn token(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// Asserts that a token gets these statuses at [`CALLS`], under this name wherever it is let in.
async fn opens(process: &Process, token: &str, name: &str, statuses: [u16; 3]) {
    for ((method, path), status) in CALLS.into_iter().zip(statuses) {
        let answer = process.ask(method, path, Some(&format!("Bearer {token}"))).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(status != 200 || answer.body == name, "{method} {path}: {answer:?}");
    }
}

/// An access token's claims, as Keycloak 26 writes them, with these roles of the client `shop`.
fn keycloaks(roles: &[&str]) -> Value {
    json!({
        "exp": now() + 300, "iat": now(), "auth_time": now(),
        "jti": "onrtac:6f0c1a52-7d3e-4b19-8f64-2d9be7a3c015",
        "iss": "https://sso.example/realms/shop", "aud": ["shop", "account"],
        "sub": "f2c9a6e0-8d0b-4c5e-9b1a-1f0a54a7c3de", "typ": "Bearer", "azp": "storefront",
        "sid": "0b7d1c9e-3a52-4e0f-9c86-51f2ad64e7b3", "acr": "1",
        "allowed-origins": ["https://shop.example"],
        // A role of the realm is none of the client's.
        "realm_access": {"roles": ["default-roles-shop", "offline_access", "operator"]},
        "resource_access": {"shop": {"roles": roles}, "account": {"roles": ["manage-account"]}},
        "scope": "openid email profile", "email_verified": true, "name": "Ann Clerk",
        "preferred_username": "ann-7", "email": "ann@example.com",
    })
}

#[tokio::test]
async fn keycloaks_tokens_name_their_callers_and_open_what_their_roles_open() {
    let settings = [
        "--issuer=https://sso.example/realms/shop",
        "--subject-claim=preferred_username",
        "--roles-claim=/resource_access/shop/roles",
        "--role-names=staff=shop-staff",
    ];
    let process = Process::start(KEYCLOAK, &settings).await;
    let key = EncodingKey::from_ec_pem(ES256.as_bytes()).unwrap();
    let signers =
        [Signer::rsa(RS256, RS256_ID), Signer { key, algorithm: Algorithm::ES256, id: ES256_ID }];
    for signer in signers {
        for (roles, statuses) in [
            (&[][..], CUSTOMER),
            (&["shop-staff"], [200, 200, 403]),
            (&["operator"], [403, 403, 200]),
            (&["viewer", "uma_protection"], [200, 403, 200]),
            // Renamed, it is a name of somebody else's.
            (&["staff"], CUSTOMER),
        ] {
            opens(&process, &signer.token(&keycloaks(roles)), "ann-7", statuses).await;
        }
        for (claim, other) in [("iss", "https://sso.example/realms/other"), ("aud", "account")] {
            let mut claims = keycloaks(&["shop-staff"]);
            claims[claim] = json!(other);
            opens(&process, &signer.token(&claims), "", [401; 3]).await;
        }
    }
}

#[tokio::test]
async fn auth0s_tokens_name_their_callers_and_open_what_their_roles_open() {
    let settings = [
        "--issuer=https://shop.eu.auth0.com/",
        "--subject-claim=https://shop.example/customer",
        "--roles-claim=https://shop.example/roles",
    ];
    let process = Process::start(AUTH0, &settings).await;
    let signer = Signer::rsa(AUTH0_KEY, AUTH0_ID);
    // An access token's claims, with those that an action adds.
    let claims = |roles: Value| {
        json!({
            "https://shop.example/customer": "customer-456", "https://shop.example/roles": roles,
            "iss": "https://shop.eu.auth0.com/", "sub": "auth0|65f1c0ffee0123456789abcd",
            "aud": ["shop", "https://shop.eu.auth0.com/userinfo"],
            "iat": now(), "exp": now() + 86_400, "scope": "openid profile email",
            "azp": "x1Rz7mQ0pYt4vKcB9sWnE3hL6dUaGjF2", "permissions": [],
        })
    };
    for (roles, statuses) in [
        (json!([]), CUSTOMER),
        (json!(["staff"]), [200, 200, 403]),
        (json!(["operator", "viewer"]), [200, 403, 200]),
        (Value::Null, CUSTOMER),
    ] {
        opens(&process, &signer.token(&claims(roles)), "customer-456", statuses).await;
    }
    // Without what the action adds, the caller has no name that a customer could have here.
    let mut bare = claims(json!(["staff"]));
    bare.as_object_mut().unwrap().remove("https://shop.example/customer");
    opens(&process, &signer.token(&bare), "", [401; 3]).await;
}
