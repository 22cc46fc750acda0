//! Transformers of routers and of namers: naming 6, resolver API 3, K8S-68.

use super::*;
use crate::bind::namers::TransformedNamer;

const FILES: &[(&str, &str)] = &[("web", "10.0.0.1 80\n10.0.0.2 80\n")];

fn port(port: &str) -> TransformerSpec {
    TransformerSpec {
        port: port.to_owned(),
        ..spec("io.l5d.port")
    }
}

fn host(host: &str) -> TransformerSpec {
    TransformerSpec {
        host: host.to_owned(),
        ..spec("io.l5d.specificHost")
    }
}

fn with_path(kind: &str, path: &str) -> TransformerSpec {
    TransformerSpec {
        path: path.to_owned(),
        ..spec(kind)
    }
}

fn konst(path: &str) -> TransformerSpec {
    with_path("io.l5d.const", path)
}

fn replace(path: &str) -> TransformerSpec {
    with_path("io.l5d.replace", path)
}

/// An `fs` namer at `/#/p`, with these transformers, over the same directory.
fn world_with(specs: &[TransformerSpec]) -> World {
    World::with(FILES, |parts| {
        let built = specs.iter().map(|s| parts.transforms.build(s).unwrap());
        let inner = parts.fs("/p");
        let system = Arc::clone(&parts.system);
        vec![Arc::new(TransformedNamer::new(
            inner,
            built.collect(),
            system,
        ))]
    })
}

/// The table of naming 6.4: what is applied, then id, residual and endpoints.
fn table() -> Vec<(Option<TransformerSpec>, &'static str, &'static str)> {
    let named = TransformerSpec {
        prefix: "/in".to_owned(),
        ..port("4141")
    };
    vec![
        (None, "/#/p/web + /x", "[10.0.0.1:80, 10.0.0.2:80]"),
        (
            Some(port("4141")),
            "/%/io.l5d.port/4141/#/p/web + /x",
            "[10.0.0.1:4141, 10.0.0.2:4141]",
        ),
        (
            Some(host("10.0.0.2")),
            "/%/io.l5d.specificHost/#/p/web + /x",
            "[10.0.0.2:80]",
        ),
        (
            Some(host("10.9.9.9")),
            "/%/io.l5d.specificHost/#/p/web + /x",
            "neg",
        ),
        (
            Some(named),
            "/%/in/#/p/web + /x",
            "[10.0.0.1:4141, 10.0.0.2:4141]",
        ),
        (
            Some(konst("/$/inet/10.1.1.1/90")),
            "/%/io.l5d.const/$/inet/10.1.1.1/90",
            "[10.1.1.1:90]",
        ),
        (
            Some(replace("/$/inet/10.1.1.1/90/y")),
            "/%/io.l5d.replace/$/inet/10.1.1.1/90/y + /y",
            "[10.1.1.1:90]",
        ),
    ]
}

#[test]
fn the_table_of_naming_6_4_on_an_interpreter() {
    let world = world_with(&[]);
    for (spec, id, set) in table() {
        let specs: Vec<_> = spec.into_iter().collect();
        let binding = world.ask(&transformed(local("/svc => /#/p", "/svc/web/x"), &specs));
        assert_eq!(show(&binding), id);
        assert_eq!(endpoints(&binding), set, "{id}");
        let missing = world.ask(&transformed(local("/svc => /#/p", "/svc/none"), &specs));
        let is_const = specs.iter().any(|s| s.kind == "io.l5d.const");
        assert_eq!(show(&missing), if is_const { id } else { "~" });
    }
}

#[test]
fn the_table_of_naming_6_4_on_a_namer() {
    for (spec, id, set) in table() {
        let world = world_with(&spec.clone().into_iter().collect::<Vec<_>>());
        let binding = world.bind("/svc => /#/p", "/svc/web/x");
        assert_eq!(show(&binding), id);
        assert_eq!(endpoints(&binding), set, "{id}");
        let is_const = spec.is_some_and(|s| s.kind == "io.l5d.const");
        let missing = world.told("/svc => /#/p", "/svc/none");
        assert_eq!(missing, if is_const { id } else { "~" });
        // Naming 6.1: the id leads there again, through the transformed namer.
        let asked = id.split(" + ").next().unwrap();
        let again = world
            .binder
            .bind_id(&path(asked), &Caller::default())
            .unwrap();
        if !is_const && !asked.contains("replace") {
            assert_eq!(show(&again), asked);
        }
        assert_eq!(endpoints(&again), set, "{id}");
    }
}

/// Trap 28: the last applied comes first in the id.
#[test]
fn transformers_stack() {
    let world = world_with(&[port("4141")]);
    let key = transformed(local("", "/#/p/web"), &[host("10.0.0.1"), port("4242")]);
    let binding = world.ask(&key);
    assert_eq!(
        show(&binding),
        "/%/io.l5d.port/4242/%/io.l5d.specificHost/%/io.l5d.port/4141/#/p/web"
    );
    assert_eq!(endpoints(&binding), "[10.0.0.1:4242]");
    world.write("web", "10.0.0.1 1\n10.0.0.1 2\n");
    assert_eq!(endpoints(&binding), "[10.0.0.1:4242 * 2]", "K8S-72");
    let key = transformed(
        local("", "/none"),
        &[konst("/$/inet/10.1.1.1/90"), port("4141")],
    );
    let binding = world.ask(&key);
    assert_eq!(
        show(&binding),
        "/%/io.l5d.port/4141/%/io.l5d.const/$/inet/10.1.1.1/90"
    );
    assert_eq!(endpoints(&binding), "[10.1.1.1:4141]");
}

/// Trap 27 and naming 6.3.
#[test]
fn const_and_replace() {
    let (world, fake) = super::live::with_fake();
    let [c, r] =
        ["io.l5d.const", "io.l5d.replace"].map(|kind| with_path(kind, "/$/inet/10.1.1.1/90"));
    let [cid, rid] = ["const", "replace"].map(|k| format!("/%/io.l5d.{k}/$/inet/10.1.1.1/90"));
    for (tree, by_const, by_replace) in [
        ("~", &*cid, "~"),
        ("!", &cid, "!"),
        ("$", &cid, "$"),
        ("/#/fake/pending", "pending", "pending"),
        (
            "/#/fake/failed",
            "failed: failed is broken",
            "failed: failed is broken",
        ),
        ("/#/fake/leaf/rest", &cid, &rid),
    ] {
        fake.tell("pending", Told::Pending);
        fake.tell("failed", Told::Failed);
        fake.tell("leaf", Told::Leaf);
        let key = local(&format!("/svc => {tree}"), "/svc");
        let told = |spec: &TransformerSpec| {
            show(&world.ask(&transformed(key.clone(), std::slice::from_ref(spec))))
        };
        assert_eq!(
            (told(&c).as_str(), told(&r).as_str()),
            (by_const, by_replace),
            "{tree}"
        );
    }
    let union = local("/svc => 0.3 * /#/fake/leaf & 0.7 * $", "/svc");
    let binding = world.ask(&transformed(union, &[r]));
    assert_eq!(
        show(&binding),
        format!("0.30*{rid} & 0.70*$"),
        "the shape stays"
    );
}

/// Naming 6.3: on an interpreter namerd's namers are there, with an empty dtab; on a namer only `/$/`.
#[test]
fn where_a_replacement_is_bound() {
    let world = world_with(&[]);
    let key = transformed(
        local("/svc => /#/p ; /#/p/web => !", "/none"),
        &[konst("/#/p/web/rest")],
    );
    let binding = world.ask(&key);
    assert_eq!(show(&binding), "/%/io.l5d.const/#/p/web/rest + /rest");
    world.remove("web");
    assert_eq!(show(&binding), "~");
    let world = world_with(&[konst("/#/io.l5d.fs/web")]);
    assert_eq!(world.told("", "/#/p/web"), "~");
}

/// Resolver API 3, sharing: same base, list and class are one cluster and one number.
#[test]
fn what_depends_on_the_caller_is_shared_by_class() {
    let world = world_with(&[]);
    let caller = |node: &str, addresses: &[&str]| Caller {
        node: Some(node.into()),
        pod_ip: None,
        addresses: addresses.iter().map(|a| ip(a)).collect(),
    };
    let bind = |specs: &[TransformerSpec], caller: &Caller| {
        let key = transformed(local("", "/#/p/web"), specs);
        world.binder.bind(&key, caller).unwrap()
    };
    let (one, two) = (caller("a", &["10.0.0.1"]), caller("b", &["10.0.0.2"]));
    let ports = [port("4141")];
    assert_eq!(bind(&ports, &one).number, bind(&ports, &two).number);
    let local_host = [spec("io.l5d.localhost")];
    let (first, second) = (bind(&local_host, &one), bind(&local_host, &two));
    assert_eq!(show(&first), show(&second), "the id does not tell");
    assert_eq!(endpoints(&first), "[10.0.0.1:80]");
    assert_eq!(endpoints(&second), "[10.0.0.2:80]");
    let elsewhere = caller("c", &["10.0.0.1"]);
    assert_eq!(bind(&local_host, &elsewhere).number, first.number);
    assert_eq!(world.binder.evaluations(), 1, "all share the base");
}

/// K8S-68: on a namer, localhost is the asking node's; the cluster of another namer is still shared.
#[test]
fn a_namer_may_depend_on_the_caller() {
    let world = world_with(&[spec("io.l5d.localhost")]);
    let caller = |address: &str| Caller {
        addresses: Arc::new([ip(address)]),
        ..Caller::default()
    };
    let bind = |path: &str, caller: &Caller| world.binder.bind(&local("", path), caller).unwrap();
    let (one, two) = (caller("10.0.0.1"), caller("10.0.0.2"));
    assert_eq!(endpoints(&bind("/#/p/web", &one)), "[10.0.0.1:80]");
    assert_eq!(endpoints(&bind("/#/p/web", &two)), "[10.0.0.2:80]");
    let nobody = endpoints(&bind("/#/p/web", &Caller::default()));
    assert!(nobody.starts_with("failed: "), "{nobody}");
    let plain = [&one, &two].map(|c| leaves(&bind("/#/io.l5d.fs/web", c))[0].cluster.number);
    assert_eq!(plain[0], plain[1]);
}

#[test]
fn a_bad_list_is_refused() {
    let world = world_with(&[]);
    for (specs, part) in [
        (vec![spec("io.l5d.nosuch")], "io.l5d.nosuch"),
        (vec![port("no port")], "io.l5d.port"),
        (vec![port("1"); 17], "17"),
    ] {
        let key = transformed(local("", "/#/p/web"), &specs);
        let refused = world.binder.bind(&key, &Caller::default()).unwrap_err();
        assert!(refused.to_string().contains(part), "{refused}");
    }
}

/// Many threads that ask at once share one evaluation.
#[test]
fn racing_askers_share_one_evaluation() {
    let world = world_with(&[]);
    let key = transformed(local("/svc => /#/p", "/svc/web"), &[port("4141")]);
    let numbers: Vec<u32> = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..8).map(|_| scope.spawn(|| world.ask(&key))).collect();
        askers
            .into_iter()
            .map(|a| a.join().unwrap().number)
            .collect()
    });
    assert!(numbers.iter().all(|n| *n == numbers[0]));
    assert_eq!(world.binder.evaluations(), 1);
}

/// What thousands of names go through is compared by where it is, whoever sent it, and goes with its last user.
#[test]
fn equal_lists_become_one() {
    let world = world_with(&[]);
    let list = |text: &str| world.binder.list(&[port(text)].as_slice().into());
    let (first, second) = (list("80"), list("80"));
    let key = |list: &Transformers| BindKey {
        transformers: list.clone(),
        ..local("", "/svc/web")
    };
    let bind = |list| world.binder.bind(&key(list), &Caller::default()).unwrap();
    let held = bind(&first);
    assert!(held.key.transformers.is_same(&first));
    assert!(
        list("80").is_same(&first),
        "while someone is bound through it"
    );
    assert_eq!(first, second);
    assert!(
        Arc::ptr_eq(&held, &bind(&second)),
        "equal lists are one question"
    );
    assert_ne!(first, list("81"));
}
