//! The address of the client, and what services are told of it (RFC 7239).
//!
//! Anybody can write `Forwarded` and `X-Forwarded-…`, so they are believed only of proxies that are
//! set as trusted; of all others they are dropped.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use clap::ValueEnum;
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What proxies write about the client besides its address.
const X_FORWARDED: [HeaderName; 4] = [
    X_FORWARDED_FOR,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
];
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The header in which trusted proxies write the client's address.
// Only one: a proxy passes on what a client has written in the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProxyHeader {
    /// `Forwarded` (RFC 7239)
    Forwarded,
    /// `X-Forwarded-For`
    XForwardedFor,
}

/// Which proxies are believed, and how they tell.
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    pub networks: Vec<IpNet>,
    pub header: ProxyHeader,
    /// What clients speak with the gateway: http or https.
    pub scheme: &'static str,
}

impl TrustedProxies {
    /// Whether `peer` is a proxy that is believed.
    fn trusts(&self, peer: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&peer))
    }

    /// The address of the client behind `peer`: the last that no trusted proxy has.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.networks.is_empty() || !self.trusts(client) {
            return client;
        }
        let name = match self.header {
            ProxyHeader::Forwarded => header::FORWARDED,
            ProxyHeader::XForwardedFor => X_FORWARDED_FOR,
        };
        let lines = headers.get_all(name).into_iter().map(|line| line.to_str().unwrap_or_default());
        let elements: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
        for element in elements.into_iter().rev() {
            let address = match self.header {
                ProxyHeader::Forwarded => for_of(element),
                ProxyHeader::XForwardedFor => address(element),
            };
            // What no address can be read from ends what is known.
            let Some(address) = address else { break };
            client = address.to_canonical();
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    /// Puts into `onward` what a service is told of a request from `peer`.
    pub fn tell(&self, peer: IpAddr, onward: &mut HeaderMap) {
        let peer = peer.to_canonical();
        let is_trusted = self.trusts(peer);
        let before = match (is_trusted, self.header) {
            (true, ProxyHeader::Forwarded) => {
                let lines = onward.get_all(header::FORWARDED).into_iter();
                let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
                lines.join(", ")
            }
            _ => String::new(),
        };
        let mut forwarded = before;
        if !forwarded.is_empty() {
            forwarded.push_str(", ");
        }
        let scheme = self.scheme;
        let node = match peer {
            IpAddr::V4(peer) => write!(forwarded, "for={peer};proto={scheme}"),
            IpAddr::V6(peer) => write!(forwarded, "for=\"[{peer}]\";proto={scheme}"),
        };
        node.expect("text takes what is written");
        if is_trusted {
            let lines = onward.get_all(X_FORWARDED_FOR).into_iter();
            let mut chain: Vec<String> =
                lines.filter_map(|line| Some(line.to_str().ok()?.to_owned())).collect();
            if !chain.is_empty() {
                chain.push(peer.to_string());
                let value = HeaderValue::try_from(chain.join(", "));
                onward.insert(X_FORWARDED_FOR, value.expect("made of headers' values"));
            }
        } else {
            self.forget(onward);
        }
        let value = HeaderValue::try_from(forwarded).expect("made of headers' values");
        onward.insert(header::FORWARDED, value);
    }

    /// Removes what a stranger says of where a request comes from.
    pub fn forget(&self, onward: &mut HeaderMap) {
        onward.remove(header::FORWARDED);
        for name in X_FORWARDED.into_iter().chain([X_REAL_IP]) {
            onward.remove(name);
        }
    }
}

/// The address in an element's `for`.
fn for_of(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut values =
        pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for")).map(|(_, value)| value);
    address(values.next()?.trim().trim_matches('"'))
}

/// An address, perhaps with a port; that of version 6 in brackets or bare.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(header: ProxyHeader) -> TrustedProxies {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        TrustedProxies { networks: networks.into(), header, scheme: "http" }
    }

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, text)| (name.clone(), text.parse().unwrap()));
        lines.collect()
    }

    #[test]
    fn the_client_is_the_last_that_no_trusted_proxy_has() {
        use ProxyHeader::{Forwarded, XForwardedFor};

        let client = |header, peer: &str, line: &str| {
            let name = match header {
                Forwarded => header::FORWARDED,
                XForwardedFor => X_FORWARDED_FOR,
            };
            proxies(header).client(peer.parse().unwrap(), &headers(&[(name, line)])).to_string()
        };
        for (header, peer, line, found) in [
            (Forwarded, "10.0.0.1", "for=192.0.2.7", "192.0.2.7"),
            (Forwarded, "10.0.0.1", "For=\"192.0.2.7:4711\";proto=https", "192.0.2.7"),
            (Forwarded, "10.0.0.1", "for=\"[2001:db8::1]:80\"", "2001:db8::1"),
            (Forwarded, "10.0.0.1", "for=6.6.6.6, for=192.0.2.7, for=10.0.0.2", "192.0.2.7"),
            (Forwarded, "10.0.0.1", "for=192.0.2.7, for=_hidden", "10.0.0.1"),
            (Forwarded, "10.0.0.1", "for=192.0.2.7, for=unknown, for=10.0.0.2", "10.0.0.2"),
            (Forwarded, "192.0.2.9", "for=192.0.2.7", "192.0.2.9"),
            (Forwarded, "::ffff:10.0.0.1", "for=192.0.2.7", "192.0.2.7"),
            (Forwarded, "fd00::1", "for=192.0.2.7", "192.0.2.7"),
            (XForwardedFor, "10.0.0.1", "6.6.6.6, 192.0.2.7 , 10.0.0.2", "192.0.2.7"),
            (XForwardedFor, "10.0.0.1", "2001:db8::1", "2001:db8::1"),
            (XForwardedFor, "10.0.0.1", "", "10.0.0.1"),
            (XForwardedFor, "192.0.2.9", "192.0.2.7", "192.0.2.9"),
        ] {
            assert_eq!(client(header, peer, line), found, "{peer} {line}");
        }
        let other = headers(&[(X_FORWARDED_FOR, "6.6.6.6")]);
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(proxies(Forwarded).client(peer, &other), peer);
    }

    #[test]
    fn a_strangers_words_are_dropped_and_a_proxys_are_continued() {
        let sent = headers(&[
            (header::FORWARDED, "for=6.6.6.6"),
            (X_FORWARDED_FOR, "6.6.6.6"),
            (HeaderName::from_static("x-forwarded-proto"), "https"),
        ]);
        let told = |peer: &str| {
            let mut onward = sent.clone();
            proxies(ProxyHeader::Forwarded).tell(peer.parse().unwrap(), &mut onward);
            onward
        };

        let strangers = told("192.0.2.9");
        assert_eq!(strangers[header::FORWARDED], "for=192.0.2.9;proto=http");
        assert_eq!(strangers.len(), 1);
        let proxys = told("fd00::1");
        assert_eq!(proxys[header::FORWARDED], "for=6.6.6.6, for=\"[fd00::1]\";proto=http");
        assert_eq!(proxys[X_FORWARDED_FOR], "6.6.6.6, fd00::1");
        assert_eq!(proxys["x-forwarded-proto"], "https");
    }
}
