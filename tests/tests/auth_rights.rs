//! Rights on the real API server, the end of tokens, and what the interfaces of Linkerd 1.x and 2 ask for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_resolver::v1::{self, down, up};
use l5d_tests::client::ApiClient;
use l5d_tests::cluster::{Backing, Cluster};
use l5d_tests::control::reviews;
use l5d_tests::pki::{Authority, Issued};
use l5d_tests::real::ADMIN;
use namerd::app::{NoLevels, Running, run};
use namerd::auth::{Access, CallerGuard, Denied};
use namerd::config::{CallerAuth, CallerProof, Config};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Streaming};

const PATIENCE: Duration = Duration::from_secs(60);

async fn start(interfaces: &str) -> Result<Running> {
    let text = format!(
        "admin: {{port: 0}}\nstorage:\n  kind: io.l5d.inMemory\n  namespaces: {{default: '/svc => /$/inet/127.0.0.1/80'}}\n\
         interfaces:\n{interfaces}"
    );
    let (config, _) = Config::read("namerd.yml", &text, &|_| None)?;
    Ok(run(config, Vec::new(), Arc::new(NoLevels)).await?)
}

async fn plain(addr: SocketAddr) -> Result<Channel> {
    let endpoint = Endpoint::try_from(format!("http://{addr}"))?;
    Ok(endpoint.connect().await?)
}

async fn post(client: &ApiClient, path: &str, object: &Value) -> Result<Value> {
    let answer = client.send(Method::POST, path, &[], Some(object)).await?;
    answer.ok().with_context(|| path.to_owned())
}

/// A service account with a token of its own.
async fn account(client: &ApiClient, name: &str) -> Result<String> {
    let accounts = "/api/v1/namespaces/mesh/serviceaccounts";
    let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    post(client, accounts, &object).await?;
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600},
    });
    let answer = post(client, &format!("{accounts}/{name}/token"), &request).await?;
    let token = answer["status"]["token"].as_str().context("a token")?;
    Ok(format!("Bearer {token}"))
}

/// Lets a service account do these things to dtabs of one Kubernetes namespace.
async fn allow(client: &ApiClient, name: &str, verbs: &[&str]) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": name},
        "rules": [{"apiGroups": ["l5d.io"], "resources": ["dtabs"], "verbs": verbs}],
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": "mesh", "name": name}],
    });
    let path = format!("/apis/{group}/v1/namespaces/mesh");
    post(client, &format!("{path}/roles"), &role).await?;
    post(client, &format!("{path}/rolebindings"), &binding).await?;
    Ok(())
}

/// SubjectAccessReview against real RBAC: who may write dtabs in one Kubernetes namespace may not in another, nor do what
/// the role does not name, nor may somebody without a role.
#[tokio::test(flavor = "multi_thread")]
async fn rights_to_dtabs_are_those_of_the_real_api_server() -> Result<()> {
    let Some(cluster) = Cluster::real(&[]).await? else {
        return Ok(());
    };
    let Backing::Real(real) = cluster.backing() else {
        bail!("built on the real one");
    };
    let client = real.client(ADMIN)?;
    for namespace in ["mesh", "other"] {
        cluster.namespace(namespace).await?;
    }
    let may = account(&client, "writer").await?;
    let may_not = account(&client, "nobody").await?;
    allow(&client, "writer", &["create", "update"]).await?;
    let wanted = CallerAuth {
        writes: vec![CallerProof::Token],
        ..CallerAuth::default()
    };
    let guard = |namespace| {
        anyhow::Ok(CallerGuard::new(
            &wanted,
            Some(reviews(&cluster, namespace)?),
        ))
    };
    let (mesh, other) = (guard("mesh")?, guard("other")?);
    let access = |verb| Access {
        verb,
        name: Some("default".to_owned()),
    };
    // The server reads roles some moments after they were written; namerd's own rights too.
    let begun = Instant::now();
    while let Err(denied) = mesh
        .allow(None, Some(may.as_bytes()), &access("update"))
        .await
    {
        if begun.elapsed() > PATIENCE {
            bail!("the role does not take effect: {denied}");
        }
        sleep(Duration::from_millis(100)).await;
    }
    let mut answers = Vec::new();
    for (guard, token, verb) in [
        (&mesh, &may, "create"),
        (&mesh, &may, "delete"),
        (&mesh, &may_not, "update"),
        (&other, &may, "update"),
    ] {
        let answer = guard
            .allow(None, Some(token.as_bytes()), &access(verb))
            .await;
        if let Err(denied) = &answer {
            assert!(matches!(denied, Denied::Forbidden(_)), "{denied:?}");
            assert!(
                denied.to_string().contains("system:serviceaccount:mesh:"),
                "{denied}"
            );
        }
        answers.push(answer.is_ok());
    }
    assert_eq!(answers, [true, false, false, false]);
    Ok(())
}

/// A token of the double whose claims say that it ends so many seconds from now.
fn ending(double: &l5d_tests::double::Double, secs: u64) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{}}}"#, now + secs));
    let token = format!("x.{claims}.y");
    let account = "system:serviceaccount:linkerd:l5d";
    double
        .reviews()
        .add(&token, "namerd", account, Some("node-1"));
    Ok(token)
}

fn with_token<T>(message: T, token: &str) -> Result<Request<T>> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse()?;
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}

/// Follows and stays; whether it was asked to move, and how it ended.
async fn stay(mut downs: Streaming<v1::Down>) -> Result<(bool, Code)> {
    let mut was_asked = false;
    loop {
        match timeout(PATIENCE, downs.next())
            .await?
            .context("an end with a status")?
        {
            Ok(message) => was_asked |= matches!(message.message, Some(down::Message::Goodbye(_))),
            Err(status) => return Ok((was_asked, status.code())),
        }
    }
}

#[tokio::test]
async fn open_streams_end_with_the_token_that_let_them_in() -> Result<()> {
    let cluster = Cluster::double()?;
    let Backing::Double(double) = cluster.backing() else {
        bail!("built on the double");
    };
    let (api, port) = (double.addr().ip(), double.addr().port());
    let auth = format!("auth: {{nodes: serviceAccount, host: {api}, port: {port}}}");
    let namerd = start(&format!("- {{kind: io.l5d.mesh, port: 0, {auth}}}\n")).await?;
    let mut client = ResolverClient::new(plain(namerd.addresses.interfaces[0].1).await?);
    let token = ending(double, 4)?;
    let question = v1::ResolveRequest {
        root: "default".to_owned(),
        path: "/svc/x".to_owned(),
        ..v1::ResolveRequest::default()
    };
    let watch = client.watch(with_token(question, &token)?).await?;
    let mut watch = watch.into_inner();
    watch.next().await.context("the first state")??;

    let (ups, messages) = tokio::sync::mpsc::channel(4);
    let hello = v1::Hello {
        node: "node-1".to_owned(),
        ..v1::Hello::default()
    };
    let message = Some(up::Message::Hello(hello));
    ups.send(v1::Up { message }).await?;
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let downs = client.follow(with_token(messages, &token)?).await?;
    let followed = stay(downs.into_inner()).await?;
    assert_eq!(followed, (true, Code::Unauthenticated));
    let watched = timeout(PATIENCE, watch.next()).await?;
    let ended = watched.context("an end with a status")?;
    let code = ended.err().map(|status| status.code());
    assert_eq!(code, Some(Code::Unauthenticated));
    drop(ups);
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

/// The status of a call without a body.
async fn status(addr: SocketAddr, method: &str, token: Option<&str>) -> Result<String> {
    let socket = TcpStream::connect(addr).await?;
    let (client, connection) = h2::client::handshake(socket).await?;
    let connection = tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://namerd/{method}"))
        .header("content-type", "application/grpc");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut client = client.ready().await?;
    let (response, mut send) = client.send_request(request.body(())?, false)?;
    // An empty message.
    send.send_data(vec![0; 5].into(), true)?;
    let (head, mut body) = timeout(PATIENCE, response).await??.into_parts();
    let known = head.headers.get("grpc-status").cloned();
    let said = match known {
        Some(said) => said,
        None => {
            // What is let in goes on: its first message is enough.
            let first = timeout(PATIENCE, body.data()).await?;
            if first.is_some() {
                connection.abort();
                return Ok("open".to_owned());
            }
            let trailers = body.trailers().await?.context("trailers")?;
            trailers.get("grpc-status").cloned().context("a status")?
        }
    };
    connection.abort();
    Ok(said.to_str()?.to_owned())
}

#[tokio::test]
async fn proxies_of_linkerd_2_show_a_token_where_the_file_asks_for_it() -> Result<()> {
    let cluster = Cluster::double()?;
    let Backing::Double(double) = cluster.backing() else {
        bail!("built on the double");
    };
    let (api, port) = (double.addr().ip(), double.addr().port());
    let auth = format!("auth: {{callers: token, host: {api}, port: {port}}}");
    let namerd = start(&format!(
        "- {{kind: io.l5d.destination, port: 0, {auth}}}\n- {{kind: io.l5d.destination, port: 0}}\n"
    ))
    .await?;
    let [(_, asking), (_, open)] = namerd.addresses.interfaces[..] else {
        bail!("two interfaces");
    };
    let token = ending(double, 3_600)?;
    let method = "io.linkerd.proxy.destination.Destination/Get";
    let unauthenticated = (Code::Unauthenticated as i32).to_string();
    assert_eq!(status(asking, method, None).await?, unauthenticated);
    assert_eq!(
        status(asking, method, Some("rubbish")).await?,
        unauthenticated
    );
    // Whoever is let in is told what is wrong with an empty question, or is answered.
    let let_in = status(asking, method, Some(&token)).await?;
    assert_ne!(let_in, unauthenticated);
    assert_eq!(let_in, status(open, method, None).await?);
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

/// The answer to an empty call in a frame of ThriftMux.
async fn thrift(addr: SocketAddr, authority: &Authority, shown: Option<&Issued>) -> Result<String> {
    let connector = TlsConnector::from(authority.client(shown, &[])?);
    let tcp = TcpStream::connect(addr).await?;
    let mut tls = connector.connect(addr.ip().into(), tcp).await?;
    // Length, Tdispatch, tag 1, no contexts, no destination, no dtab.
    let call = [0, 0, 0, 10, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    tls.write_all(&call).await?;
    loop {
        let mut frame = vec![0; timeout(PATIENCE, tls.read_u32()).await?? as usize];
        tls.read_exact(&mut frame).await?;
        // Pings of the server are passed over.
        if frame[0] == 2_u8.wrapping_neg() {
            return Ok(String::from_utf8_lossy(&frame[4..]).into_owned());
        }
    }
}

#[tokio::test]
async fn thrift_callers_show_a_certificate_where_the_file_asks_for_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new("mesh")?;
    let server = authority.issue(&["127.0.0.1"])?;
    let (cert, key) = server.write(folder.path(), "server")?;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let (cert, key, ca) = (cert.display(), key.display(), ca.display());
    let namerd = start(&format!(
        "- {{kind: io.l5d.thriftNameInterpreter, port: 0, auth: {{callers: certificate}}, \
         tls: {{certPath: {cert}, keyPath: {key}, caCertPath: {ca}}}}}\n"
    ))
    .await?;
    let addr = namerd.addresses.interfaces[0].1;
    let wanted = "must show a client certificate";
    let told = thrift(addr, &authority, None).await?;
    assert!(told.contains(wanted), "{told}");
    let proxy = authority.issue(&["proxy"])?;
    let told = thrift(addr, &authority, Some(&proxy)).await?;
    assert!(!told.contains(wanted), "{told}");
    namerd.shutdown();
    namerd.wait().await?;
    Ok(())
}

/// RES-12: what the file sets as the bounds of sessions is what nodes are told.
#[tokio::test]
async fn session_limits_of_the_file_reach_nodes_in_the_welcome() -> Result<()> {
    let limits = "limits: {interestsPerSession: 70, overridesPerSession: 30, newInterestBurst: 20, newInterestsPerSecond: 5}";
    let namerd = start(&format!("- {{kind: io.l5d.mesh, port: 0, {limits}}}\n")).await?;
    let mut client = ResolverClient::new(plain(namerd.addresses.interfaces[0].1).await?);
    let (ups, messages) = tokio::sync::mpsc::channel(4);
    let message = Some(up::Message::Hello(v1::Hello::default()));
    ups.send(v1::Up { message }).await?;
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut downs = client.follow(messages).await?.into_inner();
    let first = timeout(PATIENCE, downs.next())
        .await?
        .context("a message")??;
    let Some(down::Message::Welcome(welcome)) = first.message else {
        bail!("no welcome: {first:?}");
    };
    let told = welcome.limits.context("limits")?;
    assert_eq!(
        (
            told.interests,
            told.overrides,
            told.want_burst,
            told.wants_per_second
        ),
        (70, 30, 20, 5)
    );
    Ok(())
}
