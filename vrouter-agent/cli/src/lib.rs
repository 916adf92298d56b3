//! vrctl
