//! Asks namerd once how a name is bound, with the same proofs and as the same node as when it is followed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use l5d_naming::{Dtab, Path};
use l5d_resolver::v1;
use parking_lot::Mutex;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::dial::{Candidates, Dialer, Network, dial};
use super::plan::Plan;
use crate::cache::{Explain, Unexplained};
use crate::config::{Config, Identity};

/// For all of it, connecting included.
const ANSWER: Duration = Duration::from_secs(5);
/// What namerd waits for addresses that are not known yet; it answers before this side gives up.
const WAIT_MS: u32 = 4_000;
/// Replicas that are tried.
const REPLICAS: usize = 3;

/// Whom to ask about each router.
#[derive(Debug)]
pub struct Explaining {
    /// By index in the configuration.
    routers: HashMap<usize, (Arc<Namerd>, v1::ResolveRequest)>,
}

struct Namerd {
    dialer: Arc<dyn Dialer>,
    candidates: Arc<Mutex<Candidates>>,
}

impl Explaining {
    /// Of what is followed.
    pub fn of(config: &Config, identity: &Identity, plans: &[Plan]) -> Self {
        let mut routers = HashMap::new();
        for plan in plans {
            let namerd = Arc::new(Namerd::of(plan));
            for &index in plan.routers.keys() {
                let Some(router) = config.routers.get(index) else {
                    continue;
                };
                let interpreter = &router.interpreter;
                let question = v1::ResolveRequest {
                    root: interpreter.root.clone().unwrap_or_default(),
                    // The request's own rules come behind these.
                    dtab: exact(&router.dtab),
                    transformers: interpreter.transformers.iter().map(Into::into).collect(),
                    node: identity.node_name.clone().unwrap_or_default(),
                    pod_ip: identity
                        .pod_ip
                        .as_ref()
                        .map_or_else(String::new, IpAddr::to_string),
                    wait_ms: WAIT_MS,
                    delegation: true,
                    ..v1::ResolveRequest::default()
                };
                routers.insert(index, (namerd.clone(), question));
            }
        }
        Self { routers }
    }
}

impl Explain for Explaining {
    fn explain(
        &self,
        router: usize,
        path: &Path,
        local: &Dtab,
    ) -> BoxFuture<'static, Result<v1::Explained, Unexplained>> {
        let Some((namerd, question)) = self.routers.get(&router) else {
            return async { Err(Unexplained::Router) }.boxed();
        };
        let both = [question.dtab.clone(), exact(local)];
        let both: Vec<_> = both.into_iter().filter(|text| !text.is_empty()).collect();
        let question = v1::ResolveRequest {
            path: path.to_string(),
            dtab: both.join(";"),
            ..question.clone()
        };
        let namerd = namerd.clone();
        async move {
            let answer = timeout(ANSWER, namerd.ask(question)).await;
            answer.unwrap_or_else(|_| Err(Unexplained::Late(format!("none within {ANSWER:?}"))))
        }
        .boxed()
    }
}

impl Namerd {
    fn of(plan: &Plan) -> Self {
        let mut candidates = Candidates::new(plan.dst.clone(), fastrand::Rng::new());
        candidates.add_worked(plan.worked.iter().copied());
        Self {
            dialer: Arc::new(Network {
                tls: plan.tls.clone(),
                token_file: plan.token_file.clone(),
            }),
            candidates: Arc::new(Mutex::new(candidates)),
        }
    }

    /// Asks one replica after the other until one answers.
    async fn ask(&self, question: v1::ResolveRequest) -> Result<v1::Explained, Unexplained> {
        let mut last = None;
        for _ in 0..REPLICAS {
            match dial(self.dialer.clone(), self.candidates.clone(), None).await {
                Err(error) => last = Some(Unexplained::Unreachable(error.to_string())),
                Ok((addr, connection)) => match connection.explain(question.clone()).await {
                    Ok(explained) => {
                        self.candidates.lock().worked(addr);
                        return Ok(explained);
                    }
                    Err(status) => match why(addr, &status) {
                        away @ Unexplained::Unreachable(_) => last = Some(away),
                        answer => return Err(answer),
                    },
                },
            }
        }
        Err(last.unwrap_or_else(|| Unexplained::Unreachable("none was tried".to_owned())))
    }
}

impl std::fmt::Debug for Namerd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namerd")
            .field("candidates", &self.candidates)
            .finish_non_exhaustive()
    }
}

fn exact(dtab: &Dtab) -> String {
    match dtab.is_empty() {
        true => String::new(),
        false => dtab.show_exact(),
    }
}

/// What a status means for who asked.
fn why(addr: SocketAddr, status: &Status) -> Unexplained {
    let told = status.message();
    let message = format!("{addr}: {told}");
    match status.code() {
        Code::InvalidArgument => Unexplained::Invalid(message),
        Code::PermissionDenied | Code::Unauthenticated => Unexplained::Refused(message),
        Code::DeadlineExceeded => Unexplained::Late(message),
        Code::Unavailable | Code::ResourceExhausted | Code::Cancelled | Code::Unknown => {
            Unexplained::Unreachable(message)
        }
        code => Unexplained::Failed(format!("{addr}: {code:?}: {told}")),
    }
}
