//! What names come to: the tables of naming 4, 5 and 6 and the traps of naming 11.

use super::*;

const FILES: &[(&str, &str)] = &[
    ("web", "10.0.0.1 80\n10.0.0.2 80\n"),
    ("web-v2", "10.0.0.3 80\n"),
    ("idle", ""),
    ("bad", "10.0.0.1:80\n"),
];

#[test]
fn the_examples_of_naming_4_8() {
    let world = World::new(FILES);
    for (rules, asked, result) in [
        (
            "/svc => /#/io.l5d.fs",
            "/svc/web/a",
            "/#/io.l5d.fs/web + /a",
        ),
        ("/svc => /#/io.l5d.fs", "/svc/none", "~"),
        (
            "/svc => /#/io.l5d.fs/web ; /svc => /#/io.l5d.fs/idle",
            "/svc",
            "/#/io.l5d.fs/idle",
        ),
        (
            "/svc => 0.9 * /#/io.l5d.fs/web & 0.1 * /#/io.l5d.fs/web-v2",
            "/svc",
            "0.90*/#/io.l5d.fs/web & 0.10*/#/io.l5d.fs/web-v2",
        ),
        (
            "/svc => 0.9 * /#/io.l5d.fs/web & 0.1 * /#/io.l5d.fs/none",
            "/svc",
            "/#/io.l5d.fs/web",
        ),
        (
            "/svc => (! & !) | /#/io.l5d.fs/web",
            "/svc",
            "/#/io.l5d.fs/web",
        ),
        ("/svc => ! | /#/io.l5d.fs/web", "/svc", "!"),
        ("/svc => /x | /#/io.l5d.fs/web ; /x => /x", "/svc", "depth"),
        (
            "/svc => /#/io.l5d.fs/web | /x ; /x => /x",
            "/svc",
            "/#/io.l5d.fs/web",
        ),
        ("/ => /#/io.l5d.fs", "/web", "depth"),
    ] {
        assert_eq!(world.told(rules, asked), result, "{rules} {asked}");
    }
}

#[test]
fn the_rules_of_lookup_naming_4_3() {
    let world = World::new(FILES);
    for (rules, asked, result) in [
        // The dtab comes first, also for what namers would take (trap 20).
        (
            "/#/io.l5d.fs/web => /#/io.l5d.fs/web-v2",
            "/#/io.l5d.fs/web/x",
            "/#/io.l5d.fs/web-v2 + /x",
        ),
        ("/$/inet => /#/io.l5d.fs", "/$/inet/web", "/#/io.l5d.fs/web"),
        // Trap 21: a lone `~` does not hide, two do, and so do `!` and `$`.
        (
            "/#/io.l5d.fs/web => ~",
            "/#/io.l5d.fs/web",
            "/#/io.l5d.fs/web",
        ),
        (
            "/#/io.l5d.fs/web => ~ ; /#/io.l5d.fs => ~",
            "/#/io.l5d.fs/web",
            "~",
        ),
        ("/#/io.l5d.fs/web => ~ & ~", "/#/io.l5d.fs/web", "~"),
        ("/#/io.l5d.fs/web => !", "/#/io.l5d.fs/web", "!"),
        ("/#/io.l5d.fs/web => $", "/#/io.l5d.fs/web", "$"),
        // Trap 1: the last match wins, the longest does not.
        (
            "/svc/web => /#/io.l5d.fs/web ; /svc => /#/io.l5d.fs/idle",
            "/svc/web",
            "/#/io.l5d.fs/idle + /web",
        ),
        // Trap 2.
        (
            "/svc/*/x => /#/io.l5d.fs/web",
            "/svc/anything/x/y",
            "/#/io.l5d.fs/web + /y",
        ),
        ("", "/", "~"),
        ("", "/svc/web", "~"),
    ] {
        assert_eq!(world.told(rules, asked), result, "{rules} {asked}");
    }
}

#[test]
fn trees_as_in_naming_4_2() {
    let world = World::new(FILES);
    let w = "/#/io.l5d.fs/web";
    for (tree, result) in [
        // Traps 11 to 13.
        ("(! | W) | W", "!"),
        ("(~ & !) | W", "W"),
        ("$ | W", "$"),
        ("$ & W", "$ & W"),
        ("W & ~", "W"),
        ("~ & ~", "~"),
        ("~ | ~", "~"),
        ("W | !", "W"),
        ("2 * (! | W) & 8 * W", "W"),
        // Trap 10: unions of unions stay nested.
        (
            "0.5 * (0.3 * W & 0.7 * $) & 0.5 * $",
            "0.50*(0.30*W & 0.70*$) & 0.50*$",
        ),
        // Trap 31: a branch of weight zero stays, and nothing is normalised.
        ("0 * W & 8 * $", "0.00*W & 8.00*$"),
        // Trap 16: an error in an alternative is one of the whole, in a union it is left out.
        ("/loop | W", "depth"),
        ("/loop & W", "W"),
        ("/loop & /loop", "depth"),
        ("~ & /loop", "~"),
    ] {
        let rules = format!("/loop => /loop ; /svc => {}", tree.replace('W', w));
        assert_eq!(world.told(&rules, "/svc"), result.replace('W', w), "{tree}");
    }
}

#[test]
fn system_namers_of_naming_4_5() {
    let world = World::new(FILES);
    for (asked, result) in [
        ("/$/inet/10.1.2.3/80", "/$/inet/10.1.2.3/80"),
        ("/$/inet/10.1.2.3/80/a/b", "/$/inet/10.1.2.3/80 + /a/b"),
        ("/$/inet/8080", "/$/inet/8080"),
        ("/$/inet/8080/x", "/$/inet/8080 + /x"),
        ("/$/inet/1/2", "/$/inet/1/2"),
        (
            "/$/fixedinet/10.1.2.3/80/x",
            "/$/fixedinet/10.1.2.3/80 + /x",
        ),
        ("/$/fail", "!"),
        ("/$/fail/x", "!"),
        ("/$/nil/x", "$"),
        ("/$", "~"),
        ("/%/x", "~"),
        ("/#/nosuch/x", "~"),
        (
            "/$/io.buoyant.rinet/80/10.1.2.3/x",
            "/$/io.buoyant.rinet/80/10.1.2.3 + /x",
        ),
        ("/$/io.buoyant.rinet/80", "~"),
        ("/$/io.buoyant.http.anyMethod/GET/$/nil", "$"),
    ] {
        assert_eq!(world.told("", asked), result, "{asked}");
    }
    for asked in [
        "/$/inet",
        "/$/inet/x",
        "/$/inet/x/y",
        "/$/inet/x/0",
        "/$/inet/x/65536",
        "/$/no.such/x",
    ] {
        let told = world.told("", asked);
        assert!(
            told.starts_with("failed: ") && told.contains(asked),
            "{asked}: {told}"
        );
    }
    assert_eq!(
        world.told("", "/$/no.such/x"),
        "failed: Unknown namer: no.such for path: /$/no.such/x"
    );
}

#[test]
fn addresses_of_system_namers() {
    let world = World::new(FILES);
    for (asked, result) in [
        ("/$/inet/10.1.2.3/80", "[10.1.2.3:80]"),
        ("/$/inet/8080", "[127.0.0.1:8080]"),
        ("/$/inet/localhost/81", "[127.0.0.1:81]"),
        ("/$/inet/::1/81", "[[::1]:81]"),
        ("/$/io.buoyant.rinet/80/10.1.2.3", "[10.1.2.3:80]"),
        (
            "/$/io.buoyant.rinet/http/h",
            "failed: http is no port, in /$/io.buoyant.rinet/http/h",
        ),
    ] {
        assert_eq!(endpoints(&world.bind("", asked)), result, "{asked}");
    }
}

/// Naming 4.6 and trap 15: the tree alone decides.
#[tokio::test(start_paused = true)]
async fn what_falls_back_and_what_does_not() {
    let world = World::new(FILES);
    for (first, result) in [
        ("/#/io.l5d.fs/none", "/#/io.l5d.fs/web"),
        ("/#/io.l5d.fs/idle", "/#/io.l5d.fs/idle"),
        ("/#/io.l5d.fs/bad", "/#/io.l5d.fs/bad"),
        ("/$/inet/no-such-host/80", "/$/inet/no-such-host/80"),
        ("/#/nosuch/x", "/#/io.l5d.fs/web"),
        ("$", "$"),
        ("/$/nil", "$"),
        ("!", "!"),
        ("/$/fail", "!"),
    ] {
        let rules = format!("/svc => {first} | /#/io.l5d.fs/web");
        assert_eq!(world.told(&rules, "/svc"), result, "{first}");
    }
    let rules = "/svc => /$/nosuch/x | /#/io.l5d.fs/web";
    assert!(
        world
            .told(rules, "/svc")
            .starts_with("failed: Unknown namer")
    );
}

/// Trap 18 and naming 4.2: 99 rewrites and a namer bind, 100 fail.
#[test]
fn a_name_takes_at_most_100_lookups() {
    let world = World::new(FILES);
    let rules = |rewrites: usize| {
        let mut rules: Vec<_> = (1..rewrites)
            .map(|i| format!("/r{} => /r{i}", i - 1))
            .collect();
        rules.push(format!("/r{} => /#/io.l5d.fs", rewrites - 1));
        rules.join(";")
    };
    assert_eq!(world.told(&rules(99), "/r0/web"), "/#/io.l5d.fs/web");
    assert_eq!(world.told(&rules(100), "/r0/web"), "depth");
    // Nesting costs no depth.
    let nested = format!(
        "/svc => {}/#/io.l5d.fs/web{}",
        "(~ | ".repeat(60),
        ")".repeat(60)
    );
    assert_eq!(world.told(&nested, "/svc"), "/#/io.l5d.fs/web");
}

/// Trap 24: the answer of a utility namer goes through the dtab again and costs depth.
#[test]
fn rewriting_namers_cost_depth() {
    let world = World::new(FILES);
    let rules = "/svc => /$/io.buoyant.http.anyMethod/GET/svc";
    assert_eq!(world.told(rules, "/svc"), "depth");
}

/// Trap 19: what multiplies ends.
#[test]
fn breadth_is_bounded() {
    let world = World::new(FILES);
    assert_eq!(world.told("/a => /a & /a", "/a"), "depth");
    assert_eq!(world.told("/a => /a/x & /a/y", "/a"), "width");
    let doubling: Vec<_> = (0..40)
        .map(|i| format!("/r{i} => /r{} & /r{}", i + 1, i + 1))
        .collect();
    let rules = format!("{} ; /r40 => /#/io.l5d.fs/web", doubling.join(";"));
    assert_eq!(world.told(&rules, "/r0"), "width");
    let rules = format!("{} ; /r40 => $", doubling.join(";"));
    assert_eq!(world.told(&rules, "/r0"), "width", "without any leaf");
    let wide = vec!["/#/io.l5d.fs/web"; 1_001].join(" & ");
    assert_eq!(world.told(&format!("/svc => {wide}"), "/svc"), "width");
    let wide = vec!["/#/io.l5d.fs/web"; 1_000].join(" & ");
    assert_eq!(
        leaves(&world.bind(&format!("/svc => {wide}"), "/svc")).len(),
        1_000
    );
}

/// However deep rules and answers nest, the thread's stack does not.
#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let world = World::new(FILES);
    let nest = |to: &str| format!("{}{to}{}", "($ & (~ | ".repeat(30), "))".repeat(30));
    let rules: Vec<_> = (0..90)
        .map(|i| format!("/r{i} => {}", nest(&format!("/r{}", i + 1))))
        .collect();
    assert_eq!(world.told(&rules.join(";"), "/r0"), "width");
}

#[test]
fn weights_are_noted_for_the_innermost_branch() {
    let world = World::new(FILES);
    let rules =
        "/svc => 0.2 * /in & 0.8 * /#/io.l5d.fs/idle ; /in => 0.3 * /#/io.l5d.fs/web & 0.7 * ~";
    let binding = world.bind(rules, "/svc");
    let noted: Vec<_> = leaves(&binding)
        .iter()
        .map(|l| l.tree_weight.map(l5d_naming::Weight::value))
        .collect();
    assert_eq!(
        noted,
        [Some(0.3), Some(0.8)],
        "also where the union collapsed"
    );
    let plain = world.bind("/svc => /#/io.l5d.fs/web", "/svc");
    assert_eq!(leaves(&plain)[0].tree_weight, None);
}

#[test]
fn files_of_naming_5_1() {
    let world = World::new(FILES);
    std::fs::create_dir(world.dir.path().join("team")).unwrap();
    std::fs::write(world.dir.path().join("team/api"), "10.0.0.9 90 * 0.5\n").unwrap();
    std::fs::write(world.dir.path().join("big"), " ".repeat(600_000)).unwrap();
    for (name, id, result) in [
        (
            "web/x",
            "/#/io.l5d.fs/web + /x",
            "[10.0.0.1:80, 10.0.0.2:80]",
        ),
        ("idle", "/#/io.l5d.fs/idle", "[]"),
        (
            "bad",
            "/#/io.l5d.fs/bad",
            "failed: malformed address: 10.0.0.1:80",
        ),
        (
            "team/api/x",
            "/#/io.l5d.fs/team/api + /x",
            "[10.0.0.9:90 * 0.5]",
        ),
    ] {
        let binding = world.bind("", &format!("/#/io.l5d.fs/{name}"));
        assert_eq!(show(&binding), id);
        assert_eq!(endpoints(&binding), result, "{name}");
    }
    assert!(endpoints(&world.bind("", "/#/io.l5d.fs/big")).starts_with("failed: "));
    for none in [
        "",
        "/team",
        "/team/none",
        "/..",
        "/../x",
        "/.",
        "/\\x2f",
        "/\\x00",
        "/team\\x2fapi",
    ] {
        assert_eq!(
            world.told("", &format!("/#/io.l5d.fs{none}")),
            "~",
            "{none}"
        );
    }
    world.settle();
    let names: Vec<_> = world
        .binder
        .names()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        ["bad", "big", "idle", "team", "web", "web-v2"].map(|n| format!("/#/io.l5d.fs/{n}"))
    );
}

/// Naming 6.1: an id names its set also behind transformers' prefixes.
#[test]
fn an_id_is_bound_without_its_prefixes() {
    let world = World::new(FILES);
    for (id, result) in [
        ("/#/io.l5d.fs/web", "/#/io.l5d.fs/web"),
        (
            "/%/io.l5d.port/4242/%/io.l5d.specificHost/#/io.l5d.fs/web",
            "/#/io.l5d.fs/web",
        ),
        ("/%/io.l5d.const/$/inet/10.1.1.1/90", "/$/inet/10.1.1.1/90"),
        ("/%/nothing/behind", "~"),
        ("/#/none", "~"),
    ] {
        let binding = world.binder.bind_id(&path(id), &Caller::default()).unwrap();
        assert_eq!(show(&binding), result, "{id}");
    }
}

/// Trap 29: the id is the identity, the residual is not part of it.
#[test]
fn leaves_of_one_id_share_a_cluster() {
    let world = World::new(FILES);
    let one = leaves(&world.bind("", "/#/io.l5d.fs/web/a"));
    let two = leaves(&world.bind("", "/#/io.l5d.fs/web/b"));
    assert_eq!(one[0].cluster.number, two[0].cluster.number);
    assert!(Arc::ptr_eq(&one[0].cluster, &two[0].cluster));
    assert_ne!(one[0], two[0]);
}
