//! A strict JSON reader that keeps numbers as their text.
//!
//! serde's own would let a later duplicate of a member win silently, and would turn an amount into
//! a float on the way; this one refuses duplicates anywhere and never looks at a number's value.

use std::{borrow::Cow, collections::HashSet};

use crate::problem::{Code, Problem};

/// Deepest nesting that is read; a deeper body could exhaust the stack.
const DEPTH_MAX: u32 = 32;
/// Members up to which comparing each name with all others is cheaper than hashing.
const SMALL_OBJECT: usize = 16;

/// A JSON value, borrowing from its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json<'a> {
    Null,
    Flag(bool),
    /// A number's text, as it was written.
    Number(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Reads a whole body; the problem, 400 `malformed_json`, says where it stops being JSON.
pub fn parse(bytes: &[u8]) -> Result<Json<'_>, Problem> {
    let malformed = |detail: String| Problem::new(Code::MalformedJson, detail);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| malformed(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut reader = Reader { text, at: 0 };
    let read = reader.value(0).and_then(|json| {
        reader.skip_space();
        if reader.at == text.len() { Ok(json) } else { Err("something follows the value") }
    });
    read.map_err(|wrong| malformed(format!("not JSON at byte {}: {wrong}", reader.at)))
}

impl Json<'_> {
    /// The value without white space and with its members sorted: the same for bodies that mean the
    /// same.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Flag(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Self::Number(text) => out.extend_from_slice(text.as_bytes()),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                out.push(b'{');
                for (at, (name, value)) in sorted.into_iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text is JSON, and a vector takes it");
}

type Parse<T> = Result<T, &'static str>;

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: u32) -> Parse<Json<'a>> {
        self.skip_space();
        if depth > DEPTH_MAX {
            return Err("nested too deeply");
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b't') => self.word("true", Json::Flag(true)),
            Some(b'f') => self.word("false", Json::Flag(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => Err("a value was expected"),
            None => Err("it ends too early"),
        }
    }

    fn word(&mut self, word: &str, json: Json<'a>) -> Parse<Json<'a>> {
        if !self.text[self.at..].starts_with(word) {
            return Err("a value was expected");
        }
        self.at += word.len();
        Ok(json)
    }

    fn object(&mut self, depth: u32) -> Parse<Json<'a>> {
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        let mut names = HashSet::new();
        self.at += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err("a member's name was expected");
            }
            let name = self.string()?;
            let known = if members.len() < SMALL_OBJECT {
                members.iter().any(|(known, _)| *known == name)
            } else {
                if names.is_empty() {
                    names.extend(members.iter().map(|(known, _)| known.clone()));
                }
                !names.insert(name.clone())
            };
            if known {
                return Err("a member is there twice");
            }
            self.skip_space();
            if !self.take(b':') {
                return Err("a colon was expected");
            }
            let value = self.value(depth + 1)?;
            members.push((name, value));
            self.skip_space();
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.take(b',') {
                return Err("a comma or the object's end was expected");
            }
        }
    }

    fn list(&mut self, depth: u32) -> Parse<Json<'a>> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.take(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Json::List(items));
            }
            if !self.take(b',') {
                return Err("a comma or the list's end was expected");
            }
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn number(&mut self) -> Parse<&'a str> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') && !self.digits() {
            return Err("a digit was expected");
        }
        if self.take(b'.') && !self.digits() {
            return Err("a digit was expected");
        }
        if self.take(b'e') || self.take(b'E') {
            let _signed = self.take(b'+') || self.take(b'-');
            if !self.digits() {
                return Err("a digit was expected");
            }
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at > start
    }

    fn string(&mut self) -> Parse<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let plain = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(plain));
                }
                Some(b'\\') => {
                    let plain = self.text[start..self.at].to_owned();
                    return self.escaped(plain).map(Cow::Owned);
                }
                Some(0..=0x1f) => return Err("a control character has to be escaped"),
                Some(_) => self.at += 1,
                None => return Err("it ends too early"),
            }
        }
    }

    /// Reads the rest of a string, from its first escape on.
    fn escaped(&mut self, mut text: String) -> Parse<String> {
        loop {
            let start = self.at;
            while !matches!(self.peek(), Some(b'"' | b'\\' | 0..=0x1f) | None) {
                self.at += 1;
            }
            text.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some(_) => return Err("a control character has to be escaped"),
                None => return Err("it ends too early"),
            }
        }
    }

    fn escape(&mut self) -> Parse<char> {
        let escape = self.peek().ok_or("it ends too early")?;
        self.at += 1;
        Ok(match escape {
            b'"' | b'\\' | b'/' => char::from(escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err("an unknown escape"),
        })
    }

    fn unicode(&mut self) -> Parse<char> {
        let unit = self.unit()?;
        let code = match unit {
            0xd800..=0xdbff => {
                let Some(low) = self.low_half() else { return Ok('\0') };
                0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
            }
            unit => unit,
        };
        // Half of a surrogate pair is JSON, but no text: like NUL it cannot be stored, and is
        // refused with it.
        Ok(char::from_u32(code).unwrap_or('\0'))
    }

    /// Reads the second half of a surrogate pair if it begins here; otherwise reads nothing.
    fn low_half(&mut self) -> Option<u32> {
        let start = self.at;
        let unit = (self.take(b'\\') && self.take(b'u')).then(|| self.unit().ok()).flatten();
        let low = unit.filter(|unit| (0xdc00..=0xdfff).contains(unit));
        if low.is_none() {
            self.at = start;
        }
        low
    }

    fn unit(&mut self) -> Parse<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or("four digits were expected")?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("four digits were expected");
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| "four digits were expected")
    }
}
