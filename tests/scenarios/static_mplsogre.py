"""Two gateways with static VRF routes and no BGP carry an instance's packets in MPLS over GRE, and tshark finds each frame right.

Breaks when: the encap stage writes GRE protocol 0x8848 instead of 0x8847, or a GRE header with flags.
"""

from lab.expect import static_pair
from lab.worlds import TwoPes


def run(lab):
    static_pair(lab, TwoPes(lab), "mplsogre", 28)
