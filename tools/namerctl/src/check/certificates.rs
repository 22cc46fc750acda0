//! Certificates: how long they still hold.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::outcome::Outcomes;

/// Time to renew a certificate by hand.
const SOON_DAYS: i64 = 14;
const DAY: i64 = 86_400;

/// Judges the first certificate of each chain, and that none of the others ends sooner.
pub(crate) fn judge(subject: &str, chain: &[CertificateDer<'_>], outcomes: &mut Outcomes) {
    judge_at(subject, chain, Timestamp::now().as_second(), outcomes);
}

fn judge_at(subject: &str, chain: &[CertificateDer<'_>], now: i64, outcomes: &mut Outcomes) {
    let mut first_to_end: Option<(i64, String)> = None;
    for der in chain {
        let certificate = match X509Certificate::from_der(der) {
            Ok((_, certificate)) => certificate,
            Err(e) => {
                let hint = "replace it: it is no X.509 certificate";
                outcomes.fail("certificate", subject, format!("cannot be read: {e}"), hint);
                return;
            }
        };
        let name = certificate.subject().to_string();
        let (from, until) = (
            certificate.validity().not_before.timestamp(),
            certificate.validity().not_after.timestamp(),
        );
        if from > now {
            let seen = format!("{name} holds from {} on only", day(from));
            let hint = "look at the clocks of this machine and of the one that signed it";
            outcomes.fail("certificate", subject, seen, hint);
            return;
        }
        if first_to_end.as_ref().is_none_or(|(end, _)| until < *end) {
            first_to_end = Some((until, name));
        }
    }
    let Some((end, name)) = first_to_end else {
        let hint = "a PEM file begins with -----BEGIN CERTIFICATE-----";
        outcomes.fail("certificate", subject, "there is none", hint);
        return;
    };
    let seen = format!("{name} holds until {}", day(end));
    if end <= now {
        outcomes.fail(
            "certificate",
            subject,
            seen,
            "renew it: it has ended, and clients refuse it",
        );
    } else if end - now < SOON_DAYS * DAY {
        outcomes.warn("certificate", subject, seen, "renew it soon");
    } else {
        outcomes.ok("certificate", subject, seen);
    }
}

fn day(second: i64) -> String {
    Timestamp::from_second(second).map_or("?".to_owned(), |t| t.to_string())
}

/// Judges PEM text.
pub(crate) fn judge_pem(subject: &str, pem: &[u8], outcomes: &mut Outcomes) {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) => judge(subject, &chain, outcomes),
        Err(e) => {
            let hint = "write it as PEM: -----BEGIN CERTIFICATE-----";
            outcomes.fail("certificate", subject, format!("cannot be read: {e}"), hint);
        }
    }
}

/// Judges a file that a configuration names; it need not be on this machine.
pub(crate) fn judge_file(file: &str, outcomes: &mut Outcomes) {
    match std::fs::read(file) {
        Ok(pem) => judge_pem(file, &pem, outcomes),
        Err(e) => {
            let hint =
                "run the check where that file is, or let it look at the port that serves it";
            outcomes.skip(
                "certificate",
                file,
                format!("cannot be read here: {e}"),
                hint,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Outcomes, Status};
    use super::{DAY, judge_at, judge_pem};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    #[test]
    fn certificates_are_judged_by_their_end() {
        let issued = l5d_tests::pki::Authority::new("l5d").expect("an authority");
        let issued = issued.issue(&["namerd"]).expect("a certificate");
        let der = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("PEM");
        let end = {
            use x509_parser::prelude::{FromDer as _, X509Certificate};
            let (_, read) = X509Certificate::from_der(&der).expect("a certificate");
            read.validity().not_after.timestamp()
        };
        for (now, status) in [
            (end - 30 * DAY, Status::Ok),
            (end - 3 * DAY, Status::Warn),
            (end + 1, Status::Fail),
            (0, Status::Fail),
        ] {
            let mut outcomes = Outcomes::default();
            judge_at("it", std::slice::from_ref(&der), now, &mut outcomes);
            assert_eq!(outcomes.0[0].status, status, "{:?}", outcomes.0);
        }
        let mut outcomes = Outcomes::default();
        judge_pem("no certificate", b"hello", &mut outcomes);
        assert_eq!(outcomes.0[0].status, Status::Fail);
    }
}
