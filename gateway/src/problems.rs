//! The pages that a problem's `type` leads to: what the problem means, what to do, what it looks
//! like.

use axum::{
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use chassis::{Code, Problem};

mod texts;

/// The policy of these pages: nothing on them is loaded from elsewhere, and nothing runs.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;\
    padding:0 1rem}pre{background:#8881;padding:1rem;overflow:auto}";

/// What the page of one code says.
struct Text {
    cause: &'static str,
    fix: &'static str,
    /// The `detail` of an example.
    detail: &'static str,
}

/// The page of one code; for an empty code, the list of all codes.
pub(crate) fn page(code: &str) -> Option<Response> {
    let (title, body) = if code.is_empty() {
        ("Problems", index())
    } else {
        let code = Code::parse(code)?;
        (code.title(), one(code)?)
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1>{body}</html>\n"
    );
    Some(([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(html)).into_response())
}

fn index() -> String {
    Code::ALL.iter().fold(String::new(), |list, code| {
        let (status, title) = (code.status().as_u16(), code.title());
        list + &format!("<p>{status} <a href=\"/problems/{code}\">{code}</a>: {title}</p>")
    })
}

fn one(code: Code) -> Option<String> {
    let Text { cause, fix, detail } = texts::of(code)?;
    let status = code.status();
    let example = serde_json::to_string_pretty(&Problem::new(code, detail)).unwrap_or_default();
    let example = escape(&example);
    Some(format!(
        "<p><code>{code}</code>, {status}</p><h2>Cause</h2><p>{cause}</p>\
         <h2>What to do</h2><p>{fix}</p><h2>Example</h2><pre>{example}</pre>\
         <p><a href=\"/problems\">All problems</a></p>"
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
