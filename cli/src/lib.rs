//! bldr-cli
