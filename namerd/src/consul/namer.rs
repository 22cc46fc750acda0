//! `io.l5d.consul` as a namer: services of the catalog, `/<datacenter>/<service>`, with `includeTag`
//! `/<datacenter>/<tag>/<service>`.
//!
//! The data center `.local` is the agent's own. A service without a usable address does not exist, so that a dtab can fall
//! back (as in 1.x since 1.0.0).

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use l5d_naming::{ClusterId, Path};
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::sleep;

use super::client::{CallError, Client, escape};
use super::service;
use crate::bind::dns::Hosts;
use crate::bind::namers::{Followed, Sink, Source, under_hash};
use crate::bind::{Answer, Namer};
use crate::config::{ConsulAccess, ConsulNaming};
use crate::dial::{Backoff, DialError};
use crate::meter::Meter;
use crate::store::{Caller, Engine, Reads};

const KIND: &str = "io.l5d.consul";
/// The agent's own data center in paths.
const LOCAL: &str = ".local";

/// Services of Consul's catalog.
pub struct ConsulNamer {
    prefix: Path,
    services: Followed<Catalog>,
}

/// Where to ask, and what to make of it.
struct Catalog {
    client: Client,
    naming: ConsulNaming,
    agent: OnceCell<Agent>,
}

/// What `setHost` needs to know of the agent.
struct Agent {
    datacenter: String,
    /// Without a dot at its end.
    domain: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    datacenter: Box<str>,
    tag: Option<Box<str>>,
    service: Box<str>,
}

impl ConsulNamer {
    /// A namer that asks nobody before it is asked. The error is that certificates or keys cannot be used.
    pub fn new(
        prefix: &Path,
        access: &ConsulAccess,
        naming: &ConsulNaming,
        engine: Engine,
        hosts: Hosts,
        meter: Arc<Meter>,
    ) -> Result<Arc<Self>, DialError> {
        let catalog = Catalog {
            client: Client::new(access)?,
            naming: naming.clone(),
            agent: OnceCell::new(),
        };
        Ok(Arc::new(Self {
            prefix: under_hash(prefix),
            services: Followed::new(catalog, KIND, engine, hosts, meter),
        }))
    }
}

impl Namer for ConsulNamer {
    fn prefix(&self) -> &Path {
        &self.prefix
    }

    fn kind(&self) -> &str {
        KIND
    }

    fn look_up(&self, rest: &Path, _caller: &Caller, reads: &mut Reads) -> Answer {
        let has_tag = self.services.source().naming.include_tag;
        let used = 2 + usize::from(has_tag);
        let elems = rest.elems();
        if elems.len() < used {
            return Answer::neg();
        }
        let text = |i: usize| elems[i].to_text();
        // Consul does not tell upper from lower case in names of services.
        let key = Key {
            datacenter: (&*text(0)).into(),
            tag: has_tag.then(|| (&*text(1)).into()),
            service: text(used - 1).to_lowercase().into(),
        };
        let id = ClusterId(self.prefix.concat(&rest.take(used)));
        self.services.answer(&key, id, rest.skip(used), reads)
    }
}

impl fmt::Debug for ConsulNamer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ConsulNamer({} at {})",
            self.services.source().client_shown(),
            self.prefix
        )
    }
}

impl Source for Catalog {
    type Key = Key;

    fn follow(self: Arc<Self>, key: Key, sink: Sink) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut poll = self.client.poll(self.question(&key));
            let mut backoff = Backoff::default();
            loop {
                let told = async {
                    let news = poll.next().await?;
                    let lines = service::lines(&news.answer.body, &self.naming)?;
                    Ok::<_, CallError>((lines, self.authority(&key).await?))
                };
                let is_wanted = match told.await {
                    Ok((lines, authority)) => {
                        backoff.reset();
                        sink.addresses(lines, authority).await
                    }
                    // There is no such data center, as far as the agent knows; if it knew one before, it is away.
                    Err(CallError::Status(_, words))
                        if words.contains("No path to datacenter") && !sink.is_known() =>
                    {
                        sink.addresses(Vec::new(), None).await;
                        sleep(backoff.wait()).await;
                        true
                    }
                    Err(error) => {
                        tracing::warn!(%error, service = %key.service, datacenter = %key.datacenter, "a service in Consul is not followed");
                        let is_wanted = sink.failed(&error.to_string());
                        sleep(backoff.wait()).await;
                        is_wanted
                    }
                };
                if !is_wanted {
                    return;
                }
            }
        })
    }
}

impl Catalog {
    fn question(&self, key: &Key) -> String {
        let kind = match self.naming.health {
            Some(_) => "health",
            None => "catalog",
        };
        let mut question = format!("/v1/{kind}/service/{}?", escape(&key.service));
        if &*key.datacenter != LOCAL {
            question.push_str(&format!("dc={}&", escape(&key.datacenter)));
        }
        if let Some(tag) = &key.tag {
            question.push_str(&format!("tag={}&", escape(tag)));
        }
        question.pop();
        question
    }

    /// The name that Consul's own DNS has for the service.
    async fn authority(&self, key: &Key) -> Result<Option<Arc<str>>, CallError> {
        if !self.naming.set_host {
            return Ok(None);
        }
        let agent = self.agent.get_or_try_init(|| self.ask_agent()).await?;
        let datacenter = match &*key.datacenter {
            LOCAL => &agent.datacenter,
            named => named,
        };
        let tag = key.tag.as_deref().map(|tag| format!("{tag}."));
        let tag = tag.unwrap_or_default();
        let (service, domain) = (&key.service, &agent.domain);
        Ok(Some(
            format!("{tag}{service}.service.{datacenter}.{domain}").into(),
        ))
    }

    async fn ask_agent(&self) -> Result<Agent, CallError> {
        #[derive(Deserialize)]
        struct Said {
            #[serde(rename = "Config")]
            config: Config,
            #[serde(default, rename = "DebugConfig")]
            debug: Debug,
        }
        #[derive(Deserialize)]
        struct Config {
            #[serde(rename = "Datacenter")]
            datacenter: String,
            /// Of Consul before 1.0.
            #[serde(rename = "Domain")]
            domain: Option<String>,
        }
        #[derive(Default, Deserialize)]
        struct Debug {
            #[serde(rename = "DNSDomain")]
            domain: Option<String>,
        }
        let answer = self.client.get("/v1/agent/self").await?;
        let said: Said = serde_json::from_slice(&answer.body)
            .map_err(|e| CallError::Unreadable(e.to_string()))?;
        let domain = said.debug.domain.or(said.config.domain);
        let domain = domain.unwrap_or_else(|| "consul".to_owned());
        Ok(Agent {
            datacenter: said.config.datacenter,
            domain: domain.trim_matches('.').to_owned(),
        })
    }

    fn client_shown(&self) -> String {
        format!("{:?}", self.client)
    }
}
