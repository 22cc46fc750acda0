//! The packages `io.linkerd.proxy.destination` and `.net`: generated messages, the service, and addresses to and from
//! messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::net::ip_address::Ip;
use crate::net::{IPv6, IpAddress, TcpAddress};

/// Messages and services generated from `io/linkerd/proxy/destination.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod destination {
    tonic::include_proto!("io.linkerd.proxy.destination");
}

/// Messages generated from `io/linkerd/proxy/net.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod net {
    tonic::include_proto!("io.linkerd.proxy.net");
}

/// The encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

impl From<SocketAddr> for TcpAddress {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => Ip::Ipv4(ip.into()),
            IpAddr::V6(ip) => {
                let bits = u128::from(ip);
                Ip::Ipv6(IPv6 {
                    first: (bits >> 64) as u64,
                    last: bits as u64,
                })
            }
        };
        Self {
            ip: Some(IpAddress { ip: Some(ip) }),
            port: addr.port().into(),
        }
    }
}

impl TcpAddress {
    /// The address, if all of it is there.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let ip = match self.ip.as_ref()?.ip.as_ref()? {
            Ip::Ipv4(bits) => Ipv4Addr::from(*bits).into(),
            Ip::Ipv6(ip) => Ipv6Addr::from(u128::from(ip.first) << 64 | u128::from(ip.last)).into(),
        };
        Some(SocketAddr::new(ip, u16::try_from(self.port).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers_with_the_first_byte_highest() {
        let four: SocketAddr = "10.1.2.3:80".parse().unwrap();
        let message = TcpAddress::from(four);
        let ip = message.ip.as_ref().unwrap().ip.as_ref().unwrap();
        assert_eq!(*ip, Ip::Ipv4(0x0a01_0203));
        assert_eq!(message.socket_addr(), Some(four));
        let six: SocketAddr = "[fd00::1]:81".parse().unwrap();
        let message = TcpAddress::from(six);
        let ip = message.ip.as_ref().unwrap().ip.as_ref().unwrap();
        let (first, last) = (0xfd00_0000_0000_0000, 1);
        assert_eq!(*ip, Ip::Ipv6(IPv6 { first, last }));
        assert_eq!(message.socket_addr(), Some(six));
    }
}
