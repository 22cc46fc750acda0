//! Which node stands at which gateway, from the node's side (RES-8, RES-15).

use std::net::IpAddr;

use l5d_resolver::gateways::{FEATURE, Gateways};

use super::*;

fn names(nodes: &[(u8, &str)]) -> Gateways {
    let at = |(last, name): &(u8, &str)| (IpAddr::from([10, 0, 0, *last]), (*name).into());
    Gateways::new(nodes.iter().map(at).collect())
}

/// A session with the welcome of a namerd that has these features, and its Hello.
fn welcomed(set: &Arc<FollowSet>, is_hidden: bool, features: &[&str]) -> (Session, v1::Hello) {
    let now = Instant::now();
    let mut session = open(set, is_hidden, now);
    let Some(v1::up::Message::Hello(hello)) = session.next_up(now).and_then(|up| up.message) else {
        panic!("hello comes first");
    };
    let welcome = v1::Welcome {
        features: features.iter().map(|f| (*f).to_owned()).collect(),
        ..v1::Welcome::default()
    };
    session.apply(down(Message::Welcome(welcome)), now).unwrap();
    (session, hello)
}

fn tell(session: &mut Session, message: v1::Gateways) -> Result<(), Fault> {
    session.apply(down(Message::Gateways(message)), Instant::now())
}

fn known(set: &FollowSet) -> Option<Gateways> {
    set.gateways().map(|held| Gateways::clone(&held))
}

#[tokio::test(start_paused = true)]
async fn names_are_kept_changed_and_offered_again() {
    let set = FollowSet::new();
    set.want_gateways();
    let (mut session, hello) = welcomed(&set, false, &[FEATURE]);
    assert_eq!(hello.gateways.expect("a wish").held, None);
    assert_eq!(known(&set), Some(Gateways::default()), "this namerd tells");
    let (first, second) = (
        names(&[(1, "a"), (2, "b"), (4, "e")]),
        names(&[(1, "c"), (3, "d"), (4, "e")]),
    );
    for page in first.pages() {
        tell(&mut session, page).unwrap();
    }
    assert_eq!(known(&set), Some(first.clone()));
    tell(&mut session, second.change_from(&first).unwrap()).unwrap();
    assert_eq!(known(&set), Some(second.clone()));
    // A namerd that restarts takes nothing away by being new.
    let (mut next, hello) = welcomed(&set, false, &[FEATURE]);
    assert_eq!(hello.gateways.expect("a wish").held, Some(second.hash()));
    assert_eq!(known(&set), Some(second.clone()));
    let held = v1::Gateways {
        hash: second.hash(),
        held: true,
        ..v1::Gateways::default()
    };
    tell(&mut next, held.clone()).unwrap();
    assert_eq!(known(&set), Some(second.clone()));
    assert!(tell(&mut next, v1::Gateways { hash: 1, ..held }).is_err());
    assert_eq!(known(&set), Some(second));
}

#[tokio::test(start_paused = true)]
async fn res_8_names_that_do_not_fit_end_the_stream_and_the_good_ones_stay() {
    let set = FollowSet::new();
    set.want_gateways();
    let (mut session, _) = welcomed(&set, false, &[FEATURE]);
    let good = names(&[(1, "a")]);
    tell(&mut session, good.pages().remove(0)).unwrap();
    let mut bad = names(&[(1, "b")]).pages().remove(0);
    bad.hash ^= 1;
    assert!(tell(&mut session, bad).is_err());
    assert_eq!(known(&set), Some(good));
}

#[tokio::test(start_paused = true)]
async fn res_15_an_older_namerd_is_known_by_its_silence_and_a_hidden_one_waits() {
    let set = FollowSet::new();
    set.want_gateways();
    let (mut session, _) = welcomed(&set, false, &[FEATURE]);
    tell(&mut session, names(&[(1, "a")]).pages().remove(0)).unwrap();
    let (mut hidden, _) = welcomed(&set, true, &[]);
    assert_eq!(known(&set), Some(names(&[(1, "a")])));
    hidden.take_over();
    assert_eq!(known(&set), None);
    // Who has no identity asks for none.
    let (_, hello) = welcomed(&FollowSet::new(), false, &[FEATURE]);
    assert_eq!(hello.gateways, None);
}
