//! vrouter-agent
