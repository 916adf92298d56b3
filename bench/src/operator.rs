//! The world of a run as the configuration of the product: what an operator would write.

use std::fmt::Write;
use std::path::Path;

use crate::options::Encap;
use crate::world::{self, LOCAL, World};

/// A configuration for these two devices; with the routes into tunnels if `routes` says so.
pub fn config(world: &World, devices: &[String; 2], state: &Path, routes: bool) -> String {
    let mut text = format!(
        "[router]\nname = \"bench\"\nrouter-id = \"{LOCAL}\"\nasn = 64512\nstate-file = \"{0}/state.json\"\n\n\
         [api]\nsocket = \"{0}/api.sock\"\n\n\
         [[port]]\nname = \"fabric\"\nrole = \"fabric\"\ndevice = \"vdev:{1}\"\naddresses = [\"{LOCAL}/24\"]\n\n\
         [[port]]\nname = \"gateway\"\nrole = \"gateway\"\ndevice = \"vdev:{2}\"\n\n",
        state.display(),
        devices[0],
        devices[1]
    );
    // Writing to a String does not fail.
    let _ = underlay(&mut text, world);
    for vrf in 0..world.shape.vrfs {
        let _ = tenant(&mut text, world, vrf, routes);
    }
    text
}

/// The route target of a VRF.
pub fn target(vrf: u16) -> String {
    format!("target:64512:{}", vrf + 1)
}

fn underlay(text: &mut String, world: &World) -> std::fmt::Result {
    for pe in 0..world.pes().min(2) {
        writeln!(
            text,
            "[[static-neighbor]]\nport = \"fabric\"\naddress = \"{}\"\nmac = \"{}\"\n",
            world::spine(pe),
            world.spine_mac(pe)
        )?;
    }
    for pe in 0..world.pes() {
        let (prefix, via) = (world::pe_address(pe), world::spine(pe));
        writeln!(text, "[[static-route]]\nprefix = \"{prefix}/32\"\nvia = \"{via}\"\n")?;
    }
    Ok(())
}

fn tenant(text: &mut String, world: &World, vrf: u16, routes: bool) -> std::fmt::Result {
    writeln!(
        text,
        "[[vrf]]\nname = \"v{vrf}\"\nroute-targets = [\"{}\"]\nsubnets = [{{ prefix = \"10.1.0.0/16\", gateway = \"10.1.0.1\" }}]",
        target(vrf)
    )?;
    if routes {
        let encapsulation = match world.shape.encap {
            Encap::Udp => "mplsoudp",
            Encap::Gre => "mplsogre",
        };
        writeln!(text, "static-routes = [")?;
        for route in world.routes.iter().filter(|route| route.vrf == vrf) {
            writeln!(
                text,
                "  {{ prefix = \"{}\", tunnel = \"{}\", label = {}, encapsulation = \"{encapsulation}\" }},",
                route.prefix,
                world::pe_address(world.pe(vrf, route.site)),
                world.remote_label(vrf, route.site).value()
            )?;
        }
        writeln!(text, "]")?;
    }
    writeln!(text)?;
    let instances = (vrf..world.shape.instances).step_by(usize::from(world.shape.vrfs));
    for instance in instances {
        writeln!(
            text,
            "[[instance]]\nname = \"i{instance}\"\nvrf = \"v{vrf}\"\nport = \"gateway\"\nvlan = {}\nmac = \"{}\"\naddresses = [\"{}\"]\n",
            world::vlan(instance).value(),
            world::instance_mac(instance),
            world.address(instance)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Family, Mode};
    use crate::world::tests::world;

    #[test]
    fn the_product_takes_the_configuration() {
        let world = world(Mode::Encap, Encap::Gre, Family::V4, 3, 7);
        let devices = ["net_null0,no-rx=1", "net_null1,no-rx=1"].map(String::from);
        let text = config(&world, &devices, Path::new("/tmp"), true);
        let config = config::load(&text, "bench.toml");
        let config = config.unwrap_or_else(|errors| panic!("{}", errors[0]));
        assert_eq!((config.vrfs.len(), config.instances.len()), (3, 7));
        assert_eq!(config.vrfs.iter().map(|vrf| vrf.static_routes.len()).sum::<usize>(), 300);
    }
}
