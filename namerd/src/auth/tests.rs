//! Proofs against scripted reviews. The clock is paused where it matters.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use tokio::time::{Instant, advance};

use super::*;
use crate::config::{CallerAuth, CallerProof, NodeAuth, NodeProof};
use crate::tls::ClientNames;

/// Knows tokens `NODE.CLAIMS.x` of the service account `linkerd/l5d`.
#[derive(Debug, Default)]
struct Script {
    asked: Mutex<u32>,
    is_away: Mutex<bool>,
}

impl Script {
    fn asked(&self) -> u32 {
        *self.asked.lock()
    }
}

#[async_trait]
impl Reviews for Script {
    async fn token(&self, token: &str, _: &[String]) -> Result<Verdict, Unanswered> {
        *self.asked.lock() += 1;
        if *self.is_away.lock() {
            return Err(Unanswered("connection refused".to_owned()));
        }
        let node = token.split('.').next().unwrap_or_default().to_owned();
        if node.is_empty() || token.starts_with("bad") {
            return Ok(Verdict::No("unknown".to_owned()));
        }
        let mut user = TokenUser {
            name: "system:serviceaccount:linkerd:l5d".to_owned(),
            ..TokenUser::default()
        };
        if node != "unbound" {
            let claim = "authentication.kubernetes.io/node-name".to_owned();
            user.extra.insert(claim, vec![node]);
        }
        Ok(Verdict::User(user))
    }

    async fn access(
        &self,
        _: &TokenUser,
        access: &Access,
    ) -> Result<Result<(), String>, Unanswered> {
        Ok(match access.verb {
            "update" => Ok(()),
            _ => Err("no rule".to_owned()),
        })
    }
}

fn token(node: &str, lives: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let claims = format!(r#"{{"exp":{}}}"#, now.as_secs() + lives);
    format!("Bearer {node}.{}.x", URL_SAFE_NO_PAD.encode(claims))
}

fn guard(script: &Arc<Script>, proofs: &[NodeProof], change: fn(&mut NodeAuth)) -> NodeGuard {
    let mut wanted = NodeAuth {
        proofs: proofs.to_vec(),
        ..NodeAuth::default()
    };
    change(&mut wanted);
    NodeGuard::new(&wanted, Some(Arc::clone(script) as _))
}

/// What is proved, whenever that ends.
async fn prove(
    guard: &NodeGuard,
    client: Option<&ClientNames>,
    shown: Option<&[u8]>,
) -> Result<Proven, Denied> {
    let proven = guard.prove(client, shown).await;
    proven.map(|(proven, _)| proven)
}

fn nodes(names: &[&str]) -> Result<Proven, Denied> {
    Ok(Proven::Nodes(
        names.iter().map(|n| (*n).to_owned()).collect(),
    ))
}

const TOKEN: &[NodeProof] = &[NodeProof::ServiceAccount];
const CERTIFICATE: &[NodeProof] = &[NodeProof::Certificate];

#[tokio::test]
async fn a_token_proves_the_node_of_its_pod_and_no_other() {
    let script = Arc::<Script>::default();
    let guard = guard(&script, TOKEN, |_| {});
    let token = token("node-1", 3_600);
    let proven = prove(&guard, None, Some(token.as_bytes())).await;
    assert_eq!(proven, nodes(&["node-1"]));
    let proven = proven.expect("proven");
    assert_eq!(proven.allows("node-1"), Ok(()));
    for other in ["node-2", "", "node-1x"] {
        assert!(
            matches!(proven.allows(other), Err(Denied::Forbidden(_))),
            "{other}"
        );
    }
    let unbound = prove(&guard, None, Some(b"Bearer unbound")).await;
    assert!(matches!(unbound, Err(Denied::Forbidden(_))), "{unbound:?}");
    for nothing in [
        None,
        Some(&b"Basic x"[..]),
        Some(b"Bearer "),
        Some(b"Bearer bad"),
    ] {
        let proven = prove(&guard, None, nothing).await;
        assert!(matches!(proven, Err(Denied::Unproven(_))), "{proven:?}");
    }
}

#[tokio::test]
async fn only_the_service_accounts_of_nodes_are_nodes() {
    let script = Arc::<Script>::default();
    let ours = guard(&script, TOKEN, |w| {
        w.service_accounts = vec!["linkerd/l5d".to_owned()]
    });
    let others = guard(&script, TOKEN, |w| {
        w.service_accounts = vec!["default/l5d".to_owned()]
    });
    let token = token("node-1", 3_600);
    assert_eq!(
        prove(&ours, None, Some(token.as_bytes())).await,
        nodes(&["node-1"])
    );
    let proven = prove(&others, None, Some(token.as_bytes())).await;
    assert!(matches!(proven, Err(Denied::Forbidden(_))), "{proven:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_about_once_until_its_end_also_while_nobody_can_tell() {
    let script = Arc::<Script>::default();
    let guard = guard(&script, TOKEN, |_| {});
    let token = token("node-1", 600);
    for _ in 0..3 {
        assert_eq!(
            prove(&guard, None, Some(token.as_bytes())).await,
            nodes(&["node-1"])
        );
    }
    assert_eq!(script.asked(), 1);
    *script.is_away.lock() = true;
    advance(Duration::from_secs(500)).await;
    assert_eq!(
        prove(&guard, None, Some(token.as_bytes())).await,
        nodes(&["node-1"])
    );
    advance(Duration::from_secs(101)).await;
    let proven = prove(&guard, None, Some(token.as_bytes())).await;
    assert!(matches!(proven, Err(Denied::Unchecked(_))), "{proven:?}");
    assert_eq!(script.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_believed_for_a_short_time() {
    let script = Arc::<Script>::default();
    let guard = guard(&script, TOKEN, |_| {});
    for (seconds, asked) in [(0, 1), (5, 1), (6, 2)] {
        advance(Duration::from_secs(seconds)).await;
        let proven = prove(&guard, None, Some(b"Bearer bad")).await;
        assert!(matches!(proven, Err(Denied::Unproven(_))), "{proven:?}");
        assert_eq!(script.asked(), asked);
    }
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let script = Arc::<Script>::default();
    let guard = guard(&script, TOKEN, |_| {});
    for n in 0..25_000 {
        let bad = format!("Bearer bad{n}");
        let _ = prove(&guard, None, Some(bad.as_bytes())).await;
    }
    let shown = format!("{guard:?}");
    let kept = shown.split("known: ").nth(1).expect("a count");
    let kept: String = kept.chars().take_while(char::is_ascii_digit).collect();
    assert!(
        kept.parse::<usize>().expect("a number") <= 20_000,
        "{shown}"
    );
}

#[tokio::test]
async fn a_certificate_proves_its_names() {
    let script = Arc::<Script>::default();
    let spiffe = guard(&script, CERTIFICATE, |w| {
        w.trust_domain = Some("a.b".to_owned())
    });
    let dns = guard(&script, CERTIFICATE, |_| {});
    let names = ClientNames {
        uris: vec![
            "spiffe://a.b/node/one".to_owned(),
            "spiffe://other/node/two".to_owned(),
            "spiffe://a.b/ns/three".to_owned(),
            "spiffe://a.b/node/four/five".to_owned(),
            "https://a.b/node/six".to_owned(),
        ],
        dns: vec!["seven".to_owned()],
        common_name: Some("eight".to_owned()),
        not_after: None,
    };
    assert_eq!(prove(&spiffe, Some(&names), None).await, nodes(&["one"]));
    assert_eq!(prove(&dns, Some(&names), None).await, nodes(&["seven"]));
    for guard in [&spiffe, &dns] {
        for client in [None, Some(&ClientNames::default())] {
            let proven = prove(guard, client, None).await;
            assert!(matches!(proven, Err(Denied::Unproven(_))), "{proven:?}");
        }
    }
    let either = guard(&script, &[CERTIFICATE, TOKEN].concat(), |_| {});
    let token = token("node-1", 3_600);
    let both = prove(&either, Some(&names), Some(token.as_bytes())).await;
    assert_eq!(both, nodes(&["seven", "node-1"]));
    assert_eq!(prove(&either, Some(&names), None).await, nodes(&["seven"]));
}

#[tokio::test]
async fn who_asks_need_not_be_a_node_but_somebody() {
    let script = Arc::<Script>::default();
    let tools = |proofs: &[CallerProof]| {
        let wanted = NodeAuth {
            tools: proofs.to_vec(),
            ..NodeAuth::default()
        };
        NodeGuard::new(&wanted, Some(Arc::clone(&script) as _))
    };
    let (certificate, token) = (CallerProof::Certificate, CallerProof::Token);
    let (nobody, good) = (Some(ClientNames::default()), &b"Bearer unbound"[..]);
    let open = tools(&[]);
    assert!(!open.asks_tools());
    assert_eq!(open.let_ask(None, None).await, Ok(None));
    for (proofs, client, shown, is_let_in) in [
        (&[certificate][..], &nobody, None, true),
        (&[certificate], &None, Some(good), false),
        (&[token], &nobody, None, false),
        (&[token], &None, Some(good), true),
        (&[token], &None, Some(b"Bearer bad"), false),
        (&[certificate, token], &nobody, Some(b"Bearer bad"), true),
        (&[certificate, token], &None, Some(good), true),
        (&[certificate, token], &None, None, false),
    ] {
        let guard = tools(proofs);
        assert!(guard.asks_tools());
        let asked = guard.let_ask(client.as_ref(), shown).await;
        match is_let_in {
            true => assert_eq!(asked, Ok(None), "{proofs:?}"),
            false => assert!(matches!(asked, Err(Denied::Unproven(_))), "{asked:?}"),
        }
    }
    *script.is_away.lock() = true;
    let asked = tools(&[token]).let_ask(None, Some(good)).await;
    assert!(matches!(asked, Err(Denied::Unchecked(_))), "{asked:?}");
}

/// A proof's end is said, to those who let streams in by it: of a token, of a certificate, of both.
#[tokio::test(start_paused = true)]
async fn what_a_proof_lets_in_ends_with_it() {
    let script = Arc::<Script>::default();
    let wanted = NodeAuth {
        tools: vec![CallerProof::Token],
        ..NodeAuth::default()
    };
    let tools = NodeGuard::new(&wanted, Some(Arc::clone(&script) as _));
    let shown = token("node-1", 600);
    let left = |until: Option<Instant>| {
        let left = until.expect("an end").duration_since(Instant::now());
        left.as_secs().div_ceil(10) * 10
    };
    let asked = tools.let_ask(None, Some(shown.as_bytes())).await;
    assert_eq!(left(asked.expect("good")), 600);
    advance(Duration::from_secs(100)).await;
    let asked = tools.let_ask(None, Some(shown.as_bytes())).await;
    assert_eq!(left(asked.expect("remembered")), 500, "of the first answer");
    let either = guard(&script, &[CERTIFICATE, TOKEN].concat(), |_| {});
    let names = ClientNames {
        dns: vec!["node-1".to_owned()],
        ..ClientNames::default()
    };
    let (_, until) = either
        .prove(None, Some(shown.as_bytes()))
        .await
        .expect("good");
    assert_eq!(left(until), 600);
    let shown = Some(shown.as_bytes());
    let (proven, until) = either.prove(Some(&names), shown).await.expect("good");
    assert_eq!((proven, until), (nodes(&["node-1"]).expect("some"), None));
    // The clock that certificates are written by is not paused; a day is far from an hour.
    let at = |secs: i64| {
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .expect("after 1970")
            .as_secs();
        Some(now.cast_signed() + secs)
    };
    const DAY: u64 = 86_400;
    let days = |until: Option<Instant>| left(until).div_ceil(DAY);
    for (days_left, node, expected) in [(3, "node-1", 3), (3, "node-2", 1)] {
        let names = ClientNames {
            dns: vec![node.to_owned()],
            not_after: at(days_left * 86_400),
            ..ClientNames::default()
        };
        let (_, alone) = either.prove(Some(&names), None).await.expect("good");
        assert_eq!(days(alone), 3);
        let (_, both) = either.prove(Some(&names), shown).await.expect("good");
        assert_eq!(days(both), expected, "{node}");
    }
    let ended = ClientNames {
        dns: vec!["node-1".to_owned()],
        not_after: at(-1),
        ..ClientNames::default()
    };
    let refused = either.prove(Some(&ended), None).await;
    assert!(matches!(refused, Err(Denied::Unproven(_))), "{refused:?}");
    let (proven, until) = either.prove(Some(&ended), shown).await.expect("a token");
    assert_eq!(
        (proven, left(until)),
        (nodes(&["node-1"]).expect("some"), 600)
    );
    let wanted = NodeAuth {
        tools: vec![CallerProof::Certificate],
        ..NodeAuth::default()
    };
    let tools = NodeGuard::new(&wanted, None);
    let asked = tools.let_ask(Some(&ended), None).await;
    assert!(matches!(asked, Err(Denied::Unproven(_))), "{asked:?}");
    let valid = ClientNames {
        not_after: at(86_400),
        ..ended
    };
    assert_eq!(
        days(tools.let_ask(Some(&valid), None).await.expect("good")),
        1
    );
}

#[tokio::test]
async fn callers_may_what_a_certificate_or_the_review_says() {
    let wanted = CallerAuth {
        writes: vec![CallerProof::Certificate, CallerProof::Token],
        clients: vec!["deployer".to_owned()],
        ..CallerAuth::default()
    };
    let guard = CallerGuard::new(&wanted, Some(Arc::<Script>::default() as _));
    let access = |verb| Access {
        verb,
        name: Some("default".to_owned()),
    };
    let client = |name: &str| ClientNames {
        common_name: Some(name.to_owned()),
        ..ClientNames::default()
    };
    let token = token("unbound", 60);
    let token = Some(token.as_bytes());
    assert_eq!(guard.allow(None, None, &access("get")).await, Ok(()));
    assert_eq!(
        guard
            .allow(Some(&client("deployer")), None, &access("delete"))
            .await,
        Ok(())
    );
    assert_eq!(
        guard
            .allow(Some(&client("x")), token, &access("update"))
            .await,
        Ok(())
    );
    let denied = guard.allow(None, token, &access("delete")).await;
    assert!(matches!(denied, Err(Denied::Forbidden(_))), "{denied:?}");
    let denied = guard.allow(None, None, &access("update")).await;
    assert!(matches!(denied, Err(Denied::Unproven(_))), "{denied:?}");
}
