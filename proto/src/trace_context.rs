//! W3C Trace Context: the text of a `traceparent`, and the 25 bytes that messages, commands and rows
//! carry of it.

/// Trace id (16 bytes), span id (8), flags (1).
pub type TraceContext = [u8; 25];

/// Parses the value of a `traceparent` header; `None` if it is malformed, as the standard asks:
/// version `ff`, an id of zeros, capitals, another length.
pub fn parse(text: &str) -> Option<TraceContext> {
    let text = text.as_bytes();
    let [version] = hex::<1>(text.get(..2)?)?;
    let length_fits = if version == 0 { text.len() == 55 } else { text.len() >= 55 };
    let dashes = [2, 35, 52].iter().all(|&at| text.get(at) == Some(&b'-'));
    if version == 0xff || !length_fits || !dashes || text.get(55).is_some_and(|b| *b != b'-') {
        return None;
    }
    let mut context = [0; 25];
    context[..16].copy_from_slice(&hex::<16>(&text[3..35])?);
    context[16..24].copy_from_slice(&hex::<8>(&text[36..52])?);
    context[24..].copy_from_slice(&hex::<1>(&text[53..55])?);
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    (!is_zero(&context[..16]) && !is_zero(&context[16..24])).then_some(context)
}

/// The context that a message of the event carries, made of its outbox row's: the same trace, and
/// the span of its publishing. That span's id follows from the event's, so that every copy of the
/// message names the same one, whoever publishes it and however often.
#[must_use]
pub fn published(row: &TraceContext, event_id: &[u8; 16]) -> TraceContext {
    let mut context = *row;
    context[16..24].copy_from_slice(&event_id[8..]);
    // An id of zeros would be none.
    context[16] |= 0x80;
    context
}

/// Whether the trace is sampled: recorded wherever it comes.
pub fn is_sampled(context: &TraceContext) -> bool {
    context[24] & 1 == 1
}

/// The context as OpenTelemetry has it.
#[cfg(feature = "opentelemetry")]
pub fn to_span_context(context: &TraceContext) -> opentelemetry::trace::SpanContext {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&context[..16]);
    span.copy_from_slice(&context[16..24]);
    SpanContext::new(
        TraceId::from_bytes(trace),
        SpanId::from_bytes(span),
        TraceFlags::new(context[24]),
        true,
        TraceState::default(),
    )
}

/// The 25 bytes of OpenTelemetry's context; `None` if it is no context.
#[cfg(feature = "opentelemetry")]
pub fn of_span_context(span: &opentelemetry::trace::SpanContext) -> Option<TraceContext> {
    let mut context = [0; 25];
    context[..16].copy_from_slice(&span.trace_id().to_bytes());
    context[16..24].copy_from_slice(&span.span_id().to_bytes());
    context[24] = span.trace_flags().to_u8();
    span.is_valid().then_some(context)
}

/// The value of a `traceparent` header, version 00.
pub fn text(context: &TraceContext) -> [u8; 55] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 55];
    text[0] = b'0';
    text[1] = b'0';
    // Two characters a byte; the dashes after version, trace id and span id stay.
    for (index, byte) in context.iter().enumerate() {
        let dashes = 1 + usize::from(index >= 16) + usize::from(index >= 24);
        let at = 2 + index * 2 + dashes;
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
    }
    text
}

/// Bytes from lower-case hexadecimal digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != N * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL_FORMED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_written_as_it_was_read() {
        let context = parse(WELL_FORMED).unwrap();
        assert_eq!((context[0], context[16], context[24]), (0x4b, 0x00, 0x01));
        assert_eq!(text(&context), WELL_FORMED.as_bytes());
    }

    #[test]
    fn every_copy_of_a_message_names_the_same_span() {
        let row = parse(WELL_FORMED).unwrap();
        let context = published(&row, &[7; 16]);
        assert_eq!(text(&context), *b"00-4bf92f3577b34da6a3ce929d0e0e4736-8707070707070707-01");
        assert_ne!(published(&row, &[0; 16])[16..24], [0; 8]);
    }

    #[test]
    fn a_later_version_may_be_longer() {
        assert!(parse(&WELL_FORMED.replacen("00", "01", 1)).is_some());
        assert!(parse(&format!("{}-more", WELL_FORMED.replacen("00", "01", 1))).is_some());
    }

    #[test]
    fn what_the_standard_refuses_is_none() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00x4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
