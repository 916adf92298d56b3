//! Text to configuration. Reading never stops at a fault: all of them are told at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use bgp::types::{Asn, Family, Password, RouteTarget};
use ipnet::{IpNet, Ipv4Net};
use toml::de::{DeTable, DeValue};
use wire::{Label, Mac, VlanId};

use crate::diag::{Diagnostic, Problems};
use crate::model::*;
use crate::read::{At, List, Section, Value};
use crate::{check, defaults, keys, parse};

/// Reads a configuration. `file` is only a name for the messages.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text. A text that is not TOML is told about that alone.
pub fn load(text: &str, file: &str) -> Result<Config, Vec<Diagnostic>> {
    let problems = Problems::new(text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    // What stands around a doubled key is still read right; after any other fault the parser has guessed.
    let readable = syntax.iter().all(|e| e.message() == DUPLICATE_KEY);
    for error in &syntax {
        let span = error.span().unwrap_or_default();
        if error.message() == DUPLICATE_KEY {
            duplicate_key(&problems, text, document.get_ref(), span);
        } else {
            let (message, expected) =
                error.message().split_once(", ").unwrap_or((error.message(), ""));
            problems.add(span.start, message, expected);
        }
    }
    if !readable {
        return Err(problems.into_diagnostics(file));
    }
    let raw = Raw::read(&problems, document.get_ref());
    check::check(&raw, &problems);
    if !problems.is_empty() {
        return Err(problems.into_diagnostics(file));
    }
    raw.build().ok_or_else(|| {
        problems.add(0, "a required value is missing", "compare with the examples");
        problems.into_diagnostics(file)
    })
}

/// What the parser says about a key or table that stands twice.
const DUPLICATE_KEY: &str = "duplicate key";

/// A key or a table header that stands twice. The parser does not tell where the first one is.
fn duplicate_key(problems: &Problems<'_>, text: &str, document: &DeTable<'_>, span: Range<usize>) {
    let start = span.start;
    let header = problems.text_of_line(problems.line(start)).trim();
    let first = if problems.many() {
        None
    } else if header.starts_with('[') {
        text.lines().position(|l| l.trim() == header).map(|n| n + 1)
    } else {
        let key = text.get(span).unwrap_or_default();
        nearest_key(text, document, key, start).map(|at| problems.line(at))
    };
    let what = if header.starts_with('[') { "table" } else { "key" };
    let name = text.get(start..).unwrap_or_default();
    let end = name.find(|c: char| !(c.is_alphanumeric() || "-_".contains(c))).unwrap_or(name.len());
    let message = match first.filter(|&first| first < problems.line(start)) {
        Some(first) => format!("{what} `{}` already stands on line {first}", &name[..end]),
        None => format!("{what} `{}` stands twice", &name[..end]),
    };
    problems.add(start, message, "remove one of the two");
}

/// Where the last key before `limit` stands that is written as `key`.
fn nearest_key(text: &str, table: &DeTable<'_>, key: &str, limit: usize) -> Option<usize> {
    let inside = |value: &DeValue<'_>| match value {
        DeValue::Table(table) => nearest_key(text, table, key, limit),
        DeValue::Array(list) => list
            .iter()
            .filter_map(|v| v.get_ref().as_table().and_then(|t| nearest_key(text, t, key, limit)))
            .max(),
        _ => None,
    };
    let here =
        table.iter().filter(|(k, _)| text.get(k.span()) == Some(key)).map(|(k, _)| k.span().start);
    let below = table.iter().filter_map(|(_, v)| inside(v.get_ref()));
    here.chain(below).filter(|&at| at < limit).max()
}

type Read<T> = Option<At<T>>;
type Entries<T> = Option<List<T>>;

/// The document with the places of its values; what is missing or illegal is `None` and has been reported.
pub(crate) struct Raw {
    pub(crate) router: RawRouter,
    pub(crate) socket: Read<PathBuf>,
    pub(crate) dataplane: RawDataplane,
    pub(crate) ports: Vec<RawPort>,
    pub(crate) static_routes: Vec<RawStaticRoute>,
    pub(crate) static_neighbors: Vec<RawStaticNeighbor>,
    pub(crate) bfd: Vec<RawBfd>,
    pub(crate) vrfs: Vec<RawVrf>,
    pub(crate) instances: Vec<RawInstance>,
    pub(crate) bgp: Option<RawBgp>,
}

#[derive(Default)]
pub(crate) struct RawRouter {
    pub(crate) name: Read<String>,
    pub(crate) router_id: Read<Ipv4Addr>,
    pub(crate) asn: Read<u32>,
    pub(crate) tunnel_address: Read<Ipv4Addr>,
    pub(crate) encapsulations: Entries<Encapsulation>,
    pub(crate) tunnel_sources: Entries<Ipv4Net>,
    pub(crate) label_quarantine: Read<u32>,
    pub(crate) state_file: Read<PathBuf>,
}

#[derive(Default)]
pub(crate) struct RawDataplane {
    pub(crate) workers: Entries<u16>,
    pub(crate) eal: Entries<String>,
    pub(crate) idle_sleep_microseconds: Read<u32>,
    pub(crate) idle_after_microseconds: Read<u32>,
    pub(crate) burst: Read<u16>,
    pub(crate) descriptors: Read<u16>,
    pub(crate) spread: Read<Spread>,
    pub(crate) sample_bursts: Read<u32>,
    pub(crate) mbufs: Read<u32>,
}

pub(crate) struct RawPort {
    pub(crate) at: usize,
    pub(crate) name: Read<String>,
    pub(crate) role: Read<PortRole>,
    pub(crate) device: Read<String>,
    pub(crate) addresses: Entries<IpNet>,
    pub(crate) mtu: Read<u16>,
    pub(crate) vlan_strip: Read<bool>,
}

pub(crate) struct RawStaticRoute {
    pub(crate) prefix: Read<Ipv4Net>,
    pub(crate) via: Read<Ipv4Addr>,
}

pub(crate) struct RawStaticNeighbor {
    pub(crate) port: Read<String>,
    pub(crate) address: Read<Ipv4Addr>,
    pub(crate) mac: Read<Mac>,
}

pub(crate) struct RawBfd {
    pub(crate) address: Read<Ipv4Addr>,
    pub(crate) interval_milliseconds: Read<u32>,
    pub(crate) multiplier: Read<u8>,
    pub(crate) multihop: Read<bool>,
}

pub(crate) struct RawVrf {
    pub(crate) name: Read<String>,
    pub(crate) route_targets: Entries<RouteTarget>,
    pub(crate) import: Entries<RouteTarget>,
    pub(crate) export: Entries<RouteTarget>,
    pub(crate) subnets: Entries<RawSubnet>,
    pub(crate) static_routes: Entries<RawVrfStaticRoute>,
}

pub(crate) struct RawSubnet {
    pub(crate) prefix: Read<Ipv4Net>,
    pub(crate) gateway: Read<Ipv4Addr>,
}

pub(crate) struct RawVrfStaticRoute {
    pub(crate) prefix: Read<Ipv4Net>,
    pub(crate) tunnel: Read<Ipv4Addr>,
    pub(crate) label: Read<Label>,
    pub(crate) encapsulation: Read<Encapsulation>,
}

pub(crate) struct RawInstance {
    pub(crate) name: Read<String>,
    pub(crate) vrf: Read<String>,
    pub(crate) port: Read<String>,
    pub(crate) vlan: Read<VlanId>,
    pub(crate) mac: Read<Mac>,
    pub(crate) addresses: Entries<IpAddr>,
}

pub(crate) struct RawBgp {
    pub(crate) listen: Read<Option<SocketAddr>>,
    pub(crate) peers: Vec<RawPeer>,
}

pub(crate) struct RawPeer {
    pub(crate) address: Read<IpAddr>,
    pub(crate) asn: Read<u32>,
    pub(crate) families: Entries<Family>,
    pub(crate) passive: Read<bool>,
    pub(crate) port: Read<u16>,
    pub(crate) local_address: Read<IpAddr>,
    pub(crate) multihop: Read<bool>,
    pub(crate) ttl_security: Read<u8>,
    pub(crate) password: Read<Password>,
    pub(crate) hold_time: Read<u16>,
    pub(crate) send_hold_time: Read<u32>,
}

impl Raw {
    fn read<'d>(problems: &'d Problems<'d>, document: &'d DeTable<'d>) -> Raw {
        let mut top = Section::new(problems, "at the top level", 0, document);
        let raw = Raw {
            router: top
                .required(keys::ROUTER)
                .and_then(|v| v.table("in [router]"))
                .map(RawRouter::read)
                .unwrap_or_default(),
            socket: top.optional(keys::API).and_then(|v| v.table("in [api]")).and_then(|mut s| {
                let socket = s.optional(keys::SOCKET).and_then(|v| v.text(parse::socket));
                s.finish();
                socket
            }),
            dataplane: top
                .optional(keys::DATAPLANE)
                .and_then(|v| v.table("in [dataplane]"))
                .map(RawDataplane::read)
                .unwrap_or_default(),
            ports: rows(top.optional(keys::PORT), "in [[port]]", RawPort::read),
            static_routes: rows(
                top.optional(keys::STATIC_ROUTE),
                "in [[static-route]]",
                RawStaticRoute::read,
            ),
            static_neighbors: rows(
                top.optional(keys::STATIC_NEIGHBOR),
                "in [[static-neighbor]]",
                RawStaticNeighbor::read,
            ),
            bfd: rows(top.optional(keys::BFD), "in [[bfd]]", RawBfd::read),
            vrfs: rows(top.optional(keys::VRF), "in [[vrf]]", RawVrf::read),
            instances: rows(top.optional(keys::INSTANCE), "in [[instance]]", RawInstance::read),
            bgp: top.optional(keys::BGP).and_then(|v| v.table("in [bgp]")).map(RawBgp::read),
        };
        top.finish();
        raw
    }

    fn build(self) -> Option<Config> {
        let router = self.router.build()?;
        let first = router.encapsulations.first().copied()?;
        Some(Config {
            api: self.socket.map_or_else(Api::default, |s| Api { socket: s.value }),
            dataplane: self.dataplane.build(),
            ports: self.ports.into_iter().map(RawPort::build).collect::<Option<_>>()?,
            static_routes: self
                .static_routes
                .into_iter()
                .map(|r| Some(StaticRoute { prefix: r.prefix?.value, via: r.via?.value }))
                .collect::<Option<_>>()?,
            static_neighbors: self
                .static_neighbors
                .into_iter()
                .map(RawStaticNeighbor::build)
                .collect::<Option<_>>()?,
            bfd: self.bfd.into_iter().map(RawBfd::build).collect::<Option<_>>()?,
            vrfs: self.vrfs.into_iter().map(|v| v.build(first)).collect::<Option<_>>()?,
            instances: self.instances.into_iter().map(RawInstance::build).collect::<Option<_>>()?,
            bgp: match self.bgp {
                Some(bgp) => Some(bgp.build()?),
                None => None,
            },
            router,
        })
    }
}

/// The tables of a `[[...]]`.
fn rows<'d, T>(value: Option<Value<'d>>, title: &str, read: fn(Section<'d>) -> T) -> Vec<T> {
    table_list(value, title, read).map(List::values).unwrap_or_default()
}

fn table_list<'d, T>(
    value: Option<Value<'d>>,
    title: &str,
    read: fn(Section<'d>) -> T,
) -> Entries<T> {
    value.map(|v| {
        v.list(|row| row.row(title).map(|section| At { at: section.at, value: read(section) }))
    })
}

fn values<T>(entries: Entries<T>) -> Vec<T> {
    entries.map(List::values).unwrap_or_default()
}

impl RawRouter {
    fn read(mut s: Section<'_>) -> RawRouter {
        let router = RawRouter {
            name: s
                .optional(keys::ROUTER_NAME)
                .and_then(|v| v.judged(parse::name))
                .or_else(|| host_name(s.at)),
            router_id: s.required(keys::ROUTER_ID).and_then(|v| v.text(parse::ipv4)),
            asn: s.required(keys::ASN).and_then(|v| v.integer(keys::ASN_RANGE)),
            tunnel_address: s.optional(keys::TUNNEL_ADDRESS).and_then(|v| v.text(parse::ipv4)),
            encapsulations: s
                .optional(keys::ENCAPSULATIONS)
                .map(|v| v.list(|e| e.text(parse::encapsulation))),
            tunnel_sources: s
                .optional(keys::TUNNEL_SOURCES)
                .map(|v| v.list(|e| e.text(parse::prefix))),
            label_quarantine: s
                .optional(keys::LABEL_QUARANTINE)
                .and_then(|v| v.integer(keys::LABEL_QUARANTINE_RANGE)),
            state_file: s.optional(keys::STATE_FILE).and_then(|v| v.text(parse::path)),
        };
        s.finish();
        router
    }

    fn build(self) -> Option<Router> {
        let name = self.name?.value;
        let router_id = self.router_id?.value;
        Some(Router {
            router_id,
            asn: Asn(self.asn?.value),
            tunnel_address: self.tunnel_address.map_or(router_id, |a| a.value),
            encapsulations: self
                .encapsulations
                .map_or_else(|| Encapsulation::ALL.to_vec(), List::values),
            tunnel_sources: values(self.tunnel_sources),
            label_quarantine: self.label_quarantine.map_or(defaults::LABEL_QUARANTINE, |q| q.value),
            state_file: self.state_file.map_or_else(|| defaults::state_file(&name), |f| f.value),
            name,
        })
    }
}

/// The name of the machine up to its first dot, if it is one that a router can have.
fn host_name(at: usize) -> Read<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().split('.').next().unwrap_or_default();
    let usable = parse::name(name).is_ok();
    Some(At { value: if usable { name.to_owned() } else { "vrouter".to_owned() }, at })
}

impl RawDataplane {
    fn read(mut s: Section<'_>) -> RawDataplane {
        let dataplane = RawDataplane {
            workers: s.optional(keys::WORKERS).map(|v| v.list(|e| e.integer(keys::WORKERS_RANGE))),
            eal: s.optional(keys::EAL).map(|v| v.list(|e| e.text(parse::eal))),
            idle_sleep_microseconds: s
                .optional(keys::IDLE_SLEEP)
                .and_then(|v| v.integer(keys::IDLE_SLEEP_RANGE)),
            idle_after_microseconds: s
                .optional(keys::IDLE_AFTER)
                .and_then(|v| v.integer(keys::IDLE_AFTER_RANGE)),
            burst: s.optional(keys::BURST).and_then(|v| v.integer(keys::BURST_RANGE)),
            descriptors: s
                .optional(keys::DESCRIPTORS)
                .and_then(|v| v.integer(keys::DESCRIPTORS_RANGE)),
            spread: s.optional(keys::SPREAD).and_then(|v| v.text(parse::spread)),
            sample_bursts: s
                .optional(keys::SAMPLE_BURSTS)
                .and_then(|v| v.integer(keys::SAMPLE_BURSTS_RANGE)),
            mbufs: s.optional(keys::MBUFS).and_then(|v| v.integer(keys::MBUFS_RANGE)),
        };
        s.finish();
        dataplane
    }

    fn build(self) -> Dataplane {
        Dataplane {
            workers: values(self.workers),
            eal: values(self.eal),
            idle_sleep_microseconds: self
                .idle_sleep_microseconds
                .map_or(defaults::IDLE_SLEEP_MICROSECONDS, |v| v.value),
            idle_after_microseconds: self
                .idle_after_microseconds
                .map_or(defaults::IDLE_AFTER_MICROSECONDS, |v| v.value),
            burst: self.burst.map_or(defaults::BURST, |v| v.value),
            descriptors: self.descriptors.map_or(defaults::DESCRIPTORS, |v| v.value),
            spread: self.spread.map_or(Spread::Auto, |v| v.value),
            sample_bursts: self.sample_bursts.map_or(0, |v| v.value),
            mbufs: self.mbufs.map(|v| v.value),
        }
    }
}

impl RawPort {
    fn read(mut s: Section<'_>) -> RawPort {
        let port = RawPort {
            at: s.at,
            name: s.required(keys::PORT_NAME).and_then(|v| v.judged(parse::name)),
            role: s.required(keys::ROLE).and_then(|v| v.text(parse::role)),
            device: s.required(keys::DEVICE).and_then(|v| v.judged(parse::device)),
            addresses: s
                .optional(keys::ADDRESSES)
                .map(|v| v.list(|e| e.text(parse::interface_address))),
            mtu: s.optional(keys::MTU).and_then(|v| v.integer(keys::MTU_RANGE)),
            vlan_strip: s.optional(keys::VLAN_STRIP).and_then(|v| v.boolean()),
        };
        s.finish();
        port
    }

    fn build(self) -> Option<Port> {
        Some(Port {
            name: self.name?.value,
            role: self.role?.value,
            device: self.device?.value,
            addresses: values(self.addresses),
            mtu: self.mtu.map_or_else(defaults::mtu, |v| v.value),
            vlan_strip: self.vlan_strip.is_some_and(|v| v.value),
        })
    }
}

impl RawStaticRoute {
    fn read(mut s: Section<'_>) -> RawStaticRoute {
        let route = RawStaticRoute {
            prefix: s.required(keys::STATIC_PREFIX).and_then(|v| v.text(parse::prefix)),
            via: s.required(keys::VIA).and_then(|v| v.text(parse::ipv4)),
        };
        s.finish();
        route
    }
}

impl RawStaticNeighbor {
    fn read(mut s: Section<'_>) -> RawStaticNeighbor {
        let neighbor = RawStaticNeighbor {
            port: s.required(keys::NEIGHBOR_PORT).and_then(|v| v.judged(|_| Ok(()))),
            address: s.required(keys::NEIGHBOR_ADDRESS).and_then(|v| v.text(parse::ipv4)),
            mac: s.required(keys::NEIGHBOR_MAC).and_then(|v| v.text(parse::mac)),
        };
        s.finish();
        neighbor
    }

    fn build(self) -> Option<StaticNeighbor> {
        let (port, address, mac) = (self.port?.value, self.address?.value, self.mac?.value);
        Some(StaticNeighbor { port, address, mac })
    }
}

impl RawBfd {
    fn read(mut s: Section<'_>) -> RawBfd {
        let bfd = RawBfd {
            address: s.required(keys::BFD_ADDRESS).and_then(|v| v.text(parse::ipv4)),
            interval_milliseconds: s
                .optional(keys::BFD_INTERVAL)
                .and_then(|v| v.integer(keys::BFD_INTERVAL_RANGE)),
            multiplier: s
                .optional(keys::BFD_MULTIPLIER)
                .and_then(|v| v.integer(keys::BFD_MULTIPLIER_RANGE)),
            multihop: s.optional(keys::MULTIHOP).and_then(|v| v.boolean()),
        };
        s.finish();
        bfd
    }

    fn build(self) -> Option<Bfd> {
        Some(Bfd {
            address: self.address?.value,
            interval_milliseconds: self
                .interval_milliseconds
                .map_or_else(defaults::bfd_interval, |v| v.value),
            multiplier: self.multiplier.map_or_else(defaults::bfd_multiplier, |v| v.value),
            multihop: self.multihop.is_some_and(|v| v.value),
        })
    }
}

impl RawVrf {
    fn read(mut s: Section<'_>) -> RawVrf {
        let targets = |v: Value<'_>| v.list(|e| e.text(parse::route_target));
        let vrf = RawVrf {
            name: s.required(keys::VRF_NAME).and_then(|v| v.judged(parse::name)),
            route_targets: s.optional(keys::ROUTE_TARGETS).map(targets),
            import: s.optional(keys::IMPORT).map(targets),
            export: s.optional(keys::EXPORT).map(targets),
            subnets: table_list(
                s.optional(keys::SUBNETS),
                "in `subnets` of [[vrf]]",
                RawSubnet::read,
            ),
            static_routes: table_list(
                s.optional(keys::STATIC_ROUTES),
                "in `static-routes` of [[vrf]]",
                RawVrfStaticRoute::read,
            ),
        };
        s.finish();
        vrf
    }

    fn build(self, first: Encapsulation) -> Option<Vrf> {
        Some(Vrf {
            name: self.name?.value,
            route_targets: values(self.route_targets),
            import: values(self.import),
            export: values(self.export),
            subnets: values(self.subnets)
                .into_iter()
                .map(|s| Some(Subnet { prefix: s.prefix?.value, gateway: s.gateway?.value }))
                .collect::<Option<_>>()?,
            static_routes: values(self.static_routes)
                .into_iter()
                .map(|r| {
                    Some(VrfStaticRoute {
                        prefix: r.prefix?.value,
                        tunnel: r.tunnel?.value,
                        label: r.label?.value,
                        encapsulation: r.encapsulation.map_or(first, |e| e.value),
                    })
                })
                .collect::<Option<_>>()?,
        })
    }
}

impl RawSubnet {
    fn read(mut s: Section<'_>) -> RawSubnet {
        let subnet = RawSubnet {
            prefix: s.required(keys::SUBNET_PREFIX).and_then(|v| v.text(parse::prefix)),
            gateway: s.required(keys::GATEWAY).and_then(|v| v.text(parse::ipv4)),
        };
        s.finish();
        subnet
    }
}

impl RawVrfStaticRoute {
    fn read(mut s: Section<'_>) -> RawVrfStaticRoute {
        let label = |v: Value<'_>| {
            let number = v.integer::<u32>(keys::LABEL_RANGE)?;
            Label::new(number.value).map(|value| At { value, at: number.at })
        };
        let route = RawVrfStaticRoute {
            prefix: s.required(keys::STATIC_PREFIX).and_then(|v| v.text(parse::prefix)),
            tunnel: s.required(keys::TUNNEL).and_then(|v| v.text(parse::ipv4)),
            label: s.required(keys::LABEL).and_then(label),
            encapsulation: s
                .optional(keys::ENCAPSULATION)
                .and_then(|v| v.text(parse::encapsulation)),
        };
        s.finish();
        route
    }
}

impl RawInstance {
    fn read(mut s: Section<'_>) -> RawInstance {
        let vlan = |v: Value<'_>| {
            let number = v.integer::<u16>(keys::VLAN_RANGE)?;
            VlanId::new(number.value).map(|value| At { value, at: number.at })
        };
        let instance = RawInstance {
            name: s.required(keys::INSTANCE_NAME).and_then(|v| v.judged(parse::name)),
            vrf: s.required(keys::INSTANCE_VRF).and_then(|v| v.judged(|_| Ok(()))),
            port: s.required(keys::INSTANCE_PORT).and_then(|v| v.judged(|_| Ok(()))),
            vlan: s.required(keys::VLAN).and_then(vlan),
            mac: s.required(keys::MAC).and_then(|v| v.text(parse::mac)),
            addresses: s
                .required(keys::INSTANCE_ADDRESSES)
                .map(|v| v.list(|e| e.text(parse::instance_address))),
        };
        s.finish();
        instance
    }

    fn build(self) -> Option<Instance> {
        Some(Instance {
            name: self.name?.value,
            vrf: self.vrf?.value,
            port: self.port?.value,
            vlan: self.vlan?.value,
            mac: self.mac?.value,
            addresses: self.addresses?.values(),
        })
    }
}

impl RawBgp {
    fn read(mut s: Section<'_>) -> RawBgp {
        let bgp = RawBgp {
            listen: s.optional(keys::LISTEN).and_then(|v| v.text(parse::listen)),
            peers: rows(s.optional(keys::PEER), "in [[bgp.peer]]", RawPeer::read),
        };
        s.finish();
        bgp
    }

    fn build(self) -> Option<Bgp> {
        Some(Bgp {
            listen: self.listen.map_or_else(defaults::listen, |l| l.value),
            peers: self.peers.into_iter().map(RawPeer::build).collect::<Option<_>>()?,
        })
    }
}

impl RawPeer {
    fn read(mut s: Section<'_>) -> RawPeer {
        let peer = RawPeer {
            address: s.required(keys::PEER_ADDRESS).and_then(|v| v.text(parse::ip)),
            asn: s.required(keys::PEER_ASN).and_then(|v| v.integer(keys::ASN_RANGE)),
            families: s.optional(keys::FAMILIES).map(|v| v.list(|e| e.text(parse::family))),
            passive: s.optional(keys::PASSIVE).and_then(|v| v.boolean()),
            port: s.optional(keys::PEER_PORT).and_then(|v| v.integer(keys::PEER_PORT_RANGE)),
            local_address: s.optional(keys::LOCAL_ADDRESS).and_then(|v| v.text(parse::ip)),
            multihop: s.optional(keys::MULTIHOP).and_then(|v| v.boolean()),
            ttl_security: s
                .optional(keys::TTL_SECURITY)
                .and_then(|v| v.integer(keys::TTL_SECURITY_RANGE)),
            password: s.optional(keys::PASSWORD).and_then(|v| v.secret(parse::password)),
            hold_time: s.optional(keys::HOLD_TIME).and_then(|v| v.integer(keys::HOLD_TIME_RANGE)),
            send_hold_time: s
                .optional(keys::SEND_HOLD_TIME)
                .and_then(|v| v.integer(keys::SEND_HOLD_TIME_RANGE)),
        };
        s.finish();
        peer
    }

    fn build(self) -> Option<BgpPeer> {
        Some(BgpPeer {
            address: self.address?.value,
            asn: Asn(self.asn?.value),
            families: self.families.map_or_else(defaults::families, List::values),
            passive: self.passive.is_some_and(|v| v.value),
            port: self.port.map_or_else(defaults::bgp_port, |v| v.value),
            local_address: self.local_address.map(|v| v.value),
            multihop: self.multihop.is_some_and(|v| v.value),
            ttl_security: self.ttl_security.map(|v| v.value),
            password: self.password.map(|v| v.value),
            hold_time: self.hold_time.map_or_else(defaults::hold_time, |v| v.value),
            send_hold_time: self.send_hold_time.map(|v| v.value),
        })
    }
}
