//! What is always there under `/$` (naming 4.5).

use std::sync::Arc;

use l5d_naming::{ClusterId, Elem, NameTree, Path, Replicas};

use super::inet::Inet;
use super::utility::{Rewritten, rewrite};
use crate::bind::Answer;
use crate::bind::dns::Hosts;
use crate::store::{Cell, Cluster, Engine, Reads};

/// The system and utility namers.
#[derive(Debug)]
pub struct System {
    inet: Inet,
}

/// A port as its element says it.
enum Port {
    Usable(u16),
    /// An integer, but no port.
    OutOfRange,
    /// No integer.
    Other,
}

impl System {
    /// The namers, which look up hosts in `hosts`.
    pub fn new(engine: Engine, hosts: Hosts) -> Arc<Self> {
        Arc::new(Self {
            inet: Inet::new(engine, hosts),
        })
    }

    /// Answers for any path: negative outside of `/$`.
    pub(in crate::bind) fn look_up(&self, path: &Path, _reads: &mut Reads) -> Answer {
        let (Some(first), Some(name)) = (path.elems().first(), path.elems().get(1)) else {
            return Answer::neg();
        };
        if first.as_bytes() != b"$" {
            return Answer::neg();
        }
        match &*name.to_text() {
            "inet" => self.inet(path, false),
            "fixedinet" => self.inet(path, true),
            "fail" => Answer::Tree(NameTree::Fail),
            "nil" => Answer::Tree(NameTree::Empty),
            "io.buoyant.rinet" => self.rinet(path),
            utility => match rewrite(utility, &path.skip(2)) {
                Some(Rewritten::Neg) => Answer::neg(),
                Some(Rewritten::To(to)) => Answer::path(to),
                Some(Rewritten::Error(why)) => {
                    Answer::Failed(format!("namer {utility} cannot take {path}: {why}").into())
                }
                None => Answer::Failed(format!("Unknown namer: {utility} for path: {path}").into()),
            },
        }
    }

    /// Forgets hosts and clusters that nobody holds.
    pub(in crate::bind) fn sweep(&self) {
        self.inet.sweep();
    }

    /// `/$/inet/HOST/PORT/r`, else `/$/inet/PORT/r`.
    fn inet(&self, path: &Path, fixed: bool) -> Answer {
        let elems = path.elems();
        let (host, port, used) = match elems.get(3).map_or(Port::Other, port) {
            Port::Other => ("".into(), elems.get(2).map_or(Port::Other, port), 3),
            port => (elems[2].to_text(), port, 4),
        };
        match port {
            Port::Usable(port) => Answer::bound(
                self.inet.cluster(&path.take(used), &host, port, fixed),
                path.skip(used),
            ),
            Port::OutOfRange | Port::Other => Answer::Failed(
                format!(
                    "namer {} cannot take {path}: a port from 1 to 65535 is needed, as in /$/inet/HOST/PORT",
                    elems[1]
                )
                .into(),
            ),
        }
    }

    /// `/$/io.buoyant.rinet/PORT/HOST/r`.
    fn rinet(&self, path: &Path) -> Answer {
        let [_, _, port_elem, host, ..] = path.elems() else {
            return Answer::neg();
        };
        let id = path.take(4);
        let cluster = match port(port_elem) {
            Port::Usable(port) => self.inet.cluster(&id, &host.to_text(), port, false),
            Port::OutOfRange | Port::Other => {
                let message = format!("{port_elem} is no port, in {path}");
                Cluster {
                    id: ClusterId(id),
                    endpoints: Arc::new(Cell::new(Replicas::Failed(message.into()))),
                }
            }
        };
        Answer::bound(cluster, path.skip(4))
    }
}

fn port(elem: &Elem) -> Port {
    match elem.to_text().parse::<i64>() {
        Ok(number) => match u16::try_from(number) {
            Ok(port) if port > 0 => Port::Usable(port),
            _ => Port::OutOfRange,
        },
        Err(_) => Port::Other,
    }
}
