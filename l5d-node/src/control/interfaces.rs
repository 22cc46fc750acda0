//! The addresses of this host's interfaces, as the kernel's tables show them: for the `localhost` transformer.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All addresses of interfaces that are up, loopback included; loopback alone if the kernel's tables cannot be read.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut all: BTreeSet<IpAddr> = v4(&read("/proc/net/fib_trie")).map(IpAddr::V4).collect();
    all.extend(v6(&read("/proc/net/if_inet6")).map(IpAddr::V6));
    if all.is_empty() {
        all.insert(Ipv4Addr::LOCALHOST.into());
    }
    all.into_iter().collect()
}

/// Addresses of the routing table's local hosts: a line `|-- ADDRESS` followed by one with `/32 host LOCAL`.
fn v4(table: &str) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let mut last = None;
    table.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
            return None;
        }
        if line.starts_with("/32 host LOCAL") {
            last
        } else {
            None
        }
    })
}

/// One address a line, 32 hexadecimal digits in front.
fn v6(table: &str) -> impl Iterator<Item = Ipv6Addr> + '_ {
    table.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        (digits.len() == 32).then(|| Ipv6Addr::from_bits(bits))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIB: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.1.2.0/24 2 0 2
        |-- 10.1.2.0
           /24 link UNICAST
        |-- 10.1.2.7
           /32 host LOCAL
        |-- 10.1.2.255
           /32 link BROADCAST
Local:
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
";

    #[test]
    fn reads_local_hosts_only() {
        let found: Vec<_> = v4(FIB).map(|ip| ip.to_string()).collect();
        assert_eq!(found, ["10.1.2.7", "127.0.0.1"]);
        let inet6 = "00000000000000000000000000000001 01 80 10 80       lo\nshort 01\n";
        assert_eq!(v6(inet6).collect::<Vec<_>>(), [Ipv6Addr::LOCALHOST]);
    }

    #[test]
    fn never_empty() {
        assert!(addresses().iter().any(IpAddr::is_loopback));
    }
}
