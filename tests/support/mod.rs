//! What several tests use.

pub(crate) mod application;
pub(crate) mod chance;
pub(crate) mod crash;
pub(crate) mod disk;
pub(crate) mod forward;
pub(crate) mod helper;
pub(crate) mod locks;
pub(crate) mod memory;
pub(crate) mod place;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod rig;
pub(crate) mod running;
pub(crate) mod s3;
pub(crate) mod scratch;
pub(crate) mod server;
pub(crate) mod sftp;
pub(crate) mod states;
pub(crate) mod title;
pub(crate) mod witness;
