//! vrouter-dp
