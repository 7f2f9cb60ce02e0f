//! The guard against addresses that are not public: a webhook must not reach into this network.
//!
//! A name is resolved once, by the resolver of the HTTP client itself, and the client connects to
//! nothing but the addresses that were checked here. So a name that changes its address between the
//! check and the connection gains nothing.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::time::timeout;

/// How long a name is looked up before a request about it is answered.
const LOOK_UP_MAX: Duration = Duration::from_secs(2);

/// Which addresses a client may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    PublicOnly,
    /// Private ones, too: for a stack on one machine.
    Any,
}

impl AddressPolicy {
    /// Whether a client may connect to this address.
    pub fn allows(self, address: IpAddr) -> bool {
        self == Self::Any || is_public(address)
    }

    /// Whether a URL may be called, as far as it shows by itself: an address that it names instead
    /// of a host is never resolved.
    pub fn allows_url(self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        address.map_or(true, |address| self.allows(address))
    }

    /// Whether a URL may be called as far as its name shows now. A name that has no address at the
    /// moment may: each call checks it again.
    pub async fn allows_name(self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        if self == Self::Any {
            return true;
        }
        match timeout(LOOK_UP_MAX, tokio::net::lookup_host((host, 0))).await {
            Ok(Ok(found)) => {
                let mut found = found.peekable();
                found.peek().is_none() || found.any(|address| self.allows(address.ip()))
            }
            Ok(Err(_)) | Err(_) => true,
        }
    }
}

/// Resolves names, and leaves out the addresses that a client may not connect to.
#[derive(Clone, Copy, Debug)]
pub struct GuardedResolver(pub AddressPolicy);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            // The client replaces the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| policy.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err("the name has no address that may be connected to".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public Internet (IANA's special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => {
            address.to_ipv4_mapped().map_or_else(|| is_public_v6(address), is_public_v4)
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_protocol = (a, b, c) == (192, 0, 0) || (a, b, c) == (192, 88, 99);
    let is_benchmark = a == 198 && (18..20).contains(&b);
    !(a == 0
        || a >= 240
        || is_shared
        || is_protocol
        || is_benchmark
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast())
}

/// Of IPv6, only global unicast (`2000::/3`) is public, without its ranges for protocols (Teredo
/// among them), documentation and 6to4, which lead elsewhere.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_protocol = a == 0x2001 && b < 0x0200;
    let is_documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    a & 0xe000 == 0x2000 && !is_protocol && !is_documentation && a != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_pass() {
        for public in "1.1.1.1 93.184.215.14 172.15.0.1 172.32.0.1 2606:4700::1111".split(' ') {
            assert!(AddressPolicy::PublicOnly.allows(public.parse().unwrap()), "{public}");
        }
        let private = "0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.0.0.8 \
            192.0.2.1 192.168.1.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 \
            ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::a00:1 2001:db8::1 2001::1 2002:a00:1:: \
            fc00::1 fd12::1 fe80::1 ff02::1";
        for private in private.split_whitespace() {
            assert!(!AddressPolicy::PublicOnly.allows(private.parse().unwrap()), "{private}");
            assert!(AddressPolicy::Any.allows(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_checked_however_it_is_written() {
        for url in ["http://127.0.0.1/x", "http://2130706433/", "http://0x7f.1/", "https://[::1]/"]
        {
            let url = Url::parse(url).unwrap();
            assert!(!AddressPolicy::PublicOnly.allows_url(&url), "{url}");
            assert!(AddressPolicy::Any.allows_url(&url), "{url}");
        }
        let public = Url::parse("https://sms.example/send").unwrap();
        assert!(AddressPolicy::PublicOnly.allows_url(&public));
    }

    #[tokio::test]
    async fn a_name_that_leads_here_is_not_resolved_for_a_public_webhook() {
        let resolve = async |policy| {
            let name = "localhost".parse().unwrap();
            GuardedResolver(policy).resolve(name).await.map(Iterator::count)
        };
        assert!(resolve(AddressPolicy::PublicOnly).await.is_err());
        assert!(resolve(AddressPolicy::Any).await.unwrap() > 0);
        let here = Url::parse("http://localhost:1/").unwrap();
        assert!(!AddressPolicy::PublicOnly.allows_name(&here).await);
        assert!(AddressPolicy::Any.allows_name(&here).await);
        let nowhere = Url::parse("https://nowhere.invalid/").unwrap();
        assert!(AddressPolicy::PublicOnly.allows_name(&nowhere).await, "it may be there later");
    }
}
