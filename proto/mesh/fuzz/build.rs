//! The messages alone, without the services: what decodes them needs no gRPC.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../proto");
    let files = ["interpreter", "resolver", "delegator", "codec"];
    let files = files.map(|name| format!("io/linkerd/mesh/{name}.proto"));
    let descriptors = protox::compile(files, ["../proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
