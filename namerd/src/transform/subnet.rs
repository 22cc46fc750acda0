//! Netmasks: bytewise, any mask (Kubernetes 4.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A mask for each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Netmask {
    v4: u32,
    v6: u128,
}

impl Netmask {
    /// This mask for its own family, the default for the other.
    pub(super) fn new(mask: IpAddr) -> Self {
        match mask {
            IpAddr::V4(v4) => Self {
                v4: v4.to_bits(),
                ..Self::default()
            },
            IpAddr::V6(v6) => Self {
                v6: v6.to_bits(),
                ..Self::default()
            },
        }
    }

    /// The subnet of an address. Addresses of different families never share one.
    pub(super) fn subnet(self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & self.v4).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & self.v6).into(),
        }
    }
}

impl Default for Netmask {
    /// /24, and /64 for IPv6 (K8S-55).
    fn default() -> Self {
        Self {
            v4: u32::MAX << 8,
            v6: u128::MAX << 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn k8s_4_3_masks_cut_at_any_bit() {
        let same = |mask: Netmask, a, b| mask.subnet(ip(a)) == mask.subnet(ip(b));
        let default = Netmask::default();
        assert!(same(default, "10.0.0.1", "10.0.0.254"));
        assert!(!same(default, "10.0.0.1", "10.0.1.1"));
        assert!(same(default, "fd00::1", "fd00::ffff:0:0:1"));
        assert!(!same(default, "fd00::1", "fd00:0:0:1::1"));
        let half = Netmask::new(ip("255.255.255.128"));
        assert!(same(half, "10.0.0.0", "10.0.0.127"));
        assert!(!same(half, "10.0.0.127", "10.0.0.128"));
        let wide = Netmask::new(ip("ffff:ffff:ffff::"));
        assert!(same(wide, "fd00::1", "fd00:0:0:1::1"));
        assert!(!same(Netmask::new(ip("0.0.0.0")), "10.0.0.1", "::"));
    }
}
