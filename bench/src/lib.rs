//! vrouter-bench
