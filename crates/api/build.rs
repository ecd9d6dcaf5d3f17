//! When must the screens be embedded anew? When `make build` has laid others into ui/dist.

fn main() {
    println!("cargo:rerun-if-changed=../../ui/dist");
}
