//! project files
/// All projects of all project files.
#[derive(Debug, Clone, Default)]
pub struct Projects {}
