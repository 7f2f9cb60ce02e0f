//! Query parameters, read strictly: unknown, repeated or malformed ones are refused.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::{Serialize, de::DeserializeOwned};

use super::cursor;
use crate::problem::{Code, Problem};

const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MAX: i64 = 200;
const PARAMS_MAX: usize = 20;

/// The query parameters that have not been taken out yet.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

/// The part of a list that the client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Items on the page, 1 to 200.
    pub limit: i64,
    /// Where the page begins; the list's beginning without one.
    pub cursor: Option<String>,
}

impl Page {
    /// The place that the cursor holds, for the list `kind`; `None` at the list's beginning.
    pub fn place<T: Serialize + DeserializeOwned>(&self, kind: &str) -> Result<Option<T>, Problem> {
        self.cursor.as_deref().map(|cursor| cursor::read(kind, cursor)).transpose()
    }

    /// Refuses any cursor: for a list that never has a second page, and so never gives one.
    pub fn first_only(&self) -> Result<(), Problem> {
        if self.cursor.is_some() { Err(cursor::bad()) } else { Ok(()) }
    }
}

impl Params {
    /// Reads a query string; an error for what is given twice or is not well encoded.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut params: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wrong = || bad(name, "is not well encoded");
            let name = decode(name).ok_or_else(wrong)?;
            let value = decode(value).filter(|v| !v.contains('\0')).ok_or_else(wrong)?;
            if params.iter().any(|(known, _)| *known == name) {
                return Err(bad(&name, "is given more than once"));
            }
            if params.len() == PARAMS_MAX {
                return Err(bad(&name, "is one too many"));
            }
            params.push((name, value));
        }
        Ok(Self(params))
    }

    /// Takes one parameter out.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Takes one parameter out and parses it; the error of `parse` says what would be right.
    pub fn take_parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        parse(&value).map(Some).map_err(|right| bad(name, right))
    }

    /// Takes `limit` and `cursor` out.
    pub fn take_page(&mut self) -> Result<Page, Problem> {
        let limit = self.take_parsed("limit", |text| {
            // `parse` alone would accept a sign, too.
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let limit: Option<i64> = text.parse().ok().filter(|_| digits);
            let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
            limit.ok_or("has to be a number from 1 to 200")
        })?;
        Ok(Page { limit: limit.unwrap_or(LIMIT_DEFAULT), cursor: self.take("cursor") })
    }

    /// Takes `limit` and `cursor` out of a list's last parameters: how many items the page has at
    /// most, and the place after which it begins, for the list `kind`.
    pub fn into_page<T: Serialize + DeserializeOwned>(
        mut self,
        kind: &str,
    ) -> Result<(i64, Option<T>), Problem> {
        let page = self.take_page()?;
        self.finish()?;
        Ok((page.limit, page.place(kind)?))
    }

    /// Refuses parameters that were not taken out.
    pub fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(bad(name, "is not known here")),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

/// For a path that has no parameters: every one is refused.
#[derive(Clone, Copy, Debug)]
pub struct NoParams;

impl<S: Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Params::from_request_parts(parts, state).await?.finish().map(|()| Self)
    }
}

fn bad(name: &str, wrong: &str) -> Problem {
    Problem::new(Code::BadParameter, format!("the parameter {name} {wrong}"))
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                if !pair.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
