//! The one list of drop reasons, and the punt classes. A new reason is a new row here and nothing else.

use std::fmt;

/// Rows of drop reasons -> enum, slug, text and hint.
macro_rules! drops {
    ($($name:ident $slug:literal $text:literal, $hint:literal;)*) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Drop {
            $(#[doc = $text] $name,)*
        }

        impl Drop {
            /// Every reason, in the order of the enum.
            pub const ALL: &[Drop] = &[$(Drop::$name,)*];

            /// Stable name: CLI, JSON and metric label.
            pub const fn slug(self) -> &'static str {
                match self { $(Drop::$name => $slug,)* }
            }

            /// What happened, in one line.
            pub const fn text(self) -> &'static str {
                match self { $(Drop::$name => $text,)* }
            }

            /// What the operator can look at or do.
            pub const fn hint(self) -> &'static str {
                match self { $(Drop::$name => $hint,)* }
            }
        }
    };
}

drops! {
    // Link layer and classification.
    Malformed "malformed"
        "header cut short, or a length or version field that contradicts the bytes",
        "capture on the port; suspect the sender, or a NIC offload on the sending host";
    PortBlocked "port-blocked"
        "the port does not forward (spanning tree discarding or learning)",
        "`vrctl port list`: the state of the port; the other gateway should be active";
    Untagged "untagged"
        "untagged or priority-tagged frame on a gateway port",
        "make the switch port a trunk: each instance comes in on its own VLAN";
    UnknownVlan "unknown-vlan"
        "no interface for this port and VLAN",
        "`vrctl interface list`; add an [[instance]] for the VLAN or prune it from the trunk";
    VifDown "vif-down"
        "the interface is not up",
        "`vrctl interface list`: its state gives the reason, such as a refused VLAN filter";
    UnknownSourceMac "unknown-source-mac"
        "the source MAC is not that of the instance",
        "compare `mac` of the [[instance]] with the machine behind the VLAN";
    WrongDestinationMac "wrong-destination-mac"
        "unicast frame to a MAC that is not ours",
        "the sender has a wrong ARP entry, or the switch floods";
    Multicast "multicast"
        "multicast or broadcast that is neither ARP nor a protocol we speak",
        "expected in small numbers (DHCP, mDNS, IPv6 listener reports)";
    UnsupportedEthertype "unsupported-ethertype"
        "neither IPv4, IPv6 nor ARP, or a second VLAN tag",
        "capture on the port; only IPv4 and IPv6 are forwarded, on the fabric IPv4 alone";
    NeighborDiscovery "neighbor-discovery"
        "IPv6 neighbour discovery, which is not answered",
        "give the instance a static neighbour entry for its IPv6 gateway, with MAC 00:00:5e:00:01:00";
    // IPv4 and routing.
    InnerChecksum "inner-checksum"
        "wrong IPv4 header checksum, from an instance or inside a tunnel",
        "switch off checksum offload where a virtual switch loses it (`ethtool -K DEV tx off`)";
    Martian "martian"
        "address that is never forwarded (0/8, 127/8, 240/4; ::, ::1, fe80::/10; a group as source)",
        "look at the sender's configuration";
    SpoofedAddress "spoofed-address"
        "source address that does not belong to the instance",
        "add the address to `addresses` of the [[instance]], or look for a misconfigured or hostile host";
    NoRoute "no-route"
        "no route in the VRF",
        "`vrctl route list --vrf NAME`, `vrctl bgp route list`: is it received, is its route target imported?";
    DiscardRoute "discard-route"
        "the best route says discard",
        "`vrctl route list --vrf NAME`";
    TtlExceeded "ttl-exceeded"
        "TTL or hop limit ran out; an IPv4 sender was told, within the rate limit",
        "traceroute does this; else look for a routing loop";
    TooBig "too-big"
        "larger than the path, DF set or IPv6; an IPv4 sender was told, within the rate limit",
        "path MTU discovery does this; raise `mtu` of the underlay by 32 to carry full frames";
    NeedsFragmentation "needs-fragmentation"
        "larger than the path, DF clear: fragmenting is not done",
        "raise `mtu` of the underlay, or lower the MTU of the instance";
    UnsupportedProtocol "unsupported-protocol"
        "to an address of ours, but for nothing that runs there",
        "expected for scans; on the fabric: a peer that uses an encapsulation we did not offer";
    // Tunnels, inwards.
    NotLocal "not-local"
        "fabric packet to an address that is not ours",
        "the underlay routes a stranger's traffic to us: check `tunnel-address` and its routes";
    OuterChecksum "outer-checksum"
        "wrong checksum of the outer IPv4, UDP or GRE header",
        "damage on the way, or a NIC offload of the sending PE";
    OuterFragment "outer-fragment"
        "fragmented packet to an address of ours",
        "a tunnel packet was too big for a link: raise the MTU of the underlay";
    TunnelSource "tunnel-source"
        "tunnel packet from an address that is no tunnel end and not in `tunnel-sources`",
        "add the PE to `tunnel-sources` if it is legitimate";
    InvalidLabelStack "invalid-label-stack"
        "more than one label",
        "the far PE sends a transport label, or it is no L3VPN";
    InvalidLabel "invalid-label"
        "a label that we did not advertise",
        "a stale route at the far PE; `vrctl label list`";
    LabelTtl "label-ttl"
        "TTL of the label ran out",
        "traceroute does this; else look for a routing loop";
    TunnelToTunnel "tunnel-to-tunnel"
        "came from a tunnel and would go into one",
        "the VRF imports a route that covers its own instances: two PEs point at each other";
    // Outwards.
    UnresolvedNexthop "unresolved-nexthop"
        "no neighbour entry yet towards the far PE",
        "`vrctl neighbor list`; add a [[static-route]] if the tunnel end is not on-link";
    NoHeadroom "no-headroom"
        "no room in front of the packet for the headers",
        "the port leaves too little headroom in its buffers: report it with `vrctl port list`";
    Policy "policy"
        "refused by policy",
        "look at the policy of the interface";
    TxFull "tx-full"
        "the transmit queue of the port was full",
        "the port is overloaded, or its link is down";
    // Hand-over to other threads.
    PuntFull "punt-full"
        "the queue to the service thread was full",
        "`vrctl worker list`; a storm of ARP or of packets to our own addresses";
    PuntLimited "punt-limited"
        "over the rate limit of its punt class",
        "a storm of ARP or of packets to our own addresses: find the sender";
    NoBuffer "no-buffer"
        "no packet buffer was free for a packet of our own",
        "`vrctl port list`: no_mbuf; raise `mbufs` under [dataplane]";
    InjectFull "inject-full"
        "the queues to the workers were full: an answer or probe of our own",
        "`vrctl worker list`: all workers are overloaded; neighbours may fail";
    HandoffFull "handoff-full"
        "the queue to another worker was full",
        "`vrctl worker list`: one worker is overloaded";
}

impl Drop {
    /// How many reasons there are.
    pub const COUNT: usize = Drop::ALL.len();

    /// As an index into [`Drop::ALL`] and counter arrays.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

/// Rows of punt classes -> enum, slug, text, queue bound, packets per second.
macro_rules! punts {
    ($($name:ident $slug:literal $text:literal, $queue:literal, $rate:literal;)*) => {
        /// What the service thread is asked to look at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Punt {
            $(#[doc = $text] $name,)*
        }

        impl Punt {
            /// Every class, in the order of the enum.
            pub const ALL: &[Punt] = &[$(Punt::$name,)*];

            /// Stable name: CLI, JSON and metric label.
            pub const fn slug(self) -> &'static str {
                match self { $(Punt::$name => $slug,)* }
            }

            /// What the class holds, and where its bytes start.
            pub const fn text(self) -> &'static str {
                match self { $(Punt::$name => $text,)* }
            }

            /// Packets that may wait in the queue from one worker to the service thread.
            pub const fn queue(self) -> usize {
                match self { $(Punt::$name => $queue,)* }
            }

            /// Packets per second that one worker may punt; as many may come at once.
            pub const fn rate(self) -> u32 {
                match self { $(Punt::$name => $rate,)* }
            }
        }
    };
}

punts! {
    Arp "arp"
        "ARP; the bytes start at the ARP packet", 512, 2000;
    Local "local"
        "ICMP to an address of ours; the bytes start at the IPv4 header", 256, 1000;
    Bfd "bfd"
        "BFD to an address of ours; the bytes start at the IPv4 header", 512, 20000;
    TtlExceeded "ttl-exceeded"
        "beginning of a packet whose TTL ran out; the bytes start at its IPv4 header", 64, 100;
    TooBig "too-big"
        "beginning of a packet larger than its path; the bytes start at its IPv4 header", 64, 100;
}

impl Punt {
    /// How many classes there are.
    pub const COUNT: usize = Punt::ALL.len();

    /// As an index into [`Punt::ALL`] and counter arrays.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Punt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn slugs_are_unique_kebab_case_and_in_order() {
        let slugs: HashSet<_> = Drop::ALL.iter().map(|d| d.slug()).collect();
        assert_eq!(slugs.len(), Drop::COUNT);
        assert!(slugs.iter().all(|s| s.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        assert!(Drop::ALL.iter().enumerate().all(|(i, d)| d.index() == i));
        assert!(Punt::ALL.iter().enumerate().all(|(i, p)| p.index() == i));
    }

    #[test]
    fn the_slugs_that_outsiders_rely_on_are_there() {
        for slug in [
            "unknown-vlan",
            "untagged",
            "unknown-source-mac",
            "spoofed-address",
            "port-blocked",
            "no-route",
            "ttl-exceeded",
            "too-big",
            "invalid-label",
            "tunnel-source",
            "outer-checksum",
            "outer-fragment",
            "malformed",
            "tx-full",
            "policy",
        ] {
            assert!(Drop::ALL.iter().any(|d| d.slug() == slug), "{slug}");
        }
    }
}
