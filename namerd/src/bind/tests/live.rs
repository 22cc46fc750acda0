//! What follows from changes, and what is not evaluated again.

use super::*;

#[test]
fn a_file_that_appears_takes_over_and_gives_way_when_it_goes() {
    let world = World::new(&[("default", "10.0.0.1 80\n")]);
    let binding = world.bind(
        "/svc => /#/io.l5d.fs/default ; /svc => /#/io.l5d.fs",
        "/svc/web",
    );
    assert_eq!(show(&binding), "/#/io.l5d.fs/default + /web");
    world.write("web", "10.0.0.2 80\n");
    assert_eq!(show(&binding), "/#/io.l5d.fs/web");
    assert_eq!(endpoints(&binding), "[10.0.0.2:80]");
    let held = leaves(&binding);
    world.remove("web");
    assert_eq!(show(&binding), "/#/io.l5d.fs/default + /web");
    assert_eq!(held[0].cluster.replicas.value(), Replicas::Neg);
    // K8S-2: who has held the old leaf is fed again.
    world.write("web", "10.0.0.3 80\n");
    assert_eq!(show(&binding), "/#/io.l5d.fs/web");
    assert_eq!(
        show_replicas(&held[0].cluster.replicas.value()),
        "[10.0.0.3:80]"
    );
    assert!(Arc::ptr_eq(&leaves(&binding)[0].cluster, &held[0].cluster));
}

#[test]
fn a_change_of_addresses_is_no_change_of_the_tree() {
    let world = World::new(&[("web", "10.0.0.1 80\n"), ("idle", "")]);
    let binding = world.bind("/svc => /#/io.l5d.fs", "/svc/web");
    let (evaluations, version) = (world.binder.evaluations(), binding.state.get().0);
    for (content, result) in [
        ("10.0.0.2 80\n", "[10.0.0.2:80]"),
        ("", "[]"),
        ("nonsense", "failed: malformed address: nonsense"),
        ("10.0.0.3 80\n", "[10.0.0.3:80]"),
    ] {
        world.write("web", content);
        assert_eq!(endpoints(&binding), result);
    }
    // Written in place, with the same size and perhaps the same time stamp.
    std::fs::write(world.dir.path().join("web"), "10.0.0.4 80\n").unwrap();
    world.settle();
    assert_eq!(endpoints(&binding), "[10.0.0.4:80]");
    assert_eq!(world.binder.evaluations(), evaluations);
    assert_eq!(binding.state.get().0, version);
}

#[test]
fn a_file_in_a_directory_that_becomes_one() {
    let world = World::new(&[]);
    let binding = world.bind("", "/#/io.l5d.fs/team/api/x");
    assert_eq!(show(&binding), "~");
    std::fs::create_dir(world.dir.path().join("team")).unwrap();
    world.settle();
    assert_eq!(show(&binding), "~");
    world.write("team/api", "10.0.0.1 80\n");
    assert_eq!(show(&binding), "/#/io.l5d.fs/team/api + /x");
    std::fs::remove_dir_all(world.dir.path().join("team")).unwrap();
    world.write("team", "10.0.0.2 80\n");
    assert_eq!(show(&binding), "/#/io.l5d.fs/team + /api/x");
}

/// Architecture 3: one evaluation for all who ask, none after an unrelated change.
#[tokio::test]
async fn evaluations_are_shared_and_only_what_was_read_counts() {
    let world = World::new(&[("web", "10.0.0.1 80\n"), ("other", "")]);
    world
        .store
        .create("default", dtab("/svc => /#/io.l5d.fs"))
        .await
        .unwrap();
    let key = stored("", "/svc/web");
    let port = TransformerSpec {
        port: "4141".to_owned(),
        ..spec("io.l5d.port")
    };
    let askers: Vec<_> = (0..200).map(|_| world.ask(&key)).collect();
    let others: Vec<_> = (0..200)
        .map(|i| {
            let caller = Caller {
                node: Some(format!("node-{i}").into()),
                ..Caller::default()
            };
            world
                .binder
                .bind(
                    &transformed(key.clone(), std::slice::from_ref(&port)),
                    &caller,
                )
                .unwrap()
        })
        .collect();
    assert_eq!(world.binder.evaluations(), 1);
    assert!(others.iter().all(|o| Arc::ptr_eq(o, &others[0])));
    assert_eq!(show(&others[0]), "/%/io.l5d.port/4141/#/io.l5d.fs/web");

    world.write("other", "10.0.0.9 80\n");
    world.write("third", "10.0.0.9 80\n");
    world.remove("other");
    world.write("web", "10.0.0.2 80\n");
    world
        .store
        .create("elsewhere", dtab("/svc => /x"))
        .await
        .unwrap();
    world.settle();
    assert_eq!(world.binder.evaluations(), 1);
    assert_eq!(endpoints(&askers[0]), "[10.0.0.2:80]");
    assert_eq!(endpoints(&others[0]), "[10.0.0.2:4141]");

    world
        .store
        .put("default", dtab("/svc => /#/io.l5d.fs/third"))
        .await
        .unwrap();
    world.settle();
    assert_eq!(world.binder.evaluations(), 2);
    assert_eq!(show(&askers[9]), "/#/io.l5d.fs/third + /web");
    assert_eq!(
        show(&others[9]),
        "/%/io.l5d.port/4141/#/io.l5d.fs/third + /web"
    );
}

/// Naming 5.4: a namespace that does not exist is an empty dtab, live.
#[tokio::test]
async fn a_stored_dtab_is_followed() {
    let world = World::new(&[("web", "10.0.0.1 80\n")]);
    let binding = world.ask(&stored("/l => /#/io.l5d.fs", "/svc/web"));
    assert_eq!(show(&binding), "~");
    world
        .store
        .create("default", dtab("/svc => /l"))
        .await
        .unwrap();
    world.settle();
    assert_eq!(show(&binding), "/#/io.l5d.fs/web");
    world.store.put("default", dtab("/svc => !")).await.unwrap();
    world.settle();
    assert_eq!(show(&binding), "!");
    world.store.delete("default").await.unwrap();
    world.settle();
    assert_eq!(show(&binding), "~");
}

/// Who has written a dtab and asks then is not told what was before it, although nothing has run in between.
#[tokio::test]
async fn who_asks_after_a_write_sees_it() {
    let world = World::new(&[("web", "10.0.0.1 80\n")]);
    let key = stored("", "/svc/web");
    let binding = world.ask(&key);
    for (rules, result) in [
        ("/svc => $", "$"),
        ("/svc => /#/io.l5d.fs", "/#/io.l5d.fs/web"),
    ] {
        world.store.put("default", dtab(rules)).await.unwrap();
        let again = world.binder.bind(&key, &Caller::default()).unwrap();
        assert!(Arc::ptr_eq(&again, &binding));
        assert_eq!(show(&again), result);
    }
}

/// Naming 8.1: stored, then the router's, then the request's; the later wins.
#[tokio::test]
async fn the_order_of_the_parts() {
    let world = World::new(&[("a", ""), ("b", ""), ("c", "")]);
    world
        .store
        .create("default", dtab("/svc => /#/io.l5d.fs/a"))
        .await
        .unwrap();
    let key = BindKey {
        router: dtab("/svc => /#/io.l5d.fs/b"),
        ..stored("", "/svc")
    };
    assert_eq!(show(&world.ask(&key)), "/#/io.l5d.fs/b");
    let local = dtab("/svc => /#/io.l5d.fs/c");
    let overridden = BindKey {
        local,
        ..key.clone()
    };
    assert_eq!(show(&world.ask(&overridden)), "/#/io.l5d.fs/c");
    let local = dtab("/svc => /#/io.l5d.fs/none");
    assert_eq!(
        show(&world.ask(&BindKey { local, ..key })),
        "/#/io.l5d.fs/b"
    );
}

pub(super) fn with_fake() -> (World, Arc<Fake>) {
    let fake = Fake::new("/#/fake");
    let namer = Arc::clone(&fake);
    (World::with(&[], |_| vec![namer as _]), fake)
}

/// Trap 17: an alternative waits for earlier ones, a union does not wait and tells so.
#[test]
fn pending_branches() {
    let (world, fake) = with_fake();
    fake.tell("a", Told::Pending);
    fake.tell("b", Told::Leaf);
    let alt = world.bind("/svc => /#/fake/a | /#/fake/b", "/svc");
    let behind = world.bind("/svc => /#/fake/b | /#/fake/a", "/svc");
    let union = world.bind("/svc => /#/fake/a & /#/fake/b", "/svc");
    let alone = world.bind("/svc => /#/fake/a & /#/fake/a/x", "/svc");
    assert_eq!(show(&alt), "pending");
    assert_eq!(show(&behind), "/#/fake/b");
    assert_eq!(
        (show(&union).as_str(), union.is_partial()),
        ("/#/fake/b", true)
    );
    assert_eq!(show(&alone), "pending");
    fake.tell("a", Told::Leaf);
    world.settle();
    assert_eq!(show(&alt), "/#/fake/a");
    assert_eq!(
        (show(&union).as_str(), union.is_partial()),
        ("/#/fake/a & /#/fake/b", false)
    );
    assert_eq!(show(&alone), "/#/fake/a & /#/fake/a + /x");
}

/// Trap 16.
#[test]
fn failed_branches() {
    let (world, fake) = with_fake();
    fake.tell("a", Told::Failed);
    fake.tell("b", Told::Leaf);
    let alt = world.bind("/svc => /#/fake/a | /#/fake/b", "/svc");
    let union = world.bind("/svc => /#/fake/a & /#/fake/b", "/svc");
    let pending = world.bind("/svc => /#/fake/a & /#/fake/p", "/svc");
    fake.tell("p", Told::Pending);
    world.settle();
    assert_eq!(show(&alt), "failed: a is broken");
    assert_eq!(show(&union), "/#/fake/b");
    assert_eq!(show(&pending), "failed: a is broken");
    fake.tell("a", Told::Neg);
    world.settle();
    assert_eq!(show(&alt), "/#/fake/b");
    assert_eq!(
        show(&pending),
        "~",
        "the pending branch is left out of what is Ok"
    );
}

/// Alternatives are lazy: what stands behind the chosen one is not asked.
#[test]
fn what_is_not_needed_is_not_asked() {
    let (world, fake) = with_fake();
    fake.tell("a", Told::Leaf);
    let binding = world.bind("/svc => /#/fake/a | /#/fake/b | /#/fake/c", "/svc");
    assert_eq!((show(&binding).as_str(), fake.asked()), ("/#/fake/a", 1));
    fake.tell("b", Told::Leaf);
    world.settle();
    assert_eq!((world.binder.evaluations(), fake.asked()), (1, 1));
    fake.tell("a", Told::Neg);
    world.settle();
    assert_eq!((show(&binding).as_str(), fake.asked()), ("/#/fake/b", 3));
}

/// Equal successive states are reported once.
#[test]
fn an_equal_state_is_no_news() {
    let (world, fake) = with_fake();
    fake.tell("b", Told::Leaf);
    let binding = world.bind("/svc => /#/fake/a | /#/fake/b", "/svc");
    let version = binding.state.get().0;
    fake.tell("a", Told::Pending);
    fake.tell("a", Told::Neg);
    world.settle();
    assert_eq!(binding.state.get().0, version);
}

/// What nobody holds is forgotten after the idle time, with what it followed.
#[tokio::test(start_paused = true)]
async fn idle_bindings_leave() {
    let (world, fake) = with_fake();
    fake.tell("a", Told::Leaf);
    let binding = world.bind("", "/#/fake/a");
    let number = binding.number;
    drop(binding);
    world.binder.sweep();
    tokio::time::sleep(IDLE_TIME / 2).await;
    world.binder.sweep();
    let again = world.bind("", "/#/fake/a");
    assert_eq!(again.number, number);
    let held = world.bind("", "/#/fake/b");
    drop(again);
    tokio::time::sleep(IDLE_TIME * 2).await;
    world.binder.sweep();
    assert_eq!(world.binder.bindings().len(), 2, "idle since this sweep");
    tokio::time::sleep(IDLE_TIME).await;
    world.binder.sweep();
    let kept: Vec<_> = world.binder.bindings().iter().map(|b| b.number).collect();
    assert_eq!(kept, [held.number]);
    assert_eq!(fake.cell("a").listeners(), 0);
}

/// Neither can a flood of huge questions, which a bound of their number would let through.
#[test]
fn a_flood_of_huge_questions_is_bounded() {
    let (world, _fake) = with_fake();
    for i in 0..200 {
        let path = format!("/svc/{i}{}", "/a".repeat(30_000));
        drop(world.bind("", &path));
    }
    let kept = world.binder.bindings().len();
    assert!((10..60).contains(&kept), "{kept}");
}

/// A flood of overrides cannot keep more than a bounded number of idle bindings.
#[test]
fn a_flood_of_overrides_is_bounded() {
    let (world, _fake) = with_fake();
    for i in 0..6_000 {
        drop(world.bind(&format!("/svc => /#/fake/x{i}"), "/svc"));
    }
    let kept = world.binder.bindings().len();
    assert!(kept <= 4_000, "{kept} are kept");
    world.binder.sweep();
    assert_eq!(world.binder.bindings().len(), 1_000);
}

#[test]
fn names_are_listed_live() {
    let world = World::new(&[("b", ""), ("a", "")]);
    let names = world.binder.names_cell();
    let shown = || -> Vec<String> { names.get().1.iter().map(ToString::to_string).collect() };
    assert_eq!(shown(), ["/#/io.l5d.fs/a", "/#/io.l5d.fs/b"]);
    world.write("c", "");
    assert_eq!(
        shown(),
        ["/#/io.l5d.fs/a", "/#/io.l5d.fs/b", "/#/io.l5d.fs/c"]
    );
}

/// Naming 4.5: the tree is a leaf at once; the addresses follow.
#[tokio::test(start_paused = true)]
async fn hosts_are_resolved_by_and_by() {
    let world = World::new(&[]);
    let running = tokio::spawn(world.engine.clone().run());
    world.dns.answer("db", &[[10, 0, 0, 7], [10, 0, 0, 8]], 5);
    let binding = world.bind("", "/$/inet/db/80/x");
    assert_eq!(show(&binding), "/$/inet/db/80 + /x");
    assert_eq!(endpoints(&binding), "pending");
    let cell = Arc::clone(&leaves(&binding)[0].cluster.replicas);
    cell.wait_for(|r| show_replicas(r) == "[10.0.0.7:80, 10.0.0.8:80]")
        .await;
    world
        .dns
        .fail("db", super::super::dns::LookupError::Unknown);
    cell.wait_for(|r| *r == Replicas::Neg).await;
    assert_eq!(
        show(&binding),
        "/$/inet/db/80 + /x",
        "no fall-back (trap 15)"
    );
    running.abort();
}

/// Naming 5.1: what does not resolve is left out.
#[tokio::test(start_paused = true)]
async fn hosts_in_files_are_resolved() {
    let world = World::new(&[("web", "db 80\nnone 80\n10.0.0.1 81\n")]);
    let running = tokio::spawn(world.engine.clone().run());
    world.dns.answer("db", &[[10, 0, 0, 7]], 5);
    let binding = world.bind("", "/#/io.l5d.fs/web");
    let cell = Arc::clone(&leaves(&binding)[0].cluster.replicas);
    cell.wait_for(|r| show_replicas(r) == "[10.0.0.1:81, 10.0.0.7:80]")
        .await;
    running.abort();
}

/// Naming 5.1: no restart, and no interval that a user would notice.
#[tokio::test(start_paused = true)]
async fn files_are_looked_at_by_a_task() {
    let world = World::new(&[("web", "10.0.0.1 80\n")]);
    let fs = Arc::clone(&world.files.lock()[0]);
    let looking = tokio::spawn(fs.run());
    let running = tokio::spawn(world.engine.clone().run());
    let binding = world.bind("", "/#/io.l5d.fs/late");
    std::fs::write(world.dir.path().join("late"), "10.0.0.9 80\n").unwrap();
    let begun = tokio::time::Instant::now();
    binding
        .state
        .wait_for(|s| matches!(s, BindState::Tree(NameTree::Leaf(_))))
        .await;
    assert!(begun.elapsed() <= std::time::Duration::from_secs(1));
    looking.abort();
    running.abort();
}
