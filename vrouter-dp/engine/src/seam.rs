//! THE SEAM between the agent, which knows why, and the service thread, which knows how.
//!
//! Plain data in both directions over two bounded single-producer single-consumer rings, no pointers:
//! [`Op`] downwards, [`Event`] upwards. Rules:
//!
//! - The agent creates before it references and unreferences before it deletes; an op that breaks this is refused by an
//!   [`Event::Refused`] and changes nothing.
//! - Ops between two [`Op::Commit`] belong to one generation. [`Event::Ack`] for a generation means that every worker has passed
//!   a quiescent point after it: no packet sees anything older.
//! - The agent reuses an id only after the generation that deleted it was acknowledged. Labels rest longer (quarantine).
//! - A full ring pushes back on its producer and loses nothing.
//! - After the agent restarted it sends [`Op::Resync`], the whole desired state, then [`Op::Sweep`]: what was not set again goes.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use wire::bfd::{Diagnostic, State};
use wire::{Label, Mac, VlanId};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $int);

        impl $name {
            /// As an index into the table of these.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id! {
    /// A generation of the tables, counted from 1 by the agent.
    Gen(u64)
}
id! {
    /// A port, in the order of the configuration when the process started.
    PortId(u8)
}
id! {
    /// A VRF. [`VrfId::MASTER`] is the underlay; the agent numbers its VRFs from 1.
    VrfId(u16)
}
id! {
    /// An instance interface: one (port, VLAN).
    VifId(u16)
}
id! {
    /// A tunnel to another PE: one (remote address, encapsulation).
    TunnelId(u32)
}
id! {
    /// A path group: the paths that a route may take at once. It exists while it has a path.
    GroupId(u32)
}
id! {
    /// A next hop, as it stands in the leaf of a FIB. 0 is never given out: it means "no route".
    NexthopId(u32)
}
id! {
    /// A worker, counted from 0.
    WorkerId(u8)
}

impl VrfId {
    /// The master routing instance: the underlay.
    pub const MASTER: VrfId = VrfId(0);
}

/// How a packet travels to another PE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encapsulation {
    /// RFC 7510: IPv4, UDP to port 6635, MPLS. 32 bytes.
    MplsOverUdp,
    /// RFC 4023: IPv4, GRE without options, MPLS. 28 bytes.
    MplsOverGre,
}

impl Encapsulation {
    /// Bytes that this encapsulation adds to the inner packet, the link header not counted.
    pub const fn overhead(self) -> u16 {
        match self {
            Encapsulation::MplsOverUdp => 32,
            Encapsulation::MplsOverGre => 28,
        }
    }
}

/// What is asked of a BFD session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BfdTiming {
    /// Over several hops (RFC 5883), not one (RFC 5881). Another kind is another session.
    pub multihop: bool,
    /// Least interval between packets that we send and that we can take, microseconds, not 0.
    pub min_tx: u32,
    pub min_rx: u32,
    /// Packets that may be lost, not 0.
    pub multiplier: u8,
}

/// What a route leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nexthop {
    /// Push `label` and send through `tunnel`.
    Tunnel {
        /// The tunnel; it must exist.
        tunnel: TunnelId,
        /// The label that the far PE advertised.
        label: Label,
    },
    /// Deliver to a local instance: VLAN tag of the vif, destination MAC of the instance.
    Vif(VifId),
    /// Ours: a gateway address. The service thread answers.
    Receive,
    /// Drop as `discard-route`.
    Discard,
    /// One of the paths of a group, by flow; a path whose tunnel is not resolved is passed over.
    Group(GroupId),
}

/// What a label that we advertised leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LabelTarget {
    /// Look the inner destination up in this VRF.
    Vrf(VrfId),
    /// Deliver to this instance without a lookup.
    Vif(VifId),
}

/// One change of the desired state. `*Set` adds or replaces as a whole, `*Del` removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The agent (re)started: mark everything as stale. Forwarding goes on.
    Resync,
    /// Remove what is still marked as stale.
    Sweep,
    /// The addresses that tunnels start and end at (one per node).
    TunnelAddressSet { address: Ipv4Addr },
    /// An address of a fabric port with its on-link prefix.
    PortAddressSet { port: PortId, address: Ipv4Net },
    /// Removes an address of a port.
    PortAddressDel { port: PortId, address: Ipv4Net },
    /// The MAC of a neighbour on the link of a fabric port: it is not asked for, and what it says of itself counts for nothing.
    NeighborSet { port: PortId, address: Ipv4Addr, mac: Mac },
    /// The neighbour is asked for its MAC again, if a tunnel needs it.
    NeighborDel { port: PortId, address: Ipv4Addr },
    /// A BFD session with a router of the underlay, one for each address; a session that there is stays up and takes the timing over.
    BfdSet { remote: Ipv4Addr, timing: BfdTiming },
    /// Ends a BFD session; the other side is told that it is taken down.
    BfdDel { remote: Ipv4Addr },
    /// A static route of the underlay; `via` must be on-link on a fabric port, else the tunnels behind it stay unresolved.
    UnderlayRouteSet { prefix: Ipv4Net, via: Ipv4Addr },
    /// Removes a static route of the underlay.
    UnderlayRouteDel { prefix: Ipv4Net },
    /// Tunnel packets from this prefix are accepted, beside those from the remote ends of tunnels.
    TunnelSourceSet { prefix: Ipv4Net },
    /// Removes an accepted prefix.
    TunnelSourceDel { prefix: Ipv4Net },
    /// A VRF.
    VrfSet { vrf: VrfId },
    /// Removes a VRF that nothing refers to any more.
    VrfDel { vrf: VrfId },
    /// A subnet of a VRF and the gateway address that we hold in it. The agent sets the `Receive` route itself.
    SubnetSet { vrf: VrfId, prefix: Ipv4Net, gateway: Ipv4Addr },
    /// Removes a subnet.
    SubnetDel { vrf: VrfId, prefix: Ipv4Net },
    /// An instance interface.
    VifSet { vif: VifId, port: PortId, vlan: VlanId, vrf: VrfId, mac: Mac },
    /// Removes an instance interface.
    VifDel { vif: VifId },
    /// An address that the instance may use as source, and that ARP answers for.
    VifAddressSet { vif: VifId, address: IpAddr },
    /// Removes an address of an instance.
    VifAddressDel { vif: VifId, address: IpAddr },
    /// A tunnel. The service thread resolves `remote` in the underlay and keeps it resolved.
    TunnelSet { tunnel: TunnelId, remote: Ipv4Addr, encapsulation: Encapsulation },
    /// Removes a tunnel.
    TunnelDel { tunnel: TunnelId },
    /// A next hop.
    NexthopSet { id: NexthopId, nexthop: Nexthop },
    /// Removes a next hop that no route refers to any more.
    NexthopDel { id: NexthopId },
    /// A path of a group, in one of its [`PATHS`] places. `nexthop` must exist and be a tunnel or an interface.
    PathSet { group: GroupId, place: u8, nexthop: NexthopId },
    /// Removes a path; the group goes with its last one, which a next hop must no longer name.
    PathDel { group: GroupId, place: u8 },
    /// A route of a VRF.
    RouteSet { vrf: VrfId, prefix: IpNet, nexthop: NexthopId },
    /// Removes a route.
    RouteDel { vrf: VrfId, prefix: IpNet },
    /// A label that we advertise.
    LabelSet { label: Label, target: LabelTarget },
    /// Removes a label; packets with it drop as `invalid-label` from then on.
    LabelDel { label: Label },
    /// End of a generation.
    Commit { generation: Gen },
    /// Asks for counters and states: [`Event`] rows with this token, then [`Event::SnapshotEnd`]. One at a time.
    Snapshot { token: u64 },
}

/// Why an op changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It names a VRF, vif, tunnel, next hop or port that does not exist.
    #[error("refers to an object that does not exist")]
    Unknown,
    /// Something still refers to the object.
    #[error("the object is still referred to")]
    InUse,
    /// The table has no room for another.
    #[error("the table is full")]
    Full,
    /// The (port, VLAN) belongs to another vif.
    #[error("the VLAN of that port belongs to another interface")]
    Duplicate,
    /// The port cannot do it (VLAN filter refused, wrong role).
    #[error("the port cannot carry it")]
    Port,
}

/// Why a port carries no traffic, or that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Carrier present.
    Up,
    /// No carrier.
    Down,
}

/// State of a neighbour (RFC 826, with the states of RFC 4861 that apply).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighborState {
    /// Asked, no answer yet.
    Incomplete,
    /// Answered within the reachable time.
    Reachable,
    /// Being asked again; its MAC is still used.
    Stale,
    /// Did not answer.
    Failed,
    /// Configured by [`Op::NeighborSet`]: never asked.
    Static,
}

/// What the service thread tells the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Every worker has passed a quiescent point after this generation.
    Ack { generation: Gen },
    /// This op changed nothing.
    Refused { op: Op, refusal: Refusal },
    /// Carrier of a port changed (also sent once for each port at the start and after [`Op::Resync`]).
    PortLink { port: PortId, link: Link },
    /// A tunnel became usable or unusable.
    TunnelUp { tunnel: TunnelId, up: bool },
    /// The state of a BFD session, and why it is not up. The last one counts; also sent for each [`Op::BfdSet`].
    Bfd { remote: Ipv4Addr, state: State, diagnostic: Diagnostic },

    /// Snapshot row: a port. `missed` and `no_mbuf` are the NIC's (imissed, rx_nombuf).
    Port {
        token: u64,
        port: PortId,
        mac: Mac,
        link: Link,
        mtu: u16,
        rx_packets: u64,
        rx_bytes: u64,
        tx_packets: u64,
        tx_bytes: u64,
        missed: u64,
        rx_errors: u64,
        no_mbuf: u64,
        tx_errors: u64,
    },
    /// Snapshot row: a worker, its side of the accounting identity.
    Worker {
        token: u64,
        worker: WorkerId,
        cpu: u16,
        rx: u64,
        handed_in: u64,
        injected: u64,
        copies_made: u64,
        tx: u64,
        punted: u64,
        dropped: u64,
        handed_out: u64,
        queued: u64,
        /// Useful cycles since the last snapshot, in tenths of a percent.
        busy_permille: u16,
    },
    /// Snapshot row: how a worker is loaded, beside its [`Event::Worker`] row; counted from its start.
    WorkerLoad {
        token: u64,
        worker: WorkerId,
        /// Bursts that had a packet, and those of them from queues of other workers.
        bursts: u64,
        helped: u64,
        /// Others help with its queues now.
        hot: bool,
        /// Sleeps for want of packets, and the longest of them.
        sleeps: u64,
        longest_sleep_microseconds: u32,
    },
    /// Snapshot row: timed bursts of a worker, only if there were any; times in nanoseconds.
    WorkerTimes {
        token: u64,
        worker: WorkerId,
        bursts: u64,
        packets: u64,
        median: u32,
        p99: u32,
        p999: u32,
    },
    /// Snapshot row: cycles of the timed bursts in one span, numbered as the plan of the data plane names them.
    WorkerSpan { token: u64, worker: WorkerId, span: u8, cycles: u64 },
    /// Snapshot row: a drop reason over all workers, only if not zero. `reason` indexes `drops::Drop::ALL`.
    DropCount { token: u64, reason: u16, count: u64 },
    /// Snapshot row: a punt class over all workers. `class` indexes `drops::Punt::ALL`; `limited` were dropped by the rate limit.
    PuntCount { token: u64, class: u16, count: u64, limited: u64 },
    /// Snapshot row: an instance interface.
    Vif { token: u64, vif: VifId, rx_packets: u64, rx_bytes: u64, tx_packets: u64, tx_bytes: u64 },
    /// Snapshot row: drops of one reason at an instance interface, only if not zero.
    VifDrop { token: u64, vif: VifId, reason: u16, count: u64 },
    /// Snapshot row: a neighbour. `vif` is set for instances, `None` in the underlay.
    Neighbor {
        token: u64,
        address: Ipv4Addr,
        mac: Option<Mac>,
        port: PortId,
        vif: Option<VifId>,
        state: NeighborState,
        age_seconds: u32,
    },
    /// Snapshot row: a BFD session; intervals in microseconds.
    BfdSession {
        token: u64,
        remote: Ipv4Addr,
        timing: BfdTiming,
        state: State,
        diagnostic: Diagnostic,
        remote_state: State,
        remote_diagnostic: Diagnostic,
        /// Silence after which the other side is missed; 0 while it was not heard.
        detection_time: u32,
        since_seconds: u32,
        received: u64,
        sent: u64,
        /// Changes from up to something else.
        flaps: u32,
    },
    /// Snapshot row: a tunnel, with the on-link address that it resolves through.
    Tunnel { token: u64, tunnel: TunnelId, via: Option<Ipv4Addr>, up: bool },
    /// The snapshot is complete; `generation` is the last one that every worker has seen.
    SnapshotEnd { token: u64, generation: Gen },
}

/// Paths that a group can have.
pub const PATHS: usize = 8;

/// Ring from the agent to the service thread. Full means wait: nothing is lost.
pub type OpSender = rtrb::Producer<Op>;
/// The service thread's end of the op ring.
pub type OpReceiver = rtrb::Consumer<Op>;
/// The service thread's end of the event ring.
pub type EventSender = rtrb::Producer<Event>;
/// The agent's end of the event ring.
pub type EventReceiver = rtrb::Consumer<Event>;

/// Slots of the op ring: 1 MiB, so that neither end runs dry while the other sleeps in the middle of a full table.
pub const OP_RING: usize = 1 << 15;
/// Slots of the event ring.
pub const EVENT_RING: usize = 8192;
