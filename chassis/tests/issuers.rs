//! Issuers that are elsewhere: their keys are fetched, kept while they are away, and fetched again.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use backends::testing::eventually;
use chassis::identity::Issuer;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use super::identity::{MINUTE, Process};

/// An issuer that may be away, and counts how often its keys are asked for.
#[derive(Clone, Default)]
struct FarIssuer {
    keys: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    is_away: Arc<AtomicBool>,
    serving: Arc<Mutex<JoinSet<()>>>,
}

impl FarIssuer {
    /// The issuer, and the address of its discovery document.
    async fn start() -> (Self, String) {
        let issuer = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let key_set = format!("{address}/keys");
        let of_realm = key_set.clone();
        let router = Router::new()
            .route(
                "/keys",
                get(|State(issuer): State<Self>| async move {
                    issuer.asked.fetch_add(1, Ordering::SeqCst);
                    if issuer.is_away.load(Ordering::SeqCst) {
                        return Err(StatusCode::SERVICE_UNAVAILABLE);
                    }
                    Ok(issuer.keys.lock().unwrap().clone())
                }),
            )
            .route(
                "/.well-known/openid-configuration",
                get(move || async move {
                    json!({"issuer": "https://sso.example", "jwks_uri": key_set}).to_string()
                }),
            )
            // As Keycloak does, the second says something about itself, which is no document.
            .route("/realms/shop", get(async || json!({"realm": "shop"}).to_string()))
            .route(
                "/realms/shop/.well-known/openid-configuration",
                get(move || async move { json!({"jwks_uri": of_realm}).to_string() }),
            )
            .route("/empty", get(async || "nothing of keys"))
            .with_state(issuer.clone());
        let serve = async move { axum::serve(listener, router).await.unwrap() };
        issuer.serving.lock().unwrap().spawn(serve);
        (issuer, format!("{address}/.well-known/openid-configuration"))
    }

    fn has(&self, issuer: &Issuer) {
        issuer.key_set().clone_into(&mut self.keys.lock().unwrap());
    }
}

#[tokio::test]
async fn keys_outlive_an_issuer_that_is_away() {
    let (far, url) = FarIssuer::start().await;
    let issuer = Issuer::from_pem(&Issuer::new_key().unwrap()).unwrap();
    far.has(&issuer);
    let process = Process::start(&url, &[]).await;
    far.is_away.store(true, Ordering::SeqCst);
    let token = issuer.token("ann", &[], MINUTE).unwrap();
    assert_eq!(process.with(&token).await.0, 200);

    // A token with an unknown key makes the issuer be asked, once; those who come meanwhile wait
    // for the same answer, and later ones do not ask again.
    let before = far.asked.load(Ordering::SeqCst);
    let stranger = Issuer::from_pem(&Issuer::new_key().unwrap()).unwrap();
    let strange: Vec<_> = (0..20)
        .map(|number| stranger.token(&format!("eve-{number}"), &[], MINUTE).unwrap())
        .collect();
    let asking = strange.iter().map(|token| process.with(token));
    for answer in futures::future::join_all(asking).await {
        assert_eq!(answer, (401, "unauthenticated".to_owned()));
    }
    assert_eq!(far.asked.load(Ordering::SeqCst) - before, 1);
    let report = process.health.report().await;
    assert!(report.is_healthy(), "the process works with the keys that it has");
    assert!(report.problems["identity"].as_str().unwrap().contains("503"), "{report:?}");
}

#[tokio::test]
async fn the_address_of_an_issuer_is_enough() {
    let (far, discovery) = FarIssuer::start().await;
    let issuer = Issuer::from_pem(&Issuer::new_key().unwrap()).unwrap();
    far.has(&issuer);
    let token = issuer.token("ann", &[], MINUTE).unwrap();
    let at = discovery.strip_suffix("/.well-known/openid-configuration").unwrap();

    let realm = format!("{at}/realms/shop");
    for url in [discovery.as_str(), &format!("{at}/keys"), at, &format!("{at}/"), &realm] {
        assert_eq!(Process::start(url, &[]).await.with(&token).await.0, 200, "{url}");
    }

    // Where there is no issuer, both addresses are told; one that is away is not looked for below.
    let fault = async |url: &str| {
        let report = Process::start(url, &[]).await.health.report().await;
        report.problems["identity"].as_str().unwrap().to_owned()
    };
    let empty = format!("{at}/empty");
    let told = fault(&empty).await;
    assert!(told.contains(&format!("neither {empty} nor {empty}/.well-known/")), "{told}");
    let same = fault(&empty.replace("://", "://me:a-password@")).await;
    assert_eq!(same, told, "the password is not told");
    far.is_away.store(true, Ordering::SeqCst);
    let told = fault(&format!("{at}/keys")).await;
    assert!(told.contains("503") && !told.contains(".well-known"), "{told}");
}

#[tokio::test]
async fn a_process_that_starts_before_its_issuer_says_so_and_works_later() {
    let (far, url) = FarIssuer::start().await;
    far.is_away.store(true, Ordering::SeqCst);
    let process = Process::start(&url, &[]).await;
    let issuer = Issuer::from_pem(&Issuer::new_key().unwrap()).unwrap();
    let token = issuer.token("ann", &[], MINUTE).unwrap();
    assert_eq!(process.with(&token).await, (503, "overloaded".to_owned()));
    assert_eq!(process.ask("GET", "/v1/products", None).await.status, 200);

    far.has(&issuer);
    far.is_away.store(false, Ordering::SeqCst);
    // The task asks again after five seconds.
    eventually("the token is taken", MINUTE, async || match process.with(&token).await {
        (200, _) => Ok(()),
        (status, code) => Err(format!("{status} {code}")),
    })
    .await;
    assert!(process.health.report().await.problems.get("identity").is_none());
}
