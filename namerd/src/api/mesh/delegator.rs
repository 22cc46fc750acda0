//! `Delegator`: dtabs, and every step of a name (control plane 4.5).

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use l5d_mesh::v1;
use l5d_mesh::v1::bound_delegate_tree::union::Weighted;
use l5d_mesh::v1::bound_delegate_tree::{Alt, Empty, Fail, Leaf, Neg, Node, Transformation, Union};
use l5d_mesh::v1::delegator_server::Delegator;
use l5d_naming::{Dtab, Elem, NameTree, Path, Prefix, PrefixElem};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::{Mesh, errors};
use crate::api::live::{Dtabs, WAIT, once, states};
use crate::bind::{BindKey, BoundLeaf, Delegation, DelegationKind, Transformers};
use crate::store::{Caller, VersionedDtab};

#[derive(Debug)]
pub(super) struct Service(pub(super) Mesh);

impl Service {
    fn dtabs(&self, request: &v1::DtabReq) -> Result<Dtabs, Status> {
        let namespace = errors::namespace(request.root.as_ref())?;
        Ok(Dtabs::new(self.0.binder.store().observe(&namespace)))
    }

    async fn delegate(&self, request: &v1::DelegateTreeReq) -> Result<v1::DelegateTreeRsp, Status> {
        let namespace = errors::namespace(request.root.as_ref())?;
        let tree = request.tree.as_ref().ok_or_else(errors::no_name)?;
        let tree = NameTree::<Path>::try_from(tree).map_err(|e| errors::bad(&e))?;
        let key = BindKey {
            root: Some(namespace.into()),
            router: Dtab::empty(),
            local: errors::dtab(request.dtab.as_ref())?,
            path: Path::root(),
            transformers: Transformers::default(),
        };
        let caller = Caller::default();
        let delegation = self.0.binder.delegate_tree(&key, &tree, &caller);
        match timeout(WAIT, delegation).await {
            Err(_) => Err(Status::deadline_exceeded(
                "still waiting for addresses of some branch of the name",
            )),
            Ok(Err(error)) => Err(Status::internal(error.message())),
            Ok(Ok(delegation)) => Ok(v1::DelegateTreeRsp {
                tree: Some(shown(&delegation)),
            }),
        }
    }
}

#[tonic::async_trait]
impl Delegator for Service {
    async fn get_dtab(
        &self,
        request: Request<v1::DtabReq>,
    ) -> Result<Response<v1::DtabRsp>, Status> {
        let dtabs = self.dtabs(request.get_ref())?;
        Ok(Response::new(told(&once(dtabs, "the dtab store").await?)))
    }

    type StreamDtabStream = BoxStream<'static, Result<v1::DtabRsp, Status>>;

    async fn stream_dtab(
        &self,
        request: Request<v1::DtabReq>,
    ) -> Result<Response<Self::StreamDtabStream>, Status> {
        let dtabs = states(self.dtabs(request.get_ref())?, &self.0.doors);
        let told = dtabs.map(|dtab| dtab.map(|dtab| told(&dtab)));
        Ok(Response::new(Box::pin(told)))
    }

    async fn get_delegate_tree(
        &self,
        request: Request<v1::DelegateTreeReq>,
    ) -> Result<Response<v1::DelegateTreeRsp>, Status> {
        self.delegate(request.get_ref()).await.map(Response::new)
    }

    type StreamDelegateTreeStream = BoxStream<'static, Result<v1::DelegateTreeRsp, Status>>;

    async fn stream_delegate_tree(
        &self,
        request: Request<v1::DelegateTreeReq>,
    ) -> Result<Response<Self::StreamDelegateTreeStream>, Status> {
        let tree = self.delegate(request.get_ref()).await?;
        Ok(Response::new(stream::once(async { Ok(tree) }).boxed()))
    }
}

fn told(dtab: &VersionedDtab) -> v1::DtabRsp {
    let id = dtab.token.0.to_vec().into();
    v1::DtabRsp {
        dtab: Some(v1::VersionedDtab {
            version: Some(v1::versioned_dtab::Version { id: Some(id) }),
            dtab: Some((&dtab.dtab).into()),
        }),
    }
}

/// One node and all below it. As deep as the delegation, whose nesting is bounded.
fn shown(delegation: &Delegation) -> v1::BoundDelegateTree {
    let node = match &delegation.kind {
        DelegationKind::Neg => Node::Neg(Neg {}),
        DelegationKind::Fail => Node::Fail(Fail {}),
        DelegationKind::Empty => Node::Empty(Empty {}),
        DelegationKind::Exception(why) => Node::Exception(exception(why)),
        DelegationKind::Delegate(next) => Node::Delegate(Box::new(shown(next))),
        DelegationKind::Alt(branches) => Node::Alt(Alt {
            trees: branches.iter().map(shown).collect(),
        }),
        DelegationKind::Union(branches) => {
            let branches = branches.iter().map(|(weight, tree)| Weighted {
                weight: Some(weight.value()),
                tree: Some(shown(tree)),
            });
            Node::Union(Union {
                trees: branches.collect(),
            })
        }
        DelegationKind::Leaf { leaf: bound, .. } => Node::Leaf(leaf(bound)),
        DelegationKind::Transformation {
            name,
            before,
            after,
        } => Node::Transformation(Box::new(Transformation {
            name: Some(name.clone()),
            leaf: Some(leaf(&before.0)),
            tree: Some(Box::new(shown(after))),
        })),
    };
    let is_transformation = matches!(node, Node::Transformation(_));
    let rule = delegation
        .rule
        .as_ref()
        .map(|(dentry, ..)| (&**dentry).into());
    v1::BoundDelegateTree {
        path: Some((&path(&delegation.path)).into()),
        // Readers refuse nodes without a rule, except of transformations, which have none (trap 35).
        dentry: (!is_transformation).then(|| rule.unwrap_or_else(no_rule)),
        node: Some(node),
    }
}

fn leaf(bound: &BoundLeaf) -> Leaf {
    Leaf {
        id: Some((&bound.cluster.id.0).into()),
        residual: Some((&bound.residual).into()),
    }
}

fn exception(why: &str) -> String {
    let why = match why {
        "" => "No underlying exception message",
        why => why,
    };
    format!("BoundDelegateTree Exception: {why}")
}

/// What stands where no rule led: one that cannot apply.
fn no_rule() -> v1::dtab::Dentry {
    let slash = Elem::new(b"/").map(PrefixElem::Is);
    v1::dtab::Dentry {
        prefix: Some((&Prefix::from_elems(slash.into_iter().collect::<Vec<_>>())).into()),
        dst: Some((&NameTree::<Path>::Neg).into()),
    }
}

/// A shown path; `~` and `!`, which stand for literal trees, are labels of their own.
fn path(shown: &str) -> Path {
    Path::parse(shown).unwrap_or_else(|_| {
        let label = Elem::new(shown.as_bytes());
        Path::from_elems(label.into_iter().collect::<Vec<_>>())
    })
}
