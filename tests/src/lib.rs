//! vrouter-tests
