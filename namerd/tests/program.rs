//! The program from outside: arguments, exit codes, the first line, signals (control plane 3.1, 3.7, 3.8).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

const GOOD: &str = "
admin: {port: 0}
storage: {kind: io.l5d.inMemory}
interfaces:
- {kind: io.l5d.httpController, port: 0}
- {kind: io.l5d.mesh, port: 0}
";

fn namerd(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_namerd"));
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn with_input(args: &[&str], input: &str) -> Output {
    let mut child = namerd(args).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    // It may end without reading, as it does for wrong arguments.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("ends")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn exactly_one_argument_else_the_usage() {
    for args in [&[][..], &["a", "b"]] {
        let output = with_input(args, "");
        assert!(!output.status.success());
        assert!(
            stderr(&output).starts_with("usage: namerd path/to/config"),
            "{}",
            stderr(&output)
        );
    }
    let help = with_input(&["--help"], "");
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(
        help.status.success() && text.contains("A first configuration"),
        "{text}"
    );
}

#[test]
fn check_says_ok_or_all_that_is_wrong_and_opens_nothing() {
    for flag in ["--check", "-validate", "--validate"] {
        let output = with_input(&[flag, "-"], GOOD);
        assert_eq!(output.status.code(), Some(0), "{flag}: {}", stderr(&output));
        let output = with_input(&["-", flag], "storage: {kind: x}\nadmin: {prot: 1}\n");
        assert_eq!(output.status.code(), Some(1));
        let wrong = stderr(&output);
        for part in [
            "stdin:1:1: 'interfaces'",
            "stdin:1:17: unknown storage kind `x`",
            "stdin:2:9: unknown key `prot`",
        ] {
            assert!(wrong.contains(part), "{part} not in {wrong}");
        }
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_is_no_file_is_named() {
    for path in ["/", "/no/such/file"] {
        let output = with_input(&[path], "");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(path), "{}", stderr(&output));
    }
}

#[test]
fn the_configuration_help_shows_loads() {
    let help = with_input(&["--help"], "");
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    let shown = text.split("A first configuration:").nth(1).expect("there");
    let shown = shown.split("Then ask:").next().expect("there");
    let folder = tempfile::tempdir().expect("a folder");
    let shown = shown.replace(
        "rootDir: disco",
        &format!("rootDir: '{}'", folder.path().display()),
    );
    let output = with_input(&["--check", "-"], &shown);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Control plane 3.7: path and reason.
#[test]
fn check_reads_the_files_of_tls_blocks() {
    let gone = "
admin: {port: 0, tls: {certPath: /no/such/cert.pem, keyPath: /no/such/key.pem}}
storage: {kind: io.l5d.inMemory}
interfaces: [{kind: io.l5d.mesh, port: 0}]
";
    let output = with_input(&["--check", "-"], gone);
    assert_eq!(output.status.code(), Some(1));
    let wanted = "-: admin: tls: cannot read /no/such/cert.pem: No such file";
    assert!(stderr(&output).starts_with(wanted), "{}", stderr(&output));
}

/// A namerd that serves, with its first line.
fn serving() -> (Child, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("namerd.yml");
    std::fs::write(&file, GOOD).expect("written");
    let mut child = namerd(&[file.to_str().expect("text"), "--log-format", "json"])
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    (child, line)
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid])
        .status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn the_first_line_tells_addresses_and_sigterm_ends_with_0() {
    for name in ["TERM", "INT"] {
        let (mut child, line) = serving();
        assert!(line.starts_with("listening admin=127.0.0.1:"), "{line}");
        for pair in line.split_whitespace().skip(1) {
            let (_, addr) = pair.split_once('=').expect("a pair");
            TcpStream::connect(addr).expect("somebody listens there");
        }
        signal(&child, name);
        assert_eq!(child.wait().expect("ends").code(), Some(0));
        let mut log = String::new();
        child
            .stderr
            .take()
            .expect("piped")
            .read_to_string(&mut log)
            .expect("read");
        assert!(log.lines().all(|l| l.starts_with('{')), "{log}");
        assert!(log.contains("\"message\":\"stopped\""), "{log}");
    }
}
