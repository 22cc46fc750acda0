//! One copy of each string, so that memory follows addresses and not names (K8S-107).

use std::sync::Arc;

use foldhash::HashSet;

use super::model::{Content, Labels, Node, ObjectName, Service, Slice};

#[derive(Default)]
pub(super) struct Interner {
    strings: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Interner {
    fn string(&mut self, string: &mut Arc<str>) {
        match self.strings.get(&**string) {
            Some(known) => *string = Arc::clone(known),
            None => {
                if self.strings.len() >= self.sweep_at.max(1024) {
                    self.sweep();
                }
                self.strings.insert(Arc::clone(string));
            }
        }
    }

    pub(super) fn name(&mut self, name: &mut ObjectName) {
        self.string(&mut name.namespace);
        self.string(&mut name.name);
    }

    fn labels(&mut self, labels: &mut Labels) {
        for (key, value) in labels {
            self.string(key);
            self.string(value);
        }
    }

    pub(super) fn content(&mut self, content: Content) -> Content {
        match content {
            Content::Slice(slice) => {
                Content::Slice(Arc::new(self.slice(Arc::unwrap_or_clone(slice))))
            }
            Content::Service(service) => {
                Content::Service(Arc::new(self.service(Arc::unwrap_or_clone(service))))
            }
            Content::Node(node) => {
                let mut node: Node = Arc::unwrap_or_clone(node);
                node.zone.iter_mut().for_each(|z| self.string(z));
                Content::Node(Arc::new(node))
            }
        }
    }

    fn slice(&mut self, mut slice: Slice) -> Slice {
        slice.service.iter_mut().for_each(|s| self.string(s));
        slice
            .ports
            .iter_mut()
            .for_each(|p| self.string(&mut p.name));
        for endpoint in &mut slice.endpoints {
            endpoint.node.iter_mut().for_each(|n| self.string(n));
            endpoint.zone.iter_mut().for_each(|z| self.string(z));
            if let Some(hints) = &mut endpoint.hints {
                let hints = Arc::make_mut(hints);
                hints.zones.iter_mut().for_each(|z| self.string(z));
                hints.nodes.iter_mut().for_each(|n| self.string(n));
            }
        }
        self.labels(&mut slice.labels);
        slice
    }

    fn service(&mut self, mut service: Service) -> Service {
        let ports = service.ports.iter_mut();
        ports.for_each(|p| self.string(&mut p.name));
        self.labels(&mut service.labels);
        service
    }

    /// Forgets what nobody uses. Called at a relist and when the table has doubled (K8S-144).
    pub(super) fn sweep(&mut self) {
        self.strings.retain(|s| Arc::strong_count(s) > 1);
        self.sweep_at = 2 * self.strings.len();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.strings.len()
    }
}
