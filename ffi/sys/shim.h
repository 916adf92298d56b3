/* What a foreign language cannot bind directly: DPDK's inline functions, thread-locals and constants that are
 * expressions. Each function is a one-line body in shim.c. Field offsets stand here instead of bound structure
 * fields because the names of anonymous unions in rte_mbuf differ from release to release; offsets taken from the
 * header being compiled against never do. */
#ifndef VR_SHIM_H
#define VR_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_version.h>

enum vr_mbuf_offset {
	VR_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	VR_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	VR_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt),
	VR_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	VR_MBUF_PORT = offsetof(struct rte_mbuf, port),
	VR_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	VR_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	VR_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	VR_MBUF_VLAN_TCI = offsetof(struct rte_mbuf, vlan_tci),
	VR_MBUF_RSS_HASH = offsetof(struct rte_mbuf, hash.rss),
	VR_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
};

enum vr_limit {
	VR_PKTMBUF_HEADROOM = RTE_PKTMBUF_HEADROOM,
	VR_MAX_LCORE = RTE_MAX_LCORE,
	VR_ETH_RX_MQ_RSS = RTE_ETH_MQ_RX_RSS,
	VR_MEMPOOL_CACHE_MAX = RTE_MEMPOOL_CACHE_MAX_SIZE,
};

/* ol_flags */
static const uint64_t VR_F_RX_VLAN = RTE_MBUF_F_RX_VLAN;
static const uint64_t VR_F_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN_STRIPPED;
static const uint64_t VR_F_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;
static const uint64_t VR_F_TX_VLAN = RTE_MBUF_F_TX_VLAN;

/* offload capabilities */
static const uint64_t VR_RX_VLAN_STRIP = RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
static const uint64_t VR_RX_VLAN_FILTER = RTE_ETH_RX_OFFLOAD_VLAN_FILTER;
static const uint64_t VR_RX_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t VR_TX_VLAN_INSERT = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
static const uint64_t VR_RSS_IP_PORTS = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;

int vr_errno(void);
unsigned int vr_lcore_id(void);
uint64_t vr_cycles(void);
struct rte_mbuf *vr_mbuf_alloc(struct rte_mempool *pool);
void vr_mbuf_free(struct rte_mbuf *m);
uint16_t vr_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **out, uint16_t max);
uint16_t vr_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **in, uint16_t count);
unsigned int vr_ring_put(struct rte_ring *ring, struct rte_mbuf **in, unsigned int count);
unsigned int vr_ring_take(struct rte_ring *ring, struct rte_mbuf **out, unsigned int max);
void vr_link(const struct rte_eth_link *link, uint32_t *speed, uint8_t *up, uint8_t *full_duplex);

#endif
