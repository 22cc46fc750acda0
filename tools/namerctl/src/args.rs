//! The command line: global flags and the commands. Each command's own flags stand with the command.

use clap::{Parser, Subcommand};

use crate::dtab::DtabCommand;
use crate::resolver::Question;

/// Command line for namerd
#[derive(Parser, Debug)]
#[command(
    name = "namerctl",
    version,
    after_help = "Examples:\n  \
        namerctl --base-url http://127.0.0.1:4180 dtab list\n  \
        namerctl dtab get default > my.dtab\n  \
        namerctl dtab update default my.dtab\n  \
        namerctl resolve /svc/world\n  \
        namerctl explain /svc/world --dtab '/host/world => /k8s/world-v2'\n  \
        namerctl nodes"
)]
pub(crate) struct Args {
    /// The HTTP controller, for `dtab` commands
    #[arg(long, global = true, env = "NAMERCTL_BASE_URL", value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// The resolver API, for all other commands
    #[arg(
        long,
        global = true,
        env = "NAMERCTL_RESOLVER",
        default_value = "127.0.0.1:4321",
        value_name = "HOST:PORT"
    )]
    pub(crate) resolver: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One line here and one in `run` for each command.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Read and write the dtabs of namespaces
    #[command(subcommand)]
    Dtab(DtabCommand),
    /// What a path is now: its tree and addresses
    Resolve(Question),
    /// Every step from a path to its addresses, with the rules that applied
    Explain(Question),
    /// What a path is, again after each change, until interrupted
    Watch(Question),
    /// Look after a cluster: API server, rights, dtabs, gateways, clocks, certificates, namerd, nodes
    Check(crate::check::CheckArgs),
    /// Turn Linkerd 1.x configurations, or the manifests around them, into ours
    Migrate(crate::migrate::MigrateArgs),
    /// The node proxies that follow this namerd
    Nodes {
        /// Only this node
        #[arg(default_value = "")]
        node: String,
    },
}
