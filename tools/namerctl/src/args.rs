//! The command line: global flags and the commands. Each command's own flags stand with the command.

use clap::{Parser, Subcommand};

use crate::dtab::DtabArgs;
use crate::ingress::IngressArgs;
use crate::man::ManArgs;
use crate::names::{DelegateArgs, Question, WatchArgs};
use crate::nodes::NodesArgs;
use crate::settings::{EarlyArgs, FormArgs, GlobalArgs};
use crate::shell::CompletionArgs;

/// Command line for namerd
#[derive(Parser, Debug)]
#[command(
    name = "namerctl",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = EXAMPLES
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(flatten)]
    pub(crate) early: EarlyArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One line here and one in `run` for each command.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Read and write the dtabs of namespaces
    #[command(alias = "dtabs")]
    Dtab(DtabArgs),
    /// What a path is now: its tree and addresses
    #[command(after_help = RESOLVE_EXAMPLES)]
    Resolve(Question),
    /// Every step from a path to its addresses, with the rules that applied and why others did not
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Question),
    /// What changes about a path, as it changes, until interrupted
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(WatchArgs),
    /// The steps of a path over HTTP, which an old namerd has as well
    #[command(after_help = DELEGATE_EXAMPLES)]
    Delegate(DelegateArgs),
    /// The node proxies that follow, on every replica that is named
    #[command(alias = "node", after_help = NODES_EXAMPLES)]
    Nodes(NodesArgs),
    /// The Ingress rules that node proxies get, in the order in which they count
    #[command(alias = "ingresses", after_help = INGRESS_EXAMPLES)]
    Ingress(IngressArgs),
    /// Look after a cluster: API server, rights, dtabs, gateways, clocks, certificates, namerd, nodes
    #[command(after_help = CHECK_EXAMPLES)]
    Check(crate::check::CheckArgs),
    /// Turn Linkerd 1.x configurations, or the manifests around them, into ours
    #[command(after_help = MIGRATE_EXAMPLES)]
    Migrate(crate::migrate::MigrateArgs),
    /// Prints a script that completes commands and namespaces in a shell
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completion(CompletionArgs),
    /// Writes the manual pages of namerctl, namerd and l5d-node
    #[command(after_help = MAN_EXAMPLES)]
    Man(ManArgs),
}

impl Command {
    /// Flags of those that ask namerd.
    pub(crate) fn form(&self) -> Option<&FormArgs> {
        match self {
            Command::Dtab(args) => Some(&args.form),
            Command::Resolve(question) | Command::Explain(question) => Some(&question.form),
            Command::Watch(args) => Some(&args.question.form),
            Command::Delegate(args) => Some(&args.form),
            Command::Nodes(args) => Some(&args.form),
            Command::Ingress(args) => Some(&args.form),
            Command::Check(_) | Command::Migrate(_) | Command::Completion(_) | Command::Man(_) => {
                None
            }
        }
    }
}

const EXAMPLES: &str = "Examples:
  namerctl --base-url http://127.0.0.1:4180 dtab list
  namerctl dtab get default > my.dtab
  namerctl dtab apply default my.dtab --dry-run
  namerctl explain /svc/world --dtab '/host/world => /k8s/world-v2'
  namerctl nodes --resolver namerd-0:4321,namerd-1:4321

namerctl reads .namerctl.{json,toml,yaml,yml,properties,hcl} here or in the nearest folder above, with keys such as
base-url and resolver. Exit codes: 0; 1 for a difference found by `dtab diff`, a `check` that failed, a
migration with something left to decide; 255 for any failure.";
const RESOLVE_EXAMPLES: &str = "Examples:
  namerctl resolve /svc/world
  namerctl resolve /svc/world -n internal -o wide
  namerctl resolve /svc/world -o name | head -1
  namerctl resolve /svc/world --node node-3 -t io.l5d.k8s.localnode";
const EXPLAIN_EXAMPLES: &str = "Examples:
  namerctl explain /svc/world
  namerctl explain /svc/world --dtab '/host/world => /host/world-v2'
  namerctl explain /svc/world -t io.l5d.k8s.daemonset:namespace=linkerd,service=l5d,port=incoming";
const WATCH_EXAMPLES: &str = "Examples:
  namerctl watch /svc/world
  namerctl watch /svc/world -o json --count 2";
const DELEGATE_EXAMPLES: &str = "Examples:
  namerctl delegate /svc/world
  namerctl delegate /svc/world --base-url http://old-namerd:4180";
const MAN_EXAMPLES: &str = "Examples:
  namerctl man /usr/local/share/man/man1
  man namerctl-explain";
const NODES_EXAMPLES: &str = "Examples:
  namerctl nodes
  namerctl nodes node-3 -o wide
  namerctl nodes --resolver namerd-0:4321 --resolver namerd-1:4321";
const INGRESS_EXAMPLES: &str = "Examples:
  namerctl ingress
  namerctl ingress shop.example/cart -o wide
  namerctl ingress --of-namespace shop -o json";
const CHECK_EXAMPLES: &str = "Examples:
  namerctl check --namerd namerd.linkerd.svc:4321 --config namerd.yaml --config node.yaml
  namerctl check --service-account linkerd/namerd --gateway linkerd/l5d/incoming
  namerctl check --no-cluster --namerd 127.0.0.1:4321 -o json

Exit codes: 0; 1 when a check failed; 255 when nothing could be checked.";
const MIGRATE_EXAMPLES: &str = "Examples:
  namerctl migrate linkerd.yaml -o migrated
  namerctl migrate l5d-daemonset.yml namerd.yml rbac.yml --node-image registry/l5d-node:1
  namerctl migrate linkerd.yaml --stdout --report json 2> report.json

Exit codes: 0; 1 when something must be decided before the result can be used (the report says what); 255 for a failure.";
const COMPLETION_EXAMPLES: &str = "Examples:
  source <(namerctl completion bash)
  namerctl completion zsh > ~/.zfunc/_namerctl
  namerctl completion fish --static > ~/.config/fish/completions/namerctl.fish";
