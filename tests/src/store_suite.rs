//! What every dtab store must do, as one suite: run against memory, files and real systems alike.
//!
//! Comes in: a [`Backing`], which opens stores on one place as several processes would. Goes out: the first thing that a
//! store does otherwise than [`DtabStore`] says (control plane 12.1), as an error.

mod restoring;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use l5d_naming::Dtab;
use namerd::store::{Cell, DtabStore, DtabToken, NamespaceState, StoreError};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Where stores keep their dtabs.
pub trait Backing: Send + Sync {
    /// Whether two stores on it hold the same namespaces.
    const SHARED: bool;
    /// Whether its stores tell the last versions of a namespace.
    const HISTORY: bool;
    /// A name that its rule forbids, if it has a rule.
    const BAD_NAME: Option<&'static str>;

    /// A store, as another process would open it.
    fn open(&self) -> impl Future<Output = Result<Opened>> + Send;

    /// Stores a text that is no dtab behind the back of all stores; `false`: that is impossible.
    fn spoil(&self, namespace: &str, text: &str) -> impl Future<Output = Result<bool>> + Send;
}

/// A store that follows its backing until it is dropped.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn DtabStore>,
    _follower: Option<AbortOnDropHandle<()>>,
}

/// Generous: news comes within milliseconds on an idle machine.
pub const NEWS: Duration = Duration::from_secs(20);

/// Runs everything. The backing must be empty, and is empty afterwards.
pub async fn run<B: Backing>(backing: &B) -> Result<()> {
    begins_empty(backing).await.context("an empty store")?;
    writes(backing).await.context("writes")?;
    compare_and_swap(backing)
        .await
        .context("compare and swap")?;
    keeps_exactly(backing).await.context("dtabs kept exactly")?;
    one_winner(backing).await.context("conflicting writers")?;
    two_stores(backing).await.context("two stores")?;
    late_comer(backing).await.context("a store opened later")?;
    bad_dtab(backing).await.context("a bad dtab")?;
    bad_name(backing).await.context("a bad name")?;
    history(backing).await.context("history")?;
    if B::HISTORY {
        restoring::run(backing).await.context("restoring")?;
    }
    Ok(())
}

impl Opened {
    /// A store and what keeps it like its backing.
    pub fn new(
        store: Arc<dyn DtabStore>,
        follower: Option<impl Future<Output = ()> + Send + 'static>,
    ) -> Self {
        Self {
            store,
            _follower: follower.map(|run| AbortOnDropHandle::new(tokio::spawn(run))),
        }
    }

    /// Waits until a namespace is as wanted.
    pub async fn wait(
        &self,
        namespace: &str,
        mut wanted: impl FnMut(&NamespaceState) -> bool,
    ) -> Result<NamespaceState> {
        let cell = self.store.observe(namespace);
        let now = timeout(NEWS, cell.wait_for(|state| wanted(state))).await;
        match now {
            Ok(now) => Ok(now.1.clone()),
            Err(_) => bail!("{namespace} is still {:?}", cell.value()),
        }
    }

    /// Waits until a namespace has this dtab.
    pub async fn wait_dtab(&self, namespace: &str, dtab: &Dtab) -> Result<DtabToken> {
        let is =
            |state: &NamespaceState| matches!(state, NamespaceState::Present(v) if v.dtab == *dtab);
        match self.wait(namespace, is).await? {
            NamespaceState::Present(version) => Ok(version.token),
            other => bail!("{other:?} was not waited for"),
        }
    }

    /// What is known of a namespace now.
    fn now(&self, namespace: &str) -> NamespaceState {
        self.store.observe(namespace).value()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({})", self.store.kind())
    }
}

/// A dtab that tells its number.
pub fn dtab(n: usize) -> Dtab {
    Dtab::parse(&format!("/svc => /v{n}")).expect("a dtab")
}

async fn names(opened: &Opened) -> Result<Vec<String>> {
    let cell: Arc<Cell<_>> = opened.store.list();
    let known = timeout(NEWS, cell.wait_for(Option::is_some)).await;
    let known = known.context("no list")?;
    Ok(known
        .1
        .iter()
        .flat_map(|names| names.iter().cloned())
        .collect())
}

async fn open<B: Backing>(backing: &B) -> Result<Opened> {
    let opened = backing.open().await?;
    names(&opened).await?;
    Ok(opened)
}

async fn begins_empty<B: Backing>(backing: &B) -> Result<()> {
    let a = open(backing).await?;
    ensure!(names(&a).await?.is_empty(), "it has {:?}", names(&a).await?);
    a.wait("none", |state| *state == NamespaceState::Absent)
        .await?;
    let status = a.store.status();
    let confirmed = status.wait_for(|status| status.connected && status.confirmed.is_some());
    timeout(NEWS, confirmed).await.context("never confirmed")?;
    ensure!(status.value().failure.is_none(), "{:?}", status.value());
    ensure!(!a.store.kind().is_empty());
    Ok(())
}

/// Each write is seen at once by who made it.
async fn writes<B: Backing>(backing: &B) -> Result<()> {
    let a = open(backing).await?;
    let first = a.store.create("b-one", dtab(1)).await?;
    ensure!(
        a.wait_dtab("b-one", &dtab(1)).await? == first,
        "another token"
    );
    ensure!(matches!(a.now("b-one"), NamespaceState::Present(v) if v.token == first));
    let again = a.store.create("b-one", dtab(2)).await;
    ensure!(
        again == Err(StoreError::Exists("b-one".to_owned())),
        "{again:?}"
    );
    let second = a.store.put("b-one", dtab(2)).await?;
    ensure!(second != first, "one token for two dtabs");
    ensure!(
        matches!(a.now("b-one"), NamespaceState::Present(v) if v.token == second && v.dtab == dtab(2))
    );
    a.store.put("a-two", Dtab::empty()).await?;
    ensure!(matches!(a.now("a-two"), NamespaceState::Present(v) if v.dtab == Dtab::empty()));
    ensure!(
        names(&a).await? == ["a-two", "b-one"],
        "{:?}",
        names(&a).await?
    );
    for name in ["a-two", "b-one"] {
        a.store.delete(name).await?;
        ensure!(a.now(name) == NamespaceState::Absent);
        let again = a.store.delete(name).await;
        ensure!(
            again == Err(StoreError::Missing(name.to_owned())),
            "{again:?}"
        );
    }
    a.store.create("b-one", dtab(3)).await?;
    a.store.delete("b-one").await?;
    ensure!(names(&a).await?.is_empty());
    Ok(())
}

async fn compare_and_swap<B: Backing>(backing: &B) -> Result<()> {
    let a = open(backing).await?;
    let missing = Err(StoreError::Missing("cas".to_owned()));
    let mismatch = Err(StoreError::VersionMismatch("cas".to_owned()));
    let garbage = DtabToken(Arc::from(*b"no token of anybody"));
    ensure!(a.store.update("cas", dtab(1), &garbage).await == missing);
    let first = a.store.create("cas", dtab(1)).await?;
    let second = a.store.update("cas", dtab(2), &first).await?;
    ensure!(a.wait_dtab("cas", &dtab(2)).await? == second);
    for old in [&first, &garbage] {
        let refused = a.store.update("cas", dtab(3), old).await;
        ensure!(refused == mismatch, "{refused:?}");
    }
    ensure!(matches!(a.now("cas"), NamespaceState::Present(v) if v.dtab == dtab(2)));
    a.store.delete("cas").await?;
    ensure!(a.store.update("cas", dtab(4), &second).await == missing);
    ensure!(a.now("cas") == NamespaceState::Absent);
    Ok(())
}

/// Weights keep all their digits, and order and repetitions of entries stay.
async fn keeps_exactly<B: Backing>(backing: &B) -> Result<()> {
    let text =
        "/b => 0.123456789 * /x & 0.876543211 * /y; /a => /c | /d; /b => ~ | ! | $; /svc/* => /a";
    let wanted = Dtab::parse(text)?;
    let a = open(backing).await?;
    a.store.create("exact", wanted.clone()).await?;
    let b = open(backing).await?;
    let of = if B::SHARED { &b } else { &a };
    of.wait_dtab("exact", &wanted).await?;
    a.store.delete("exact").await?;
    Ok(())
}

/// Of writers that change one version, one wins, and its dtab is the one that stays.
async fn one_winner<B: Backing>(backing: &B) -> Result<()> {
    let a = open(backing).await?;
    let b = if B::SHARED {
        Some(open(backing).await?)
    } else {
        None
    };
    let b = b.as_ref().unwrap_or(&a);
    let mut token = a.store.create("race", dtab(0)).await?;
    for round in 1..=10 {
        let (one, two) = (dtab(round * 2), dtab(round * 2 + 1));
        let (first, second) = tokio::join!(
            a.store.update("race", one.clone(), &token),
            b.store.update("race", two.clone(), &token)
        );
        let (won, lost, dtab) = match (first, second) {
            (Ok(won), Err(lost)) => (won, lost, one),
            (Err(lost), Ok(won)) => (won, lost, two),
            other => bail!("round {round}: {other:?}"),
        };
        ensure!(
            lost == StoreError::VersionMismatch("race".to_owned()),
            "{lost:?}"
        );
        for opened in [&a, b] {
            ensure!(
                opened.wait_dtab("race", &dtab).await? == won,
                "round {round}"
            );
        }
        token = won;
    }
    a.store.delete("race").await?;
    Ok(())
}

/// What one writes, the other serves, in the same order; a delete too.
async fn two_stores<B: Backing>(backing: &B) -> Result<()> {
    if !B::SHARED {
        return Ok(());
    }
    let (a, b) = (open(backing).await?, open(backing).await?);
    let token = a.store.create("both", dtab(1)).await?;
    ensure!(
        b.wait_dtab("both", &dtab(1)).await? == token,
        "tokens differ"
    );
    let token = b.store.update("both", dtab(2), &token).await?;
    ensure!(
        a.wait_dtab("both", &dtab(2)).await? == token,
        "tokens differ"
    );
    let mut seen = BTreeSet::new();
    let cell = b.store.observe("both");
    let writer = async {
        for n in 3..30 {
            a.store.put("both", dtab(n)).await?;
        }
        anyhow::Ok(())
    };
    let reader = cell.wait_for(|state| {
        let NamespaceState::Present(version) = state else {
            return false;
        };
        let n = (1..30).find(|n| dtab(*n) == version.dtab).unwrap_or(0);
        seen.insert(n);
        n == 29
    });
    let (written, read) = tokio::join!(writer, timeout(NEWS, reader));
    written?;
    read.context("the last version did not come")?;
    ensure!(!seen.contains(&0), "something that nobody wrote");
    b.store.delete("both").await?;
    a.wait("both", |state| *state == NamespaceState::Absent)
        .await?;
    Ok(())
}

/// A store that is opened when there is something already never says that there is nothing.
async fn late_comer<B: Backing>(backing: &B) -> Result<()> {
    if !B::SHARED {
        return Ok(());
    }
    let a = open(backing).await?;
    a.store.create("old", dtab(1)).await?;
    let b = backing.open().await?;
    let first = b
        .wait("old", |state| *state != NamespaceState::Pending)
        .await?;
    ensure!(
        matches!(&first, NamespaceState::Present(v) if v.dtab == dtab(1)),
        "{first:?}"
    );
    a.store.delete("old").await?;
    Ok(())
}

/// What cannot be read keeps its last good dtab, is reported, hides nothing else, and can be overwritten.
async fn bad_dtab<B: Backing>(backing: &B) -> Result<()> {
    let a = open(backing).await?;
    a.store.create("bad", dtab(1)).await?;
    a.store.create("good", dtab(1)).await?;
    if !backing.spoil("bad", "/svc => | /x").await? {
        a.store.delete("bad").await?;
        return a.store.delete("good").await.map_err(Into::into);
    }
    let status = a.store.status();
    let reported = status.wait_for(|status| status.unreadable.iter().any(|(n, _)| n == "bad"));
    timeout(NEWS, reported)
        .await
        .context("it is not reported")?;
    ensure!(matches!(a.now("bad"), NamespaceState::Present(v) if v.dtab == dtab(1)));
    // Who has never seen a good one says so; the others are there.
    let b = open(backing).await?;
    ensure!(
        matches!(b.now("bad"), NamespaceState::Unreadable(_)),
        "{:?}",
        b.now("bad")
    );
    ensure!(matches!(b.now("good"), NamespaceState::Present(v) if v.dtab == dtab(1)));
    ensure!(names(&b).await? == ["bad", "good"]);
    let exists = b.store.create("bad", dtab(2)).await;
    ensure!(
        exists == Err(StoreError::Exists("bad".to_owned())),
        "{exists:?}"
    );
    b.store.put("bad", dtab(2)).await?;
    for opened in [&a, &b] {
        opened.wait_dtab("bad", &dtab(2)).await?;
        let status = opened.store.status();
        let healed = status.wait_for(|status| status.unreadable.is_empty());
        timeout(NEWS, healed)
            .await
            .context("it is still reported")?;
    }
    a.store.delete("bad").await?;
    a.store.delete("good").await?;
    Ok(())
}

/// The rule of the store for names, if it has one (control plane 7.3).
async fn bad_name<B: Backing>(backing: &B) -> Result<()> {
    let Some(name) = B::BAD_NAME else {
        return Ok(());
    };
    let a = open(backing).await?;
    for refused in [
        a.store.create(name, dtab(1)).await,
        a.store.put(name, dtab(1)).await,
    ] {
        ensure!(
            matches!(refused, Err(StoreError::BadName { .. })),
            "{refused:?}"
        );
    }
    ensure!(a.now(name) == NamespaceState::Absent, "{:?}", a.now(name));
    Ok(())
}

async fn history<B: Backing>(backing: &B) -> Result<()> {
    let a = open(backing).await?;
    if !B::HISTORY {
        let none = a.store.history("past").await;
        ensure!(
            none == Err(StoreError::NoHistory(a.store.kind())),
            "{none:?}"
        );
        return Ok(());
    }
    let missing = a.store.history("past").await;
    ensure!(
        missing == Err(StoreError::Missing("past".to_owned())),
        "{missing:?}"
    );
    let mut tokens = vec![a.store.create("past", dtab(1)).await?];
    // Versions of others lie between.
    for n in 2..=5 {
        a.store.put("other", dtab(n)).await?;
        tokens.push(a.store.put("past", dtab(n)).await?);
    }
    let history = a.store.history("past").await?;
    let found: Vec<_> = history.iter().map(|past| past.version.clone()).collect();
    ensure!(
        found
            .iter()
            .map(|v| v.dtab.clone())
            .eq((1..=5).rev().map(dtab)),
        "{found:?}"
    );
    ensure!(
        found.iter().map(|v| &v.token).eq(tokens.iter().rev()),
        "{found:?}"
    );
    a.store.delete("past").await?;
    a.store.delete("other").await?;
    Ok(())
}
