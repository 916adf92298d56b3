//! Binds the installed libdpdk: whatever release its headers and `pkg-config` describe.

use std::env;
use std::path::PathBuf;
use std::process::{Command, exit};

const MINIMUM: &str = "22.11";

/// Every function of libdpdk that the safe layer calls. Inlines come in by `vr_*` (shim.h).
const FUNCTIONS: &[&str] = &[
    "vr_.*",
    "rte_eal_init",
    "rte_openlog_stream",
    "rte_strerror",
    "rte_version",
    "rte_get_tsc_hz",
    "rte_thread_register",
    "rte_thread_unregister",
    "rte_pktmbuf_pool_create",
    "rte_pktmbuf_free_bulk",
    "rte_mempool_avail_count",
    "rte_mempool_in_use_count",
    "rte_dev_probe",
    "rte_dev_remove",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_configure",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_dev_close",
    "rte_eth_dev_vlan_filter",
    "rte_eth_rx_queue_setup",
    "rte_eth_tx_queue_setup",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_enable",
    "rte_eth_promiscuous_get",
    "rte_eth_allmulticast_enable",
    "rte_eth_link_get_nowait",
    "rte_eth_stats_get",
    "rte_eth_stats_reset",
    "rte_eth_from_rings",
    "rte_ring_create",
];

/// Structures whose fields nobody here reads.
const OPAQUE: &[&str] = &[
    "rte_mbuf",
    "rte_mempool",
    "rte_ring",
    "rte_device",
    "rte_eth_dcb_.*",
    "rte_eth_vmdq_.*",
    "rte_eth_link",
    "_IO_FILE",
];

fn main() {
    for input in ["build.rs", "shim.h", "shim.c"] {
        println!("cargo:rerun-if-changed={input}");
    }
    let library = match pkg_config::Config::new().atleast_version(MINIMUM).probe("libdpdk") {
        Ok(library) => library,
        Err(error) => stop(&format!(
            "DPDK {MINIMUM} or newer was not found by pkg-config: install it with\n\n    \
             apt-get install libdpdk-dev pkg-config\n\n{error}"
        )),
    };
    // A PMD's own C interface is not in `pkg-config --libs`.
    println!("cargo:rustc-link-lib=dylib=rte_net_ring");

    let mut flags = other_cflags();
    flags.extend(library.include_paths.iter().map(|path| format!("-I{}", path.display())));

    let mut shim = cc::Build::new();
    shim.file("shim.c").opt_level(3).flag_if_supported("-Wno-deprecated-declarations");
    for flag in &flags {
        shim.flag(flag);
    }
    if let Err(error) = shim.try_compile("dpdk_shim") {
        stop(&format!(
            "the C shim over libdpdk does not compile (is gcc there? apt-get install build-essential): {error}"
        ));
    }

    let mut builder = bindgen::Builder::default()
        .header("shim.h")
        .clang_args(&flags)
        .allowlist_type("vr_mbuf_offset|vr_limit")
        .allowlist_var("VR_.*")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_debug(false)
        .generate_comments(false)
        .layout_tests(true);
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for name in OPAQUE {
        builder = builder.opaque_type(name);
    }
    let bindings = match builder.generate() {
        Ok(bindings) => bindings,
        Err(error) => stop(&format!(
            "libclang could not read DPDK's headers (is it there? apt-get install libclang-dev): {error}"
        )),
    };
    let Some(out) = env::var_os("OUT_DIR") else { stop("OUT_DIR is not set: run by cargo") };
    if let Err(error) = bindings.write_to_file(PathBuf::from(out).join("bindings.rs")) {
        stop(&format!("the bindings cannot be written: {error}"));
    }
}

/// `-include rte_config.h -march=...`: without them the headers describe another library than the one installed.
fn other_cflags() -> Vec<String> {
    let output = Command::new("pkg-config").args(["--cflags-only-other", "libdpdk"]).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_whitespace().map(String::from).collect()
        }
        _ => stop("pkg-config does not answer for libdpdk: apt-get install libdpdk-dev pkg-config"),
    }
}

fn stop(message: &str) -> ! {
    eprintln!("error: {message}");
    exit(1)
}
