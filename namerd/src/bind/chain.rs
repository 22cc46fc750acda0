//! Lists of transformers, and which part of a caller an answer depends on.

use std::sync::Arc;

use super::{BindRefused, Transformers};
use crate::store::Caller;
use crate::transform::{CallerClass, Effect, Transformer, Transforms};

/// Longest list of transformers that is carried out.
const MOST_TRANSFORMERS: usize = 16;

/// A checked list, shared by all who send an equal one.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) specs: Transformers,
    pub(super) transformers: Vec<Transformer>,
    pub(super) classes: Vec<CallerClass>,
}

impl Chain {
    pub(super) fn build(
        specs: &Transformers,
        transforms: &Transforms,
    ) -> Result<Self, BindRefused> {
        if specs.len() > MOST_TRANSFORMERS {
            return Err(BindRefused(format!(
                "a list of {} transformers is too long: at most {MOST_TRANSFORMERS} are carried out",
                specs.len()
            )));
        }
        let transformers = specs
            .iter()
            .map(|spec| transforms.build(spec).map_err(BindRefused))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            specs: specs.clone(),
            classes: classes(&transformers),
            transformers,
        })
    }

    /// The first transformer that delegations cannot show, const or replace (naming 6.5).
    pub(super) fn opaque(&self) -> Option<&Transformer> {
        self.transformers
            .iter()
            .find(|t| !matches!(t.effect, Effect::Leaves(_)))
    }
}

/// The classes of a list of transformers, each once.
pub(super) fn classes(transformers: &[Transformer]) -> Vec<CallerClass> {
    let mut classes = Vec::new();
    for transformer in transformers {
        if let Effect::Leaves(leaves) = &transformer.effect {
            let class = leaves.class();
            if class != CallerClass::Anyone && !classes.contains(&class) {
                classes.push(class);
            }
        }
    }
    classes
}

/// The caller with nothing but what these classes look at: callers that agree in it share an answer.
pub(super) fn project<'a>(
    caller: &Caller,
    classes: impl IntoIterator<Item = &'a CallerClass>,
) -> Caller {
    let mut seen = Caller::default();
    for class in classes {
        match class {
            CallerClass::Anyone => {}
            CallerClass::Node => {
                seen.node.clone_from(&caller.node);
                seen.pod_ip = caller.pod_ip;
            }
            CallerClass::Addresses => seen.addresses = Arc::clone(&caller.addresses),
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_apart_only_by_what_is_looked_at() {
        let caller = Caller {
            node: Some("a".into()),
            pod_ip: Some([10, 1, 1, 2].into()),
            addresses: Arc::new([[127, 0, 0, 1].into()]),
        };
        assert_eq!(project(&caller, []), Caller::default());
        let node = project(&caller, &[CallerClass::Node]);
        assert_eq!((node.node.as_deref(), node.addresses.len()), (Some("a"), 0));
        assert_eq!(
            project(&caller, &[CallerClass::Node, CallerClass::Addresses]),
            caller
        );
    }
}
