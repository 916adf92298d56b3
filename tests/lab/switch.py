"""Open vSwitch with its user-space datapath, in a namespace of its own: the switch that tags."""

from .net import sh, wait

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class Switch:
    def __init__(self, lab, name="tor"):
        self.lab, self.namespace = lab, lab.namespace(name)
        directory = lab.directory / name
        directory.mkdir()
        self.db, self.control, self.bridge = directory / "db.sock", directory / "vs.ctl", "br0"
        env = {"OVS_RUNDIR": str(directory), "OVS_LOGDIR": str(directory), "OVS_DBDIR": str(directory)}
        sh("ovsdb-tool", "create", directory / "conf.db", SCHEMA)
        self.namespace.start(f"{name}.ovsdb", "ovsdb-server", directory / "conf.db", f"--remote=punix:{self.db}",
                             f"--pidfile={directory}/db.pid", f"--unixctl={directory}/db.ctl", "-vconsole:warn", env=env)
        wait(self.db.exists, "ovsdb-server")
        self.vsctl("--no-wait", "init")
        self.namespace.start(f"{name}.vswitchd", "ovs-vswitchd", f"unix:{self.db}", f"--pidfile={directory}/vs.pid",
                             f"--unixctl={self.control}", "-vconsole:warn", env=env)
        wait(self.control.exists, "ovs-vswitchd")
        self.vsctl("add-br", self.bridge, "--", "set", "bridge", self.bridge, "datapath_type=netdev", "fail_mode=standalone")

    def vsctl(self, *args):
        return sh("ovs-vsctl", f"--db=unix:{self.db}", "-t", "10", *args)

    def port(self, device, tag=None):
        """Adds a device of the switch's namespace: an access port of VLAN `tag`, or a trunk."""
        self.vsctl("add-port", self.bridge, device, *([f"tag={tag}"] if tag else []))
