//! The utility namers: pure rewriting of paths (naming 5.2).

use l5d_naming::{Elem, Path};

use super::path_of;

/// What a utility namer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    /// Not for it.
    Neg,
    /// Look this up.
    To(Path),
    /// The path would be broken.
    Error(String),
}

/// Asks the utility namer of this name, if there is one.
pub(super) fn rewrite(name: &str, rest: &Path) -> Option<Rewritten> {
    let namer = match name {
        "io.buoyant.hostportPfx" => |rest: &Path| host_port(rest, false),
        "io.buoyant.porthostPfx" => |rest: &Path| host_port(rest, true),
        "io.buoyant.http.anyMethod" => |rest: &Path| drop_if(rest, 0, is_method),
        "io.buoyant.http.anyMethodPfx" => |rest: &Path| drop_if(rest, 1, is_method),
        "io.buoyant.http.anyHost" => |rest: &Path| drop_if(rest, 0, is_host),
        "io.buoyant.http.anyHostPfx" => |rest: &Path| drop_if(rest, 1, is_host),
        "io.buoyant.http.subdomainOf" => |rest: &Path| subdomain(rest, 0),
        "io.buoyant.http.subdomainOfPfx" => |rest: &Path| subdomain(rest, 1),
        "io.buoyant.http.domainToPath" => |rest: &Path| domain_to_path(rest, 0),
        "io.buoyant.http.domainToPathPfx" => |rest: &Path| domain_to_path(rest, 1),
        _ => return None,
    };
    Some(namer(rest))
}

/// `/P/HOST:PORT/r` to `/P/HOST/PORT/r`, or with host and port the other way round.
fn host_port(rest: &Path, port_first: bool) -> Rewritten {
    let [pfx, host_port, ..] = rest.elems() else {
        return Rewritten::Neg;
    };
    let text = host_port.to_text();
    let Some((host, port)) = text.trim_end_matches(':').split_once(':') else {
        return Rewritten::Neg;
    };
    if !is_port(port) {
        return Rewritten::Neg;
    }
    if host.is_empty() {
        return Rewritten::Error(format!("{host_port} has a port without a host"));
    }
    let parts = if port_first {
        [port, host]
    } else {
        [host, port]
    };
    behind(&pfx_path(pfx), &path_of(parts), rest, 2)
}

/// Without the element at `at`, if it fits.
fn drop_if(rest: &Path, at: usize, fits: fn(&str) -> bool) -> Rewritten {
    match rest.elems().get(at) {
        Some(elem) if fits(&elem.to_text()) => {
            Rewritten::To(rest.take(at).concat(&rest.skip(at + 1)))
        }
        _ => Rewritten::Neg,
    }
}

/// `/DOMAIN/HOST/r` to `/SUB/r`, with so many elements between domain and host.
fn subdomain(rest: &Path, between: usize) -> Rewritten {
    let elems = rest.elems();
    let (Some(domain), Some(host)) = (elems.first(), elems.get(1 + between)) else {
        return Rewritten::Neg;
    };
    let (domain, host) = (domain.to_text(), host.to_text());
    if !is_host(&domain) || !is_host(&host) {
        return Rewritten::Neg;
    }
    let host = match host.find(':') {
        None | Some(0) => &*host,
        Some(colon) => &host[..colon],
    };
    let sub = host
        .strip_suffix(&*domain)
        .and_then(|h| h.strip_suffix('.'))
        .filter(|sub| !sub.is_empty());
    match sub {
        Some(sub) => behind(
            &rest.skip(1).take(between),
            &path_of([sub]),
            rest,
            2 + between,
        ),
        None => Rewritten::Neg,
    }
}

/// `/a.b.c/r` to `/c/b/a/r`, behind so many elements.
fn domain_to_path(rest: &Path, at: usize) -> Rewritten {
    let Some(domain) = rest.elems().get(at) else {
        return Rewritten::Neg;
    };
    let text = domain.to_text();
    if !is_host(&text) {
        return Rewritten::Neg;
    }
    let labels: Vec<&str> = text.trim_end_matches('.').split('.').rev().collect();
    if labels.iter().any(|label| label.is_empty()) {
        return Rewritten::Error(format!("{domain} has an empty label"));
    }
    behind(&rest.take(at), &path_of(labels), rest, at + 1)
}

/// `first`, then `then`, then what stands behind the first `used` elements.
fn behind(first: &Path, then: &Path, rest: &Path, used: usize) -> Rewritten {
    Rewritten::To(first.concat(then).concat(&rest.skip(used)))
}

fn pfx_path(pfx: &Elem) -> Path {
    Path::from_elems([pfx.clone()])
}

fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'_' | b'-');
    !text.is_empty() && text.bytes().all(plain)
}

fn is_port(text: &str) -> bool {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(|b| lower(*b))
        && bytes.iter().all(|b| lower(*b) || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let path = Path::parse(text).unwrap();
        let name = path.elems()[0].to_text().into_owned();
        match rewrite(&name, &path.skip(1)) {
            None => "unknown".to_owned(),
            Some(Rewritten::Neg) => "~".to_owned(),
            Some(Rewritten::To(path)) => path.to_string(),
            Some(Rewritten::Error(_)) => "error".to_owned(),
        }
    }

    #[test]
    fn the_table_of_naming_5_2() {
        for (path, result) in [
            ("/io.buoyant.hostportPfx/hp/db:5432/x", "/hp/db/5432/x"),
            ("/io.buoyant.hostportPfx/hp/db", "~"),
            ("/io.buoyant.porthostPfx/ph/db:5432/x", "/ph/5432/db/x"),
            ("/io.buoyant.http.anyMethod/PUT/users/7", "/users/7"),
            ("/io.buoyant.http.anyHost/shop.example:80/users", "/users"),
            (
                "/io.buoyant.http.subdomainOf/example.org/img.eu.example.org:81/a",
                "/img.eu/a",
            ),
            ("/io.buoyant.http.subdomainOf/example.org/example.org", "~"),
            (
                "/io.buoyant.http.subdomainOfPfx/example.org/sub/img.example.org/a",
                "/sub/img/a",
            ),
            (
                "/io.buoyant.http.domainToPath/img.eu.example.org/a",
                "/org/example/eu/img/a",
            ),
            (
                "/io.buoyant.http.domainToPathPfx/d/img.example.org:81/a",
                "/d/org:81/example/img/a",
            ),
        ] {
            assert_eq!(told(path), result, "{path}");
        }
    }

    #[test]
    fn the_conditions_of_naming_5_2() {
        for (path, result) in [
            ("/io.buoyant.hostportPfx", "~"),
            ("/io.buoyant.hostportPfx/hp", "~"),
            ("/io.buoyant.hostportPfx/hp/db:http:", "/hp/db/http"),
            ("/io.buoyant.hostportPfx/hp/a:b:c", "~"),
            ("/io.buoyant.hostportPfx/hp/db:HTTP", "~"),
            ("/io.buoyant.hostportPfx/hp/:80", "error"),
            ("/io.buoyant.http.anyMethod", "~"),
            ("/io.buoyant.http.anyMethod/get/x", "~"),
            ("/io.buoyant.http.anyMethodPfx/p/GET/x", "/p/x"),
            ("/io.buoyant.http.anyHostPfx/p/h/x", "/p/x"),
            ("/io.buoyant.http.anyHost/h%/x", "~"),
            ("/io.buoyant.http.subdomainOf/e.org:80/a.e.org:80", "~"),
            ("/io.buoyant.http.subdomainOf/e.org/.e.org", "~"),
            ("/io.buoyant.http.subdomainOf/org/a.eorg", "~"),
            ("/io.buoyant.http.domainToPath/a.b./x", "/b/a/x"),
            ("/io.buoyant.http.domainToPath/a..b/x", "error"),
            ("/io.buoyant.http.domainToPath/.a/x", "error"),
            ("/io.buoyant.nosuch/x", "unknown"),
        ] {
            assert_eq!(told(path), result, "{path}");
        }
    }
}
