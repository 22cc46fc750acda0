//! Ingress rules from the node's side (K8S-44, RES-15).

use l5d_resolver::ingress::{FEATURE, Host, PathMatch, Rule};
use l5d_resolver::ingress_page::pages;

use super::*;

fn rules(count: usize) -> Table {
    let rule = |n: usize| Rule {
        host: Host::Any,
        path: PathMatch::exact(&format!("/{n}")).expect("a path"),
        namespace: "default".into(),
        service: n.to_string().into(),
        port: "80".into(),
        is_default: false,
    };
    Table::new((0..count).map(rule).collect::<Vec<_>>())
}

/// A session with namerd's welcome behind it, and its Hello.
fn welcomed(set: &Arc<FollowSet>, is_hidden: bool) -> (Session, v1::Hello) {
    let now = Instant::now();
    let mut session = open(set, is_hidden, now);
    let Some(v1::up::Message::Hello(hello)) = session.next_up(now).and_then(|up| up.message) else {
        panic!("hello comes first");
    };
    let welcome = v1::Welcome {
        features: vec![FEATURE.to_owned()],
        ..v1::Welcome::default()
    };
    let down = down(Message::Welcome(welcome));
    session.apply(down, now).expect("no fault");
    (session, hello)
}

fn tell(session: &mut Session, table: &Table) -> Result<(), Fault> {
    let now = Instant::now();
    let mut all = pages(table).into_iter().map(Message::Ingress);
    all.try_for_each(|page| session.apply(down(page), now))
}

/// K8S-44: a table comes in pages and counts when it is whole; the next stream offers it as held, and `held` keeps it.
#[tokio::test(start_paused = true)]
async fn k8s_44_a_table_counts_when_it_is_whole_and_is_offered_again() {
    let set = FollowSet::new();
    set.want_ingress("linkerd");
    let (mut session, hello) = welcomed(&set, false);
    let wish = hello.ingress.expect("a wish");
    assert_eq!((wish.class.as_str(), wish.held), ("linkerd", None));
    let (many, few) = (rules(1_000), rules(2));
    let mut first = pages(&many);
    let last = first.pop().expect("a page");
    for page in first {
        session
            .apply(down(Message::Ingress(page)), Instant::now())
            .expect("no fault");
        assert_eq!(set.ingress(), None, "not before the last page");
    }
    session
        .apply(down(Message::Ingress(last)), Instant::now())
        .expect("no fault");
    assert_eq!(set.ingress(), Some(many.clone()));

    let (mut next, hello) = welcomed(&set, false);
    assert_eq!(hello.ingress.expect("a wish").held, Some(many.hash()));
    let held = v1::Ingress {
        hash: many.hash(),
        held: true,
        ..v1::Ingress::default()
    };
    next.apply(down(Message::Ingress(held)), Instant::now())
        .expect("no fault");
    assert_eq!(set.ingress(), Some(many));
    tell(&mut next, &few).expect("no fault");
    assert_eq!(set.ingress(), Some(few));
}

/// RES-8: a table that is not what its hash says is a fault of the stream, and an error of namerd is noted; both leave the
/// last good table.
#[tokio::test(start_paused = true)]
async fn res_8_a_bad_table_or_an_error_leaves_the_last_good_one() {
    let set = FollowSet::new();
    set.want_ingress("linkerd");
    let (mut session, _) = welcomed(&set, false);
    let good = rules(3);
    tell(&mut session, &good).expect("no fault");
    let mut bad = pages(&rules(4)).remove(0);
    bad.rules.pop();
    let fault = session.apply(down(Message::Ingress(bad)), Instant::now());
    assert!(fault.is_err());
    assert_eq!(set.ingress(), Some(good.clone()));

    let (mut session, _) = welcomed(&set, false);
    let error = v1::Error {
        message: "no rules here".to_owned(),
        ..v1::Error::default()
    };
    let page = v1::Ingress {
        error: Some(error),
        ..v1::Ingress::default()
    };
    session
        .apply(down(Message::Ingress(page)), Instant::now())
        .expect("no fault");
    assert_eq!(set.ingress(), Some(good));
    assert_eq!(set.ingress_error().as_deref(), Some("no rules here"));
}

/// RES-12: a replica that is still hidden behind another one changes no rules before it takes over.
#[tokio::test(start_paused = true)]
async fn res_12_rules_of_a_hidden_stream_wait() {
    let set = FollowSet::new();
    set.want_ingress("linkerd");
    let (mut shown, _) = welcomed(&set, false);
    tell(&mut shown, &rules(1)).expect("no fault");
    let (mut hidden, _) = welcomed(&set, true);
    tell(&mut hidden, &rules(2)).expect("no fault");
    assert_eq!(set.ingress(), Some(rules(1)));
    hidden.take_over();
    assert_eq!(set.ingress(), Some(rules(2)));
}

/// A node without an Ingress router wishes for nothing.
#[tokio::test(start_paused = true)]
async fn res_15_without_a_router_for_them_rules_are_not_asked_for() {
    let (_, hello) = welcomed(&FollowSet::new(), false);
    assert_eq!(hello.ingress, None);
}
