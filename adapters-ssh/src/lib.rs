//! bldr-adapters-ssh
