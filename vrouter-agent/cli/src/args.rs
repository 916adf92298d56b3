//! The grammar: `vrctl <noun> <verb> [name] [options]`. A noun alone means its list.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Looks at a running vrouterd and changes its configuration.
///
/// Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no daemon, 4 the daemon is not ready.
#[derive(Debug, Parser)]
#[command(
    name = "vrctl",
    version,
    subcommand_value_name = "NOUN",
    subcommand_help_heading = "Nouns"
)]
pub struct Cli {
    /// Socket of the daemon [default: $VROUTER_SOCKET, else /run/vrouter/api.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Print the daemon's JSON
    #[arg(long, short = 'j', global = true)]
    pub json: bool,
    /// Give up when the daemon is silent for so long
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// What to look at.
    #[command(subcommand)]
    pub noun: Noun,
}

/// What there is to look at.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// Health in ten lines; exit code 4 if the router is not ready
    Status(Status),
    /// Ports of the data plane
    Port(List),
    /// Interfaces of the instances, one for each VLAN
    #[command(visible_alias = "vif")]
    Interface(ListInVrf),
    /// VRFs with route distinguisher and route targets
    Vrf(List),
    /// Routes of the VRFs; an address as name shows the route that it takes
    #[command(visible_alias = "rt")]
    Route(ListInVrf),
    /// Next hops
    #[command(visible_alias = "nh")]
    Nexthop(List),
    /// MPLS labels that are advertised, or rest before they are used again
    #[command(visible_alias = "mpls")]
    Label(ListInVrf),
    /// Neighbours (ARP)
    Neighbor(List),
    /// BFD sessions
    Bfd(List),
    /// BGP sessions and routes
    Bgp(Bgp),
    /// Dropped packets by reason
    #[command(visible_alias = "dropstats")]
    Drop(Drops),
    /// Workers with the account of their packets
    Worker(List),
    /// The configuration
    Config(Config),
    /// Completions for a shell, on standard output
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// `show`.
    #[command(subcommand)]
    pub verb: Option<ShowVerb>,
}

/// The only verb of `status`.
#[derive(Debug, Subcommand)]
pub enum ShowVerb {
    /// Show it (the default)
    #[command(alias = "list")]
    Show,
}

/// A noun with a list.
#[derive(Debug, Args)]
pub struct List {
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<ListVerb>,
}

/// A noun whose list can be cut to a VRF.
#[derive(Debug, Args)]
pub struct ListInVrf {
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<ListVerb>,
    /// Only this VRF
    #[arg(long, global = true, value_name = "VRF")]
    pub vrf: Option<String>,
}

/// `drop`.
#[derive(Debug, Args)]
pub struct Drops {
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<ListVerb>,
    /// Also the reasons that have not occurred
    #[arg(long, global = true)]
    pub all: bool,
}

/// Verbs of a list.
#[derive(Clone, Debug, Subcommand)]
pub enum ListVerb {
    /// One line for each (the default)
    List {
        /// Only this one
        name: Option<String>,
    },
    /// Everything about one
    Show {
        /// Which; all of them in a list if left out
        name: Option<String>,
    },
}

/// `bgp`.
#[derive(Debug, Args)]
pub struct Bgp {
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<BgpVerb>,
}

/// Verbs of `bgp`.
#[derive(Debug, Subcommand)]
pub enum BgpVerb {
    /// The sessions (the default)
    #[command(alias = "list")]
    Summary {
        /// Only this one
        peer: Option<IpAddr>,
    },
    /// Routes as BGP sees them
    Route(BgpRoute),
    /// Ask a peer for its routes again (RFC 2918)
    Refresh {
        /// Address of the peer
        peer: IpAddr,
    },
}

/// `bgp route`.
#[derive(Debug, Args)]
pub struct BgpRoute {
    /// `list`.
    #[command(subcommand)]
    pub verb: Option<BgpRouteVerb>,
    /// Only this address family [default: all]
    #[arg(long, global = true, value_parser = config::Family::ALL.map(config::Family::name))]
    pub family: Option<String>,
    /// All routes that came from peers
    #[arg(long, global = true, conflicts_with_all = ["best", "advertised"])]
    pub received: bool,
    /// The chosen routes (the default)
    #[arg(long, global = true, conflicts_with = "advertised")]
    pub best: bool,
    /// The routes that are sent to peers
    #[arg(long, global = true)]
    pub advertised: bool,
    /// Only from, or to, this peer
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub peer: Option<IpAddr>,
}

/// Verbs of `bgp route`.
#[derive(Debug, Subcommand)]
pub enum BgpRouteVerb {
    /// One line for each (the default)
    #[command(alias = "show")]
    List {
        /// Only this prefix
        prefix: Option<String>,
    },
}

/// `config`.
#[derive(Debug, Args)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<ConfigVerb>,
}

/// Verbs of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// The running configuration (the default)
    #[command(alias = "list")]
    Show,
    /// The daemon reads its file again and applies the difference
    Reload,
    /// The daemon applies the difference to another file
    Apply {
        /// The file
        file: PathBuf,
    },
}
