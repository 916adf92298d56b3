//! `vrouterd doctor`: what this machine lacks, each finding with the command that repairs it. It changes nothing.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::{Config, Port};

/// Something worth telling.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// Nothing runs like this.
    blocking: bool,
    text: String,
    /// What to type.
    repair: String,
}

fn blocking(text: impl Into<String>, repair: impl Into<String>) -> Finding {
    Finding { blocking: true, text: text.into(), repair: repair.into() }
}

fn advice(text: impl Into<String>, repair: impl Into<String>) -> Finding {
    Finding { blocking: false, text: text.into(), repair: repair.into() }
}

/// Prints all findings; fails if one of them is blocking.
pub fn run(file: Option<&Path>) -> ExitCode {
    let mut findings = Vec::new();
    let config = file.and_then(|file| match crate::load(file) {
        Ok(config) => Some(config),
        Err(errors) => {
            let repair =
                format!("edit {}, then: vrouterd check {}", file.display(), file.display());
            findings.extend(errors.into_iter().map(|error| blocking(error, repair.clone())));
            None
        }
    });
    let status = read("/proc/self/status");
    findings.extend(privileges(&status));
    findings.extend(hugepages(&read("/proc/meminfo")));
    findings.extend(drivers(&pmd_folders()));
    findings.extend(cpus(&status, config.as_ref()));
    if let Some(config) = &config {
        findings.extend(config.ports.iter().flat_map(port));
        findings.extend(socket(&config.api.socket));
        findings.extend(state_file(&config.router.state_file));
    }
    for finding in &findings {
        let kind = if finding.blocking { "BLOCKING" } else { "advice" };
        println!("{kind}: {}\n    repair: {}", finding.text, finding.repair);
    }
    if findings.is_empty() {
        println!("nothing to complain about");
    }
    if findings.iter().any(|finding| finding.blocking) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of a line `key: value`.
fn field<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim()))
}

/// Linux capabilities (capability.h): name, bit, and whether nothing works without. Only memory for devices is locked.
const CAPABILITIES: [(&str, u32, bool); 3] =
    [("cap_net_admin", 12, true), ("cap_net_raw", 13, true), ("cap_ipc_lock", 14, false)];

fn privileges(status: &str) -> Vec<Finding> {
    let held =
        field(status, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let missing: Vec<_> = CAPABILITIES.iter().filter(|(_, bit, _)| held >> bit & 1 == 0).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let list = missing.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(",");
    vec![Finding {
        blocking: missing.iter().any(|(.., needed)| *needed),
        text: format!("this user lacks {list}"),
        repair: format!(
            "run as root (sudo vrouterd ...), or: setcap {list}+ep $(command -v vrouterd)"
        ),
    }]
}

fn hugepages(meminfo: &str) -> Vec<Finding> {
    let count = |key| field(meminfo, key).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    if count("HugePages_Total") == 0 {
        return vec![advice(
            "no hugepages: the data plane takes ordinary memory and is slower",
            "sysctl -w vm.nr_hugepages=512",
        )];
    }
    if count("HugePages_Free") == 0 {
        return vec![advice(
            "all hugepages are in use: the data plane takes ordinary memory and is slower",
            "end the program that holds them (grep -l huge /proc/*/maps), or raise vm.nr_hugepages",
        )];
    }
    Vec::new()
}

/// Folders of DPDK drivers where Debian puts them.
fn pmd_folders() -> Vec<PathBuf> {
    let children = |path: PathBuf| {
        fs::read_dir(path).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path())
    };
    let is_pmds = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("pmds-"))
    };
    let libraries =
        children("/usr/lib".into()).chain([PathBuf::from("/usr/lib64"), "/usr/local/lib".into()]);
    libraries.flat_map(|path| children(path.join("dpdk"))).filter(is_pmds).collect()
}

fn drivers(folders: &[PathBuf]) -> Vec<Finding> {
    let has_drivers =
        |folder: &PathBuf| fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some());
    if folders.iter().any(has_drivers) {
        return Vec::new();
    }
    vec![blocking("no DPDK drivers are installed", "apt install libdpdk-dev")]
}

fn cpus(status: &str, config: Option<&Config>) -> Vec<Finding> {
    let allowed = cpu_list(field(status, "Cpus_allowed_list").unwrap_or("0"));
    let mut findings = Vec::new();
    if allowed.len() < 2 {
        findings.push(advice(
            "one CPU: worker, service thread and agent share it",
            "give the machine, or the container's cpuset, a second CPU",
        ));
    }
    let workers = config.map(|config| config.dataplane.workers.as_slice()).unwrap_or_default();
    for cpu in workers.iter().filter(|cpu| !allowed.contains(cpu)) {
        findings.push(blocking(
            format!("[dataplane] workers names CPU {cpu}, which this process may not use"),
            format!("set workers to some of {allowed:?}"),
        ));
    }
    if !workers.is_empty() && workers.len() >= allowed.len() {
        findings.push(advice(
            "the workers take every CPU: service thread and agent share one with a worker",
            "take one CPU out of [dataplane] workers",
        ));
    }
    findings
}

/// A list as the kernel writes it: `0-3,8`.
fn cpu_list(text: &str) -> Vec<u16> {
    let range = |part: &str| -> Option<std::ops::RangeInclusive<u16>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

fn port(port: &Port) -> Vec<Finding> {
    let complaint = |text: String| format!("port {}: {text}", port.name);
    if let Some(variable) = port.device.strip_prefix("env:") {
        return match std::env::var(variable) {
            Ok(value) if !value.is_empty() => {
                value.split(',').take(1).flat_map(|a| pci(port, a)).collect()
            }
            _ => vec![blocking(
                complaint(format!("the environment has no {variable}")),
                format!(
                    "request the device from the SR-IOV device plugin, or: export {variable}=0000:3b:02.0"
                ),
            )],
        };
    }
    match port.device.strip_prefix("vdev:") {
        Some(device) => vdev(port, device),
        None => pci(port, &port.device),
    }
}

fn pci(port: &Port, address: &str) -> Vec<Finding> {
    let device = Path::new("/sys/bus/pci/devices").join(address);
    if !device.exists() {
        return vec![blocking(
            format!("port {}: there is no PCI device {address}", port.name),
            "lspci -D -d ::0200 lists network devices".to_owned(),
        )];
    }
    let driver = fs::read_link(device.join("driver")).ok();
    let driver = driver.as_ref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
    match driver {
        Some("vfio-pci" | "uio_pci_generic" | "igb_uio" | "mlx5_core" | "mlx4_core") => Vec::new(),
        other => vec![blocking(
            format!("port {}: {address} is bound to {}", port.name, other.unwrap_or("no driver")),
            format!("modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci {address}"),
        )],
    }
}

fn vdev(port: &Port, device: &str) -> Vec<Finding> {
    let Some(interface) = device.split(',').find_map(|word| word.strip_prefix("iface=")) else {
        return Vec::new();
    };
    let folder = Path::new("/sys/class/net").join(interface);
    if !folder.exists() {
        return vec![blocking(
            format!("port {}: there is no interface {interface}", port.name),
            format!(
                "ip link shows what there is; a pair to try with: ip link add {interface} type veth"
            ),
        )];
    }
    let mut findings = Vec::new();
    let number =
        |file| fs::read_to_string(folder.join(file)).ok().and_then(|text| text.trim().parse().ok());
    let mtu: Option<u32> = number("mtu");
    if mtu.is_some_and(|mtu| mtu < u32::from(port.mtu)) {
        findings.push(blocking(
            format!("port {}: {interface} carries less than mtu = {}", port.name, port.mtu),
            format!("ip link set dev {interface} mtu {}", port.mtu),
        ));
    }
    let up = fs::read_to_string(folder.join("flags")).ok();
    let up = up.and_then(|hex| u32::from_str_radix(hex.trim().trim_start_matches("0x"), 16).ok());
    // IFF_UP
    if up.is_some_and(|flags| flags & 1 == 0) {
        findings.push(advice(
            format!("port {}: {interface} is down", port.name),
            format!("ip link set dev {interface} up"),
        ));
    }
    findings
}

fn socket(path: &Path) -> Vec<Finding> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return vec![blocking(
                format!("{shown} is in the way of the API's socket"),
                format!("rm {shown}"),
            )];
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            let repair = "systemctl stop vrouterd, or set another [api] socket";
            return vec![blocking(format!("a vrouterd already listens at {shown}"), repair)];
        }
        _ => {}
    }
    let mut folder = path.parent().unwrap_or(Path::new("/"));
    while !folder.exists() {
        folder = folder.parent().unwrap_or(Path::new("/"));
    }
    if folder.is_dir() {
        return Vec::new();
    }
    let repair = format!("rm {}, or set another [api] socket", folder.display());
    vec![blocking(format!("{} is no directory", folder.display()), repair)]
}

fn state_file(path: &Path) -> Vec<Finding> {
    let Some(folder) = path.parent().filter(|folder| folder.exists()) else { return Vec::new() };
    let read_only = fs::metadata(folder).is_ok_and(|data| data.permissions().readonly());
    if !read_only {
        return Vec::new();
    }
    vec![advice(
        format!("{} is not writable: labels may change over a restart", folder.display()),
        format!("chmod u+w {}, or set [router] state-file", folder.display()),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(privileges("CapEff:\t000001ffffffffff\n"), []);
        let findings = privileges("CapEff:\t0000000000001000\n");
        assert!(
            findings[0].blocking && findings[0].text.ends_with("lacks cap_net_raw,cap_ipc_lock")
        );
    }

    #[test]
    fn no_hugepages_is_advice_only() {
        assert_eq!(hugepages("HugePages_Total:     512\nHugePages_Free:      500\n"), []);
        for text in [
            "HugePages_Total:       0\nHugePages_Free:        0\n",
            "HugePages_Total: 8\nHugePages_Free: 0\n",
        ] {
            assert!(!hugepages(text)[0].blocking);
        }
    }

    #[test]
    fn cpu_lists_and_workers() {
        assert_eq!(cpu_list("0-2,7"), [0, 1, 2, 7]);
        assert_eq!(cpus("Cpus_allowed_list:\t0-3\n", None), []);
        assert!(!cpus("Cpus_allowed_list:\t3\n", None)[0].blocking);
    }

    #[test]
    fn a_missing_interface_or_device_blocks() {
        let new = |device: &str| Port {
            name: "p0".into(),
            role: config::PortRole::Fabric,
            device: device.into(),
            addresses: vec![],
            mtu: 1500,
            vlan_strip: false,
        };
        for device in
            ["vdev:net_af_packet0,iface=nonesuch9", "ffff:ff:1f.7", "env:NO_SUCH_VARIABLE"]
        {
            let findings = port(&new(device));
            assert!(findings.len() == 1 && findings[0].blocking, "{device}: {findings:?}");
        }
        assert_eq!(port(&new("vdev:net_null0")), []);
    }
}
