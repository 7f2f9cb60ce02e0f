//! The lists of all services merged into one.

use axum::{Json, body::Body, extract::Request, http::StatusCode, response::IntoResponse};
use serde_json::{Value, json};

use crate::stub::{Public, Stub, StubRequest, gateway, json, with_settings};

/// A service with `count` parked keys, two a page at most.
fn keys(count: usize) -> impl Fn(&StubRequest) -> axum::response::Response + Send + Sync {
    move |seen| {
        let query = seen.uri.split_once('?').unwrap().1;
        let param = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(known, _)| *known == name).map(|(_, value)| value.to_owned()).next()
        };
        let from: usize = param("cursor").map_or(0, |cursor| cursor.parse().unwrap());
        let limit: usize = param("limit").unwrap().parse().unwrap();
        let to = count.min(from + limit.min(2));
        let service = param("service").unwrap();
        let items: Vec<Value> =
            (from..to).map(|n| json!({"service":service,"key":n.to_string()})).collect();
        let next = (to < count).then(|| to.to_string());
        Json(json!({"items":items,"next_cursor":next})).into_response()
    }
}

async fn public() -> Public {
    before(&[
        Stub::start(keys(1)).await,
        Stub::start(keys(0)).await,
        Stub::start(keys(3)).await,
        Stub::start(keys(2)).await,
    ])
}

/// A gateway before a stub for each service.
fn before(stubs: &[Stub; 4]) -> Public {
    let urls: Vec<String> = ["order", "payment", "inventory", "notify"]
        .iter()
        .zip(stubs)
        .map(|(name, stub)| format!("--{name}-url={}", stub.address))
        .collect();
    with_settings(urls.iter().map(String::as_str))
}

/// All items of all pages, and how many pages there were.
async fn walk(public: &Public, query: &str) -> (Vec<String>, usize) {
    let (mut keys, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = json(public.get(&format!("/v1/parked?{query}{cursor}")).await).await;
        pages += 1;
        for item in page["items"].as_array().unwrap() {
            let text = |name: &str| item[name].as_str().unwrap().to_owned();
            keys.push(format!("{} {}", text("service"), text("key")));
        }
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return (keys, pages),
        }
    }
}

#[tokio::test]
async fn all_services_are_asked_however_the_pages_fall() {
    let public = public().await;
    let all = [
        "order-svc 0",
        "inventory-svc 0",
        "inventory-svc 1",
        "inventory-svc 2",
        "notify-svc 0",
        "notify-svc 1",
    ];

    for limit in [1, 2, 3, 50] {
        assert_eq!(walk(&public, &format!("limit={limit}")).await.0, all, "limit {limit}");
    }
    assert_eq!(walk(&public, "limit=1").await.1, 6);
    assert_eq!(walk(&public, "service=inventory-svc").await.0, all[1..4]);
}

#[tokio::test]
async fn bad_parameters_are_refused() {
    let public = public().await;
    let code = async |query: &str| {
        let uri = format!("/v1/parked?{query}");
        public.refusal(Request::get(uri).body(Body::empty()).unwrap()).await
    };

    for query in ["service=cat-svc", "limit=0", "service=", "limit=1&limit=1"] {
        assert_eq!(code(query).await, (400, "bad_parameter".to_owned()), "{query}");
    }
    assert_eq!(code("cursor=nonsense").await, (400, "bad_cursor".to_owned()));
}

#[tokio::test]
async fn a_service_that_does_not_tell_is_named() {
    let broken = Stub::start(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()).await;

    let response = gateway(&[broken.address], &[]).get("/v1/parked").await;

    assert_eq!(response.status(), 503);
    assert!(json(response).await["detail"].as_str().unwrap().starts_with("order-svc did not tell"));
}

#[tokio::test]
async fn operations_of_all_services_come_the_newest_first_however_the_pages_fall() {
    // Each service did something every few seconds, at times of its own.
    let done = |step: usize, count: usize| {
        move |seen: &StubRequest| {
            let query = seen.uri.split_once('?').unwrap().1;
            let param = |name: &str| {
                let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.filter(|(known, _)| *known == name).map(|(_, value)| value.to_owned()).next()
            };
            let before: usize = param("cursor").map_or(count + 1, |cursor| {
                chassis::http::read_cursor::<usize>("operations", &cursor).ok().unwrap()
            });
            let limit: usize = param("limit").unwrap().parse().unwrap();
            let service = param("service").unwrap();
            let ids: Vec<usize> = (1..before).rev().take(limit.min(2)).collect();
            let next = ids.last().filter(|last| **last > 1);
            let next = next.map(|last| chassis::http::write_cursor("operations", last));
            let items: Vec<Value> = ids
                .iter()
                .map(|id| json!({"service":service,"id":id,"at":format!("{:04}", id * step)}))
                .collect();
            Json(json!({"items":items,"next_cursor":next})).into_response()
        }
    };
    let stubs = [
        Stub::start(done(7, 3)).await,
        Stub::start(done(1, 0)).await,
        Stub::start(done(5, 5)).await,
        Stub::start(done(7, 2)).await,
    ];
    let public = before(&stubs);

    let all = ["0025", "0021", "0020", "0015", "0014", "0014", "0010", "0007", "0007", "0005"];
    for limit in [1, 2, 3, 50] {
        let (mut times, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/operations?limit={limit}{cursor}");
            let page = json(public.get(&path).await).await;
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            times.extend(items.iter().map(|item| item["at"].as_str().unwrap().to_owned()));
            match &page["next_cursor"] {
                Value::String(next) => cursor = format!("&cursor={next}"),
                _ => break,
            }
        }
        assert_eq!(times, all, "limit {limit}");
    }
}

#[tokio::test]
async fn filters_are_the_services_and_so_is_their_refusal() {
    let refuse = |_: &StubRequest| {
        chassis::Problem::new(chassis::Code::BadParameter, "no such class").into_response()
    };
    let stub = Stub::start(refuse).await;
    let public = gateway(&[stub.address], &[]);

    let request = Request::get("/v1/parked?class=none&topic=t").body(Body::empty()).unwrap();
    assert_eq!(public.refusal(request).await, (400, "bad_parameter".to_owned()));
    assert!(stub.seen()[0].uri.ends_with("&class=none&topic=t"), "{}", stub.seen()[0].uri);
}
