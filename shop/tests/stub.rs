//! Stands in for a process of the shop: always healthy, and prints the settings that it was started
//! with.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
};

fn main() -> std::io::Result<()> {
    let name = std::env::args().next().unwrap_or_default();
    let settings: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("SHOP_")).collect();
    for (name, value) in &settings {
        writeln!(std::io::stdout(), "{name}={value}")?;
    }
    let told = settings.iter().find(|(name, _)| name == "SHOP_PORT");
    let port: u16 = told.and_then(|(_, port)| port.parse().ok()).unwrap_or_default();
    // These two are asked at their private listener.
    let is_private = ["outbox-relay", "smtp-sink"].iter().any(|it| name.ends_with(it));
    let port = if is_private { port + 1000 } else { port };
    if settings.iter().any(|(name, _)| name == "SHOP_BROKEN") {
        writeln!(std::io::stderr(), "no wheels on this one")?;
        std::process::exit(3);
    }
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let mut stream = stream?;
        // A client that goes away must not end the stub.
        let Ok(_some) = stream.read(&mut [0; 1024]) else { continue };
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
        stream.write_all(answer.as_bytes()).ok();
    }
    Ok(())
}
