//! The configuration in force, as a file that says it all: defaults filled in, what has no effect left out. For
//! `/config.json` and `--check`. Files are named, never opened; headers for collectors may hold secrets and are left out.
//! Reading it gives the same configuration again.

mod layers;
mod parts;
mod routers;

use std::time::Duration;

use serde_json::{Value, json};

use super::{Config, Issuer, NodeIdentity, Plaintext, Telemeter};

/// As an object with the keys of the file.
pub fn effective(config: &Config) -> Value {
    let routers: Vec<_> = config.routers.iter().map(|r| routers::router(r)).collect();
    let mut all = json!({
        "admin": parts::admin(&config.admin),
        "telemetry": config.telemetry.iter().map(telemeter).collect::<Vec<_>>(),
        "identity": config.identity.as_ref().map(identity),
        "maxStaleSecs": config.max_stale.map(|d| d.as_secs()),
        "routers": routers,
    });
    strip(&mut all);
    all
}

/// What is not set is not there.
fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn telemeter(telemeter: &Telemeter) -> Value {
    match telemeter {
        Telemeter::Prometheus {
            path,
            prefix,
            has_histograms,
        } => json!({
            "kind": "io.l5d.prometheus",
            "path": path,
            "prefix": prefix,
            "histograms": has_histograms,
        }),
        Telemeter::RecentRequests {
            sample_rate,
            capacity,
        } => json!({
            "kind": "io.l5d.recentRequests",
            "sampleRate": sample_rate,
            "capacity": capacity,
        }),
        Telemeter::TraceLog { sample_rate, level } => json!({
            "kind": "io.l5d.tracelog",
            "sampleRate": sample_rate,
            "level": level.as_str(),
        }),
        Telemeter::OpenTelemetry {
            endpoint,
            sample_rate,
            headers: _,
            resource,
        } => json!({
            "kind": "io.l5d.opentelemetry",
            "endpoint": endpoint,
            "sampleRate": sample_rate,
            "resource": resource,
        }),
    }
}

fn identity(identity: &NodeIdentity) -> Value {
    let plaintext = match identity.plaintext {
        Plaintext::Refused => "refused",
        Plaintext::Allowed => "allowed",
    };
    match &identity.issuer {
        Issuer::Files { certificate, trust } => json!({
            "kind": "io.l5d.files",
            "certPath": certificate.certificate,
            "keyPath": certificate.key,
            "intermediateCertsPath": certificate.intermediates,
            "caCertPath": trust,
            "plaintext": plaintext,
        }),
        Issuer::Namerd {
            dst,
            tls,
            token_file,
        } => json!({
            "kind": "io.l5d.namerd",
            "dst": parts::destinations(dst),
            "tls": tls.as_ref().map(parts::client_tls),
            "tokenFile": token_file,
            "plaintext": plaintext,
        }),
    }
}
