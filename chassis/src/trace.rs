//! W3C trace context: which trace a request, a message or a row belongs to.

use std::{convert::Infallible, fmt};

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, request::Parts},
};
use proto::trace_context;

/// A trace id, the last span of the trace, and the flags.
///
/// As an extractor it is the request's trace: continued from the `traceparent` header, or new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// The start of a new trace.
    pub fn start() -> Self {
        // Zero ids are invalid: setting the first bit rules them out.
        let mut trace: [u8; 16] = rand::random();
        trace[0] |= 0x80;
        Self { trace, span: span_id(), flags: 1 }
    }

    /// The same trace with a new span.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: span_id(), ..self }
    }

    /// Parses the value of a `traceparent` header; `None` if it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        trace_context::parse(text).map(|context| Self::from_bytes(&context))
    }

    /// From the 25 bytes that an outbox row carries: trace id, span id, flags.
    pub fn from_bytes(bytes: &[u8; 25]) -> Self {
        let mut this = Self { trace: [0; 16], span: [0; 8], flags: bytes[24] };
        this.trace.copy_from_slice(&bytes[..16]);
        this.span.copy_from_slice(&bytes[16..24]);
        this
    }

    /// The 25 bytes that an outbox row carries.
    pub fn to_bytes(self) -> [u8; 25] {
        let mut bytes = [0; 25];
        bytes[..16].copy_from_slice(&self.trace);
        bytes[16..24].copy_from_slice(&self.span);
        bytes[24] = self.flags;
        bytes
    }

    /// The trace id.
    pub fn trace(&self) -> [u8; 16] {
        self.trace
    }

    /// The trace id as 32 hexadecimal digits, the form that people search for.
    pub fn trace_id(&self) -> String {
        let mut text = String::with_capacity(32);
        push_hex(&mut text, &self.trace);
        text
    }

    /// The value of a `traceparent` or `traceresponse` header.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("hexadecimal digits and dashes")
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = trace_context::text(&self.to_bytes());
        out.write_str(std::str::from_utf8(&text).expect("hexadecimal digits and dashes"))
    }
}

impl<S: Sync> FromRequestParts<S> for TraceParent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_else(Self::start))
    }
}

/// Sixteen random bytes as hexadecimal digits.
pub(crate) fn random_hex() -> String {
    let mut text = String::with_capacity(32);
    push_hex(&mut text, &rand::random::<[u8; 16]>());
    text
}

fn span_id() -> [u8; 8] {
    let mut span: [u8; 8] = rand::random();
    span[0] |= 0x80;
    span
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_survives_text_and_bytes() {
        let trace = TraceParent::parse(KNOWN).unwrap();

        assert_eq!(trace.to_string(), KNOWN);
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(TraceParent::from_bytes(&trace.to_bytes()), trace);
        assert_eq!(trace.child().trace(), trace.trace());
        assert_ne!(trace.child().to_bytes()[16..24], trace.to_bytes()[16..24]);
    }
}
