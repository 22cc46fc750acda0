//! Whether a program is static. Comes in: its bytes. Goes out: the loader that it asks for, if it does.
//!
//! Source: the ELF-64 object file format, "ELF Header" and "Program Header".

use anyhow::{Context as _, ensure};

/// The type of the program header that names a loader.
const PT_INTERP: u32 = 3;

/// The loader (`ld-linux`) that a 64-bit little-endian program asks for; `None` if it is static.
pub fn interpreter(program: &[u8]) -> anyhow::Result<Option<String>> {
    ensure!(
        program.starts_with(b"\x7fELF\x02\x01"),
        "this is no 64-bit little-endian ELF program"
    );
    let table = usize::try_from(u64::from_le_bytes(field(program, 32)?))?;
    let size = usize::from(u16::from_le_bytes(field(program, 54)?));
    let count = usize::from(u16::from_le_bytes(field(program, 56)?));
    for header in (0..count).map(|n| table.saturating_add(n * size)) {
        if u32::from_le_bytes(field(program, header)?) != PT_INTERP {
            continue;
        }
        let start = usize::try_from(u64::from_le_bytes(field(program, header + 8)?))?;
        let length = usize::try_from(u64::from_le_bytes(field(program, header + 32)?))?;
        let name = program
            .get(start..start.saturating_add(length))
            .context("the name of the loader is cut")?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        return Ok(Some(String::from_utf8_lossy(name).into_owned()));
    }
    Ok(None)
}

fn field<const N: usize>(program: &[u8], at: usize) -> anyhow::Result<[u8; N]> {
    let bytes = program.get(at..at.saturating_add(N));
    let bytes = bytes.with_context(|| format!("the program is cut at byte {at}"))?;
    Ok(bytes.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_tells_its_loader() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let loader = interpreter(&this).unwrap().unwrap();
        assert!(loader.contains("ld-"), "{loader}");
    }

    #[test]
    fn a_program_without_a_loader_is_static() {
        let mut program = vec![0; 64 + 56];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[32] = 64;
        (program[54], program[56]) = (56, 1);
        assert_eq!(interpreter(&program).unwrap(), None);
        program[64] = 3;
        program[64 + 8] = 200;
        program[64 + 32] = 1;
        assert!(interpreter(&program).is_err());
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(interpreter(b"#!/bin/sh").is_err());
        assert!(interpreter(b"\x7fELF\x02\x01 and no more").is_err());
    }
}
