//! What is counted and told of streams (node-proxy 15.2, 15.7).

use super::*;
use crate::config::{Classifier, GrpcRetries, Telemeter};
use crate::meter::table as t;
use crate::tell::Verdict;

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    assert!(waited.is_ok(), "{what}");
}

#[tokio::test]
async fn streams_are_counted_while_they_are_open_and_as_they_end() {
    let backend = Server2::echo().await;
    let proxy = h2_proxy(&[backend.addr]);
    let peer = client(proxy.addr).await;
    let (response, mut out) = open(&peer, post("/"), false).await;
    out.send_data("x".into(), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "x");
    let view = proxy.stats().view().remove(0);
    for scope in [&view.servers[0], &view.clients[0]] {
        let (open, ended) = (&t::OPEN_STREAMS, &t::STREAM_SUCCESS);
        let numbers = [open, ended].map(|of| scope.reading.value(of));
        assert_eq!(numbers, [1, 0], "{}", scope.label);
    }
    out.send_data(Bytes::new(), true).unwrap();
    while body.data().await.is_some() {}
    let ended = || {
        let view = proxy.stats().view().remove(0);
        let scopes = [
            &view.servers[0],
            &view.services[0],
            &view.clients[0],
            &view.pairs[0],
        ];
        let is_over = |s: &&crate::serve::ScopeView| {
            let latency = s.reading.spreads.iter();
            let mut latency = latency.filter(|s| std::ptr::eq(s.of, &t::STREAM_LATENCY));
            s.reading.value(&t::STREAM_SUCCESS) == 1
                && s.reading.value(&t::OPEN_STREAMS) == 0
                && latency.next().is_some_and(|s| s.view.count() == 1)
        };
        scopes.iter().all(is_over)
    };
    until("the end of the stream", ended).await;
}

#[tokio::test]
async fn what_grpc_says_and_what_it_is_worth_is_told() {
    let backend = Server2::start(|_, mut respond| async move {
        let response = Response::new(());
        let mut out = respond.send_response(response, false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "5".parse().unwrap());
        out.send_trailers(trailers).unwrap();
    })
    .await;
    let recent = Telemeter::RecentRequests {
        sample_rate: 1.0,
        capacity: 10,
    };
    let config = Config {
        telemetry: vec![recent],
        ..Config::default()
    };
    let proxy = Proxy::made(config, |r| {
        r.protocol = Protocol::H2;
        r.service.base_mut().classifier = Classifier::Grpc {
            retryable: GrpcRetries::Never,
            successes: vec![0],
        };
    });
    proxy.names.bind(0, "/svc/web", &[backend.addr]);
    let traces = proxy.tellers.traces.clone().unwrap();
    let (end, telling) = (CancellationToken::new(), traces.clone());
    let running = tokio::spawn({
        let end = end.clone();
        async move { telling.run(end).await }
    });
    ask(&proxy, grpc("/a")).await.unwrap();
    until("it is told", || !traces.recent().is_empty()).await;
    let record = traces.recent().remove(0);
    let verdict = Verdict {
        grpc_status: Some(5),
        is_success: Some(false),
    };
    assert_eq!(record.verdict, verdict);
    assert_eq!(record.attempts[0].verdict, verdict);
    end.cancel();
    running.await.unwrap();
}
