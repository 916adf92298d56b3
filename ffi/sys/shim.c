#include "shim.h"

int vr_errno(void)
{
	return rte_errno;
}

unsigned int vr_lcore_id(void)
{
	return rte_lcore_id();
}

uint64_t vr_cycles(void)
{
	return rte_rdtsc();
}

struct rte_mbuf *vr_mbuf_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

void vr_mbuf_free(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
}

uint16_t vr_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **out, uint16_t max)
{
	return rte_eth_rx_burst(port, queue, out, max);
}

uint16_t vr_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **in, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, in, count);
}

unsigned int vr_ring_put(struct rte_ring *ring, struct rte_mbuf **in, unsigned int count)
{
	return rte_ring_enqueue_burst(ring, (void *const *)in, count, NULL);
}

unsigned int vr_ring_take(struct rte_ring *ring, struct rte_mbuf **out, unsigned int max)
{
	return rte_ring_dequeue_burst(ring, (void **)out, max, NULL);
}

/* The link's flags are bit fields, which each language lays out in its own words. */
void vr_link(const struct rte_eth_link *link, uint32_t *speed, uint8_t *up, uint8_t *full_duplex)
{
	*speed = link->link_speed;
	*up = link->link_status;
	*full_duplex = link->link_duplex;
}
