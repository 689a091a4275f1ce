//! Which real parts does a test need? Hosts with sshd, and EC2, on this machine.
