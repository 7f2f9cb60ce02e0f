//! Tokens: which are taken, which are refused and how, and where their keys come from.

use std::{path::Path, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
    routing::{get, put},
};
use backends::testing::eventually;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::{
    Caller, Guard, Health, IdentitySettings, Tasks,
    http::Edge,
    identity::{GuardedHandler, Issuer},
};
use clap::Parser;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proto::Role;
use serde_json::{Value, json};

pub(crate) const KEYCLOAK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/keycloak.json");
pub(crate) const RS256: &str = include_str!("keys/rs256.pem");
pub(crate) const RS256_ID: &str = "Vt6pX0mQ2hN8rYkS4wLzB1cGfJdEa9uToI5bHxRvCqM";
pub(crate) const ES256: &str = include_str!("keys/es256.pem");
pub(crate) const ES256_ID: &str = "hD3sKp7WqYzX1nTcVf9bLgRm2aEoUiJ6xQ0tBwNv8ys";
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

#[derive(Parser)]
struct Config {
    #[command(flatten)]
    identity: IdentitySettings,
}

/// A process with a route for each kind of access.
pub(crate) struct Process {
    handler: GuardedHandler<Router>,
    edge: Edge,
    pub(crate) health: Health,
    // Dropping it would end the fetching of keys.
    _tasks: Tasks,
}

impl Process {
    pub(crate) async fn start(jwks: &str, more: &[&str]) -> Self {
        let config = Config::parse_from([&["test", "--jwks", jwks], more].concat());
        let mut tasks = Tasks::new(Duration::from_secs(1));
        let health = Health::new("test", tasks.waiting(), tasks.stop_token());
        let guard = Guard::start(&config.identity, &mut tasks, &health).await.unwrap();
        let name = |caller: Caller| async move { caller.subject().to_owned() };
        let router = Router::new()
            .route("/v1/products", get(name))
            .route("/v1/products/{sku}", put(name))
            .route("/v1/orders", get(name).post(name))
            .route("/v1/sagas", get(name))
            .route("/v1/operations", get(name));
        let edge = Edge::new(health.clone());
        Self { handler: guard.protect(router), edge, health, _tasks: tasks }
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        authorization: Option<&str>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.edge.answer(self.handler.clone(), request).await;
        let challenge = response.headers().get(header::WWW_AUTHENTICATE);
        let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let problem: Value = serde_json::from_str(&body).unwrap_or_default();
        let code = problem["code"].as_str().unwrap_or_default().to_owned();
        Answer { status, challenge, code, body }
    }

    /// The status and code that a token gets at a customer's path.
    pub(crate) async fn with(&self, token: &str) -> (u16, String) {
        let answer = self.ask("GET", "/v1/orders", Some(&format!("Bearer {token}"))).await;
        (answer.status.as_u16(), answer.code)
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    challenge: Option<String>,
    code: String,
    pub(crate) body: String,
}

struct Keys {
    issuer: Issuer,
    path: std::path::PathBuf,
}

fn keys(name: &str) -> Keys {
    let issuer = Issuer::from_pem(&Issuer::new_key().unwrap()).unwrap();
    let path = std::env::temp_dir().join(format!("shop-keys-{}-{name}.json", std::process::id()));
    std::fs::write(&path, issuer.key_set()).unwrap();
    Keys { issuer, path }
}

impl Keys {
    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn token(&self, subject: &str, roles: &[Role]) -> String {
        self.issuer.token(subject, roles, MINUTE).unwrap()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

pub(crate) fn now() -> u64 {
    chassis::clock::now().unix_timestamp().unsigned_abs()
}

fn claims() -> Value {
    json!({"sub": "ann", "aud": "shop", "exp": now() + 60})
}

/// A token with this header and these claims, signed by nobody.
fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(header), part(claims))
}

fn key_id(keys: &Keys) -> String {
    let set: Value = serde_json::from_str(keys.issuer.key_set()).unwrap();
    set["keys"][0]["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_names_the_caller_and_their_roles_open_paths() {
    let keys = keys("roles");
    let process = Process::start(keys.text(), &[]).await;
    let table: [(&str, &str, &[Role]); 5] = [
        ("GET", "/v1/products", &Role::ALL),
        ("PUT", "/v1/products/mug", &[Role::Staff]),
        ("POST", "/v1/orders", &[Role::Customer, Role::Staff]),
        ("GET", "/v1/sagas", &[Role::Staff, Role::Viewer]),
        ("GET", "/v1/operations", &[Role::Operator, Role::Viewer]),
    ];
    for (method, path, permitted) in table {
        for role in Role::ALL {
            let token = keys.token("ann", &[role]);
            let answer = process.ask(method, path, Some(&format!("bearer {token}"))).await;
            if permitted.contains(&role) {
                assert_eq!((answer.status.as_u16(), &*answer.body), (200, "ann"), "{role} {path}");
            } else {
                assert_eq!(
                    (answer.status.as_u16(), &*answer.code),
                    (403, "forbidden"),
                    "{role} {path}"
                );
            }
        }
    }
    let both = keys.token("ann", &[Role::Viewer, Role::Staff]);
    let answer = process.ask("PUT", "/v1/products/mug", Some(&format!("Bearer {both}"))).await;
    assert_eq!(answer.status, 200, "roles add up");
}

#[tokio::test]
async fn without_a_token_only_open_paths_answer() {
    let keys = keys("open");
    let process = Process::start(keys.text(), &[]).await;
    assert_eq!(process.ask("GET", "/v1/products", None).await.status, 200);
    for (method, path) in [("GET", "/v1/orders"), ("POST", "/v1/orders"), ("GET", "/v1/operations")]
    {
        let answer = process.ask(method, path, None).await;
        assert_eq!((answer.status.as_u16(), &*answer.code), (401, "unauthenticated"), "{path}");
        assert_eq!(answer.challenge.as_deref(), Some("Bearer realm=\"shop\""));
    }
    // A token that is sent is checked on open paths, too.
    let answer = process.ask("GET", "/v1/products", Some("Bearer nonsense")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code), (401, "unauthenticated"));
    // What is not in the table of the API is nobody's.
    assert_eq!(process.ask("GET", "/v1/secrets", None).await.status, 404);
    assert_eq!(process.ask("PATCH", "/v1/orders", None).await.status, 405);
}

#[tokio::test]
async fn what_authorization_must_not_be() {
    let keys = keys("authorization");
    let process = Process::start(keys.text(), &[]).await;
    let token = keys.token("ann", &[]);
    for authorization in
        ["", "Bearer", "Basic YTpi", "Bearer ", &token, "Bearer a.b", "Bearer a.b.c.d"]
    {
        let answer = process.ask("GET", "/v1/orders", Some(authorization)).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.code),
            (401, "unauthenticated"),
            "{authorization}"
        );
        assert!(answer.challenge.unwrap().contains("error="), "{authorization}");
    }
    let mut request = Request::get("/v1/orders").body(Body::empty()).unwrap();
    for _ in 0..2 {
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().append(header::AUTHORIZATION, value);
    }
    let response = process.edge.answer(process.handler.clone(), request).await;
    assert_eq!(response.status(), 401, "two tokens are not one");
    let long = format!("Bearer {}", "a".repeat(9_000));
    assert_eq!(process.ask("GET", "/v1/orders", Some(&long)).await.status, 401);
}

#[tokio::test]
async fn attacks_on_tokens_are_refused() {
    let keys = keys("attacks");
    let process = Process::start(keys.text(), &[]).await;
    let id = key_id(&keys);
    let good = keys.issuer.sign(&claims()).unwrap();
    assert_eq!(process.with(&good).await.0, 200);

    let refused = |code: &str| (401, code.to_owned());
    let expired = keys.issuer.sign(&json!({"sub":"ann","aud":"shop","exp":now() - 10})).unwrap();
    assert_eq!(process.with(&expired).await, refused("token_expired"));

    let other = json!({"sub":"ann","aud":"another","exp":now() + 60});
    let mut bad = vec![
        ("for another audience", keys.issuer.sign(&other).unwrap()),
        ("without an end", keys.issuer.sign(&json!({"sub":"ann","aud":"shop"})).unwrap()),
        ("unsigned", unsigned(&json!({"alg":"none","kid":id}), &claims())),
        ("unsigned, claiming EdDSA", unsigned(&json!({"alg":"EdDSA","kid":id}), &claims())),
        ("no key named", unsigned(&json!({"alg":"EdDSA"}), &claims())),
    ];
    // The claims exchanged below a signature that was valid.
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let staff = json!({"sub":"ann","aud":"shop","exp":now() + 60,"roles":["staff"]});
    let staff = URL_SAFE_NO_PAD.encode(staff.to_string());
    bad.push(("tampered", format!("{head}.{staff}.{signature}")));
    // The public key taken for the secret of a symmetric algorithm (RFC 8725 §2.1).
    let set: Value = serde_json::from_str(keys.issuer.key_set()).unwrap();
    let public = URL_SAFE_NO_PAD.decode(set["keys"][0]["x"].as_str().unwrap()).unwrap();
    for secret in [public.as_slice(), keys.issuer.key_set().as_bytes()] {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(id.clone());
        let token =
            jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(secret).unwrap());
        bad.push(("HS256 with the public key", token.unwrap()));
    }
    // Keys brought along, or named so that a careless look-up would find another one.
    let foreign = Issuer::from_pem(&Issuer::new_key().unwrap()).unwrap();
    let foreign = foreign.sign(&claims()).unwrap();
    bad.push(("of another issuer", foreign.clone()));
    for kid in ["../../keys/rs256.pem", "' or '1'='1", "", "\u{0}", "/dev/null"] {
        bad.push(("a kid injected", unsigned(&json!({"alg":"EdDSA","kid":kid}), &claims())));
    }
    let (_, rest) = foreign.split_once('.').unwrap();
    for brought in [
        json!({"alg":"EdDSA","kid":id}),
        json!({"alg":"EdDSA","kid":id,"jwk":{"kty":"OKP","crv":"Ed25519","x":"AA"}}),
        json!({"alg":"EdDSA","kid":id,"jku":"http://127.0.0.1/keys"}),
        json!({"alg":"EdDSA","kid":id,"x5u":"http://127.0.0.1/keys"}),
        json!({"alg":"EdDSA","kid":id,"crit":["exp"]}),
    ] {
        bad.push((
            "a key brought along",
            format!("{}.{rest}", URL_SAFE_NO_PAD.encode(brought.to_string())),
        ));
    }
    for (what, token) in bad {
        assert_eq!(process.with(&token).await, refused("unauthenticated"), "{what}: {token}");
    }
    assert_eq!(process.with(&good).await.0, 200, "the good one still is");
}

#[tokio::test]
async fn the_algorithms_of_other_issuers_are_taken() {
    let process = Process::start(KEYCLOAK, &["--issuer", "https://sso.example/realms/shop"]).await;
    let sign = |algorithm, key: &EncodingKey, id: &str, issuer: &str| {
        let mut header = Header::new(algorithm);
        header.kid = Some(id.to_owned());
        let mut claims = claims();
        claims["iss"] = json!(issuer);
        jsonwebtoken::encode(&header, &claims, key).unwrap()
    };
    let (rsa, ec) =
        (EncodingKey::from_rsa_pem(RS256.as_bytes()), EncodingKey::from_ec_pem(ES256.as_bytes()));
    let (rsa, ec) = (rsa.unwrap(), ec.unwrap());
    let ours = "https://sso.example/realms/shop";
    assert_eq!(process.with(&sign(Algorithm::RS256, &rsa, RS256_ID, ours)).await.0, 200);
    assert_eq!(process.with(&sign(Algorithm::ES256, &ec, ES256_ID, ours)).await.0, 200);
    // The key of one algorithm, named for another; and an algorithm that is not on the list.
    assert_eq!(process.with(&sign(Algorithm::ES256, &ec, RS256_ID, ours)).await.0, 401);
    assert_eq!(process.with(&sign(Algorithm::RS512, &rsa, RS256_ID, ours)).await.0, 401);
    assert_eq!(process.with(&sign(Algorithm::PS256, &rsa, RS256_ID, ours)).await.0, 401);
    let evil = "https://evil.example";
    assert_eq!(process.with(&sign(Algorithm::RS256, &rsa, RS256_ID, evil)).await.0, 401);
}

#[tokio::test]
async fn a_verified_token_ends_at_its_end_and_with_its_key() {
    let keys = keys("rotation");
    let process = Process::start(keys.text(), &[]).await;
    let token = keys.token("ann", &[]);
    assert_eq!(process.with(&token).await.0, 200);
    assert_eq!(process.with(&token).await.0, 200, "remembered");

    // Rotation: a token of the new key is taken at once, one of a key that is gone is not.
    let next = Issuer::from_pem(&Issuer::new_key().unwrap()).unwrap();
    std::fs::write(&keys.path, next.key_set()).unwrap();
    let fresh = next.token("bob", &[], MINUTE).unwrap();
    assert_eq!(process.with(&fresh).await.0, 200);
    assert_eq!(process.with(&token).await, (401, "unauthenticated".to_owned()));

    let brief = next.sign(&json!({"sub":"ann","aud":"shop","exp":now() - 4})).unwrap();
    assert_eq!(process.with(&brief).await.0, 200, "clocks may differ by five seconds");
    let ended = eventually("the token ends", MINUTE, async || match process.with(&brief).await {
        (200, _) => Err("it is still taken"),
        ended => Ok(ended),
    });
    assert_eq!(ended.await, (401, "token_expired".to_owned()), "though remembered");
}

#[tokio::test]
async fn without_identity_everyone_may_do_everything() {
    let process = Process::start("off", &[]).await;
    for (method, path) in
        [("POST", "/v1/orders"), ("GET", "/v1/operations"), ("PUT", "/v1/products/mug")]
    {
        let answer = process.ask(method, path, None).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, "anonymous"));
    }
    assert!(!Path::new("off").exists());
}
