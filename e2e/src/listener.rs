//! A listener of a test's own that the shop's processes reach, wherever they run.

use std::net::TcpListener;

use shop::testing::is_in_containers;

/// A listener on a free port, and its address as the shop's processes know it.
pub fn a_listener() -> (TcpListener, String) {
    let (here, host) = if is_in_containers() {
        ("0.0.0.0:0", "host.docker.internal")
    } else {
        ("127.0.0.1:0", "127.0.0.1")
    };
    let listener = TcpListener::bind(here).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, format!("{host}:{port}"))
}
