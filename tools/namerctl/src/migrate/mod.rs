//! `namerctl migrate`: Linkerd 1.x configurations, or the manifests around them, to ours.
//!
//! In come files; out go configurations for `namerd` and `l5d-node`, dtabs, the manifests with what has to change in them,
//! and a [`report`] in which every line of the input stands that the output does not repeat. Nothing is contacted.
//!
//! [`parse`] reads YAML with its comments into a [`tree`]; [`linkerd`] (with [`routers`] and [`outside`]) and [`namerd`] convert
//! configurations, [`settle`] fits them to what the programs read today, [`objects`] (with [`rbac`]) and [`deploy`] do
//! Kubernetes objects, [`dtabs`] finds stored dtabs, [`write`] puts everything into files.

mod deploy;
mod dtabs;
mod emit;
pub(crate) mod input;
mod linkerd;
mod manifest;
mod namerd;
mod objects;
mod outside;
mod parse;
pub(crate) mod rbac;
mod report;
mod routers;
mod settle;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};

use self::input::{Found, Input, Program};
use self::linkerd::{Setting, StoredDtab};
use self::namerd::Moved;
use self::report::Report;
use self::write::Output;

/// What to migrate, and how.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// Configurations of linkerd or namerd 1.x, or Kubernetes manifests with them; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Where the results go
    #[arg(short, long, default_value = "migrated", value_name = "DIR")]
    output: PathBuf,
    /// Print the results instead of writing files; the report goes to standard error
    #[arg(long)]
    stdout: bool,
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
    /// The form of the report that is printed
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    report: Form,
    /// The namerd that nodes follow whose configuration names none [default: the Service `namerd` in a manifest, else 127.0.0.1:4321]
    #[arg(long, value_name = "HOST:PORT")]
    namerd: Option<String>,
    /// Move the dtabs of routers into namerd's store, one namespace for each router, instead of leaving them with the node
    #[arg(long)]
    store_dtabs: bool,
    /// The container image of l5d-node in manifests
    #[arg(long, default_value = concat!("l5d/l5d-node:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE")]
    node_image: String,
    /// The container image of namerd in manifests
    #[arg(long, default_value = concat!("l5d/namerd:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE")]
    namerd_image: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

/// Everything that a run makes.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) outputs: Vec<Output>,
    pub(crate) report: Report,
}

/// Runs the command. Exit code 1: the results cannot be used before the report's first part is dealt with.
pub(crate) fn run(args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let inputs: Vec<Input> = args
        .files
        .iter()
        .map(|f| input::read(f))
        .collect::<Result<_, _>>()?;
    let made = migrate(&inputs, args)?;
    let is_open = made.report.is_open();
    let names: Vec<String> = made.outputs.iter().map(|o| o.name.clone()).collect();
    let shown = match args.report {
        Form::Text => made.report.text(&names),
        Form::Json => made.report.json(&names),
    };
    if args.stdout {
        crate::output::print(&write::joined(&made.outputs))?;
        crate::output::remark(&shown);
    } else {
        let mut outputs = made.outputs;
        outputs.push(Output::new("report.txt", made.report.text(&names)));
        outputs.push(Output::new("report.json", made.report.json(&names)));
        write::files(&args.output, &outputs, args.force)?;
        crate::output::print(&shown)?;
    }
    Ok(ExitCode::from(u8::from(is_open)))
}

/// Where nodes find namerd.
fn address(args: &MigrateArgs, inputs: &[Input], found: &[Found]) -> anyhow::Result<(String, u16)> {
    let Some(text) = &args.namerd else {
        let is_manifest = inputs.iter().any(|i| i.is_manifest);
        let host = match (is_manifest, namespace(inputs, found)) {
            (true, Some(namespace)) => format!("namerd.{namespace}.svc.cluster.local"),
            (true, None) => "namerd".to_owned(),
            (false, _) => "127.0.0.1".to_owned(),
        };
        return Ok((host, 4321));
    };
    let read = text.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse().ok().filter(|p| *p != 0)?;
        (!host.is_empty() && !host.contains(':')).then(|| (host.to_owned(), port))
    });
    match read {
        Some(address) => Ok(address),
        None => bail!("--namerd `{text}` must be HOST:PORT"),
    }
}

/// The Kubernetes namespace of the configurations, if they say one.
fn namespace(inputs: &[Input], found: &[Found]) -> Option<String> {
    let mut documents = found.iter().map(|f| &inputs[f.input].documents[f.document]);
    documents.find_map(|d| Some(d.root.at(&["metadata", "namespace"])?.str()?.to_owned()))
}

/// Does the work, without touching a file.
pub(crate) fn migrate(inputs: &[Input], args: &MigrateArgs) -> anyhow::Result<Made> {
    let mut report = Report::default();
    let mut found = input::find(inputs);
    let (host, port) = address(args, inputs, &found)?;
    let mut stored = dtabs::find(inputs, &found, &mut report);
    let is_free = stored.is_empty() && !args.store_dtabs;
    let store = is_free.then(|| outside::store(&found)).flatten();
    let setting = |input: &Input| Setting {
        host: host.clone(),
        port,
        stores_dtabs: args.store_dtabs,
        store: store.clone(),
        is_in_cluster: input.is_manifest,
    };
    let mut moved = Vec::new();
    let mut needs_namerd = false;
    for config in found.iter_mut().filter(|f| f.program == Program::Linkerd) {
        let input = &inputs[config.input];
        let mut noter = report.noter(&input.name, &config.object);
        let parts = linkerd::convert(&mut config.root, &config.tail, &setting(input), &mut noter);
        if parts.needs_namerd && !input.is_manifest {
            let help = format!("l5d-node --namerd {host}:{port} CONFIG");
            let message =
                "routers without an interpreter of their own follow the namerd of the command line";
            let mut noter = report.noter(&input.name, &config.object);
            noter.note(report::Fate::Added, 0, "--namerd", message, Some(&help));
        }
        moved.extend(parts.namers.into_iter().map(|(index, slot)| Moved {
            slot,
            file: input.name.clone(),
            object: config.object.clone(),
            index,
        }));
        needs_namerd |= parts.needs_namerd;
        stored.extend(parts.dtabs);
    }
    needs_namerd |= !moved.is_empty();
    let made = namerds(
        inputs,
        &mut found,
        &setting,
        &moved,
        &stored,
        needs_namerd,
        &mut report,
    );
    let mut outputs = write::configs(inputs, &found, made.as_ref());
    outputs.extend(stored.iter().map(write::dtab));
    let manifests = manifest::Manifests {
        inputs,
        found: &found,
        namerd: made.as_ref(),
        namespace: namespace(inputs, &found),
        address: needs_namerd.then(|| format!("{host}:{port}")),
        node_image: &args.node_image,
        namerd_image: &args.namerd_image,
    };
    outputs.extend(manifests.convert(&mut report));
    write::distinct(&mut outputs);
    Ok(Made { outputs, report })
}

/// Converts the configurations of namerd, or makes one. The first one takes the namers of the proxies.
fn namerds(
    inputs: &[Input],
    found: &mut [Found],
    setting: &dyn Fn(&Input) -> Setting,
    moved: &[Moved],
    stored: &[StoredDtab],
    is_needed: bool,
    report: &mut Report,
) -> Option<tree::Node> {
    let mut moved_left = moved;
    let mut has_namerd = false;
    for config in found.iter_mut().filter(|f| f.program == Program::Namerd) {
        has_namerd = true;
        let input = &inputs[config.input];
        let mut noter = report.noter(&input.name, &config.object);
        let setting = setting(input);
        namerd::convert(
            &mut config.root,
            &config.tail,
            &setting,
            moved_left,
            stored,
            &mut noter,
        );
        moved_left = &[];
    }
    if has_namerd || !is_needed {
        return None;
    }
    let input = found.first().map(|f| &inputs[f.input])?;
    let object = found.first().map(|f| f.object.clone()).unwrap_or_default();
    let setting = setting(input);
    let mut root = namerd::new(stored, setting.store.clone());
    let mut noter = report.noter(&input.name, &object);
    let (message, help) = match &setting.store {
        None => (
            "namerd's configuration: the proxies had none and bound names themselves; its store starts with what is in \
             the file, and forgets later writes when it ends",
            "choose a store that lasts, such as io.l5d.k8s, before dtabs are written to it",
        ),
        Some(_) => (
            "namerd's configuration: the proxies had none and bound names themselves; its store is the dtab that they read",
            "dtabs are changed where they are stored: this store takes no writes",
        ),
    };
    noter.note(report::Fate::Added, 0, "namerd.yaml", message, Some(help));
    namerd::convert(&mut root, &[], &setting, moved_left, stored, &mut noter);
    Some(root)
}
