//! K8S-88 and K8S-124: whatever the order in which kinds tell their news, the answer is that of the objects there are.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Put(&'static str, Content),
    Delete(Kind, &'static str),
}

fn endpoints() -> impl Strategy<Value = String> {
    let one = (
        1..6u8,
        prop::sample::select(vec!["", "@n1", "@n2"]),
        prop::sample::select(vec!["", "!", "~"]),
    );
    prop::collection::vec(
        one.prop_map(|(ip, node, state)| format!("10.0.0.{ip}{node}{state}")),
        0..5,
    )
    .prop_map(|all| all.join(" "))
}

fn slice_event() -> impl Strategy<Value = Event> {
    let name = prop::sample::select(vec!["x", "y", "z"]);
    let of = prop::sample::select(vec!["world", "other"]);
    let ports = prop::sample::select(vec!["", "http:80", "http:81", ":80", "http:* :82"]);
    prop_oneof![
        1 => name.clone().prop_map(|name| Event::Delete(Kind::Slices, name)),
        4 => (name, of, ports, endpoints())
            .prop_map(|(name, of, ports, eps)| Event::Put(name, slice(of, ports, &eps).into())),
    ]
}

fn service_event() -> impl Strategy<Value = Event> {
    let ports = prop::sample::select(vec!["", ":80:80", "http:80:web", "http:80:81"]);
    prop_oneof![
        1 => Just(Event::Delete(Kind::Services, "world")),
        3 => (ports, any::<bool>()).prop_map(|(ports, external_name)| {
            let service = Service { external_name, ..service(ports) };
            Event::Put("world", service.into())
        }),
    ]
}

/// Two streams in some order that keeps each one's own.
fn streams() -> impl Strategy<Value = (Vec<Event>, Vec<Event>, Vec<bool>)> {
    (
        prop::collection::vec(slice_event(), 0..20),
        prop::collection::vec(service_event(), 0..8),
        prop::collection::vec(any::<bool>(), 28),
    )
}

fn feed(world: &mut World, event: Event) {
    match event {
        Event::Put(name, content) => {
            let kind = match &content {
                Content::Slice(_) => Kind::Slices,
                _ => Kind::Services,
            };
            world.apply(kind, name, content);
        }
        Event::Delete(kind, name) => world.delete(kind, name),
    }
}

const QUESTIONS: [(&str, &str); 5] = [
    ("http", "world"),
    ("80", "world"),
    ("81", "world"),
    ("http", "other"),
    ("80", "other"),
];

fn answers(held: &[Arc<ServicePort>]) -> Vec<String> {
    let views = |port: &Arc<ServicePort>| {
        let on = port.on_node("n1").map(|c| show(&c));
        format!(
            "{:?} {} {} {on:?}",
            port.existence.value(),
            show(&port.whole()),
            show(&port.each_node()),
        )
    };
    held.iter().map(views).collect()
}

fn held(world: &World) -> Vec<Arc<ServicePort>> {
    QUESTIONS
        .iter()
        .map(|(port, service)| world.port(port, service))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn k8s_124_any_interleaving_gives_the_answer_of_a_fresh_model((slices, services, order) in streams()) {
        let mut world = World::new();
        let watched = held(&world);
        // Cells that exist all along, so that what is tested is their being fed.
        let cells: Vec<_> = watched
            .iter()
            .map(|p| (p.whole(), p.each_node(), p.on_node("n1")))
            .collect();
        let (mut a, mut b) = (slices.clone().into_iter(), services.clone().into_iter());
        for first in order {
            if let Some(event) = if first { a.next() } else { b.next() } {
                feed(&mut world, event);
                world.pass(20);
            }
        }
        a.chain(b).for_each(|event| feed(&mut world, event));
        world.pass(200);

        // One stream after the other, lookups only at the end.
        let mut fresh = World::new();
        services.into_iter().chain(slices).for_each(|event| feed(&mut fresh, event));
        fresh.pass(200);
        let expected = answers(&held(&fresh));
        prop_assert_eq!(answers(&watched), expected);
        drop(cells);
    }
}
