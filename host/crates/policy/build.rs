//! Lists the components of `plugins/dist` for `policy::shipped`.

use std::fmt::Write;
use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "how Cargo speaks to build scripts")]
fn main() -> std::io::Result<()> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let dist = Path::new(&manifest).join("../../../plugins/dist");
    println!("cargo:rerun-if-changed={}", dist.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dist)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            println!("cargo:rerun-if-changed={}", path.display());
            names.push(path);
        }
    }
    names.sort();
    let mut list = String::from(
        "/// Name and bytes of each shipped policy.\npub static COMPONENTS: &[(&str, &[u8])] = &[\n",
    );
    for path in names {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let path = path.display().to_string();
        let _ = writeln!(list, "    ({name:?}, include_bytes!({path:?})),");
    }
    list.push_str("];\n");
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    std::fs::write(Path::new(&out).join("shipped.rs"), list)
}
