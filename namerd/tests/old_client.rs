//! The program as a Linkerd 1.x proxy meets it: frames written by hand with exactly its headers, over a socket (control
//! plane 4.1, 4.1a).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use l5d_mesh::v1;
use l5d_naming::Path;
use loona_hpack::Decoder;
use prost::Message;

/// A namerd that runs; killed when dropped.
struct Namerd {
    child: Child,
    http: String,
    mesh: String,
    folder: tempfile::TempDir,
}

impl Namerd {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let names = folder.path().join("names");
        std::fs::create_dir(&names).expect("made");
        std::fs::write(names.join("web"), "127.0.0.1 8080 * 0.5\n::1 8081\n").expect("written");
        let config = format!(
            "
admin: {{port: 0}}
storage: {{kind: io.l5d.inMemory, namespaces: {{default: '/svc => /#/io.l5d.fs'}}}}
namers: [{{kind: io.l5d.fs, rootDir: '{}'}}]
interfaces:
- {{kind: io.l5d.httpController, port: 0}}
- {{kind: io.l5d.mesh, port: 0}}
",
            names.display()
        );
        let file = folder.path().join("namerd.yml");
        std::fs::write(&file, config).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_namerd"))
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let of = |kind: &str| {
            let pair = line.split_whitespace().find_map(|p| p.strip_prefix(kind));
            pair.expect("listens").to_owned()
        };
        Self {
            http: of("io.l5d.httpController="),
            mesh: of("io.l5d.mesh="),
            child,
            folder,
        }
    }

    /// Replaces the dtab by way of the HTTP controller.
    fn put_dtab(&self, text: &str) {
        let mut http = TcpStream::connect(&self.http).expect("connects");
        let request = format!(
            "PUT /api/1/dtabs/default HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/dtab\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
        http.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        http.read_to_string(&mut answer).expect("read");
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
}

impl Drop for Namerd {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        assert!(self.folder.path().exists());
    }
}

/// A frame as it came.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;

/// A connection of the 1.x generation.
struct Old {
    socket: TcpStream,
    decoder: Decoder<'static>,
    next: u32,
}

impl Old {
    fn connect(to: &str) -> Self {
        let mut socket = TcpStream::connect(to).expect("connects");
        let patience = Some(Duration::from_secs(60));
        socket.set_read_timeout(patience).expect("set");
        socket
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .expect("sent");
        let mut old = Self {
            socket,
            decoder: Decoder::new(),
            next: 1,
        };
        old.send(SETTINGS, 0, 0, &[]);
        old
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame).expect("sent");
    }

    /// A request with `:authority` empty and what else 1.x sends; later ones refer to the dynamic table as its encoder
    /// does. Gives the stream.
    fn call(&mut self, path: &str, message: &impl Message) -> u32 {
        let stream = self.next;
        self.next += 2;
        let mut block = vec![0x83, 0x86, 0x81, 0x04, path.len() as u8];
        block.extend_from_slice(path.as_bytes());
        if stream == 1 {
            block.extend([0x40 | 31, 22]);
            block.extend_from_slice(b"application/grpc+proto");
        } else {
            block.push(0x80 | 62);
        }
        self.send(HEADERS, 0x4, stream, &block);
        let mut body = vec![0];
        body.extend((message.encoded_len() as u32).to_be_bytes());
        message.encode(&mut body).expect("room");
        self.send(DATA, END_STREAM, stream, &body);
        stream
    }

    /// The next frame but those of the connection; settings are acknowledged.
    fn frame(&mut self) -> Frame {
        loop {
            let mut head = [0; 9];
            self.socket.read_exact(&mut head).expect("a frame");
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; len as usize];
            self.socket.read_exact(&mut payload).expect("its payload");
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let (kind, flags) = (head[3], head[4]);
            match kind {
                SETTINGS if flags == 0 => self.send(SETTINGS, 1, 0, &[]),
                // Nobody reads the rest of a request that is answered.
                RST_STREAM if payload == [0; 4] => {}
                DATA | HEADERS | RST_STREAM => {
                    return Frame {
                        kind,
                        flags,
                        stream,
                        payload,
                    };
                }
                PING if flags == 1 => {
                    return Frame {
                        kind,
                        flags,
                        stream,
                        payload,
                    };
                }
                _ => {}
            }
        }
    }

    /// The next frame of a stream: headers or trailers.
    fn headers(&mut self, stream: u32) -> (Vec<(String, String)>, bool) {
        let frame = self.frame();
        assert_eq!((frame.kind, frame.stream), (HEADERS, stream), "{frame:?}");
        let fields = self.decoder.decode(&frame.payload).expect("decodes");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let fields = fields.into_iter().map(|(n, v)| (text(n), text(v)));
        (fields.collect(), frame.flags & END_STREAM != 0)
    }

    /// The beginning of an answer: 200 and the old content type, and more to come.
    fn answered(&mut self, stream: u32) {
        let (fields, is_over) = self.headers(stream);
        assert!(
            !is_over,
            "trailers come in a frame of their own: {fields:?}"
        );
        for (name, value) in [
            (":status", "200"),
            ("content-type", "application/grpc+proto"),
        ] {
            let field = fields.iter().find(|(n, _)| n == name);
            assert_eq!(field.expect(name).1, value);
        }
        assert!(
            !fields.iter().any(|(n, _)| n == "grpc-status"),
            "{fields:?}"
        );
    }

    fn message<M: Message + Default>(&mut self, stream: u32) -> M {
        let frame = self.frame();
        assert_eq!((frame.kind, frame.stream), (DATA, stream), "{frame:?}");
        assert_eq!(frame.payload[0], 0, "not compressed");
        let len = u32::from_be_bytes(frame.payload[1..5].try_into().expect("four"));
        assert_eq!(len as usize + 5, frame.payload.len(), "one whole message");
        M::decode(&frame.payload[5..]).expect("decodes")
    }

    fn ended(&mut self, stream: u32) -> (String, String) {
        let (fields, is_over) = self.headers(stream);
        assert!(is_over, "{fields:?}");
        let of = |name: &str| {
            let field = fields.iter().find(|(n, _)| n == name);
            field.map_or(String::new(), |(_, value)| value.clone())
        };
        (of("grpc-status"), of("grpc-message"))
    }
}

fn path(text: &str) -> Option<v1::Path> {
    Some((&Path::parse(text).expect("a path")).into())
}

fn bind(root: &str, name: &str) -> v1::BindReq {
    v1::BindReq {
        root: path(root),
        name: path(name),
        dtab: None,
    }
}

const BIND: &str = "/io.linkerd.mesh.Interpreter/StreamBoundTree";

/// Trap 33: binds and resolves as an old proxy does, all on one connection, with changes and a ping between.
#[test]
fn a_proxy_of_the_1_x_generation_is_served() {
    let namerd = Namerd::start();
    let mut old = Old::connect(&namerd.mesh);
    let trees = old.call(BIND, &bind("/default", "/svc/web/rest"));
    old.answered(trees);
    let tree: v1::BoundTreeRsp = old.message(trees);
    let Some(v1::bound_name_tree::Node::Leaf(leaf)) = tree.tree.and_then(|t| t.node) else {
        panic!("a leaf");
    };
    assert_eq!(leaf.residual, path("/rest"));

    let request = v1::ReplicasReq { id: leaf.id };
    let sets = old.call("/io.linkerd.mesh.Resolver/StreamReplicas", &request);
    old.answered(sets);
    let endpoints = loop {
        let replicas: v1::Replicas = old.message(sets);
        match replicas.result {
            Some(v1::replicas::Result::Pending(_)) => {}
            Some(v1::replicas::Result::Bound(bound)) => break bound.endpoints,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(endpoints.len(), 2);
    for endpoint in &endpoints {
        // What is absent an old client drops.
        assert!(endpoint.inet_af.is_some() && endpoint.port.is_some());
        let len = endpoint.address.as_ref().expect("set").len();
        assert_eq!(len, [4, 16][endpoint.inet_af.expect("set") as usize]);
    }
    let weights = endpoints
        .iter()
        .filter_map(|e| e.metadata.get("endpoint_addr_weight"));
    assert_eq!(weights.collect::<Vec<_>>(), ["0.5"]);

    old.send(PING, 0, 0, b"are you?");
    let pong = old.frame();
    assert_eq!((pong.kind, &pong.payload[..]), (PING, &b"are you?"[..]));

    namerd.put_dtab("/svc => /nowhere");
    let tree: v1::BoundTreeRsp = old.message(trees);
    let node = tree.tree.and_then(|t| t.node);
    assert!(
        matches!(node, Some(v1::bound_name_tree::Node::Neg(_))),
        "{node:?}"
    );

    // The only sign that a client no longer cares.
    old.send(RST_STREAM, 0, trees, &8_u32.to_be_bytes());
    namerd.put_dtab("/svc => /#/io.l5d.fs");
    let again = old.call(BIND, &bind("/default", "/svc/web"));
    old.answered(again);
    let _: v1::BoundTreeRsp = old.message(again);
}

/// Trap 34, 4.7: errors come as headers and trailers in two frames, unknown methods too.
#[test]
fn errors_come_in_two_frames() {
    let namerd = Namerd::start();
    let mut old = Old::connect(&namerd.mesh);
    let lost = old.call(BIND, &bind("/a/b", "/svc/web"));
    old.answered(lost);
    let (status, message) = old.ended(lost);
    assert_eq!(status, "3");
    assert_eq!(
        message.replace("%20", " ").replace("%60", "`"),
        "Invalid root: `/a/b` must have exactly one segment"
    );
    for method in [
        "/io.linkerd.mesh.Interpreter/NoSuch",
        "/io.linkerd.mesh.NoSuch/Bind",
    ] {
        let unknown = old.call(method, &bind("/default", "/svc/web"));
        old.answered(unknown);
        assert_eq!(old.ended(unknown), ("12".to_owned(), method.to_owned()));
    }
    let request = v1::DtabReq {
        root: path("/nobody"),
    };
    let none = old.call("/io.linkerd.mesh.Delegator/GetDtab", &request);
    old.answered(none);
    assert_eq!(old.ended(none).0, "5");
}

/// A compressed message is refused, whatever says so.
#[test]
fn compressed_messages_are_refused() {
    let namerd = Namerd::start();
    let mut old = Old::connect(&namerd.mesh);
    let mut block = vec![0x83, 0x86, 0x81, 0x04, BIND.len() as u8];
    block.extend_from_slice(BIND.as_bytes());
    old.send(HEADERS, 0x4, 1, &block);
    old.send(DATA, END_STREAM, 1, &[1, 0, 0, 0, 1, 0]);
    old.answered(1);
    assert_ne!(old.ended(1).0, "0");
}
