//! Where namerd is and who asks: a flag, else the environment, else the configuration file (control plane 8.2).

mod file;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use self::file::File;
use crate::output::{Format, Output};
use crate::tls::TlsFiles;

/// Flags of every command.
#[derive(Args, Clone, Debug)]
pub(crate) struct GlobalArgs {
    /// namerd's HTTP controller, for `dtab` and `delegate`; http or https
    #[arg(long, global = true, env = "NAMERCTL_BASE_URL", value_name = "URL")]
    base_url: Option<String>,
    /// namerd's resolver API, for `resolve`, `explain`, `watch`, `nodes`; https:// for TLS; may be repeated
    #[arg(
        long,
        global = true,
        env = "NAMERCTL_RESOLVER",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    resolver: Vec<String>,
    /// A bearer token that is sent along
    #[arg(
        long,
        global = true,
        env = "NAMERCTL_TOKEN",
        hide_env_values = true,
        hide_short_help = true
    )]
    token: Option<String>,
    /// The file of the bearer token
    #[arg(
        long,
        global = true,
        env = "NAMERCTL_TOKEN_FILE",
        value_name = "FILE",
        hide_short_help = true
    )]
    token_file: Option<PathBuf>,
    /// Certificates to trust instead of the machine's own, PEM
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    tls_ca: Option<PathBuf>,
    /// The certificate to show, PEM
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    tls_key: Option<PathBuf>,
    /// The name that the server's certificate must have, if it is not the host's
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    tls_server_name: Option<String>,
}

/// Flags of the commands that ask namerd. (`check` and `migrate` have flags of the same names and another meaning, so
/// these are no global flags.)
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct FormArgs {
    /// A file with the keys base-url, resolver, namespace, token-file, tls-ca, tls-cert, tls-key, tls-server-name,
    /// instead of .namerctl.{json,toml,yaml,...} here or in a folder above
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    config: Option<PathBuf>,
    /// How the answer looks
    #[arg(long, short, global = true, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    /// Tables without their line of titles
    #[arg(long, global = true)]
    no_headers: bool,
}

/// The same in front of the command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct EarlyArgs {
    /// As behind the command
    #[arg(long = "config", id = "early-config", value_name = "FILE", hide = true)]
    config: Option<PathBuf>,
    /// As behind the command
    #[arg(
        long = "output",
        short = 'o',
        id = "early-output",
        value_enum,
        value_name = "FORMAT",
        hide = true
    )]
    output: Option<Format>,
    /// As behind the command
    #[arg(long = "no-headers", id = "early-no-headers", hide = true)]
    no_headers: bool,
}

impl FormArgs {
    /// What stands in front of the command counts if nothing stands behind it.
    pub(crate) fn or(&self, early: &EarlyArgs) -> Self {
        Self {
            config: self.config.clone().or_else(|| early.config.clone()),
            output: self.output.or(early.output),
            no_headers: self.no_headers || early.no_headers,
        }
    }
}

/// What the commands need to know.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Empty if nobody said.
    pub(crate) base_url: String,
    /// Replicas; never empty.
    pub(crate) resolvers: Vec<String>,
    /// The dtab namespace of names, unless a command says another.
    pub(crate) namespace: String,
    /// The bearer token.
    pub(crate) token: Option<String>,
    /// Certificates.
    pub(crate) tls: TlsFiles,
    /// Form of answers.
    pub(crate) output: Output,
}

/// The resolver API on this machine.
const RESOLVER: &str = "127.0.0.1:4321";

impl Settings {
    /// Puts flags, environment (clap has read it into the flags) and file together.
    pub(crate) fn gather(flags: &GlobalArgs, form: &FormArgs) -> anyhow::Result<Self> {
        let file = File::find(form.config.as_deref())?;
        let text = |flag: Option<&str>, key: &str| {
            let flag = flag.filter(|f| !f.is_empty());
            flag.or_else(|| file.get(key)).unwrap_or("").to_owned()
        };
        let path = |flag: &Option<PathBuf>, key: &str| {
            let flag = flag.clone().filter(|f| !f.as_os_str().is_empty());
            flag.or_else(|| file.path(key))
        };
        let server_name = text(flags.tls_server_name.as_deref(), "tls-server-name");
        Ok(Self {
            base_url: text(flags.base_url.as_deref(), "base-url"),
            resolvers: resolvers(&flags.resolver, file.get("resolver")),
            namespace: file.get("namespace").unwrap_or("default").to_owned(),
            token: token(flags, path(&flags.token_file, "token-file"))?,
            tls: TlsFiles {
                ca: path(&flags.tls_ca, "tls-ca"),
                cert: path(&flags.tls_cert, "tls-cert"),
                key: path(&flags.tls_key, "tls-key"),
                server_name: Some(server_name).filter(|n| !n.is_empty()),
            },
            output: Output {
                format: form.output,
                headers: !form.no_headers,
            },
        })
    }
}

fn resolvers(flags: &[String], file: Option<&str>) -> Vec<String> {
    let clean = |texts: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        let texts = texts.map(str::trim).filter(|t| !t.is_empty());
        texts.map(str::to_owned).collect()
    };
    let given = clean(&mut flags.iter().map(String::as_str));
    let given = match given.is_empty() {
        true => clean(&mut file.unwrap_or("").split(',')),
        false => given,
    };
    match given.is_empty() {
        true => vec![RESOLVER.to_owned()],
        false => given,
    }
}

fn token(flags: &GlobalArgs, file: Option<PathBuf>) -> anyhow::Result<Option<String>> {
    if let Some(token) = flags.token.as_deref().filter(|t| !t.is_empty()) {
        return Ok(Some(token.to_owned()));
    }
    let Some(file) = file else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read the token in {}", file.display()))?;
    Ok(Some(text.trim().to_owned()))
}
