//! bldr-testkit
