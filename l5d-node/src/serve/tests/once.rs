//! Requests that look odd and are right (RFC 9112): each reaches the server exactly once, means there what it meant here, and is
//! not taken for a part of what follows it; however its bytes come.

use super::*;

/// A request, the line and the body that the server sees.
const PASSED: &[(&str, &str, &str)] = &[
    // 2.2: empty lines before a request line.
    (
        "\r\n\r\nGET /a HTTP/1.1\r\nHost: web\r\n\r\n",
        "GET /a HTTP/1.1",
        "",
    ),
    // 3.2.2: the absolute form, whose authority wins.
    (
        "GET http://web/b?c HTTP/1.1\r\nHost: other\r\n\r\n",
        "GET /b?c HTTP/1.1",
        "",
    ),
    (
        "GET HTTP://user:secret@web?c HTTP/1.1\r\nHost: other\r\n\r\n",
        "GET /?c HTTP/1.1",
        "",
    ),
    (
        "GET /r?to=http://x HTTP/1.1\r\nHost: web\r\n\r\n",
        "GET /r?to=http://x HTTP/1.1",
        "",
    ),
    // 3.2.4: the asterisk form.
    (
        "OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n",
        "OPTIONS * HTTP/1.1",
        "",
    ),
    // Methods have case, and may be unknown.
    (
        "get /a HTTP/1.1\r\nHost: web\r\n\r\n",
        "get /a HTTP/1.1",
        "",
    ),
    (
        "M-SEARCH /a HTTP/1.1\r\nHost: web\r\n\r\n",
        "M-SEARCH /a HTTP/1.1",
        "",
    ),
    // 5.1: optional white space, empty values, field names in any case.
    (
        "GET /a HTTP/1.1\r\nhOST:web\r\nX-Empty:\r\nX-Tab:\t a \t\r\n\r\n",
        "GET /a HTTP/1.1",
        "",
    ),
    // 6.3: a length of nothing, lengths that agree, leading zeros.
    (
        "POST /a HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n",
        "POST /a HTTP/1.1",
        "",
    ),
    (
        "POST /a HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nabc",
        "POST /a HTTP/1.1",
        "abc",
    ),
    // A body that looks like a request, and a method that seldom has one.
    (
        "DELETE /a HTTP/1.1\r\nHost: web\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "DELETE /a HTTP/1.1",
        "GET / HTTP/1.1\r\n\r\n",
    ),
    // 7: chunks, with extensions, in any case of coding and digits.
    (
        "POST /a HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: CHUNKED\r\n\r\n0003;a=\"b c\"\r\nabc\r\n0\r\n\r\n",
        "POST /a HTTP/1.1",
        "abc",
    ),
    (
        "POST /a HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\na\r\n\r\n0\r\n\r\nabc\r\n000\r\n\r\n",
        "POST /a HTTP/1.1",
        "0123456789\r\n0\r\n\r\nabc",
    ),
    (
        "POST /a HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Trailer: GET / HTTP/1.1\r\n\r\n",
        "POST /a HTTP/1.1",
        "x",
    ),
    // RFC 9110 10.1.1: the body comes without waiting.
    (
        "POST /a HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "POST /a HTTP/1.1",
        "hi",
    ),
];

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: web\r\n\r\n";

/// Sends in pieces of `size` bytes.
async fn send(client: &mut Peer, text: &str, size: usize) {
    client.stream.set_nodelay(true).unwrap();
    for piece in text.as_bytes().chunks(size) {
        client.stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_right_passes_exactly_once_however_it_is_cut() {
    let app = Backend::answering(|r| ok(r.line())).await;
    let proxy = proxy_to(&app);
    for (text, line, body) in PASSED {
        for size in [usize::MAX, 7, 1] {
            let before = app.count();
            let mut client = proxy.connect().await;
            send(&mut client, &format!("{text}{NEXT}"), size).await;
            let mut response = client.response().await;
            while response.status() == 100 {
                response = client.response().await;
            }
            assert_eq!(
                (response.status(), response.body.as_str()),
                (200, *line),
                "{text:?}"
            );
            assert_eq!(
                client.response().await.body,
                "GET /next HTTP/1.1",
                "{text:?}"
            );
            let seen = app.seen.lock()[before..].to_vec();
            assert_eq!(seen.len(), 2, "{text:?}: {seen:?}");
            assert_eq!((seen[0].line(), seen[0].body.as_str()), (*line, *body));
            assert_eq!(seen[0].get("host"), Some("web"), "{text:?}");
        }
    }
}

#[tokio::test]
async fn the_end_of_a_connection_ends_no_request_that_is_not_whole() {
    let app = Backend::named("x").await;
    let proxy = proxy_to(&app);
    for (text, _, _) in PASSED {
        // Some end in a body that is passed on as it comes: nobody gets those whole.
        for cut in (1..text.len()).step_by(5) {
            let mut client = proxy.connect().await;
            client
                .stream
                .write_all(&text.as_bytes()[..cut])
                .await
                .unwrap();
            client.stream.shutdown().await.unwrap();
            client.rest().await;
        }
    }
    assert_eq!(app.count(), 0, "{:?}", app.seen.lock());
}
