//! Lists, tags, preferences and fingerprints.

use std::time::Duration;

use axum::{
    body::to_bytes,
    http::{HeaderMap, Method, StatusCode, header},
};
use chassis::{
    Code,
    http::{self, Page, Params, Prefer, fingerprint, if_match, if_nothing_matches, prefer_wait},
};
use serde_json::json;

fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(name, value.parse().unwrap())])
}

#[tokio::test]
async fn a_resource_that_the_caller_has_is_not_sent_again() {
    let order = json!({"id":"1","status":"pending"});
    let first = http::resource(&HeaderMap::new(), &order);
    let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    let same = |value: &str| http::resource(&headers(header::IF_NONE_MATCH, value), &order);

    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(same(&etag).status(), StatusCode::NOT_MODIFIED);
    assert_eq!(same(&etag).headers()[header::ETAG], *etag);
    assert_eq!(same(&format!("\"other\", W/{etag}")).status(), StatusCode::NOT_MODIFIED);
    assert_eq!(same("\"other\"").status(), StatusCode::OK);
    assert_eq!(http::etag_of(&serde_json::to_vec(&order).unwrap()), etag);
    assert_ne!(http::etag_of(b"{}"), etag);
    let body = to_bytes(same(&etag).into_body(), 1 << 20).await.unwrap();
    assert!(body.is_empty());
}

#[test]
fn a_change_of_something_stale_is_refused() {
    let stale = |value: &str| if_match(&headers(header::IF_MATCH, value), "\"a\"");

    assert!(if_match(&HeaderMap::new(), "\"a\"").is_ok());
    assert!(stale("\"b\", \"a\"").is_ok());
    assert!(stale("*").is_ok());
    assert_eq!(stale("\"b\"").unwrap_err().code(), Code::Stale);
    assert_eq!(stale("W/\"a\"").unwrap_err().code(), Code::Stale);

    let absent = |value: &str| if_nothing_matches(&headers(header::IF_MATCH, value));
    assert!(if_nothing_matches(&HeaderMap::new()).is_ok());
    assert_eq!(absent("*").unwrap_err().code(), Code::Stale, "nothing is there to match");
}

#[test]
fn a_preference_is_cut_and_nonsense_ignored() {
    let prefer = |value| prefer_wait(&headers(header::HeaderName::from_static("prefer"), value));
    let seconds = |n| Some(Duration::from_secs(n));

    assert_eq!(prefer("wait=10"), seconds(10));
    assert_eq!(prefer("respond-async, Wait=\"5\"; x=y"), seconds(5));
    assert_eq!(prefer("wait=31"), seconds(30));
    assert_eq!(prefer("wait=99999999999999999999999"), seconds(30));
    for nonsense in ["wait", "wait=", "wait=-1", "wait=1.5", "wait=soon", "handling=lenient"] {
        assert_eq!(prefer(nonsense), None, "{nonsense}");
    }
    assert_eq!(prefer_wait(&HeaderMap::new()), None);
    assert_eq!(Prefer(seconds(30)).applied().unwrap().1, "wait=30");
}

#[test]
fn parameters_are_strict() {
    let mut params = Params::parse("customer_id=a%20b&status=paid&limit=200&cursor=x").unwrap();

    assert_eq!(params.take("customer_id").as_deref(), Some("a b"));
    assert_eq!(params.take_page().unwrap(), Page { limit: 200, cursor: Some("x".to_owned()) });
    assert_eq!(params.finish().unwrap_err().code(), Code::BadParameter);

    let page = |query| Params::parse(query).unwrap().take_page();
    assert_eq!(page("").unwrap(), Page { limit: 50, cursor: None });
    for query in ["limit=0", "limit=201", "limit=many", "limit="] {
        assert_eq!(page(query).unwrap_err().code(), Code::BadParameter, "{query}");
    }
    for query in ["a=1&a=2", "a=%zz", "a=%f", "a=%00", "a=%FF"] {
        assert_eq!(Params::parse(query).unwrap_err().code(), Code::BadParameter, "{query}");
    }
}

#[test]
fn cursors_are_of_their_list() {
    let cursor = http::write_cursor("orders", &(17, "id"));

    assert_eq!(http::read_cursor::<(i64, String)>("orders", &cursor).unwrap().0, 17);
    for wrong in
        [http::write_cursor("payments", &(17, "id")), "nonsense".to_owned(), "\u{e9}".to_owned()]
    {
        let read = http::read_cursor::<(i64, String)>("orders", &wrong);
        assert_eq!(read.unwrap_err().code(), Code::BadCursor, "{wrong}");
    }
}

#[test]
fn a_cursor_that_was_never_given_is_bad() {
    let nul = http::write_cursor("products", &"a\0");
    assert_eq!(http::read_cursor::<String>("products", &nul).unwrap_err().code(), Code::BadCursor);
    let huge = http::write_cursor("events", &i64::MAX);
    assert_eq!(http::read_cursor::<i32>("events", &huge).unwrap_err().code(), Code::BadCursor);
    // ["events", 7] with a space, which we do not write.
    let spaced = "WyJldmVudHMiLCA3XQ";
    assert_eq!(http::read_cursor::<i32>("events", spaced).unwrap_err().code(), Code::BadCursor);

    let page = |query| Params::parse(query).unwrap().take_page().unwrap();
    assert!(page("limit=5").first_only().is_ok());
    assert_eq!(page("cursor=WzFd").first_only().unwrap_err().code(), Code::BadCursor);
}

#[tokio::test]
async fn a_page_ends_at_its_limit_or_before_it_is_large() {
    let read = async |response: axum::response::Response| {
        let body = to_bytes(response.into_body(), 8 << 20).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let next = json["next_cursor"].as_str().map(ToOwned::to_owned);
        (body.len(), json["items"].as_array().unwrap().len(), next)
    };
    let items = |count: u32, size: usize| (0..count).map(move |n| (n, "x".repeat(size)));
    let place = |cursor: Option<String>| http::read_cursor::<u32>("n", &cursor.unwrap()).unwrap();

    let (_, shown, next) = read(http::page("n", 3, items(4, 1), None)).await;
    assert_eq!((shown, place(next)), (3, 2));
    let (_, shown, next) = read(http::page("n", 3, items(3, 1), None)).await;
    assert_eq!((shown, next), (3, None), "a page that is exactly full may be the last");
    let (_, shown, next) = read(http::page("n", 3, items(1, 1), Some(9))).await;
    assert_eq!((shown, place(next)), (1, 9), "what was looked through goes on");

    let (bytes, shown, next) = read(http::page("n", 200, items(100, 100_000), None)).await;
    assert!(bytes <= 1 << 20 && shown == 10, "{shown} items in {bytes} bytes");
    assert_eq!(place(next), 9);
    let (_, shown, next) = read(http::page("n", 200, items(2, 2 << 20), None)).await;
    assert_eq!((shown, place(next)), (1, 0), "no item keeps a list from going on");
}

#[tokio::test]
async fn a_list_has_items_and_a_cursor() {
    let body = to_bytes(http::list(&[1, 2], None).into_body(), 100).await.unwrap();

    assert_eq!(body, r#"{"items":[1,2],"next_cursor":null}"#);
}

#[test]
fn a_fingerprint_tells_requests_apart() {
    let print = |path, body: &str| fingerprint(&Method::POST, path, body.as_bytes());

    assert_eq!(print("/v1/orders", r#"{"a":1,"b":2}"#), print("/v1/orders", r#"{"b":2, "a":1}"#));
    assert_ne!(print("/v1/orders", "{}"), print("/v1/payments", "{}"));
    assert_ne!(print("/v1/orders", r#"{"a":1}"#), print("/v1/orders", r#"{"a":2}"#));
    assert_ne!(print("/v1/orders", "{"), print("/v1/orders", "{{"));
}
