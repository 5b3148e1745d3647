//! Which addresses may be connected to.
//!
//! Invariants: an address is refused unless it is public unicast or the server's `egress.allow` names its network; a
//! cloud metadata address is refused unless it is named exactly; the text of a URL is never what is judged, the address
//! that is connected is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Ports that no request may go to, wherever: remote shells, mail, name servers and Redis answer to text.
pub const DENIED_PORTS: [u16; 4] = [22, 25, 53, 6379];

/// A network: an address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network, such as `10.1.0.0/16`, `fd00::/8` or a single address")]
pub struct NetworkError {
    /// What was given.
    pub text: String,
}

impl Network {
    /// The network of all addresses that share the first `prefix` bits of `address`; no more bits than it has.
    pub const fn new(address: IpAddr, prefix: u8) -> Network {
        Network { address, prefix }
    }

    /// Whether the address is part of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                leading(u128::from(own.to_bits()) << 96, self.prefix)
                    == leading(u128::from(other.to_bits()) << 96, self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                leading(own.to_bits(), self.prefix) == leading(other.to_bits(), self.prefix)
            }
            _ => false,
        }
    }

    /// Whether it is this one address and no other.
    fn is_exactly(&self, address: IpAddr) -> bool {
        let bits = if self.address.is_ipv4() { 32 } else { 128 };
        self.prefix == bits && self.address == address
    }
}

/// The first `prefix` bits.
fn leading(bits: u128, prefix: u8) -> u128 {
    bits.checked_shr(128_u32.saturating_sub(u32::from(prefix))).unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let fail = || NetworkError { text: text.chars().take(80).collect() };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| fail())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().map_err(|_| fail())?,
            Some(_) => return Err(fail()),
            None => bits,
        };
        if prefix > bits { Err(fail()) } else { Ok(Network { address, prefix }) }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Network {
    Network::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Network {
    Network::new(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)), prefix)
}

/// What is not public unicast in IPv4, by the RFC that says so.
const REFUSED_V4: [Network; 15] = [
    v4(0, 0, 0, 0, 8),       // RFC 791: this network
    v4(10, 0, 0, 0, 8),      // RFC 1918: private
    v4(100, 64, 0, 0, 10),   // RFC 6598: carrier-grade NAT
    v4(127, 0, 0, 0, 8),     // RFC 1122: loopback
    v4(169, 254, 0, 0, 16),  // RFC 3927: link-local
    v4(172, 16, 0, 0, 12),   // RFC 1918: private
    v4(192, 0, 0, 0, 24),    // RFC 6890: protocol assignments
    v4(192, 0, 2, 0, 24),    // RFC 5737: documentation
    v4(192, 88, 99, 0, 24),  // RFC 7526: 6to4 relays
    v4(192, 168, 0, 0, 16),  // RFC 1918: private
    v4(198, 18, 0, 0, 15),   // RFC 2544: benchmarks
    v4(198, 51, 100, 0, 24), // RFC 5737: documentation
    v4(203, 0, 113, 0, 24),  // RFC 5737: documentation
    v4(224, 0, 0, 0, 4),     // RFC 5771: multicast
    v4(240, 0, 0, 0, 4),     // RFC 1112: reserved, and broadcast
];

/// Global unicast of IPv6; all that lies outside is refused: loopback, v4-mapped and v4-compatible addresses, NAT64,
/// unique local, link-local, multicast.
const GLOBAL_V6: Network = v6(0x2000, 0, 0, 0, 3);

/// What is refused inside of [`GLOBAL_V6`].
const REFUSED_V6: [Network; 4] = [
    v6(0x2001, 0, 0, 0, 23),     // RFC 2928: protocol assignments, Teredo and benchmarks among them
    v6(0x2001, 0xdb8, 0, 0, 32), // RFC 3849: documentation
    v6(0x2002, 0, 0, 0, 16),     // RFC 3056: 6to4
    v6(0x3fff, 0, 0, 0, 20),     // RFC 9637: documentation
];

/// Where clouds answer with the machine's credentials.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether an address is public unicast.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !REFUSED_V4.iter().any(|network| network.contains(address)),
        IpAddr::V6(_) => GLOBAL_V6.contains(address) && !REFUSED_V6.iter().any(|network| network.contains(address)),
    }
}

/// The server's policy about where requests may go.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    /// Networks that may be reached although they are not public.
    pub allow: Vec<Network>,
    /// Whether `http:` is allowed.
    pub allow_http: bool,
    /// The ports of public addresses that may be reached; nothing means all but [`DENIED_PORTS`].
    pub ports: Option<Vec<u16>>,
    /// The forward proxy that all requests take; the address check still applies to where they go.
    pub proxy: Option<super::Proxy>,
    /// Our own listeners, which no request may reach.
    pub own: Vec<SocketAddr>,
    /// Certificate authorities that are trusted besides the public ones, PEM.
    pub ca: Option<Vec<u8>>,
}

impl Egress {
    /// Whether a connection to this address and port is allowed.
    pub fn permits(&self, address: IpAddr, port: u16) -> bool {
        !DENIED_PORTS.contains(&port) && self.permits_mail(address, port)
    }

    /// The same for the mail server, whose port the operator has named himself: it may be one of [`DENIED_PORTS`], which
    /// are denied to what playbooks and destinations ask for.
    pub fn permits_mail(&self, address: IpAddr, port: u16) -> bool {
        if self.is_own(address, port) {
            return false;
        }
        if METADATA.contains(&address) {
            return self.allow.iter().any(|network| network.is_exactly(address));
        }
        if self.allow.iter().any(|network| network.contains(address)) {
            return true;
        }
        is_public(address) && self.ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }

    /// Whether one of our own listeners may answer there. One that listens everywhere answers at every address of this
    /// machine, which are not known here: then the port is refused for all that is not public.
    fn is_own(&self, address: IpAddr, port: u16) -> bool {
        self.own.iter().any(|own| {
            own.port() == port && (own.ip() == address || (own.ip().is_unspecified() && !is_public(address)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(allow: &[&str]) -> Egress {
        Egress { allow: allow.iter().map(|text| text.parse().unwrap()).collect(), ..Egress::default() }
    }

    fn permits(egress: &Egress, address: &str) -> bool {
        egress.permits(address.parse().unwrap(), 443)
    }

    #[test]
    fn every_special_range_is_refused_at_both_of_its_ends() {
        let egress = Egress::default();
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.255",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.0",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:a9fe:a9fe",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "::8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:ffff::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!permits(&egress, address), "{address}");
        }
    }

    #[test]
    fn the_neighbours_of_the_special_ranges_are_public() {
        let egress = Egress::default();
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
        ] {
            assert!(permits(&egress, address), "{address}");
        }
    }

    #[test]
    fn an_allowed_network_opens_itself_and_nothing_beside_it() {
        let egress = egress(&["10.1.0.0/16", "fd12::/32"]);
        assert!(permits(&egress, "10.1.2.3") && permits(&egress, "fd12::5"));
        assert!(!permits(&egress, "10.2.0.1") && !permits(&egress, "fd13::5") && !permits(&egress, "127.0.0.1"));
    }

    #[test]
    fn metadata_stays_refused_inside_a_wider_network_and_opens_only_by_its_exact_address() {
        let wide = egress(&["169.254.0.0/16", "100.64.0.0/10", "192.0.0.0/24", "fd00::/8", "0.0.0.0/0", "::/0"]);
        for address in ["169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"] {
            assert!(!permits(&wide, address), "{address}");
            assert!(permits(&egress(&[address]), address), "{address}");
        }
    }

    #[test]
    fn denied_ports_and_our_own_listener_are_refused_even_in_an_allowed_network() {
        let mut egress = egress(&["127.0.0.0/8"]);
        egress.own = vec!["0.0.0.0:7300".parse().unwrap(), "127.0.0.1:7400".parse().unwrap()];
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(egress.permits(local, 8080));
        for port in [22, 25, 53, 6379, 7300, 7400] {
            assert!(!egress.permits(local, port), "{port}");
        }
    }

    #[test]
    fn a_list_of_ports_binds_public_addresses_only() {
        let mut egress = egress(&["10.0.0.0/8"]);
        egress.ports = Some(vec![443]);
        let public: IpAddr = "1.1.1.1".parse().unwrap();
        assert!(egress.permits(public, 443) && !egress.permits(public, 8443));
        assert!(egress.permits("10.0.0.1".parse().unwrap(), 8443));
    }

    #[test]
    fn what_is_not_a_network_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/+8", "10.0.0.0/", "host/8", "fe80::1%eth0/64"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        assert_eq!("10.0.0.1".parse::<Network>().unwrap().to_string(), "10.0.0.1/32");
    }
}
