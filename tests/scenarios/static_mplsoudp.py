"""Two gateways with static VRF routes and no BGP carry an instance's packets in MPLS over UDP, and tshark finds each frame right.

Breaks when: the encap stage writes another destination port than 6635, or leaves the outer checksum unpatched.
"""

from lab.expect import static_pair
from lab.worlds import TwoPes


def run(lab):
    static_pair(lab, TwoPes(lab), "mplsoudp", 32)
