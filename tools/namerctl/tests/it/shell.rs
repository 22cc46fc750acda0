//! Completion in a real shell, and manual pages.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::ctl::{Ctl, Namerd};

#[tokio::test(flavor = "multi_thread")]
async fn every_shell_gets_its_script() -> Result<()> {
    let ctl = Ctl::ours()?;
    for shell in ["bash", "zsh", "fish"] {
        let dynamic = ctl.run(&format!("completion {shell}")).await?.ok();
        assert!(dynamic.contains("NAMERCTL_COMPLETE"), "{dynamic}");
        let fixed = ctl.run(&format!("completion {shell} --static")).await?.ok();
        assert!(
            fixed.contains("explain") && fixed.contains("no-headers"),
            "{shell}"
        );
        assert!(!fixed.contains("NAMERCTL_COMPLETE"), "{shell}");
    }
    assert_eq!(ctl.run("completion tcsh").await?.code, 255);
    Ok(())
}

/// `bash` completes commands, and namespaces by asking namerd.
#[tokio::test(flavor = "multi_thread")]
async fn a_shell_completes_the_names_of_namespaces() -> Result<()> {
    if Command::new("bash").arg("--version").output().is_err() {
        eprintln!("left out: bash is not installed");
        return Ok(());
    }
    let namerd = Namerd::start("/a => /b", "").await?;
    let program = Path::new(env!("CARGO_BIN_EXE_namerctl"));
    let folder = program.parent().context("a folder")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let script = r#"
source <(namerctl completion bash)
complete_words() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; COMPREPLY=()
    _clap_complete_namerctl namerctl "${@: -1}" ""
    echo "${COMPREPLY[*]}"
}
complete_words namerctl expl
complete_words namerctl dtab get d
complete_words namerctl dtab get x
"#;
    let ctl = Ctl::of("bash")?
        .env("PATH", &format!("{}:{path}", folder.display()))
        .env("NAMERCTL_BASE_URL", &format!("http://{}", namerd.http));
    let said = ctl.run_with(&["-c", script], "").await?.ok();
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(lines, ["explain", "default", ""]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_a_manual_page() -> Result<()> {
    let ctl = Ctl::ours()?;
    assert_eq!(ctl.run("man pages").await?.ok(), "");
    let page = |name: &str| std::fs::read_to_string(ctl.dir.path().join("pages").join(name));
    assert!(page("namerctl.1")?.contains("NAMERCTL_BASE_URL"));
    assert!(page("namerctl-dtab-apply.1")?.contains("dry\\-run"));
    assert!(page("namerctl-explain.1")?.contains("Examples"));
    Ok(())
}
