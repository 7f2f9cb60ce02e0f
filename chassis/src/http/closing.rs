//! How a listener is closed without resetting a client that has already connected.
//!
//! Closing a listener resets every connection that the kernel has set up and nobody has accepted,
//! and those whose handshake is under way. So new handshakes are refused first, by a filter on the
//! socket that drops what asks for one (SYN); what the kernel had begun is accepted meanwhile. A
//! client whose SYN is dropped sends it again a second later, and is refused then: it has sent
//! nothing, and asks elsewhere.

use std::{io, time::Duration};

use socket2::{SockFilter, SockRef};
use tokio::net::TcpListener;

/// How long handshakes under way have to end: two ways to a client and back.
pub(super) const LAST_HANDSHAKES: Duration = Duration::from_millis(200);

/// Where the flags are in the header of a segment, and the one that asks for a connection
/// (RFC 9293 §3.1). A listener gets no segment with SYN and ACK.
const FLAGS_AT: u32 = 13;
const SYN: u32 = 0x02;
/// Instructions of a classic BPF program (Linux, `Documentation/networking/filter.rst`).
const LOAD_BYTE: u16 = 0x30;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// From now on `listener` answers no new handshake; those under way go on.
pub(super) fn refuse_handshakes(listener: &TcpListener) -> io::Result<()> {
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}
