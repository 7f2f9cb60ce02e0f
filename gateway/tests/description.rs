//! The description of the API, and its page.

use axum::http::StatusCode;

use crate::stub::{gateway, text};

#[tokio::test]
async fn the_description_is_open_to_everybody() {
    let public = gateway(&[([127, 0, 0, 1], 1).into()], &[]);

    let response = public.get("/openapi.json").await;

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    let described: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(described["openapi"], "3.1.0");
}

#[tokio::test]
async fn the_page_of_the_api_needs_nothing_from_elsewhere() {
    let public = gateway(&[([127, 0, 0, 1], 1).into()], &[]);
    assert_eq!(public.get("/docs").await.headers()["location"], "/docs/");

    let page = public.get("/docs/").await;

    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("'self'"));
    let page = text(page).await;
    let quoted = page.split('"').skip(1).step_by(2);
    let is_file = |it: &&str| [".css", ".js", ".png"].iter().any(|kind| it.ends_with(kind));
    let files: Vec<_> = quoted.filter(is_file).collect();
    assert!(files.len() >= 4, "{page}");
    for file in files {
        let path = format!("/docs/{}", file.trim_start_matches("./"));
        assert_eq!(public.get(&path).await.status(), StatusCode::OK, "{path}");
    }
    assert!(text(public.get("/docs/swagger-initializer.js").await).await.contains("/openapi.json"));
    assert_eq!(public.get("/docs/nothing").await.status(), StatusCode::NOT_FOUND);
}
