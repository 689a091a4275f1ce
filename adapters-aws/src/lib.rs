//! bldr-adapters-aws
