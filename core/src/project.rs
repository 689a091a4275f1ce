//! project files
use crate::{json::Object, name::{ProjectName, StackName}};
/// All projects of all project files.
#[derive(Debug, Clone, Default)]
pub struct Projects {}
impl Projects {
    /// A project's merged data.
    pub fn get(&self, _project: &ProjectName) -> Option<&Object> {
        None
    }
    /// Whether a project has EC2.
    pub fn is_ec2(&self, _project: &ProjectName) -> bool {
        false
    }
    /// The address its project file names.
    pub fn shared_master(&self, _stack: &StackName) -> Option<String> {
        None
    }
}
