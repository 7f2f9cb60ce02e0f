//! W3C trace context: which trace a request, a message or a row belongs to.

use std::{convert::Infallible, fmt};

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, request::Parts},
};

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

    /// Parses the value of a `traceparent` header; `None` if it is malformed, as the standard asks.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let version = hex::<1>(bytes.get(..2)?)?[0];
        let length_fits = if version == 0 { bytes.len() == 55 } else { bytes.len() >= 55 };
        let dashes = [2, 35, 52].iter().all(|&at| bytes.get(at) == Some(&b'-'));
        if version == 0xff || !length_fits || !dashes || bytes.get(55).is_some_and(|b| *b != b'-') {
            return None;
        }
        let trace = hex::<16>(&bytes[3..35])?;
        let span = hex::<8>(&bytes[36..52])?;
        let flags = hex::<1>(&bytes[53..55])?[0];
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, flags })
    }

    /// Made of the parts that OpenTelemetry has.
    pub fn from_parts(trace: [u8; 16], span: [u8; 8], flags: u8) -> Self {
        Self { trace, span, flags }
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

    pub fn trace(&self) -> [u8; 16] {
        self.trace
    }

    pub fn span(&self) -> [u8; 8] {
        self.span
    }

    pub fn flags(&self) -> u8 {
        self.flags
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
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        push_hex(&mut text, &self.trace);
        text.push('-');
        push_hex(&mut text, &self.span);
        text.push('-');
        push_hex(&mut text, &[self.flags]);
        out.write_str(&text)
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

/// Reads lower-case hexadecimal digits only, as the standard requires.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
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
        assert_ne!(trace.child().span(), trace.span());
    }

    #[test]
    fn malformed_ones_are_not_honoured() {
        for text in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é",
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
        assert!(TraceParent::parse(&format!("01{}-more", &KNOWN[2..])).is_some());
    }
}
