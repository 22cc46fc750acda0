//! `io.l5d.k8s` on the cluster double and on the real API server.

use std::time::Duration;

use anyhow::Result;
use l5d_tests::cluster::{Cluster, shared_real};
use l5d_tests::control::api_address;
use l5d_tests::double::Kind;
use l5d_tests::store_suite::{self, Backing, Opened};
use namerd::k8s::{DtabSource, K8sDtabs};
use serde_json::json;

const NAMESPACE: &str = "store-suite";

struct Objects<'a>(&'a Cluster);

impl Backing for Objects<'_> {
    const SHARED: bool = true;
    const HISTORY: bool = true;
    const BAD_NAME: Option<&'static str> = Some("No_Good");

    async fn open(&self) -> Result<Opened> {
        let (store, follow) = K8sDtabs::new(&DtabSource {
            address: api_address(self.0)?,
            namespace: NAMESPACE.to_owned(),
            startup_jitter: Duration::ZERO,
            // Also the status, which changes versions, is in nobody's way.
            write_status: true,
        })?;
        Ok(Opened::new(store, Some(follow)))
    }

    async fn spoil(&self, namespace: &str, text: &str) -> Result<bool> {
        let object = json!({
            "apiVersion": "l5d.io/v1alpha1", "kind": "DTab",
            "metadata": {"name": namespace, "namespace": NAMESPACE},
            "dentries": [{"prefix": "/bad", "dst": text}],
        });
        self.0.apply(Kind::DTab, &object).await?;
        Ok(true)
    }
}

#[tokio::test]
async fn custom_resources_on_the_double_do_what_every_store_must() -> Result<()> {
    let cluster = Cluster::double()?;
    cluster.namespace(NAMESPACE).await?;
    store_suite::run(&Objects(&cluster)).await
}

#[tokio::test]
async fn custom_resources_do_what_every_store_must() -> Result<()> {
    let Some(cluster) = shared_real().await else {
        return Ok(());
    };
    let cluster = cluster.read().await;
    cluster.namespace(NAMESPACE).await?;
    cluster.define_dtabs().await?;
    store_suite::run(&Objects(&cluster)).await
}
