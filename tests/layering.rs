//! The walls: who may depend on whom, and where `unsafe` may stand. Fails on any edge that is not listed here.

#![allow(clippy::unwrap_used)] // All of it is test code: a failure to read is a failed test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// What each package may use of the others. Down only; `vrouter-bench` and `vrouter-tests` may use anything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("dpdk-sys", &[]),
    ("dpdk", &["dpdk-sys"]),
    ("wire", &[]),
    ("liveness", &["wire"]),
    ("engine", &["wire"]),
    ("vrouter-dp", &["dpdk", "engine", "liveness", "wire"]),
    ("bgp", &[]),
    ("config", &["wire", "bgp"]),
    ("vrouter-agent", &["engine", "bgp", "config", "wire", "vrouter-dp"]),
    ("vrctl", &["config"]),
];
const FREE: &[&str] = &["vrouter-bench", "vrouter-tests"];

/// The only modules of `engine` that the agent may know.
const SEAM: &[&str] = &["seam", "drops"];

/// Where `unsafe` may stand: the FFI, the publication of tables, the prefetch instruction, the vectors of the lookup, the socket
/// options.
const UNSAFE: &[&str] = &[
    "ffi/",
    "vrouter-dp/engine/src/publish",
    "vrouter-dp/engine/src/prefetch",
    "vrouter-dp/engine/src/table/fib/vector.rs",
    "bgp/src/io/sockopt",
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".into()])
        .exec()
        .unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

#[test]
fn packages_depend_downwards_only() {
    let metadata = metadata();
    let ours: BTreeSet<&str> =
        metadata.workspace_packages().iter().map(|p| p.name.as_str()).collect();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        if FREE.contains(&name) {
            continue;
        }
        let Some(may) = allowed.get(name) else {
            wrong.push(format!("package {name} has no row in ALLOWED"));
            continue;
        };
        for dependency in &package.dependencies {
            // Build and normal edges both end up in the product; tests of a package may use what they like.
            if dependency.kind != DependencyKind::Development
                && ours.contains(dependency.name.as_str())
                && !may.contains(&dependency.name.as_str())
            {
                wrong.push(format!("{name} must not depend on {}", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "forbidden edges:\n  {}", wrong.join("\n  "));
}

#[test]
fn the_agent_library_links_no_dpdk_and_the_config_no_sockets() {
    let metadata = metadata();
    let find = |name: &str| {
        metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == name).unwrap()
    };
    let edge = |package: &str, dependency: &str| {
        find(package)
            .dependencies
            .iter()
            .find(|d| d.name == dependency && d.kind == DependencyKind::Normal)
            .unwrap_or_else(|| panic!("{package} does not depend on {dependency}"))
            .clone()
    };
    assert!(edge("vrouter-agent", "vrouter-dp").optional, "only the binary may bring DPDK in");
    let bgp = edge("config", "bgp");
    assert!(
        !bgp.features.iter().any(|f| f == "io"),
        "config uses the types of bgp, not its driver"
    );
    assert!(!bgp.uses_default_features, "config uses the types of bgp only");
}

#[test]
fn the_agent_library_knows_only_the_seam_of_the_engine() {
    let sources = root().join("vrouter-agent/src");
    let mut wrong = Vec::new();
    for file in rust_files(&sources) {
        let relative = file.strip_prefix(&sources).unwrap();
        if relative == Path::new("main.rs") || relative.starts_with("bin") {
            continue; // the binary is where both sides meet
        }
        let text = code(&file);
        if text.contains("vrouter_dp") || text.contains("dpdk::") {
            wrong.push(format!("{} names the data plane on DPDK", relative.display()));
        }
        for module in modules_of(&text, "engine::") {
            if !SEAM.contains(&module.as_str()) {
                wrong.push(format!("{} uses engine::{module}", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "behind the seam:\n  {}", wrong.join("\n  "));
}

#[test]
fn tables_do_not_know_stages_and_neither_knows_ports() {
    let engine = root().join("vrouter-dp/engine/src");
    let mut wrong = Vec::new();
    for (folder, forbidden) in [
        ("table", &["stage", "pipeline", "std::time", "Instant"][..]),
        ("stage", &["seam::Op", "std::time", "Instant"][..]),
    ] {
        for file in rust_files(&engine.join(folder)) {
            let relative = file.strip_prefix(&engine).unwrap();
            // `mod tests` is a file, a folder, or both.
            let is_tests = |part: std::path::Component<'_>| {
                part.as_os_str() == "tests" || part.as_os_str() == "tests.rs"
            };
            if relative.components().any(is_tests) {
                continue;
            }
            let text = code(&file);
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            for word in forbidden {
                if product.contains(&format!("{word}::")) || product.contains(&format!("::{word}"))
                {
                    wrong.push(format!("{} uses {word}", relative.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "inside the engine:\n  {}", wrong.join("\n  "));
}

#[test]
fn unsafe_stands_where_it_is_allowed() {
    let root = root();
    let mut wrong = Vec::new();
    for file in rust_files(&root) {
        let relative = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if relative.starts_with("target/")
            || relative == "tests/layering.rs"
            || UNSAFE.iter().any(|p| relative.starts_with(p))
        {
            continue;
        }
        if code(&file)
            .lines()
            .any(|l| l.contains("unsafe {") || l.contains("unsafe impl") || l.contains("unsafe fn"))
        {
            wrong.push(relative);
        }
    }
    assert!(wrong.is_empty(), "unsafe outside of its rooms:\n  {}", wrong.join("\n  "));
}

/// Names that follow `prefix` in paths and use lists: `engine::seam::Op`, `engine::{drops::Drop, seam}`.
fn modules_of(text: &str, prefix: &str) -> Vec<String> {
    let ident =
        |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue; // part of a longer path
        }
        let rest = &text[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.push(ident(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && !c.is_whitespace() => {
                    found.push(ident(&list[i..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// The text of a file without its line comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|l| l.split_once("//").map_or(l, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_reader_of_paths_reads_paths() {
    let text = "use engine::{seam::{Op, Gen}, drops::Drop};\nlet x = engine::table::Fib; use my_engine::no;";
    assert_eq!(modules_of(text, "engine::"), ["seam", "drops", "table"]);
}
