//! `ca`: the certificate authority of nodes.

use super::*;

#[test]
fn an_authority_is_in_files_or_in_a_secret() {
    assert_eq!(good(LEAST).ca, None);
    assert!(good(LEAST).effective().get("ca").is_none());
    let config = good(&with("ca: {kind: io.l5d.k8s.secret, trustDomain: c.l}"));
    let ca = config.ca.as_ref().expect("is given");
    let secret = CaSource::Secret {
        api: ApiServer::Plain("localhost".to_owned(), 8001),
        namespace: "default".to_owned(),
        name: "namerd-ca".to_owned(),
        root_life: Duration::from_secs(365 * 86_400),
    };
    assert_eq!((ca.life.as_secs(), &ca.source), (86_400, &secret));
    assert_eq!(config.effective()["ca"]["name"], "namerd-ca");
    let files =
        "ca: {kind: io.l5d.files, trustDomain: c.l, certPath: c, keyPath: k, lifeSecs: 3600}";
    let config = good(&with(files));
    assert_eq!(config.effective()["ca"]["keyPath"], "k");
    assert_eq!(config.ca.expect("is given").life.as_secs(), 3_600);
    for (keys, want) in [
        (
            "kind: io.l5d.files, trustDomain: c.l, certPath: c",
            "'keyPath' field is required",
        ),
        ("kind: io.l5d.k8s.secret", "'trustDomain' field is required"),
        (
            "kind: io.l5d.k8s.secret, trustDomain: C.L",
            "is not a trust domain",
        ),
        (
            "kind: io.l5d.k8s.secret, trustDomain: c.l, lifeSecs: 864000, rootLifeDays: 30",
            "at least twelve times",
        ),
        (
            "kind: io.l5d.k8s.secret, trustDomain: c.l, lifeSecs: 1",
            "lifeSecs",
        ),
        ("kind: io.l5d.vault, trustDomain: c.l", "io.l5d.vault"),
    ] {
        let found = mistakes(&with(&format!("ca: {{{keys}}}")));
        assert!(
            found.len() == 1 && found[0].contains(want),
            "{keys}: {found:?}"
        );
    }
}
