//! The console's files, and what its pages ask of Prometheus and Jaeger.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::stub::{Public, Stub, StubRequest, gateway, json, text};

const ORDER: &str = "01932c1e-7b5a-7c3d-8e4f-0123456789ab";

#[tokio::test]
async fn the_console_is_served_from_the_program_under_a_strict_policy() {
    let public = gateway(&[([127, 0, 0, 1], 1).into()], &[]);

    let page = public.get("/console").await;

    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for wanted in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'"] {
        assert!(policy.contains(wanted), "{policy}");
    }
    let page = text(page).await;
    let quoted = page.split('"').skip(1).step_by(2);
    let files: Vec<_> = quoted.filter(|text| text.starts_with("/console/")).collect();
    assert!(files.len() >= 2, "{page}");
    for file in files {
        assert_eq!(public.get(file).await.status(), StatusCode::OK, "{file}");
    }
    let script = public.get("/console/app.js").await;
    assert_eq!(script.headers()["content-type"], "text/javascript");
    let settings = json(public.get("/console/settings.json").await).await;
    assert_eq!(settings, json!({"oidc": null, "jaeger_url": null}));
    for path in ["/console/nothing.js", "/console/../Cargo.toml", "/consoles"] {
        assert_eq!(public.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_console_may_ask_the_issuer_that_is_set() {
    let public = gateway(
        &[([127, 0, 0, 1], 1).into()],
        &[
            "--console-issuer=https://id.example/shop",
            "--console-client-id=console",
            "--console-authorization-endpoint=https://id.example/authorize",
            "--console-token-endpoint=https://tokens.example/token",
        ],
    );

    let settings = public.get("/console/settings.json").await;

    let policy = settings.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let asked = "connect-src 'self' https://id.example https://tokens.example;";
    assert!(policy.contains(asked), "{policy}");
    assert_eq!(json(settings).await["oidc"]["client_id"], "console");
}

/// A gateway whose order-svc, Prometheus and Jaeger are all one stub.
async fn observed(answer: impl Fn(&StubRequest) -> Response + Send + Sync + 'static) -> Public {
    let stub = Stub::start(answer).await;
    let url = format!("http://{}", stub.address);
    let observers = [format!("--prometheus-url={url}"), format!("--jaeger-url={url}/jaeger")];
    gateway(&[stub.address], &observers.each_ref().map(String::as_str))
}

#[tokio::test]
async fn an_orders_trace_is_told_as_jaeger_has_it() {
    let public = observed(|request| match request.uri.as_str() {
        uri if uri.ends_with("/saga") => Json(json!({"trace_id": "4bf9"})).into_response(),
        "/jaeger/api/traces/4bf9" => Json(json!({"data": [{
            "processes": {"p1": {"serviceName": "gateway", "tags": []}},
            "spans": [{
                "traceID": "4bf9", "spanID": "01", "operationName": "POST /v1/orders",
                "references": [{"refType": "CHILD_OF", "traceID": "4bf9", "spanID": "00"}],
                "startTime": 1_700_000_000_000_250_u64, "duration": 2_300, "processID": "p1",
                "tags": [{"key": "error", "type": "bool", "value": true}],
            }],
        }]}))
        .into_response(),
        _ => StatusCode::IM_A_TEAPOT.into_response(),
    })
    .await;

    let told = json(public.get(&format!("/v1/orders/{ORDER}/trace")).await).await;

    assert_eq!(
        told,
        json!({
            "trace_id": "4bf9",
            "spans": [{
                "span_id": "01", "parent_span_id": "00", "service": "gateway",
                "operation": "POST /v1/orders", "started_at": "2023-11-14T22:13:20.000250Z",
                "duration_us": 2_300, "error": true,
            }],
            "missing": null,
        })
    );
}

#[tokio::test]
async fn who_may_not_see_an_order_sees_no_trace_of_it() {
    let public = observed(|request| {
        assert!(request.uri.ends_with("/saga"), "Jaeger was asked: {}", request.uri);
        StatusCode::NOT_FOUND.into_response()
    })
    .await;

    let refused = public.get(&format!("/v1/orders/{ORDER}/trace")).await;

    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_pipeline_is_told_as_prometheus_has_it() {
    let vector = |samples: Value| {
        Json(json!({"status": "success", "data": {"resultType": "vector", "result": samples}}))
            .into_response()
    };
    let public = observed(move |request| {
        let query = request.uri.replace('+', " ");
        if query.contains("orders_placed_total") {
            return vector(json!([{"metric": {}, "value": [1.5, "12.5"]}]));
        }
        if query.contains("outbox_pending") {
            return vector(json!([{"metric": {"database": "orders"}, "value": [1.5, "7"]}]));
        }
        if query.contains("histogram_quantile%280.95") {
            let settle = json!({"metric": {"stage": "settle"}, "value": [1.5, "0.25"]});
            return vector(json!([settle]));
        }
        vector(json!([]))
    })
    .await;

    let told = json(public.get("/v1/pipeline").await).await;

    assert_eq!((&told["orders_per_second"], &told["success_ratio"]), (&json!(12.5), &Value::Null));
    let outbox = json!([{"database": "orders", "pending": 7.0, "oldest_seconds": null}]);
    assert_eq!(told["outbox"], outbox);
    let settled = json!({"stage": "settled", "p50": null, "p95": 0.25, "p99": null});
    assert_eq!(told["stages"][4], settled);
}

#[tokio::test]
async fn who_observes_nothing_says_so_and_who_is_silent_is_overload() {
    let alone = gateway(&[Stub::plain().await.address], &[]);
    assert_eq!(alone.get("/v1/pipeline").await.status(), StatusCode::NOT_FOUND);

    let silent = observed(|request| {
        if request.uri.ends_with("/saga") {
            return Json(json!({"trace_id": "4bf9"})).into_response();
        }
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
    .await;

    for path in ["/v1/pipeline".to_owned(), format!("/v1/orders/{ORDER}/trace")] {
        let refused = silent.get(&path).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(refused.headers().contains_key("retry-after"));
    }
}
