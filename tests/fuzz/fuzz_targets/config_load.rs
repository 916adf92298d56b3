//! Any text at all as a configuration: it loads, or it is refused with diagnostics that have a place. What loads is a fixed
//! point: written out and read again it is the same, passwords aside.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match config::load(text, "gateway.toml") {
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty(), "refused without a reason");
            for diagnostic in &diagnostics {
                assert!(diagnostic.line >= 1, "{diagnostic}");
                assert!(!diagnostic.to_string().is_empty());
            }
        }
        Ok(mut config) => {
            // What is written does not show them.
            let peers = config.bgp.iter_mut().flat_map(|bgp| &mut bgp.peers);
            peers.for_each(|peer| peer.password = None);
            let written = config.to_toml().expect("what was loaded can be written");
            let again = config::load(&written, "written.toml")
                .unwrap_or_else(|d| panic!("{}\n{written}", d[0]));
            assert_eq!(config, again, "reading what was written changed it:\n{written}");
        }
    }
});
