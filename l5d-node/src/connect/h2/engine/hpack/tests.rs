use super::*;

type List = Vec<(String, String)>;

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<List, Malformed> {
    let mut list = Vec::new();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    decoder.decode(block, &mut |name, value| {
        list.push((text(name), text(value)))
    })?;
    Ok(list)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn list(pairs: &[(&str, &str)]) -> List {
    pairs
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

/// RFC 7541 C.3 and C.4: requests without and with Huffman code.
#[test]
fn the_requests_of_the_rfc_are_read() {
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let coded = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new(4096);
        let host = (":authority", "www.example.com");
        let common = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            host,
        ];
        assert_eq!(read(&mut decoder, &hex(blocks[0])).unwrap(), list(&common));
        let second = [&common[..], &[("cache-control", "no-cache")]].concat();
        assert_eq!(read(&mut decoder, &hex(blocks[1])).unwrap(), list(&second));
        let third = [
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            host,
            ("custom-key", "custom-value"),
        ];
        assert_eq!(read(&mut decoder, &hex(blocks[2])).unwrap(), list(&third));
    }
}

/// RFC 7541 C.6: responses in a table of 256 bytes, from which entries fall.
#[test]
fn entries_fall_out_of_a_small_table() {
    let mut decoder = Decoder::new(4096);
    let blocks = [
        "3fe101488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ];
    let cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let first = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let location = ("location", "https://www.example.com");
    let expected = [
        vec![
            (":status", "302"),
            ("cache-control", "private"),
            first,
            location,
        ],
        vec![
            (":status", "307"),
            ("cache-control", "private"),
            first,
            location,
        ],
        vec![
            (":status", "200"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            location,
            ("content-encoding", "gzip"),
            ("set-cookie", cookie),
        ],
    ];
    for (block, expected) in blocks.iter().zip(expected) {
        assert_eq!(read(&mut decoder, &hex(block)).unwrap(), list(&expected));
    }
}

#[test]
fn what_is_malformed_is_refused() {
    for block in [
        // No such places.
        "80",
        "be",
        "ffffff7f",
        // A number without end, and strings beyond the block.
        "ff",
        "ffffffffffffffff7f",
        "0001",
        "000161",
        "00016105",
        "408825a849",
        // A table that is too large, and a change behind a field.
        "3fe21f",
        "8220",
        // The end of a string inside it, padding of eight bits, padding of zeros.
        "000161 84ffffffff",
        "000161 82 07ff",
        "000161 81 00",
    ] {
        let mut decoder = Decoder::new(4096);
        assert_eq!(read(&mut decoder, &hex(block)), Err(Malformed), "{block}");
    }
}

#[test]
fn what_is_written_is_read() {
    let mut encoder = Encoder::default();
    let mut decoder = Decoder::new(4096);
    let long = "v".repeat(20_000);
    for round in 0..2 {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        assert_eq!(block.len(), 1 - round);
        encoder.method(b"PATCH", &mut block);
        encoder.scheme(true, &mut block);
        encoder.authority(b"web", &mut block);
        encoder.path(b"/a", &mut block);
        encoder.field(b"X-Long", long.as_bytes(), &mut block);
        let mut expected = vec![
            (":method", "PATCH"),
            (":scheme", "https"),
            (":authority", "web"),
            (":path", "/a"),
            ("x-long", &long),
        ];
        for (name, _) in &STATIC[14..] {
            encoder.field(name.to_uppercase().as_bytes(), b"1", &mut block);
            expected.push((name, "1"));
        }
        // Only what the static table does not know has its name with it.
        assert!(block.len() < long.len() + 300, "{}", block.len());
        assert_eq!(read(&mut decoder, &block).unwrap(), list(&expected));
    }
}
