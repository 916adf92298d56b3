//! Which queue of which port is whose.
//!
//! Every queue has one owner. A port with as many queues as there are workers gives one to each; a port with fewer gives its
//! queues to the workers in turn, and the others hand their packets to an owner.

/// Queues that a port can offer.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Receive queues at most.
    pub rx: u16,
    /// Transmit queues at most.
    pub tx: u16,
    /// Workers on the port's NUMA node; none if that is not known. They own its queues first.
    pub near: Vec<usize>,
}

/// Who owns what of one port; indexes are worker numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Owner of each receive queue.
    pub rx: Vec<usize>,
    /// Owner of each transmit queue.
    pub tx: Vec<usize>,
    /// For each worker: the worker that transmits for it (itself, if it owns a queue).
    pub sender: Vec<usize>,
}

/// Plans the queues of all ports for `workers` workers (at least 1).
pub fn plan(workers: usize, ports: &[Offer]) -> Vec<Queues> {
    ports
        .iter()
        .enumerate()
        .map(|(port, offer)| {
            let turned = (0..workers).map(|worker| (port + worker) % workers);
            let (near, far): (Vec<_>, Vec<_>) =
                turned.partition(|worker| offer.near.contains(worker));
            let order = [near, far].concat();
            let share = |offered: u16| order[..usize::from(offered).clamp(1, workers)].to_vec();
            let tx = share(offer.tx);
            let sender = (0..workers)
                .map(|worker| if tx.contains(&worker) { worker } else { tx[worker % tx.len()] })
                .collect();
            Queues { rx: share(offer.rx), tx, sender }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_can_send_everywhere_and_every_queue_has_one_owner() {
        for workers in 1..6 {
            for (rx, tx) in [(1, 1), (2, 1), (16, 16), (3, 2)] {
                for near in 0..workers {
                    let offer = Offer { rx, tx, near: vec![near] };
                    let queues = &plan(workers, &vec![offer; 3])[2];
                    assert_eq!((queues.rx[0], queues.tx[0]), (near, near), "near ones first");
                    assert_eq!(queues.sender.len(), workers);
                    assert!(
                        queues.rx.len() <= usize::from(rx) && queues.tx.len() <= usize::from(tx)
                    );
                    for (worker, sender) in queues.sender.iter().enumerate() {
                        assert!(queues.tx.contains(sender));
                        assert!(!queues.tx.contains(&worker) || *sender == worker);
                    }
                    let mut owners = queues.tx.clone();
                    owners.sort_unstable();
                    owners.dedup();
                    assert_eq!(owners.len(), queues.tx.len());
                }
            }
        }
    }
}
