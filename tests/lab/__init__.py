"""The lab: gateways, peers, switches and hosts in network namespaces of one machine.

A scenario is a file in tests/scenarios with a function `run(lab)`. It builds its world from the pieces here:

- `net`       namespaces, veth pairs, processes, waiting; everything is removed by id at the end
- `gateway`   vrouterd with a generated configuration, and what vrctl says about it
- `peers`     gobgpd, FRR and BIRD, and their own show commands
- `switch`    Open vSwitch as the switch that tags
- `frames`    raw ports, answering hosts on VLANs, a foreign PE; frames are built by scapy
- `judge`     capture files, and tshark's opinion of them
- `worlds`    the two or three topologies that most scenarios share
"""
