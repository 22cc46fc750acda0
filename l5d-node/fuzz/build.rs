//! The messages alone, without the services: what decodes them needs no gRPC.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../proto/resolver/proto");
    let descriptors = protox::compile(["l5d/resolver/v1/resolver.proto"], ["../../proto/resolver/proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
