//! bldr-adapters-fs
