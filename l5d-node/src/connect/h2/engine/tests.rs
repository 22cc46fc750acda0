//! The client's side against a server of the `h2` crate, and against frames that nobody should send.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};

use super::*;

const LOCAL: Local = Local {
    stream_window: 65_535,
    connection_window: 1 << 20,
    max_frame: None,
    max_header_list: None,
    header_table: None,
};
const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: web\r\nX-One: 1\r\n\r\n";

/// A connection that is driven, once the peer's settings have come.
async fn begun(io: DuplexStream) -> Rc<Opener> {
    let (opener, mut driver) = begin(io, LOCAL);
    let opener = Rc::new(opener);
    poll_fn(|cx| match driver.poll(cx) {
        Poll::Pending if !opener.is_settled() => Poll::Pending,
        _ => Poll::Ready(()),
    })
    .await;
    spawn_local(async move { drop(poll_fn(|cx| driver.poll(cx)).await) });
    opener
}

async fn open(opener: &Opener, text: &[u8], ends: bool) -> Result<Stream, OpenError> {
    opener.open(text, &[], (ends, false)).await
}

async fn whole(stream: &Stream) -> Result<(Head, Vec<u8>, Option<HeaderMap>), Fail> {
    let head = poll_fn(|cx| stream.poll_head(cx)).await?;
    let mut body = Vec::new();
    loop {
        match poll_fn(|cx| stream.poll_part(cx)).await? {
            Part::Data(bytes, ends) => {
                stream.release(bytes.len());
                body.extend_from_slice(&bytes);
                if ends {
                    return Ok((head, body, None));
                }
            }
            Part::End(trailers) => return Ok((head, body, trailers)),
        }
    }
}

/// Sends back what comes, trailers included, in small windows.
async fn echo(io: DuplexStream) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1000).max_concurrent_streams(7);
    let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            while let Some(Ok(bytes)) = body.data().await {
                let mut rest = bytes.clone();
                while !rest.is_empty() {
                    out.reserve_capacity(rest.len());
                    let Some(Ok(n)) = poll_fn(|cx| out.poll_capacity(cx)).await else {
                        return;
                    };
                    let part = rest.split_to(n.min(rest.len()));
                    out.send_data(part, false).unwrap();
                }
                let _ = body.flow_control().release_capacity(bytes.len());
            }
            match body.trailers().await {
                Ok(Some(trailers)) => out.send_trailers(trailers).unwrap(),
                _ => out.send_data(Bytes::new(), true).unwrap(),
            }
        });
    }
}

#[tokio::test]
async fn bodies_and_trailers_pass_whole_through_small_windows() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let (ours, theirs) = duplex(5000);
            tokio::spawn(echo(theirs));
            let opener = begun(ours).await;
            let mut asked = Vec::new();
            // More than the peer takes at once.
            for i in 0..20_u8 {
                let opener = opener.clone();
                asked.push(spawn_local(async move {
                    let stream = open(&opener, GET, false).await.unwrap();
                    let sent: Bytes = (0..300_000_u32).map(|n| (n / 3) as u8 ^ i).collect();
                    let mut rest = sent.clone();
                    let sending = async {
                        poll_fn(|cx| stream.poll_send(cx, &mut rest, false))
                            .await
                            .unwrap();
                        let mut trailers = HeaderMap::new();
                        trailers.insert("x-end", "yes".parse().unwrap());
                        stream.send_trailers(&trailers).unwrap();
                    };
                    let ((), whole) = tokio::join!(sending, whole(&stream));
                    let (head, body, trailers) = whole.unwrap();
                    assert_eq!((head.status, head.ends), (200, false));
                    assert!(body == sent);
                    assert_eq!(trailers.unwrap()["x-end"], "yes");
                }));
            }
            for one in asked {
                one.await.unwrap();
            }
            assert!(opener.is_usable());
            assert_eq!(opener.max_streams(), 7);
        })
        .await;
}

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    super::frame::put(kind, flags, stream, payload, &mut out);
    out
}

/// What becomes of a request that is answered with these bytes, and what the peer is told at the end: kind, stream, code.
async fn answered(bytes: &[u8]) -> (Result<Vec<u8>, Fail>, Vec<(u8, u32, u32)>) {
    answered_to(bytes, false).await
}

/// `to_head`: to a request with HEAD.
async fn answered_to(bytes: &[u8], to_head: bool) -> (Result<Vec<u8>, Fail>, Vec<(u8, u32, u32)>) {
    let local = LocalSet::new();
    let bytes = bytes.to_vec();
    local
        .run_until(async move {
            let (ours, mut theirs) = duplex(1 << 20);
            theirs.write_all(SETTINGS).await.unwrap();
            let opener = begun(ours).await;
            let stream = opener.open(GET, &[], (true, to_head)).await.unwrap();
            theirs.write_all(&bytes).await.unwrap();
            let whole = whole(&stream).await.map(|(_, body, _)| body);
            drop((stream, opener));
            let mut sent = Vec::new();
            theirs.read_to_end(&mut sent).await.unwrap();
            (whole, told(&sent[24..]))
        })
        .await
}

fn told(mut bytes: &[u8]) -> Vec<(u8, u32, u32)> {
    let mut told = Vec::new();
    while let Some(header) = super::frame::Header::read(bytes) {
        let payload = &bytes[9..9 + header.len];
        bytes = &bytes[9 + header.len..];
        let at = match header.kind {
            3 => 0,
            7 => 4,
            _ => continue,
        };
        let code = u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        told.push((header.kind, header.stream, code));
    }
    told
}

const OK: &[u8] = b"\x88";
/// `content-length: 3`.
const OF_THREE: &[u8] = b"\x88\x0f\x0d\x013";

#[tokio::test]
async fn good_answers_are_taken() {
    let head = frame(1, 4, 1, OK);
    for (bytes, body) in [
        (frame(1, 5, 1, OK), ""),
        ([head.clone(), frame(0, 1, 1, b"abc")].concat(), "abc"),
        (
            [head.clone(), frame(0, 9, 1, b"\x02abc\0\0")].concat(),
            "abc",
        ),
        (
            [
                head.clone(),
                frame(0, 0, 1, b"ab"),
                frame(0, 0, 1, b""),
                frame(0, 1, 1, b"c"),
            ]
            .concat(),
            "abc",
        ),
        (
            [frame(1, 4, 1, OF_THREE), frame(0, 1, 1, b"abc")].concat(),
            "abc",
        ),
        // Interim heads, blocks in pieces, trailers, frames that nobody knows.
        (
            [
                frame(1, 4, 1, b"\x08\x03103"),
                frame(0x77, 0xff, 1, b"?"),
                head.clone(),
                frame(0, 1, 1, b"a"),
            ]
            .concat(),
            "a",
        ),
        (
            [frame(1, 1, 1, b""), frame(9, 0, 1, b""), frame(9, 4, 1, OK)].concat(),
            "",
        ),
        (
            [
                head.clone(),
                frame(0, 0, 1, b"a"),
                frame(1, 5, 1, b"\0\x01a\x01b"),
            ]
            .concat(),
            "a",
        ),
        // The end is the end, whatever comes behind it.
        (
            [frame(1, 5, 1, OK), frame(3, 0, 1, &[0, 0, 0, 8])].concat(),
            "",
        ),
    ] {
        let (whole, told) = answered(&bytes).await;
        assert_eq!(whole, Ok(body.into()), "{bytes:?}");
        assert_eq!(told, [(7, 0, 0)], "{bytes:?}");
    }
}

#[tokio::test]
async fn bad_answers_reset_their_stream() {
    let head = frame(1, 4, 1, OK);
    let protocol = Reason::PROTOCOL_ERROR;
    let windows = vec![frame(0, 0, 1, &[0; 16_384]); 100].concat();
    let mut flood = vec![frame(1, 4, 1, b"\x08\x03103"); 33];
    flood.push(head.clone());
    let many = (0..1025).flat_map(|n| format!("\0\x05t{n:04}\x01b").into_bytes());
    let many: Vec<u8> = many.collect();
    for (bytes, reason) in [
        (frame(1, 5, 1, b""), protocol),
        (frame(1, 5, 1, b"\x08\x0220"), protocol),
        (frame(1, 5, 1, b"\x88\x88"), protocol),
        (frame(1, 5, 1, b"\0\x01a\x01b\x88"), protocol),
        (frame(1, 5, 1, b"\x88\x82"), protocol),
        // Names and values that would become something else.
        (frame(1, 5, 1, b"\x88\0\x01A\x01b"), protocol),
        (frame(1, 5, 1, b"\x88\0\x03a:b\x01b"), protocol),
        (frame(1, 5, 1, b"\x88\0\0\x01b"), protocol),
        (frame(1, 5, 1, b"\x88\0\x01a\x04b\r\nc"), protocol),
        (frame(1, 5, 1, b"\x88\0\x01a\x02b\0"), protocol),
        (frame(1, 5, 1, b"\x88\0\x0aconnection\x05close"), protocol),
        (
            frame(1, 5, 1, b"\x88\0\x11transfer-encoding\x07chunked"),
            protocol,
        ),
        (frame(1, 5, 1, b"\x88\x0f\x0d\x013\x0f\x0d\x014"), protocol),
        (frame(1, 5, 1, b"\x88\x0f\x0d\x02+3"), protocol),
        // Lengths that are not kept.
        (frame(1, 5, 1, OF_THREE), protocol),
        (
            [frame(1, 4, 1, OF_THREE), frame(0, 1, 1, b"ab")].concat(),
            protocol,
        ),
        (
            [frame(1, 4, 1, OF_THREE), frame(0, 0, 1, b"abcd")].concat(),
            protocol,
        ),
        // A body where there is none.
        (
            [frame(1, 4, 1, b"\x89"), frame(0, 1, 1, b"a")].concat(),
            protocol,
        ),
        // More trailers than anybody has.
        ([head.clone(), frame(1, 5, 1, &many)].concat(), protocol),
        // Order.
        (frame(0, 1, 1, b"a"), protocol),
        (frame(1, 5, 1, b"\x08\x03103"), protocol),
        (
            [head.clone(), frame(1, 4, 1, b"\0\x01a\x01b")].concat(),
            protocol,
        ),
        ([head.clone(), frame(1, 5, 1, OK)].concat(), protocol),
        (flood.concat(), Reason::ENHANCE_YOUR_CALM),
        // More than the windows allow.
        ([head.clone(), windows].concat(), Reason::FLOW_CONTROL_ERROR),
        ([head.clone(), frame(8, 0, 1, &[0; 4])].concat(), protocol),
        (
            [head.clone(), frame(8, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
            Reason::FLOW_CONTROL_ERROR,
        ),
    ] {
        let (whole, told) = answered(&bytes).await;
        assert_eq!(whole, Err(Fail::Protocol(reason)), "{bytes:?}");
        let expected = [(3, 1, u32::from(reason)), (7, 0, 0)];
        assert_eq!(told, expected, "{bytes:?}");
    }
}

#[tokio::test]
async fn the_answer_to_head_has_no_body() {
    let head = frame(1, 4, 1, OF_THREE);
    let good = [head.clone(), frame(0, 1, 1, b"")].concat();
    assert_eq!(answered_to(&good, true).await.0, Ok(Vec::new()));
    let bad = [head, frame(0, 1, 1, b"abc")].concat();
    let (whole, told) = answered_to(&bad, true).await;
    assert_eq!(whole, Err(Fail::Protocol(Reason::PROTOCOL_ERROR)));
    assert_eq!(told, [(3, 1, 1), (7, 0, 0)]);
}

/// Notes that it was woken.
#[derive(Default)]
struct Told(AtomicBool);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn who_waits_for_a_stream_may_give_up() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let (ours, mut theirs) = duplex(1 << 20);
            let one_stream = frame(4, 0, 0, &[0, 3, 0, 0, 0, 1]);
            theirs.write_all(&one_stream).await.unwrap();
            let opener = begun(ours).await;
            let first = open(&opener, GET, true).await.unwrap();
            let mut waiting =
                [(); 3].map(|()| Some(Box::pin(opener.open(GET, &[], (true, false)))));
            let told = [(); 3].map(|()| Arc::<Told>::default());
            for (opening, told) in waiting.iter_mut().flatten().zip(&told) {
                let waker = told.clone().into();
                let polled = opening.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
            }
            let now = || told.each_ref().map(|told| told.0.load(Ordering::Relaxed));
            // There is room for one: one hears of it, and hands it on.
            drop(first);
            assert_eq!(now(), [true, false, false]);
            waiting[0] = None;
            assert_eq!(now(), [true, true, false]);
            // One that heard of nothing hands nothing on.
            waiting[2] = None;
            waiting[1].take().unwrap().await.unwrap();
            drop(opener.open(GET, &[], (true, false)).await.unwrap());
        })
        .await;
}

#[tokio::test]
async fn bad_frames_end_the_connection() {
    let (protocol, size) = (Reason::PROTOCOL_ERROR, Reason::FRAME_SIZE_ERROR);
    let setting = |id: u8, value: u32| {
        let payload = [&[0, id][..], &value.to_be_bytes()].concat();
        frame(4, 0, 0, &payload)
    };
    let mut flood = frame(1, 0, 1, OK);
    (0..100).for_each(|_| flood.extend(frame(9, 0, 1, b"")));
    for (bytes, reason) in [
        (frame(0, 0, 0, b"a"), protocol),
        (frame(0, 0, 3, b"a"), protocol),
        (frame(0, 0, 2, b"a"), protocol),
        (frame(0, 8, 1, b"\x05abc"), protocol),
        (frame(1, 4, 3, OK), protocol),
        (frame(1, 4, 0, OK), protocol),
        (frame(1, 4, 1, b"\xff"), Reason::COMPRESSION_ERROR),
        (frame(9, 4, 1, OK), protocol),
        (
            [frame(1, 0, 1, OK), frame(6, 0, 0, &[0; 8])].concat(),
            protocol,
        ),
        ([frame(1, 0, 1, OK), frame(9, 4, 3, b"")].concat(), protocol),
        (flood, Reason::ENHANCE_YOUR_CALM),
        (frame(5, 4, 1, &[0, 0, 0, 2, 0x82]), protocol),
        (frame(4, 0, 1, b""), protocol),
        (frame(4, 0, 0, b"12345"), size),
        (frame(4, 1, 0, b"123456"), size),
        (setting(2, 1), protocol),
        (setting(4, 1 << 31), Reason::FLOW_CONTROL_ERROR),
        (setting(5, 16_383), protocol),
        (setting(5, 1 << 24), protocol),
        (frame(6, 0, 0, b"1234567"), size),
        (frame(6, 0, 1, b"12345678"), protocol),
        (frame(7, 0, 1, &[0; 8]), protocol),
        (frame(7, 0, 0, &[0; 3]), size),
        (frame(8, 0, 0, &[0; 4]), protocol),
        (frame(8, 0, 0, &[0; 3]), size),
        (
            frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            Reason::FLOW_CONTROL_ERROR,
        ),
        (frame(8, 0, 3, &[0, 0, 0, 1]), protocol),
        (frame(3, 0, 0, &[0; 4]), protocol),
        (frame(3, 0, 3, &[0; 4]), protocol),
        (frame(3, 0, 1, &[0; 5]), size),
        (frame(2, 0, 0, &[0; 5]), protocol),
        (frame(0, 0, 1, &[0; 16_385]), size),
    ] {
        let (whole, told) = answered(&bytes).await;
        let shown = &bytes[..bytes.len().min(40)];
        assert_eq!(whole.unwrap_err(), Fail::Protocol(reason), "{shown:?}");
        assert_eq!(told.last(), Some(&(7, 0, u32::from(reason))), "{shown:?}");
    }
}

#[tokio::test]
async fn resets_and_goodbyes_are_what_they_are() {
    for (bytes, fail) in [
        (
            frame(3, 0, 1, &[0, 0, 0, 7]),
            Fail::Reset(Reason::REFUSED_STREAM),
        ),
        (
            frame(3, 0, 1, &[0, 0, 0x12, 0x67]),
            Fail::Reset(4711.into()),
        ),
        (frame(7, 0, 0, &[0; 8]), Fail::Unseen),
    ] {
        let (whole, told) = answered(&bytes).await;
        assert_eq!((whole, told), (Err(fail), vec![(7, 0, 0)]));
    }
    // The last stream is answered, and no other opened.
    let bytes = [
        frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
        frame(1, 5, 1, OK),
    ]
    .concat();
    assert_eq!(answered(&bytes).await, (Ok(vec![]), vec![(7, 0, 0)]));
    let local = LocalSet::new();
    local
        .run_until(async {
            let (ours, mut theirs) = duplex(1 << 20);
            theirs.write_all(SETTINGS).await.unwrap();
            let opener = begun(ours).await;
            let first = open(&opener, GET, true).await.unwrap();
            let dropped = open(&opener, GET, false).await.unwrap();
            assert_eq!(
                open(&opener, b"GET /a b\x7f HTTP/1.1\r\nHost: a b\r\n\r\n", true)
                    .await
                    .err(),
                Some(OpenError::Unsayable)
            );
            drop(dropped);
            theirs
                .write_all(&frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]))
                .await
                .unwrap();
            // What comes for a stream that nobody has any more is passed over.
            theirs.write_all(&frame(1, 4, 3, OK)).await.unwrap();
            theirs.write_all(&frame(0, 1, 3, b"late")).await.unwrap();
            theirs.write_all(&frame(1, 5, 1, OK)).await.unwrap();
            assert!(whole(&first).await.is_ok());
            assert_eq!(
                open(&opener, GET, true).await.err(),
                Some(OpenError::Closed)
            );
            assert!(!opener.is_usable());
            drop(first);
            let mut sent = Vec::new();
            theirs.read_to_end(&mut sent).await.unwrap();
            assert_eq!(told(&sent[24..]), [(3, 3, 8), (7, 0, 0)]);
        })
        .await;
}

#[tokio::test]
async fn a_peer_that_is_gone_fails_all_streams() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let (ours, mut theirs) = duplex(1 << 20);
            theirs.write_all(SETTINGS).await.unwrap();
            let opener = begun(ours).await;
            let stream = open(&opener, GET, false).await.unwrap();
            theirs.write_all(&frame(1, 4, 1, OK)).await.unwrap();
            theirs.write_all(&frame(0, 0, 1, b"part")).await.unwrap();
            drop(theirs);
            // What has come is given first.
            assert_eq!(
                poll_fn(|cx| stream.poll_head(cx)).await.unwrap().status,
                200
            );
            let part = poll_fn(|cx| stream.poll_part(cx)).await;
            assert!(matches!(part, Ok(Part::Data(bytes, false)) if bytes == "part"));
            assert_eq!(
                poll_fn(|cx| stream.poll_part(cx)).await.unwrap_err(),
                Fail::Lost
            );
            assert_eq!(poll_fn(|cx| stream.poll_fail(cx)).await, Fail::Lost);
            let mut more = Bytes::from_static(b"more");
            let sent = poll_fn(|cx| stream.poll_send(cx, &mut more, true)).await;
            assert_eq!(sent, Err(Fail::Lost));
        })
        .await;
}
