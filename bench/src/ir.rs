//! The pipeline over heap buffers, for an instruction counter. The work to be counted is all inside one function:
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='*counted_burst*' vrouter-bench --ir encap --packets 64000
//! ```

use std::collections::HashMap;

use clap::ValueEnum;
use engine::seam::{PortId, WorkerId};
use engine::{Buf, Verdict, WorkerState, pipeline};

use crate::frames::{Expect, Longest, Maker, Side, difference};
use crate::options::{Encap, Family, Frame, Mode};
use crate::slot::Slot;
use crate::tables::Private;
use crate::world::{FABRIC, GATEWAY, Shape, World};

/// A way through the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Path {
    /// VLAN in, MPLSoUDP out.
    Encap,
    /// MPLSoUDP in, route lookup in the VRF of the label, VLAN out.
    Decap,
    /// VLAN in, another VLAN out.
    Local,
    /// VLAN in, MPLSoGRE out.
    EncapGre,
    /// MPLSoGRE in, route lookup in the VRF of the label, VLAN out.
    DecapGre,
    /// IPv6: VLAN in, MPLSoUDP out.
    Encap6,
    /// IPv6: MPLSoUDP in, route lookup in the VRF of the label, VLAN out.
    Decap6,
}

impl Path {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Path::Encap => "encap",
            Path::Decap => "decap",
            Path::Local => "local",
            Path::EncapGre => "encap-gre",
            Path::DecapGre => "decap-gre",
            Path::Encap6 => "encap6",
            Path::Decap6 => "decap6",
        }
    }

    fn shape(self) -> Shape {
        let mode = match self {
            Path::Encap | Path::EncapGre | Path::Encap6 => Mode::Encap,
            Path::Decap | Path::DecapGre | Path::Decap6 => Mode::Decap,
            Path::Local => Mode::Local,
        };
        let gre = matches!(self, Path::EncapGre | Path::DecapGre);
        let six = matches!(self, Path::Encap6 | Path::Decap6);
        Shape {
            mode,
            encap: if gre { Encap::Gre } else { Encap::Udp },
            family: if six { Family::V6 } else { Family::V4 },
            frame: Frame::Small,
            vrfs: 1,
            instances: if mode == Mode::Local { 2 } else { 1 },
            routes: 1000,
            flows: 1000,
            seed: 1,
            peer: None,
        }
    }

    const fn side(self) -> (Side, PortId) {
        match self {
            Path::Decap | Path::DecapGre | Path::Decap6 => (Side::Fabric, FABRIC),
            _ => (Side::Gateway, GATEWAY),
        }
    }
}

/// Checks every frame of a path, then sends `packets` of them; how many were sent.
pub fn run(path: Path, packets: u32) -> Result<u32, String> {
    let world = World::new(path.shape());
    let private = Private::new(&world);
    let mut worker = WorkerState::new(&private.tables, WorkerId(0)).ok_or("no reader left")?;
    let (side, port) = path.side();
    let maker = Maker::new(&world, Private::MAC);
    let templates: Vec<Vec<u8>> =
        world.order().iter().map(|number| maker.incoming(side, &world.flow(*number))).collect();
    check(&mut worker, side, port, &maker, &world)?;
    let mut buffers: Vec<Slot> = (0..pipeline::BATCH).map(|_| Slot::default()).collect();
    let mut verdicts = Vec::with_capacity(pipeline::BATCH);
    let mut frames = templates.iter().cycle();
    let mut sent = 0;
    while sent < packets {
        for (buffer, frame) in buffers.iter_mut().zip(&mut frames) {
            buffer.refill(frame);
        }
        counted_burst(&mut worker, port, &mut buffers, &mut verdicts);
        sent += buffers.len() as u32;
    }
    Ok(sent)
}

/// A burst as a worker sends it through the pipeline: what instruction counters look at.
#[inline(never)]
fn counted_burst(
    worker: &mut WorkerState,
    port: PortId,
    batch: &mut [Slot],
    verdicts: &mut Vec<Verdict>,
) {
    pipeline::process(worker, port, batch, verdicts);
    worker.quiesce();
    std::hint::black_box(&verdicts);
}

fn check(
    worker: &mut WorkerState,
    side: Side,
    port: PortId,
    maker: &Maker<'_>,
    world: &World,
) -> Result<(), String> {
    let longest = Longest::new(world);
    let mut verdicts = Vec::new();
    let mut ports = HashMap::new();
    for flow in (0..world.shape.flows).map(|number| world.flow(number)) {
        let mut packets = [Slot::default()];
        packets[0].refill(&maker.incoming(side, &flow));
        pipeline::process(worker, port, &mut packets, &mut verdicts);
        if !matches!(verdicts[..], [Verdict::Tx { .. }]) {
            return Err(format!("flow {}: {verdicts:?} instead of a transmission", flow.number));
        }
        let expect: Expect = maker.outgoing(side, &flow, &longest);
        if let Some(difference) = difference(&expect, packets[0].data(), &mut ports) {
            return Err(format!("flow {}: {difference}", flow.number));
        }
    }
    Ok(())
}
