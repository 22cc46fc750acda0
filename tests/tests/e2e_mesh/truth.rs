//! What may answer for a name, and when: every answer under load is held against it.

use std::time::Duration;

use l5d_tests::app::Answer;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The pods that live and have lived, the services that had nobody, the proxies that were away.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    lives: Vec<Life>,
    /// A service, or a host's proxy, and the time in which requests to it may fail.
    gaps: Vec<Gap>,
}

#[derive(Debug)]
struct Life {
    service: String,
    pod: String,
    node: String,
    /// From when on every proxy had heard that it is gone. Until then it still serves, and its answers are right.
    gone: Option<Instant>,
}

#[derive(Debug)]
struct Gap {
    what: String,
    from: Instant,
    to: Option<Instant>,
}

impl Truth {
    /// A pod may answer for a service from now on.
    pub(crate) fn born(&self, service: &str, pod: &str, node: &str) {
        self.inner.lock().lives.push(Life {
            service: service.to_owned(),
            pod: pod.to_owned(),
            node: node.to_owned(),
            gone: None,
        });
    }

    /// Every proxy has heard that the pod is gone: no request that begins from now on may reach it.
    pub(crate) fn gone(&self, pod: &str) {
        let mut inner = self.inner.lock();
        let life = inner.lives.iter_mut().find(|life| life.pod == pod);
        life.expect("a pod that was born").gone = Some(Instant::now());
    }

    /// Requests to a service (or through a proxy) may fail from now on.
    pub(crate) fn gap_begins(&self, what: &str) {
        self.inner.lock().gaps.push(Gap {
            what: what.to_owned(),
            from: Instant::now(),
            to: None,
        });
    }

    /// They may not any more, if they begin from now on.
    pub(crate) fn gap_ends(&self, what: &str) {
        let mut inner = self.inner.lock();
        let open = |gap: &&mut Gap| gap.what == what && gap.to.is_none();
        let gap = inner.gaps.iter_mut().find(open);
        gap.expect("a gap that began").to = Some(Instant::now());
    }

    /// Whether a request that ran from `began` until now was allowed to fail.
    pub(crate) fn excuses(&self, what: &str, began: Instant) -> bool {
        let now = Instant::now();
        let inner = self.inner.lock();
        let mut gaps = inner.gaps.iter().filter(|gap| gap.what == what);
        gaps.any(|gap| gap.from <= now && gap.to.is_none_or(|to| began <= to))
    }

    /// Whether an answer to a request that began then came from a pod valid for the service, and the same for the answer
    /// within it.
    pub(crate) fn check(
        &self,
        service: &str,
        answer: &Answer,
        began: Instant,
    ) -> Result<(), String> {
        self.check_one(service, answer, began)?;
        match (service, &answer.target) {
            ("hello", Some(target)) => self.check_one("world", target, began),
            ("hello", None) => Err(format!("{} has not asked world", answer.pod)),
            _ => Ok(()),
        }
    }

    fn check_one(&self, service: &str, answer: &Answer, began: Instant) -> Result<(), String> {
        let (pod, node) = (&answer.pod, &answer.node);
        let inner = self.inner.lock();
        let life = inner.lives.iter().find(|life| life.pod == *pod);
        let life = life.ok_or_else(|| format!("{service}: {pod} has never been a pod"))?;
        if life.service != service {
            return Err(format!("{service}: {pod} is a pod of {}", life.service));
        }
        if life.node != *node {
            return Err(format!(
                "{service}: {pod} runs on {}, not on {node}",
                life.node
            ));
        }
        match life.gone.filter(|gone| began > *gone) {
            Some(gone) => {
                let late: Duration = began - gone;
                Err(format!("{service}: {pod} had been gone for {late:?}"))
            }
            None => Ok(()),
        }
    }
}

/// The check would see it: a load that passes says something.
#[tokio::test(start_paused = true)]
async fn wrong_answers_are_seen() {
    let answer = |pod: &str, node: &str, target: Option<Answer>| Answer {
        pod: pod.to_owned(),
        node: node.to_owned(),
        text: String::new(),
        request: String::new(),
        headers: Vec::new(),
        target: target.map(Box::new),
    };
    let truth = Truth::default();
    truth.born("world", "world-1", "node-1");
    truth.born("hello", "hello-1", "node-2");
    let (world, began) = (answer("world-1", "node-1", None), Instant::now());
    let hello = |world: Option<Answer>| answer("hello-1", "node-2", world);
    assert_eq!(
        truth.check("hello", &hello(Some(world.clone())), began),
        Ok(())
    );
    assert!(truth.check("hello", &world, began).is_err());
    assert!(truth.check("hello", &hello(None), began).is_err());
    assert!(
        truth
            .check("world", &answer("world-1", "node-2", None), began)
            .is_err()
    );
    assert!(
        truth
            .check("world", &answer("world-2", "node-1", None), began)
            .is_err()
    );
    truth.gone("world-1");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(
        truth.check("world", &world, began),
        Ok(()),
        "it began before"
    );
    assert!(truth.check("world", &world, Instant::now()).is_err());
    assert!(
        truth
            .check("hello", &hello(Some(world)), Instant::now())
            .is_err()
    );
    assert!(!truth.excuses("world", began));
    truth.gap_begins("world");
    assert!(truth.excuses("world", began));
    truth.gap_ends("world");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!truth.excuses("world", Instant::now()));
}
